/* SPDX-License-Identifier: Apache-2.0 */
/* Adding, replacing and removing, by one thread and by many. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "vecs_fixture.h"
#include "vectors/log_file.h"

enum { DIM = 8 };

static struct vecstore *open_new(void)
{
    return vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
}

/* The store as another process would find it. */
static struct vecstore *open_again(struct vecstore *store)
{
    vecstore_close(store);
    return vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
}

static int add_one(struct vecstore *store, int64_t id, uint64_t vector,
                   const char *key, bool is_upsert, int64_t *out_id,
                   struct err *err)
{
    float values[DIM];
    const struct vec_entry entry = {.id = id, .vector = values, .key = key};

    vecs_vector(vector, DIM, values);
    return is_upsert ? vecstore_upsert(store, &entry, 1, out_id, err)
                     : vecstore_add(store, &entry, 1, out_id, err);
}

static void check_missing(struct vecstore *store, int64_t id)
{
    struct vec_hit hit;
    struct err err = {0};

    CHECK_ERR(vecstore_get(store, id, vecs_arena(), &hit, NULL, &err),
              ERR_NOT_FOUND);
}

/* --- ids and keys ----------------------------------------------------- */

TEST(vecstore_counts_ids_from_0_and_never_gives_one_twice)
{
    struct vecstore *store = open_new();
    int64_t ids[3] = {-1, -1, -1}, removed = 0;
    struct err err = {0};
    int turn;

    CHECK_OK(vecs_try_add(store, DIM, 0, 3, false, ids, &err), err);
    CHECK_INT(ids[0], 0);
    CHECK_INT(ids[2], 2);
    CHECK_OK(vecstore_remove(store, (const int64_t[]){2}, 1, &removed, &err),
             err);
    CHECK_INT(removed, 1);
    for (turn = 0; turn < 3; turn++) {
        store = open_again(store);
        CHECK_OK(
            vecs_try_add(store, DIM, (uint64_t)(3 + turn), 1, false, ids, &err),
            err);
        CHECK_INT(ids[0], 3 + turn);
        CHECK_OK(vecstore_remove(store, ids, 1, NULL, &err), err);
        if (turn == 1)
            CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
    }
    CHECK_INT(vecs_info(store).count, 2);
    vecstore_close(store);
}

TEST(vecstore_counts_on_after_ids_that_were_given)
{
    struct vecstore *store = open_new();
    float vector[DIM] = {1};
    struct vec_entry entries[3] = {{.id = VEC_ID_NEW, .vector = vector},
                                   {.id = 41, .vector = vector},
                                   {.id = VEC_ID_NEW, .vector = vector}};
    int64_t ids[3], id = -1;
    struct err err = {0};

    CHECK_OK(vecstore_add(store, entries, 3, ids, &err), err);
    CHECK_INT(ids[0], 42);
    CHECK_INT(ids[1], 41);
    CHECK_INT(ids[2], 43);
    CHECK_OK(add_one(store, 7, 1, "", false, &id, &err), err);
    CHECK_INT(id, 7);
    CHECK_OK(add_one(store, VEC_ID_NEW, 1, "", false, &id, &err), err);
    CHECK_INT(id, 44);
    CHECK_OK(add_one(store, VEC_ID_MAX, 1, "", false, NULL, &err), err);
    CHECK_OK(add_one(store, VEC_ID_NEW, 1, "", false, &id, &err), err);
    CHECK_INT(id, VEC_ID_MAX + 1);
    store = open_again(store);
    CHECK_INT(vecs_info(store).count, 7);
    CHECK_OK(add_one(store, VEC_ID_NEW, 1, "a", false, &id, &err), err);
    CHECK_INT(id, VEC_ID_MAX + 2);
    CHECK_OK(add_one(store, id, 2, "a", true, NULL, &err), err);
    CHECK_ERR(add_one(store, id + 1, 1, "", true, NULL, &err), ERR_INVALID);
    CHECK_HAS(err.text, "entry 0: the id is 4611686018427387906; that of a new "
                        "entry must be 0..4611686018427387903");
    CHECK_OK(add_one(store, VEC_ID_NEW, 1, "", false, &id, &err), err);
    CHECK_INT(id, VEC_ID_MAX + 3);
    vecstore_close(store);
}

static int visit_none(void *user, const struct log_head *const *heads,
                      int count, struct err *err)
{
    (void)user;
    (void)heads;
    return count == 0 ? 0 : err_set(err, ERR_INTERNAL, "it is not empty");
}

/* An entry as it was taken before there was a limit to ids. */
static void add_the_last(int64_t id)
{
    const struct log_shape shape = {.dim = DIM, .metric = VECINDEX_L2};
    const float vector[DIM] = {1};
    const struct log_record record = {.kind = LOG_ITEM,
                                      .id = id,
                                      .vector = vector,
                                      .key = "last",
                                      .path = ""};
    struct log_file *file = NULL;
    struct err err = {0};

    CHECK_OK(log_file_open(vecs_file("x.olho"), VEC_WRITE, &shape, &file, &err),
             err);
    CHECK_OK(log_file_load(file, LOG_HEADER_LEN, visit_none, NULL, &err), err);
    CHECK_OK(log_file_put(file, &record, NULL, &err), err);
    CHECK_OK(log_file_commit(file, &err), err);
    log_file_close(file);
}

TEST(vecstore_opens_a_set_that_has_given_its_last_id)
{
    const int64_t last = INT64_MAX - 1;
    struct vecstore *store = NULL;
    struct vec_hit hit;
    struct err err = {0};
    int64_t id = -1;

    add_the_last(last);
    store = vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    CHECK_OK(vecstore_get(store, last, vecs_arena(), &hit, NULL, &err), err);
    CHECK_ERR(add_one(store, VEC_ID_NEW, 1, "", false, &id, &err),
              ERR_CONFLICT);
    CHECK_HAS(err.text, "no ids left");
    CHECK_OK(add_one(store, VEC_ID_NEW, 2, "last", true, &id, &err), err);
    CHECK_INT(id, last);
    CHECK_OK(add_one(store, 7, 1, "", false, &id, &err), err);
    CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
    CHECK_OK(vecstore_remove(store, &last, 1, NULL, &err), err);
    store = open_again(store);
    check_missing(store, last);
    CHECK_INT(vecs_info(store).count, 1);
    vecstore_close(store);
}

TEST(vecstore_refuses_to_add_an_id_or_a_key_that_is_there)
{
    struct vecstore *store = open_new();
    struct err err = {0};
    int64_t id = 99;

    CHECK_OK(add_one(store, 5, 1, "a", false, NULL, &err), err);
    CHECK_ERR(add_one(store, 5, 2, "b", false, &id, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "entry 0: the id 5 is there already");
    CHECK_ERR(add_one(store, 6, 2, "a", false, &id, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "entry 0: the key 'a' is that of entry 5");
    CHECK_ERR(add_one(store, VEC_ID_NEW, 2, "a", false, &id, &err),
              ERR_CONFLICT);
    CHECK_INT(id, 99);
    CHECK_INT(vecs_info(store).count, 1);
    CHECK_OK(vecstore_remove(store, (const int64_t[]){5}, 1, NULL, &err), err);
    CHECK_OK(add_one(store, 5, 2, "b", false, &id, &err), err);
    CHECK_OK(add_one(store, 6, 2, "a", false, &id, &err), err);
    store = open_again(store);
    CHECK_INT(vecs_info(store).count, 2);
    vecstore_close(store);
}

TEST(vecstore_replaces_by_id_or_by_key_and_keeps_the_id)
{
    struct vecstore *store = open_new();
    struct vec_hit hit;
    struct err err = {0};
    int64_t id = -1;

    CHECK_OK(add_one(store, 5, 1, "a", true, &id, &err), err);
    CHECK_INT(id, 5);
    CHECK_OK(add_one(store, VEC_ID_NEW, 2, "a", true, &id, &err), err);
    CHECK_INT(id, 5);
    CHECK_OK(add_one(store, 5, 3, "b", true, &id, &err), err);
    CHECK_INT(id, 5);
    CHECK_OK(add_one(store, VEC_ID_NEW, 4, "a", true, &id, &err), err);
    CHECK_INT(id, 6);
    CHECK_ERR(add_one(store, 6, 4, "b", true, &id, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "the key 'b' is that of entry 5");
    CHECK_OK(add_one(store, 6, 7, "", true, &id, &err), err);
    store = open_again(store);
    CHECK_INT(vecs_info(store).count, 2);
    CHECK_INT(vecs_info(store).removed, 3);
    CHECK_OK(vecstore_get(store, 5, vecs_arena(), &hit, NULL, &err), err);
    CHECK_TEXT(hit.key, "b");
    CHECK_OK(vecstore_get(store, 6, vecs_arena(), &hit, NULL, &err), err);
    CHECK_TEXT(hit.key, "");
    vecstore_close(store);
}

TEST(vecstore_refuses_a_call_whose_entries_are_in_each_others_way)
{
    struct vecstore *store = open_new();
    float vector[DIM] = {1};
    const struct vec_entry entries[] = {
        {.id = 5, .vector = vector, .key = "b"},
        {.id = VEC_ID_NEW, .vector = vector, .key = "a"}};
    struct err err = {0};

    CHECK_OK(add_one(store, 5, 1, "a", false, NULL, &err), err);
    CHECK_ERR(vecstore_upsert(store, entries, 2, NULL, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "entry 1");
    CHECK_INT(vecs_info(store).count, 1);
    /* What was refused is in nobody's way. */
    CHECK_OK(vecstore_upsert(store, entries, 1, NULL, &err), err);
    CHECK_OK(add_one(store, VEC_ID_NEW, 1, "a", false, NULL, &err), err);
    vecstore_close(store);
}

/* --- removing --------------------------------------------------------- */

TEST(vecstore_removes_by_id_key_and_filter_and_counts_what_was_there)
{
    struct vecstore *store = open_new();
    char key[64];
    const char *const keys[] = {key, "unknown", key};
    const char *const kinds[] = {"cat", "dog"};
    const struct vec_term terms[] = {
        {"kind", kinds, 2, false},
        {"third", (const char *const[]){"yes"}, 1, true}};
    const struct vec_filter filter = {terms, 2};
    struct err err = {0};
    int64_t removed = 0, id;
    int turn;

    vecs_add(store, DIM, 0, 30);
    CHECK_OK(vecstore_remove(store, (const int64_t[]){0, 99, 7, 0}, 4, &removed,
                             &err),
             err);
    CHECK_INT(removed, 2);
    snprintf(key, sizeof key, "%s", vecs_key(29));
    CHECK_OK(vecstore_remove_keys(store, keys, 3, &removed, &err), err);
    CHECK_INT(removed, 1);
    CHECK_OK(vecstore_remove_matching(store, &filter, &removed, &err), err);
    /* 1, 5, 10, 11, 16, 20, 25 and 26: 0 and 7 are gone, 6, 15 and 21 are
     * thirds. */
    CHECK_INT(removed, 8);
    for (turn = 0; turn < 3; turn++) {
        CHECK_INT(vecs_info(store).count, 19);
        for (id = 0; id < 30; id++) {
            bool is_gone =
                id == 0 || id == 7 || id == 29 || (id % 5 < 2 && id % 3 != 0);

            if (is_gone)
                check_missing(store, id);
            else
                vecs_check_entry(store, DIM, id, (uint64_t)id);
        }
        if (turn == 1)
            CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
        store = open_again(store);
    }
    CHECK_OK(vecstore_remove_matching(store, &filter, &removed, &err), err);
    CHECK_INT(removed, 0);
    vecstore_close(store);
}

TEST(vecstore_removes_more_than_one_record_has_room_for_at_once)
{
    enum { COUNT = 20000, STEP = 10000 };
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, 2, VECINDEX_L2);
    const char *const no[] = {"nobody"};
    const struct vec_term term = {"kind", no, 1, true};
    const struct vec_filter filter = {&term, 1};
    struct err err = {0};
    int64_t removed = 0;
    int i;

    for (i = 0; i < COUNT; i += STEP)
        vecs_add(store, 2, (uint64_t)i, STEP);
    CHECK_OK(vecstore_remove_matching(store, &filter, &removed, &err), err);
    CHECK_INT(removed, COUNT);
    vecstore_close(store);
    store = vecs_open(vecs_file("x.olho"), VEC_READ, 2, VECINDEX_L2);
    CHECK_INT(vecs_info(store).count, 0);
    vecstore_close(store);
}

/* --- batches ---------------------------------------------------------- */

TEST(vecstore_adds_all_of_a_batch_or_nothing)
{
    struct vecstore *store = open_new();
    struct vecstore *reader = NULL;
    struct err err = {0};
    int64_t id = -1;

    vecs_add(store, DIM, 50, 1);
    CHECK_ERR(vecs_try_add(store, DIM, 0, 100, false, NULL, &err),
              ERR_CONFLICT);
    CHECK_HAS(err.text, "entry 50: the key");
    CHECK_INT(vecs_info(store).count, 1);
    reader = vecs_open(vecs_file("x.olho"), VEC_READ, DIM, VECINDEX_L2);
    CHECK_INT(vecs_info(reader).count, 1);
    CHECK_OK(vecs_try_add(store, DIM, 200, 1, false, &id, &err), err);
    CHECK_INT(id, 1);
    CHECK_OK(vecs_try_add(store, DIM, 0, 100, true, NULL, &err), err);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_INT(vecs_info(reader).count, 101);
    vecs_check_entry(reader, DIM, 0, 50);
    vecs_check_entry(reader, DIM, 2, 0);
    vecstore_close(reader);
    vecstore_close(store);
}

/* --- many threads ----------------------------------------------------- */

enum { WRITER_COUNT = 8, ROUND_COUNT = 25, BATCH = 4 };

struct writer {
    struct vecstore *store;
    int number;
    int64_t ids[ROUND_COUNT * BATCH];
    int conflict_count;
    struct err err; /* of what failed; checks end the main thread only */
};

/* Adds its own entries, and in every round the same one as all the others. */
static void *add_rounds(void *user)
{
    struct writer *writer = user;
    int i, rc = 0;

    for (i = 0; rc == 0 && i < ROUND_COUNT; i++) {
        uint64_t first =
            (uint64_t)(1000 + (writer->number * ROUND_COUNT + i) * BATCH);

        rc = vecs_try_add(writer->store, DIM, (uint64_t)i, 1, false, NULL,
                          &writer->err);
        if (rc == ERR_CONFLICT) {
            writer->conflict_count++;
            writer->err = (struct err){0};
            rc = 0;
        }
        if (rc == 0)
            rc = vecs_try_add(writer->store, DIM, first, BATCH, false,
                              writer->ids + (size_t)i * BATCH, &writer->err);
    }
    return NULL;
}

TEST(vecstore_gives_each_of_many_writers_its_own_result)
{
    static struct writer writers[WRITER_COUNT];
    struct vecstore *store = open_new();
    pthread_t threads[WRITER_COUNT];
    int conflict_count = 0, turn, i, j;

    for (i = 0; i < WRITER_COUNT; i++) {
        writers[i] = (struct writer){.store = store, .number = i};
        CHECK_INT(pthread_create(&threads[i], NULL, add_rounds, &writers[i]),
                  0);
    }
    for (i = 0; i < WRITER_COUNT; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_TEXT(writers[i].err.text, "");
        conflict_count += writers[i].conflict_count;
    }
    /* Each of the common entries was added by one of them. */
    CHECK_INT(conflict_count, (WRITER_COUNT - 1) * ROUND_COUNT);
    for (turn = 0; turn < 2; turn++) {
        CHECK_INT(vecs_info(store).count,
                  ROUND_COUNT + WRITER_COUNT * ROUND_COUNT * BATCH);
        for (i = 0; i < WRITER_COUNT; i++) {
            for (j = 0; j < ROUND_COUNT * BATCH; j++)
                vecs_check_entry(
                    store, DIM, writers[i].ids[j],
                    (uint64_t)(1000 + i * ROUND_COUNT * BATCH + j));
        }
        store = open_again(store);
    }
    vecstore_close(store);
}

/* Replaces and removes the same few entries as all the others. */
static void *change_rounds(void *user)
{
    struct writer *writer = user;
    int i, rc = 0;

    for (i = 0; rc == 0 && i < 3 * ROUND_COUNT; i++) {
        uint64_t number = (uint64_t)((i * 7 + writer->number) % 10);
        const char *const keys[] = {vecs_key(number)};
        int64_t removed = 0;

        if (i % 3 == 2)
            rc = vecstore_remove_keys(writer->store, keys, 1, &removed,
                                      &writer->err);
        else
            rc = vecs_try_add(writer->store, DIM, number, 1, true, NULL,
                              &writer->err);
        if (rc == 0 && (removed < 0 || removed > 1))
            rc = err_set(&writer->err, ERR_INTERNAL, "%d keys removed %lld", 1,
                         (long long)removed);
    }
    return NULL;
}

TEST(vecstore_stays_whole_when_many_writers_change_the_same_entries)
{
    static struct writer writers[WRITER_COUNT];
    struct vecstore *store = open_new();
    pthread_t threads[WRITER_COUNT];
    struct vec_hits before, after;
    struct err err = {0};
    struct arena *arena = arena_new(1 << 20);
    int i;

    for (i = 0; i < WRITER_COUNT; i++) {
        writers[i] = (struct writer){.store = store, .number = i};
        CHECK_INT(pthread_create(&threads[i], NULL, change_rounds, &writers[i]),
                  0);
    }
    for (i = 0; i < WRITER_COUNT; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_TEXT(writers[i].err.text, "");
    }
    CHECK(vecs_info(store).count <= 10);
    CHECK_OK(vecstore_list(store, -1, 100, arena, &before, NULL, &err), err);
    CHECK_INT(before.count, vecs_info(store).count);
    store = open_again(store);
    CHECK_OK(vecstore_list(store, -1, 100, arena, &after, NULL, &err), err);
    CHECK_INT(after.count, before.count);
    for (i = 0; i < after.count; i++) {
        CHECK_INT(after.list[i].id, before.list[i].id);
        CHECK_TEXT(after.list[i].key, before.list[i].key);
        CHECK_TEXT(after.list[i].path, before.list[i].path);
    }
    arena_free(arena);
    vecstore_close(store);
}

/* --- readers beside a writer ------------------------------------------ */

enum { ENTRY_COUNT = 20 };

struct reader {
    struct vecstore *store;
    _Atomic bool is_over;
    _Atomic int64_t look_count;
};

struct looker {
    struct reader *reader;
    struct err err; /* of what was not as it should be */
};

static int check_hits(const struct vec_hits *hits, const char *what,
                      struct err *err)
{
    uint64_t seen = 0;
    int i;

    if (hits->count != ENTRY_COUNT)
        return err_set(err, ERR_INTERNAL, "%s gave %d entries", what,
                       hits->count);
    for (i = 0; i < hits->count; i++)
        seen |= (uint64_t)1 << hits->list[i].id;
    if (seen != ((uint64_t)1 << ENTRY_COUNT) - 1)
        return err_set(err, ERR_INTERNAL, "%s gave entries twice", what);
    return 0;
}

/* Entries are replaced all the time, and never missing or there twice. */
static int look_once(struct vecstore *store, struct arena *arena,
                     struct err *err)
{
    float vector[DIM];
    struct vec_query query = {.vector = vector, .dim = DIM, .k = ENTRY_COUNT};
    struct vec_hits hits = {0};
    struct vec_hit hit;
    int i, rc;

    vecs_vector(3, DIM, vector);
    arena_reset(arena);
    rc = vecstore_search(store, &query, arena, &hits, err);
    if (rc == 0)
        rc = check_hits(&hits, "a search", err);
    if (rc == 0)
        rc = vecstore_list(store, -1, ENTRY_COUNT + 5, arena, &hits, NULL, err);
    if (rc == 0)
        rc = check_hits(&hits, "a list", err);
    for (i = 0; rc == 0 && i < ENTRY_COUNT; i++)
        rc = vecstore_get(store, i, arena, &hit, NULL, err);
    return rc;
}

static void *look(void *user)
{
    struct looker *looker = user;
    struct reader *reader = looker->reader;
    struct arena *arena = arena_new(1 << 24);
    int rc;

    do {
        rc = look_once(reader->store, arena, &looker->err);
        reader->look_count++;
    } while (rc == 0 && !reader->is_over);
    arena_free(arena);
    return NULL;
}

TEST(vecstore_shows_readers_every_entry_once_while_all_are_replaced)
{
    struct vecstore *store = open_new();
    struct reader reader = {.store = store};
    struct looker lookers[2] = {{.reader = &reader}, {.reader = &reader}};
    pthread_t threads[2];
    struct err err = {0};
    int i;

    vecs_add(store, DIM, 0, ENTRY_COUNT);
    for (i = 0; i < 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, look, &lookers[i]), 0);
    for (i = 0; i < 200; i++)
        CHECK_OK(vecs_try_add(store, DIM, 0, ENTRY_COUNT, true, NULL, &err),
                 err);
    reader.is_over = true;
    for (i = 0; i < 2; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_TEXT(lookers[i].err.text, "");
    }
    CHECK(reader.look_count >= 2);
    CHECK_INT(vecs_info(store).count, ENTRY_COUNT);
    vecstore_close(store);
}

TEST(vecstore_gives_a_reading_process_whole_batches_only)
{
    struct vecstore *store = open_new(), *reader = NULL;
    struct err err = {0};
    int i;

    reader = vecs_open(vecs_file("x.olho"), VEC_READ, DIM, VECINDEX_L2);
    for (i = 0; i < 40; i++) {
        vecs_add(store, DIM, (uint64_t)(100 * i), 100);
        CHECK_OK(vecstore_refresh(reader, &err), err);
        CHECK_INT(vecs_info(reader).count, 100 * (i + 1));
        vecs_check_entry(reader, DIM, 100 * i + 99, (uint64_t)(100 * i + 99));
    }
    CHECK_OK(vecstore_remove(store, (const int64_t[]){5, 6}, 2, NULL, &err),
             err);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    check_missing(reader, 5);
    CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_INT(vecs_info(reader).removed, 0);
    vecs_check_entry(reader, DIM, 7, 7);
    vecs_add(store, DIM, 9999, 1);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    vecs_check_entry(reader, DIM, 4000, 9999);
    vecstore_close(reader);
    vecstore_close(store);
}
