/* SPDX-License-Identifier: Apache-2.0 */
/* What every backend of the vector store must do: the engine in a file of this
 * machine, and a Milvus that OLHO_TEST_MILVUS names as host:port. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "vecs_fixture.h"

enum { DIM = 8 };

/* A set of this test's own, dropped at its end. */
struct room {
    char where[400];
    struct vecstore *store;
};

static void room_open(struct room *room, enum vec_mode mode,
                      enum vecindex_metric metric)
{
    const struct vec_options options = {
        .dim = DIM, .metric = metric, .model = "model-1", .timeout_s = 120};
    struct err err = {0};

    CHECK_OK(vecstore_open(room->where, mode, &options, &room->store, &err),
             err);
}

static void engine_init(struct room *room)
{
    snprintf(room->where, sizeof room->where, "%s", vecs_file("set.olho"));
}

static void milvus_init(struct room *room)
{
    const char *address = getenv("OLHO_TEST_MILVUS");

    if (address == NULL || address[0] == '\0')
        SKIP("OLHO_TEST_MILVUS is not set");
    snprintf(room->where, sizeof room->where,
             "milvus://%s/contract_%d_%" PRId64, address, (int)getpid(),
             clock_us());
}

static void room_end(struct room *room)
{
    const struct vec_options options = {.timeout_s = 120};
    struct err err = {0};

    vecstore_close(room->store);
    CHECK_OK(vecstore_drop(room->where, &options, &err), err);
}

/* The body gets a new empty set with that metric. */
#define EVERY_STORE(what, metric)            \
    static void what(struct room *room);     \
    TEST(vectors_in_the_engine_##what)       \
    {                                        \
        struct room room = {0};              \
        engine_init(&room);                  \
        room_open(&room, VEC_WRITE, metric); \
        what(&room);                         \
        room_end(&room);                     \
    }                                        \
    TEST(vectors_in_milvus_##what)           \
    {                                        \
        struct room room = {0};              \
        milvus_init(&room);                  \
        room_open(&room, VEC_WRITE, metric); \
        what(&room);                         \
        room_end(&room);                     \
    }                                        \
    static void what(struct room *room)

/* What was written by this process is seen by it without waiting. */
static struct vec_hits search(struct room *room, const struct vec_query *query)
{
    struct vec_hits hits = {0};
    struct err err = {0};

    CHECK_OK(vecstore_search(room->store, query, vecs_arena(), &hits, &err),
             err);
    return hits;
}

static int64_t count(struct room *room)
{
    return vecs_info(room->store).count;
}

/* Adds entries `first` on, giving their ids. */
static void add(struct room *room, uint64_t first, int entry_count,
                int64_t *ids)
{
    struct err err = {0};

    CHECK_OK(
        vecs_try_add(room->store, DIM, first, entry_count, false, ids, &err),
        err);
}

/* --- adding and finding ----------------------------------------------- */

EVERY_STORE(what_was_added_is_found_whole_and_nearest_first, VECINDEX_L2)
{
    enum { COUNT = 50 };
    int64_t ids[COUNT];
    float vector[DIM];
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 10};
    struct vec_hits hits;
    int i, j;

    add(room, 0, COUNT, ids);
    CHECK_INT(count(room), COUNT);
    for (i = 0; i < COUNT; i += 7) {
        vecs_vector((uint64_t)i, DIM, vector);
        hits = search(room, &query);
        CHECK_INT(hits.count, 10);
        CHECK_INT(hits.list[0].id, ids[i]);
        CHECK_NEAR(hits.list[0].distance, 0, 1e-5);
        CHECK_TEXT(hits.list[0].key, vecs_key((uint64_t)i));
        CHECK_TEXT(hits.list[0].path, vecs_path((uint64_t)i));
        for (j = 1; j < hits.count; j++)
            CHECK(hits.list[j - 1].distance <= hits.list[j].distance);
        vecs_check_entry(room->store, DIM, ids[i], (uint64_t)i);
    }
    query.k = 1000;
    CHECK_INT(search(room, &query).count, COUNT);
}

/* The same entries by another metric: similarities, the largest first. */
static void check_similarities(struct room *room, bool is_cosine)
{
    enum { COUNT = 30 };
    float vector[DIM], other[DIM];
    struct vec_query query = {.vector = vector, .dim = DIM, .k = COUNT};
    struct vec_hits hits;
    int i, j;

    add(room, 0, COUNT, NULL);
    vecs_vector(3000, DIM, vector);
    hits = search(room, &query);
    CHECK_INT(hits.count, COUNT);
    for (i = 0; i < COUNT; i++) {
        double inner = 0, a = 0, b = 0;
        uint64_t number =
            strtoull(strrchr(hits.list[i].key, '-') + 1, NULL, 10);

        vecs_vector(number, DIM, other);
        for (j = 0; j < DIM; j++) {
            inner += (double)vector[j] * (double)other[j];
            a += (double)vector[j] * (double)vector[j];
            b += (double)other[j] * (double)other[j];
        }
        CHECK_NEAR(hits.list[i].distance,
                   is_cosine ? inner / sqrt(a * b) : inner, 1e-5);
        CHECK(i == 0 || hits.list[i - 1].distance >= hits.list[i].distance);
    }
}

EVERY_STORE(cosines_are_right, VECINDEX_COSINE)
{
    check_similarities(room, true);
}

EVERY_STORE(inner_products_are_right, VECINDEX_IP)
{
    check_similarities(room, false);
}

EVERY_STORE(an_empty_set_has_no_hits, VECINDEX_L2)
{
    float vector[DIM] = {1};
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 3};
    struct vec_hits hits;
    struct vec_hit hit;
    struct err err = {0};

    CHECK_INT(count(room), 0);
    CHECK_INT(search(room, &query).count, 0);
    CHECK_OK(vecstore_list(room->store, -1, 5, vecs_arena(), &hits, NULL, &err),
             err);
    CHECK_INT(hits.count, 0);
    CHECK_ERR(vecstore_get(room->store, 123456, vecs_arena(), &hit, NULL, &err),
              ERR_NOT_FOUND);
}

/* --- ids and keys ----------------------------------------------------- */

EVERY_STORE(an_id_or_a_key_that_is_there_is_a_conflict, VECINDEX_L2)
{
    float vector[DIM] = {1};
    struct vec_entry entry = {.id = 70, .vector = vector, .key = "a"};
    struct err err = {0};

    CHECK_OK(vecstore_add(room->store, &entry, 1, NULL, &err), err);
    entry.key = "b";
    CHECK_ERR(vecstore_add(room->store, &entry, 1, NULL, &err), ERR_CONFLICT);
    entry.id = 71;
    entry.key = "a";
    CHECK_ERR(vecstore_add(room->store, &entry, 1, NULL, &err), ERR_CONFLICT);
    entry.id = VEC_ID_NEW;
    CHECK_ERR(vecstore_add(room->store, &entry, 1, NULL, &err), ERR_CONFLICT);
    CHECK_INT(count(room), 1);
}

EVERY_STORE(upsert_replaces_by_id_and_by_key, VECINDEX_L2)
{
    float vector[DIM] = {1};
    struct vec_entry entry = {.id = 70, .vector = vector, .key = "a"};
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 5};
    struct vec_hits hits;
    struct err err = {0};
    int64_t id = -1;

    CHECK_OK(vecstore_upsert(room->store, &entry, 1, &id, &err), err);
    CHECK_INT(id, 70);
    vector[0] = 5;
    entry.path = "somewhere";
    CHECK_OK(vecstore_upsert(room->store, &entry, 1, &id, &err), err);
    CHECK_INT(id, 70);
    entry.id = VEC_ID_NEW;
    vector[0] = 9;
    CHECK_OK(vecstore_upsert(room->store, &entry, 1, &id, &err), err);
    CHECK_INT(count(room), 1);
    hits = search(room, &query);
    CHECK_INT(hits.count, 1);
    CHECK_INT(hits.list[0].id, id);
    CHECK_TEXT(hits.list[0].key, "a");
    CHECK_TEXT(hits.list[0].path, "somewhere");
    CHECK_NEAR(hits.list[0].distance, 0, 1e-6);
}

EVERY_STORE(a_refused_batch_leaves_nothing, VECINDEX_L2)
{
    float vector[DIM] = {1}, bad[DIM] = {NAN};
    struct vec_entry entries[3] = {
        {.id = VEC_ID_NEW, .vector = vector},
        {.id = VEC_ID_NEW, .vector = vector, .key = "there"},
        {.id = VEC_ID_NEW, .vector = bad}};
    struct err err = {0};

    CHECK_OK(vecstore_add(room->store, entries + 1, 1, NULL, &err), err);
    CHECK_ERR(vecstore_add(room->store, entries, 3, NULL, &err), ERR_INVALID);
    CHECK_HAS(err.text, "entry 2");
    CHECK_ERR(vecstore_add(room->store, entries, 2, NULL, &err), ERR_CONFLICT);
    CHECK_INT(count(room), 1);
}

/* --- filters, radius, exclusion --------------------------------------- */

/* How many entries a search with the filter finds, all of which it lets
 * through. */
static int find_kinds(struct room *room, const struct vec_filter *filter,
                      const char *kinds)
{
    float vector[DIM] = {0.5F};
    struct vec_query query = {
        .vector = vector, .dim = DIM, .k = 100, .filter = filter};
    struct vec_hits hits = search(room, &query);
    int i;

    for (i = 0; i < hits.count; i++) {
        CHECK(hits.list[i].tag_count > 0);
        CHECK_HAS(kinds, hits.list[i].tags[0].value);
    }
    return hits.count;
}

EVERY_STORE(filters_let_through_what_they_say, VECINDEX_L2)
{
    const char *const cats[] = {"cat", "bird"}, *const yes[] = {"yes"};
    const char *const odd[] = {"\"quoted\" \\ and 'so'", "dog"};
    const struct vec_term terms[] = {{"kind", cats, 2, false},
                                     {"third", yes, 1, true},
                                     {"kind", odd, 2, false}};
    const struct vec_filter both = {terms, 2}, one = {terms, 1};
    const struct vec_filter not_third = {terms + 1, 1}, quoted = {terms + 2, 1};

    add(room, 0, 30, NULL);
    CHECK_INT(find_kinds(room, &one, "cat bird"), 12);
    /* Of 0 5 10 15 20 25 and 2 7 12 17 22 27, six are thirds... */
    CHECK_INT(find_kinds(room, &both, "cat bird"), 8);
    CHECK_INT(find_kinds(room, &not_third, "cat dog bird fish"), 20);
    CHECK_INT(find_kinds(room, &quoted, "dog"), 6);
}

EVERY_STORE(a_radius_cuts_and_a_key_is_left_out, VECINDEX_L2)
{
    float vector[DIM];
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 30};
    struct vec_hits hits;
    float middle;
    int i;

    add(room, 0, 30, NULL);
    vecs_vector(4, DIM, vector);
    hits = search(room, &query);
    middle = (hits.list[9].distance + hits.list[10].distance) / 2;
    query.has_radius = true;
    query.radius = middle;
    hits = search(room, &query);
    CHECK_INT(hits.count, 10);
    for (i = 0; i < hits.count; i++)
        CHECK(hits.list[i].distance <= middle);
    query.exclude_key = "kkkk-4";
    hits = search(room, &query);
    CHECK_INT(hits.count, 9);
    CHECK(strcmp(hits.list[0].key, "kkkk-4") != 0);
    query.has_radius = false;
    query.exclude_key = "nobody";
    CHECK_INT(search(room, &query).count, 30);
}

/* --- removing --------------------------------------------------------- */

EVERY_STORE(what_was_removed_is_found_no_more, VECINDEX_L2)
{
    const char *const kinds[] = {"fish"};
    const struct vec_term term = {"kind", kinds, 1, false};
    const struct vec_filter filter = {&term, 1};
    char key[64];
    const char *const keys[] = {key, "unknown"};
    float vector[DIM];
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 100};
    int64_t ids[20], some[2], removed = 0;
    struct vec_hit hit;
    struct err err = {0};

    add(room, 0, 20, ids);
    some[0] = ids[2];
    some[1] = INT64_MAX / 2;
    CHECK_OK(vecstore_remove(room->store, some, 2, &removed, &err), err);
    CHECK_INT(removed, 1);
    snprintf(key, sizeof key, "%s", vecs_key(4));
    CHECK_OK(vecstore_remove_keys(room->store, keys, 2, &removed, &err), err);
    CHECK_INT(removed, 1);
    CHECK_OK(vecstore_remove_matching(room->store, &filter, &removed, &err),
             err);
    CHECK_INT(removed, 4);
    vecs_vector(2, DIM, vector);
    CHECK_INT(search(room, &query).count, 14);
    CHECK_ERR(vecstore_get(room->store, ids[2], vecs_arena(), &hit, NULL, &err),
              ERR_NOT_FOUND);
    CHECK_INT(count(room), 14);
    /* The key is free again. */
    add(room, 4, 1, NULL);
    CHECK_INT(count(room), 15);
}

/* --- pages, reopening, upkeep ----------------------------------------- */

EVERY_STORE(pages_copy_a_set_in_the_order_of_ids, VECINDEX_L2)
{
    float vectors[7][DIM], wanted[DIM];
    struct vec_hits hits;
    struct err err = {0};
    int64_t after = -1;
    int seen = 0, i;

    add(room, 0, 25, NULL);
    do {
        CHECK_OK(vecstore_list(room->store, after, 7, vecs_arena(), &hits,
                               vectors[0], &err),
                 err);
        for (i = 0; i < hits.count; i++) {
            uint64_t number =
                strtoull(strrchr(hits.list[i].key, '-') + 1, NULL, 10);

            CHECK(hits.list[i].id > after);
            after = hits.list[i].id;
            vecs_vector(number, DIM, wanted);
            CHECK(memcmp(vectors[i], wanted, sizeof wanted) == 0);
            seen++;
        }
    } while (hits.count == 7);
    CHECK_INT(seen, 25);
}

EVERY_STORE(a_set_is_as_it_was_when_it_is_opened_again, VECINDEX_COSINE)
{
    const struct vec_options other = {.dim = DIM + 1, .timeout_s = 120};
    struct vecstore *store = NULL;
    int64_t ids[20];
    struct err err = {0};
    int i;

    add(room, 0, 20, ids);
    CHECK_OK(vecstore_remove(room->store, ids, 3, NULL, &err), err);
    vecstore_close(room->store);
    room->store = NULL;
    CHECK_ERR(vecstore_open(room->where, VEC_READ, &other, &store, &err),
              ERR_CONFLICT);
    room_open(room, VEC_READ, VECINDEX_COSINE);
    CHECK_INT(count(room), 17);
    for (i = 3; i < 20; i++)
        vecs_check_entry(room->store, DIM, ids[i], (uint64_t)i);
    CHECK_ERR(vecs_try_add(room->store, DIM, 50, 1, false, NULL, &err),
              ERR_INVALID);
}

EVERY_STORE(settling_compacting_and_checking_change_no_answer, VECINDEX_L2)
{
    float vector[DIM];
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 1};
    int64_t ids[200];
    struct vec_hits hits;
    struct err err = {0};
    int turn, i;

    add(room, 0, 200, ids);
    CHECK_OK(vecstore_remove(room->store, ids, 50, NULL, &err), err);
    for (turn = 0; turn < 3; turn++) {
        CHECK_INT(count(room), 150);
        for (i = 50; i < 200; i += 11) {
            vecs_vector((uint64_t)i, DIM, vector);
            hits = search(room, &query);
            CHECK_INT(hits.count, 1);
            CHECK_INT(hits.list[0].id, ids[i]);
        }
        if (turn == 0)
            CHECK_OK(vecstore_settle(room->store, NULL, NULL, &err), err);
        if (turn == 1)
            CHECK_OK(vecstore_compact(room->store, NULL, NULL, &err), err);
        CHECK_OK(vecstore_check(room->store, NULL, NULL, &err), err);
        CHECK_OK(vecstore_refresh(room->store, &err), err);
    }
}

EVERY_STORE(info_says_what_the_set_is, VECINDEX_COSINE)
{
    struct vec_info info = vecs_info(room->store);

    CHECK_INT(info.dim, DIM);
    CHECK_INT(info.metric, VECINDEX_COSINE);
    CHECK_INT(info.count, 0);
    CHECK_TEXT(info.model, "model-1");
    CHECK(strcmp(info.backend, "olho") == 0 ||
          (strcmp(info.backend, "milvus") == 0 && info.version[0] != '\0'));
}

EVERY_STORE(what_is_absent_is_not_found, VECINDEX_L2)
{
    const struct vec_options options = {.timeout_s = 120};
    struct vecstore *store = NULL;
    char where[sizeof room->where + 8];
    struct err err = {0};

    snprintf(where, sizeof where, "%s_absent", room->where);
    CHECK_ERR(vecstore_open(where, VEC_READ, &options, &store, &err),
              ERR_NOT_FOUND);
    CHECK_ERR(vecstore_open(where, VEC_WRITE, &options, &store, &err),
              ERR_NOT_FOUND);
    CHECK_ERR(vecstore_drop(where, &options, &err), ERR_NOT_FOUND);
    CHECK(store == NULL);
}
