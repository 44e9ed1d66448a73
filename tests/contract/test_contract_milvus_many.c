/* SPDX-License-Identifier: Apache-2.0 */
/* Many rows in a Milvus collection, and many threads. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "milvus_room.h"

static int note_progress(void *user, int64_t done, int64_t total)
{
    (void)done, (void)total;
    ++*(int *)user;
    return 0;
}

TEST(milvus_keeps_many_through_settling_replacing_and_removing)
{
    struct milvus_many *many = milvus_many_new();
    struct vec_term term = {.name = "label", .value_count = 1};
    const struct vec_filter filter = {&term, 1};
    const char *l1 = "l1";
    struct vec_query query = {.dim = MILVUS_DIM, .k = 10, .filter = &filter};
    struct vec_hits hits;
    struct vec_info info;
    struct milvus_room room;
    struct err err = {0};
    int64_t removed = 0, id;
    int i, looks = 0;

    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    room_put(&room, many->entries, MILVUS_MANY - 500, false, many->ids);
    CHECK_OK(vecstore_milvus.settle(room.store, note_progress, &looks, &err),
             err);
    room_put(&room, many->entries + MILVUS_MANY - 500, 500, false,
             many->ids + MILVUS_MANY - 500);
    room_read_all(&room, many, MILVUS_MANY);
    CHECK_OK(vecstore_milvus.info(room.store, &info, &err), err);
    CHECK_INT(info.count, MILVUS_MANY);
    /* milvus-lite has settled as soon as it is asked. */
    CHECK(looks > 0 || strncmp(info.version, "milvus_lite", 11) == 0);

    CHECK_ERR(vecstore_milvus.write(room.store, many->entries + 5, 1, false,
                                    NULL, &err),
              ERR_CONFLICT);
    CHECK_HAS(err.text, "the key 'key5' is that of entry");
    err = (struct err){0};
    term.values = &l1;
    for (i = 1; i < 100; i += 10) {
        query.vector = many->vectors[i];
        room_find(&room, &query, &hits);
        CHECK_INT(hits.count, 10);
        CHECK_INT(hits.list[0].id, i % 5 == 1 ? many->ids[i] : hits.list[0].id);
        CHECK_TEXT(hits.list[9].tags[0].value, "l1");
    }
    many->entries[6].vector = many->vectors[7];
    room_put(&room, many->entries + 6, 1, true, &id);
    CHECK_INT(id, many->ids[6]);
    memcpy(many->vectors[6], many->vectors[7], sizeof many->vectors[6]);
    room_read_all(&room, many, MILVUS_MANY);
    CHECK_OK(
        vecstore_milvus.remove(room.store, many->ids, NULL, 3, &removed, &err),
        err);
    CHECK_INT(removed, 3);
    CHECK_OK(
        vecstore_milvus.remove(room.store, many->ids, NULL, 4, &removed, &err),
        err);
    CHECK_INT(removed, 1);
    CHECK_OK(
        vecstore_milvus.remove_matching(room.store, &filter, &removed, &err),
        err);
    CHECK_INT(removed, MILVUS_MANY / 5 - 1);
    room_read_all(&room, many, MILVUS_MANY - 4 - (MILVUS_MANY / 5 - 1));
    CHECK_OK(vecstore_milvus.compact(room.store, NULL, NULL, &err), err);
    room_read_all(&room, many, MILVUS_MANY - 4 - (MILVUS_MANY / 5 - 1));
    mem_free(many);
    room_end(&room);
}

static double distance_of(const float *a, const float *b)
{
    double sum = 0, d;
    int i;

    for (i = 0; i < MILVUS_DIM; i++) {
        d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sum;
}

static int smaller_first(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

/* Squared distances are those of looking at every row. */
static void check_nearest(const struct milvus_many *many,
                          const struct vec_query *query,
                          const struct vec_hits *hits)
{
    static double all[MILVUS_MANY];
    int i;

    CHECK_INT(hits->count, query->k);
    CHECK(hits->is_exact);
    for (i = 0; i < MILVUS_MANY; i++)
        all[i] = distance_of(many->vectors[i], query->vector);
    qsort(all, MILVUS_MANY, sizeof *all, smaller_first);
    for (i = 0; i < hits->count; i++)
        CHECK_NEAR(hits->list[i].distance, all[i], 1e-4);
}

TEST(milvus_finds_by_radius_and_for_certain_without_a_graph)
{
    const struct vec_options options = {.dim = MILVUS_DIM,
                                        .metric = VECINDEX_L2,
                                        .type = VECINDEX_FLAT,
                                        .timeout_s = 60};
    struct milvus_many *many = milvus_many_new();
    struct vec_query query = {
        .dim = MILVUS_DIM, .k = MILVUS_MANY, .is_exact = true};
    struct vec_hits all, near;
    struct milvus_room room;
    struct err err;
    int i;

    room_init(&room, milvus_server());
    CHECK_OK(room_try_open(&room, VEC_WRITE, &options, &err), err);
    room_put(&room, many->entries, MILVUS_MANY, false, many->ids);
    query.vector = many->vectors[17];
    room_find(&room, &query, &all);
    CHECK_INT(all.list[0].id, many->ids[17]);
    check_nearest(many, &query, &all);
    query.is_exact = false;
    query.k = 10;
    for (i = 0; i < MILVUS_MANY; i += 250) {
        query.vector = many->vectors[i];
        room_find(&room, &query, &near);
        check_nearest(many, &query, &near);
    }
    query.vector = many->vectors[17];
    query.k = MILVUS_MANY;
    query.has_radius = true;
    query.radius = all.list[20].distance;
    room_find(&room, &query, &near);
    CHECK_INT(near.count, 21);
    query.k = 5;
    room_find(&room, &query, &near);
    CHECK_INT(near.count, 5);
    CHECK_INT(near.list[4].id, all.list[4].id);
    mem_free(many);
    room_end(&room);
}

/* --- many at once ----------------------------------------------------------
 */

enum { THREADS = 4, ROUNDS = 5 };

static atomic_int next_thread;

/* Each writes entries of its own, one of them under a key that all share, and
 * finds them at once. */
static void *write_and_find(void *user)
{
    struct milvus_room *room = user;
    int thread = atomic_fetch_add(&next_thread, 1), i;
    struct arena *arena = arena_new(1 << 20);
    float vectors[2][MILVUS_DIM];
    struct vec_entry entries[2];
    struct vec_query query = {.dim = MILVUS_DIM, .k = 1, .vector = vectors[0]};
    struct vec_hits hits;
    struct err err = {0};
    int64_t ids[2];

    for (i = 0; i < ROUNDS; i++) {
        milvus_direction(1000 + thread * ROUNDS + i, MILVUS_DIM, vectors[0]);
        milvus_direction(1, MILVUS_DIM, vectors[1]);
        entries[0] = (struct vec_entry){.id = VEC_ID_NEW, .vector = vectors[0]};
        entries[1] = (struct vec_entry){
            .id = VEC_ID_NEW, .vector = vectors[1], .key = "shared"};
        CHECK_OK(
            vecstore_milvus.write(room->store, entries, 2, true, ids, &err),
            err);
        CHECK_OK(
            vecstore_milvus.search(room->store, &query, arena, &hits, &err),
            err);
        CHECK_INT(hits.count, 1);
        CHECK_INT(hits.list[0].id, ids[0]);
    }
    arena_free(arena);
    return NULL;
}

TEST(milvus_serves_threads_that_read_their_own_writes)
{
    pthread_t threads[THREADS];
    struct milvus_room room;
    int i;

    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, write_and_find, &room), 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(room_count(&room), THREADS * ROUNDS + 1);
    room_end(&room);
}

typedef int step_fn(struct milvus_room *room, struct vec_entry *entry,
                    struct err *err);

static int write_once(struct milvus_room *room, struct vec_entry *entry,
                      struct err *err)
{
    return vecstore_milvus.write(room->store, entry, 1, false, NULL, err);
}

static int read_once(struct milvus_room *room, struct vec_entry *entry,
                     struct err *err)
{
    struct vec_query query = {
        .dim = MILVUS_DIM, .k = 1, .vector = entry->vector};
    struct arena *arena = arena_new(1 << 20);
    float vector[MILVUS_DIM];
    struct vec_hits hits;
    struct vec_hit hit;
    int rc;

    rc = vecstore_milvus.search(room->store, &query, arena, &hits, err);
    if (rc == 0)
        rc = vecstore_milvus.get(room->store, hits.list[0].id, arena, &hit,
                                 vector, err);
    if (rc == 0)
        CHECK_TEXT(hit.path, entry->path);
    arena_free(arena);
    return rc;
}

/* Fails each allocation of a step in turn. A write whose answer found no
 * memory is repeated, and succeeds. */
static void torture(struct milvus_room *room, struct vec_entry *entry,
                    step_fn *step)
{
    struct err err = {0};
    long nth;
    int rc;

    CHECK_OK(step(room, entry, &err), err);
    for (nth = 1; nth < 1000; nth++) {
        err = (struct err){0};
        mem_fail_at(nth);
        rc = step(room, entry, &err);
        if (mem_tries() < nth)
            break;
        CHECK(rc == ERR_UNAVAILABLE || (rc == 0 && step == write_once));
    }
    mem_fail_at(0);
    CHECK_OK(rc, err);
    CHECK(nth > 5 && nth < 1000);
}

TEST(milvus_torture_fails_cleanly_without_memory)
{
    float vector[MILVUS_DIM] = {1};
    struct vec_entry entry = {
        .id = VEC_ID_NEW, .vector = vector, .path = "a.jpg"};
    struct milvus_room room;

    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    torture(&room, &entry, write_once);
    torture(&room, &entry, read_once);
    room_end(&room);
}

/* The id that follows from a key may have gone over to another key since. */
TEST(milvus_gives_another_id_when_that_of_a_key_is_taken)
{
    float vectors[2][MILVUS_DIM];
    struct vec_entry first = {.id = VEC_ID_NEW, .vector = vectors[0]};
    struct vec_entry second = {.id = VEC_ID_NEW, .vector = vectors[1]};
    struct vec_entry both[2];
    struct milvus_room room;
    struct vec_hit hit;
    struct err err = {0};
    int64_t ids[2];

    milvus_direction(1, MILVUS_DIM, vectors[0]);
    milvus_direction(2, MILVUS_DIM, vectors[1]);
    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    first.key = second.key = "a";
    room_put(&room, &first, 1, false, &ids[0]);
    first.id = ids[0];
    first.key = "b";
    room_put(&room, &first, 1, true, NULL);
    room_put(&room, &second, 1, false, &ids[1]);
    CHECK(ids[0] != ids[1]);
    CHECK_INT(room_count(&room), 2);
    CHECK_OK(
        vecstore_milvus.get(room.store, ids[0], room.arena, &hit, NULL, &err),
        err);
    CHECK_TEXT(hit.key, "b");

    /* Two entries that would become one row; a key that is another's. */
    both[0] = first;
    both[1] =
        (struct vec_entry){.id = VEC_ID_NEW, .vector = vectors[1], .key = "b"};
    both[0].key = "c";
    CHECK_ERR(vecstore_milvus.write(room.store, both, 2, true, NULL, &err),
              ERR_CONFLICT);
    err = (struct err){0};
    both[0].key = "a";
    CHECK_ERR(vecstore_milvus.write(room.store, both, 1, true, NULL, &err),
              ERR_CONFLICT);
    CHECK_HAS(err.text, "the key 'a' is that of entry");
    CHECK_INT(room_count(&room), 2);
    room_end(&room);
}
