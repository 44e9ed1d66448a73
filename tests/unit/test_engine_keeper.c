/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine does unasked: the index, the checkpoint, and what readers in
 * other processes make of them. */
#include "set_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

enum { DIM = 8, COUNT = 1500, PATIENCE_US = 600 * 1000 * 1000 };

static const struct vec_options hnsw = {.dim = DIM,
                                        .metric = VECINDEX_L2,
                                        .type = VECINDEX_HNSW,
                                        .links = 8,
                                        .ef_construction = 40};
static const struct vec_options ivf = {
    .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_IVFFLAT};

static int versions[32768];

/* Waits for what the keeper does by itself. */
static void wait_for(struct vecstore *store, enum vecindex_type type)
{
    int64_t end_us = clock_us() + PATIENCE_US;
    struct vec_info info = set_info(store);

    while (info.type != type || info.pending != 0) {
        CHECK(clock_us() < end_us);
        sched_yield();
        info = set_info(store);
    }
}

static void settle(struct vecstore *store)
{
    struct err err = {0};

    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
}

/* --- the index ------------------------------------------------------------
 */

TEST(engine_keeper_puts_rows_into_the_graph_by_itself)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};

    set_add(store, 0, COUNT, DIM, versions);
    wait_for(store, VECINDEX_HNSW);
    set_check(store, versions, COUNT, DIM);
    CHECK(set_recall(store, versions, COUNT, DIM, 10) > 0.9);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    vecstore_close(store);
}

TEST(engine_keeper_repairs_the_graph_around_what_is_removed)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};

    set_add(store, 0, COUNT, DIM, versions);
    settle(store);
    set_drop(store, 0, COUNT, 2, versions);
    settle(store);
    set_add(store, COUNT, COUNT + 100, DIM, versions);
    settle(store);
    set_check(store, versions, COUNT + 100, DIM);
    CHECK(set_recall(store, versions, COUNT + 100, DIM, 10) > 0.9);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    CHECK(set_recall(store, versions, COUNT + 100, DIM, 10) > 0.9);
    vecstore_close(store);
}

TEST(engine_keeper_trains_lists_when_there_are_rows_for_it)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &ivf);
    struct err err = {0};

    set_add(store, 0, 100, DIM, versions);
    settle(store);
    CHECK_INT(set_info(store).type, VECINDEX_FLAT);
    set_add(store, 100, COUNT, DIM, versions);
    wait_for(store, VECINDEX_IVFFLAT);
    set_drop(store, 0, COUNT, 3, versions);
    settle(store);
    set_check(store, versions, COUNT, DIM);
    CHECK(set_recall(store, versions, COUNT, DIM, 10) > 0.3);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &ivf);
    CHECK_INT(set_info(store).type, VECINDEX_IVFFLAT);
    set_check(store, versions, COUNT, DIM);
    vecstore_close(store);
}

TEST(engine_keeper_goes_from_the_scan_to_the_graph_when_the_set_is_large)
{
    const struct vec_options options = {
        .dim = DIM, .metric = VECINDEX_L2, .links = 4, .ef_construction = 16};
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &options);

    set_add(store, 0, 19000, DIM, versions);
    settle(store);
    CHECK_INT(set_info(store).type, VECINDEX_FLAT);
    CHECK(set_info(store).is_auto && set_info(store).is_exact);
    set_add(store, 19000, 20100, DIM, versions);
    wait_for(store, VECINDEX_HNSW);
    CHECK(!set_info(store).is_exact);
    vecstore_close(store);
}

/* --- the checkpoint -------------------------------------------------------
 */

TEST(engine_opens_from_its_checkpoint_with_the_graph_as_it_was)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};

    set_add(store, 0, COUNT, DIM, versions);
    set_drop(store, 5, COUNT, 11, versions);
    settle(store);
    CHECK(file_exists(set_file("x.checkpoint")));
    set_add(store, COUNT, COUNT + 20, DIM, versions);
    set_drop(store, 0, 5, 1, versions);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &hnsw);
    CHECK(set_info(store).pending <= 20);
    set_check(store, versions, COUNT + 20, DIM);
    CHECK(set_recall(store, versions, COUNT + 20, DIM, 10) > 0.9);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    vecstore_close(store);
}

TEST(engine_saves_a_checkpoint_when_it_is_closed_after_much_was_added)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);

    set_add(store, 0, COUNT, DIM, versions);
    wait_for(store, VECINDEX_HNSW);
    vecstore_close(store);
    CHECK(file_exists(set_file("x.checkpoint")));
    store = set_open(set_file("x"), VEC_READ, &hnsw);
    CHECK_INT(set_info(store).pending, 0);
    vecstore_close(store);
}

TEST(engine_saves_the_graph_of_a_set_that_had_none)
{
    const struct vec_options flat = {
        .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_FLAT};
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &flat);

    set_add(store, 0, COUNT, DIM, versions);
    settle(store);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    wait_for(store, VECINDEX_HNSW);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &hnsw);
    CHECK_INT(set_info(store).type, VECINDEX_HNSW);
    CHECK_INT(set_info(store).pending, 0);
    vecstore_close(store);
}

TEST(engine_needs_no_checkpoint)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);

    set_add(store, 0, COUNT, DIM, versions);
    set_drop(store, 0, COUNT, 4, versions);
    settle(store);
    vecstore_close(store);
    CHECK_INT(unlink(set_file("x.checkpoint")), 0);
    store = set_open(set_file("x"), VEC_READ, &hnsw);
    set_check(store, versions, COUNT, DIM);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    settle(store);
    set_check(store, versions, COUNT, DIM);
    vecstore_close(store);
    CHECK(file_exists(set_file("x.checkpoint")));
}

TEST(engine_keeps_no_index_that_the_options_no_longer_want)
{
    const struct vec_options other = {.dim = DIM,
                                      .metric = VECINDEX_L2,
                                      .type = VECINDEX_HNSW,
                                      .links = 5,
                                      .ef_construction = 40};
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);

    set_add(store, 0, COUNT, DIM, versions);
    settle(store);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &other);
    settle(store);
    CHECK_INT(set_info(store).links, 5);
    CHECK(set_recall(store, versions, COUNT, DIM, 10) > 0.8);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &ivf);
    settle(store);
    CHECK_INT(set_info(store).type, VECINDEX_IVFFLAT);
    set_check(store, versions, COUNT, DIM);
    vecstore_close(store);
}

static void limit_files(rlim_t len)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(engine_keeps_the_old_checkpoint_when_the_disk_is_full)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};
    int rc;

    set_add(store, 0, COUNT, DIM, versions);
    settle(store);
    set_drop(store, 0, 10, 1, versions);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(50000);
    rc = vecstore_settle(store, NULL, NULL, &err);
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    CHECK_ERR(rc, ERR_IO);
    CHECK_HAS(err.text, "checkpoint");
    set_check(store, versions, COUNT, DIM);
    set_drop(store, 10, 20, 1, versions);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    set_check(store, versions, COUNT, DIM);
    settle(store);
    vecstore_close(store);
}

/* --- being asked ----------------------------------------------------------
 */

struct stopping {
    int calls, calls_max;
};

static int stop_after(void *user, int64_t done, int64_t total)
{
    struct stopping *stopping = user;

    CHECK(done <= total);
    return ++stopping->calls > stopping->calls_max;
}

TEST(engine_settle_stops_when_it_is_told_to)
{
    const struct vec_options slow = {.dim = DIM,
                                     .metric = VECINDEX_L2,
                                     .type = VECINDEX_HNSW,
                                     .links = 64,
                                     .ef_construction = 1000};
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &slow);
    struct err err = {0};
    int max, rc;

    set_add(store, 0, 4000, DIM, versions);
    for (max = 0; max < 3; max++) {
        struct stopping stopping = {.calls_max = max};

        rc = vecstore_settle(store, stop_after, &stopping, &err);
        /* A quick machine is done before it is asked again. */
        CHECK(rc == ERR_UNAVAILABLE || (rc == 0 && max > 0));
        CHECK(stopping.calls > 0);
        err = (struct err){0};
        CHECK_OK(set_look(store, 3999, 1, DIM, &err), err);
    }
    vecstore_close(store);
}

TEST(engine_settles_nothing_that_is_open_for_reading)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};

    set_add(store, 0, 10, DIM, versions);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &hnsw);
    CHECK_ERR(vecstore_settle(store, NULL, NULL, &err), ERR_INVALID);
    CHECK_HAS(err.text, "reading");
    vecstore_close(store);
}

TEST(engine_torture_settles_or_says_why_and_loses_nothing)
{
    struct err err = {0};
    bool is_reached = true;
    long nth;
    int rc;

    for (nth = 1; is_reached; nth++) {
        struct vecstore *store = NULL;

        unlink(set_file("x"));
        unlink(set_file("x.checkpoint"));
        store = set_open(set_file("x"), VEC_WRITE, &hnsw);
        set_add(store, 0, 300, DIM, versions);
        err = (struct err){0};
        mem_fail_at(nth);
        rc = vecstore_settle(store, NULL, NULL, &err);
        is_reached = mem_tries() >= nth;
        mem_fail_at(0);
        CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
        settle(store);
        set_check(store, versions, 300, DIM);
        vecstore_close(store);
        store = set_open(set_file("x"), VEC_READ, &hnsw);
        set_check(store, versions, 300, DIM);
        vecstore_close(store);
    }
    CHECK(nth > 3);
}

/* --- threads --------------------------------------------------------------
 */

struct crowd {
    struct vecstore *store;
    _Atomic bool is_over;
    _Atomic int failed; /* lines; 0: all is well */
};

enum { CROWD_COUNT = 400 };

static void fail_in(struct crowd *crowd, int line, const struct err *err)
{
    int none = 0;

    if (atomic_compare_exchange_strong(&crowd->failed, &none, line))
        fprintf(stderr, "line %d: %s\n", line, err->text);
}

/* What it finds is ordered, and near. */
static void *search_on(void *argument)
{
    struct crowd *crowd = argument;
    struct arena *arena = arena_new(1 << 20);
    struct err err = {0};
    int64_t number = 0;
    float vector[DIM];
    int i;

    while (!crowd->is_over) {
        struct vec_query query = {.vector = vector, .dim = DIM, .k = 10};
        struct vec_hits hits = {0};

        query.is_exact = number % 2 == 0;
        set_vector(number++ % CROWD_COUNT, 1, DIM, vector);
        arena_reset(arena);
        if (vecstore_search(crowd->store, &query, arena, &hits, &err) != 0)
            fail_in(crowd, __LINE__, &err);
        for (i = 0; i < hits.count; i++)
            if (hits.list[i].key[0] != 'k' || hits.list[i].tag_count != 2 ||
                (i > 0 && hits.list[i].distance < hits.list[i - 1].distance))
                fail_in(crowd, __LINE__, &err);
    }
    arena_free(arena);
    return NULL;
}

/* Entries from CROWD_COUNT on come and go; those below it stay. */
static void *write_on(void *argument)
{
    struct crowd *crowd = argument;
    struct err err = {0};
    int version = 1;

    while (!crowd->is_over) {
        int first = CROWD_COUNT + version * 7 % 100;

        if (set_put(crowd->store, first, 9, ++version, DIM, false, &err) != 0)
            fail_in(crowd, __LINE__, &err);
        if (set_remove(crowd->store, first + 2, 5, &err) != 0)
            fail_in(crowd, __LINE__, &err);
    }
    return NULL;
}

TEST(engine_answers_and_writes_while_it_builds_saves_and_compacts)
{
    struct crowd crowd = {0};
    pthread_t threads[4];
    struct err err = {0};
    int i, rounds = set_rounds(24);

    crowd.store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    set_add(crowd.store, 0, CROWD_COUNT, DIM, versions);
    for (i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL,
                                 i < 2 ? search_on : write_on, &crowd),
                  0);
    for (i = 0; i < rounds && crowd.failed == 0; i++) {
        CHECK_OK(vecstore_settle(crowd.store, NULL, NULL, &err), err);
        CHECK_OK(vecstore_compact(crowd.store, NULL, NULL, &err), err);
        CHECK_OK(vecstore_check(crowd.store, NULL, NULL, &err), err);
    }
    crowd.is_over = true;
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(crowd.failed, 0);
    for (i = 0; i < CROWD_COUNT; i++)
        CHECK_OK(set_look(crowd.store, i, 1, DIM, &err), err);
    vecstore_close(crowd.store);
}

/* --- readers --------------------------------------------------------------
 */

TEST(engine_reader_takes_the_index_of_a_new_checkpoint)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct vecstore *reader = NULL;
    struct err err = {0};

    set_add(store, 0, 100, DIM, versions);
    reader = set_open(set_file("x"), VEC_READ, &hnsw);
    set_add(store, 100, COUNT, DIM, versions);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_INT(set_info(reader).count, COUNT);
    settle(store);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_INT(set_info(reader).type, VECINDEX_HNSW);
    CHECK_INT(set_info(reader).pending, 0);
    set_drop(store, 0, COUNT, 7, versions);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    set_check(reader, versions, COUNT, DIM);
    CHECK(set_recall(reader, versions, COUNT, DIM, 10) > 0.9);
    vecstore_close(store);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    set_check(reader, versions, COUNT, DIM);
    vecstore_close(reader);
}

TEST(engine_reader_answers_while_it_follows)
{
    struct crowd readers = {0}, writers = {0};
    pthread_t threads[3];
    struct err err = {0};
    int i, rounds = set_rounds(24);

    writers.store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    set_add(writers.store, 0, CROWD_COUNT, DIM, versions);
    readers.store = set_open(set_file("x"), VEC_READ, &hnsw);
    for (i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&threads[i], NULL,
                                 i < 2 ? search_on : write_on,
                                 i < 2 ? &readers : &writers),
                  0);
    for (i = 0; i < rounds && readers.failed == 0; i++) {
        CHECK_OK(vecstore_settle(writers.store, NULL, NULL, &err), err);
        CHECK_OK(vecstore_refresh(readers.store, &err), err);
        CHECK_OK(vecstore_compact(writers.store, NULL, NULL, &err), err);
        CHECK_OK(vecstore_refresh(readers.store, &err), err);
    }
    readers.is_over = writers.is_over = true;
    for (i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(readers.failed, 0);
    CHECK_INT(writers.failed, 0);
    for (i = 0; i < CROWD_COUNT; i++)
        CHECK_OK(set_look(readers.store, i, 1, DIM, &err), err);
    vecstore_close(readers.store);
    vecstore_close(writers.store);
}

/* What an operator does who does not know that the set is being written. */
static bool is_right(const char *path)
{
    struct vecstore *store = set_open(path, VEC_READ, &hnsw);
    struct err err = {0};
    int rc = vecstore_check(store, NULL, NULL, &err);

    if (rc != 0)
        fprintf(stderr, "%s\n", err.text);
    vecstore_close(store);
    return rc == 0;
}

/* What another process does: refreshes until the last entry says that it is
 * over. Entries 0..99 all have one version, since one call writes them. */
static int read_until_over(const char *path)
{
    struct arena *arena = arena_new(1 << 20);
    struct vecstore *store = NULL;
    struct err err = {0};
    struct vec_hits hits;
    bool is_over = false;
    int i;

    if (vecstore_open(path, VEC_READ, &hnsw, &store, &err) != 0)
        return 1;
    while (!is_over) {
        if (vecstore_refresh(store, &err) != 0)
            return 2;
        arena_reset(arena);
        if (vecstore_list(store, -1, 100, arena, &hits, NULL, &err) != 0)
            return 3;
        if (hits.count != 100)
            return 4;
        for (i = 1; i < hits.count; i++)
            if (strcmp(strrchr(hits.list[i].path, '-'),
                       strrchr(hits.list[0].path, '-')) != 0)
                return 5;
        if (vecstore_check(store, NULL, NULL, &err) != 0 || !is_right(path))
            return 6;
        is_over = set_look(store, 1000, 1, DIM, &err) == 0;
    }
    vecstore_close(store);
    arena_free(arena);
    return 0;
}

TEST(engine_readers_of_other_processes_follow_a_writer_that_compacts)
{
    struct vecstore *store = NULL;
    pid_t readers[2];
    struct err err = {0};
    int i, status, rounds = set_rounds(40);
    char path[256];

    snprintf(path, sizeof path, "%s", set_file("x"));
    store = set_open(path, VEC_WRITE, &hnsw);
    CHECK_OK(set_put(store, 0, 100, 1, DIM, true, &err), err);
    vecstore_close(store);
    for (i = 0; i < 2; i++) {
        readers[i] = fork();
        CHECK(readers[i] >= 0);
        if (readers[i] == 0)
            _exit(read_until_over(path));
    }
    store = set_open(path, VEC_WRITE, &hnsw);
    for (i = 2; i < rounds + 2; i++) {
        CHECK_OK(set_put(store, 0, 100, i, DIM, false, &err), err);
        if (i % 3 == 0)
            settle(store);
        if (i % 4 == 0)
            CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
    }
    CHECK_OK(set_put(store, 1000, 1, 1, DIM, true, &err), err);
    for (i = 0; i < 2; i++) {
        CHECK_INT(waitpid(readers[i], &status, 0), readers[i]);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), 0);
    }
    vecstore_close(store);
}
