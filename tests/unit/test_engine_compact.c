/* SPDX-License-Identifier: Apache-2.0 */
/* Compacting: what is left, what is not, and what others see meanwhile. */
#include "set_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "vectors/log_file.h"

enum { DIM = 8, COUNT = 1200, PATIENCE_US = 600 * 1000 * 1000 };

static const struct vec_options hnsw = {.dim = DIM,
                                        .metric = VECINDEX_L2,
                                        .type = VECINDEX_HNSW,
                                        .links = 8,
                                        .ef_construction = 40};
static const struct vec_options ivf = {
    .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_IVFFLAT};
static const struct vec_options flat = {
    .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_FLAT};

static int versions[8192];

static void compact(struct vecstore *store)
{
    struct err err = {0};

    CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
}

static int64_t file_len(const char *name)
{
    struct stat about = {0};

    CHECK_INT(stat(set_file(name), &about), 0);
    return about.st_size;
}

/* --- what is left ---------------------------------------------------------
 */

static void check_compacting(const struct vec_options *options, int step)
{
    struct vecstore *store = NULL;
    struct err err = {0};
    int64_t len;

    unlink(set_file("x"));
    unlink(set_file("x.checkpoint"));
    store = set_open(set_file("x"), VEC_WRITE, options);
    memset(versions, 0, sizeof versions);
    set_add(store, 0, COUNT, DIM, versions);
    CHECK_OK(set_put(store, 30, 200, 2, DIM, false, &err), err);
    for (int i = 30; i < 230; i++)
        versions[i] = 2;
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    set_drop(store, 1, COUNT, step, versions);
    set_add(store, COUNT, COUNT + 50, DIM, versions);
    len = file_len("x");
    CHECK(set_info(store).removed > 0);
    compact(store);
    CHECK_INT(set_info(store).removed, 0);
    CHECK(file_len("x") < len);
    set_check(store, versions, COUNT + 50, DIM);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    set_drop(store, 0, COUNT, 5, versions);
    set_add(store, COUNT + 50, COUNT + 90, DIM, versions);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, options);
    set_check(store, versions, COUNT + 90, DIM);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    vecstore_close(store);
    CHECK(!file_exists(set_file("x.compact")));
    CHECK(!file_exists(set_file("x.compact.checkpoint")));
}

TEST(engine_compacts_a_set_without_an_index)
{
    check_compacting(&flat, 2);
}

TEST(engine_compacts_a_set_with_a_graph)
{
    check_compacting(&hnsw, 2);
    check_compacting(&hnsw, 50);
}

TEST(engine_compacts_a_set_with_lists)
{
    check_compacting(&ivf, 2);
    check_compacting(&ivf, 50);
}

TEST(engine_takes_the_index_along_when_it_compacts)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};

    set_add(store, 0, COUNT, DIM, versions);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    set_drop(store, 0, COUNT, 3, versions);
    compact(store);
    CHECK_INT(set_info(store).type, VECINDEX_HNSW);
    CHECK_INT(set_info(store).pending, 0);
    CHECK(set_recall(store, versions, COUNT, DIM, 10) > 0.9);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &hnsw);
    CHECK_INT(set_info(store).pending, 0);
    CHECK(set_recall(store, versions, COUNT, DIM, 10) > 0.9);
    vecstore_close(store);
}

TEST(engine_compacts_a_set_to_nothing_and_goes_on)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);

    compact(store);
    set_check(store, versions, 0, DIM);
    set_add(store, 0, 100, DIM, versions);
    set_drop(store, 0, 100, 1, versions);
    compact(store);
    set_check(store, versions, 100, DIM);
    CHECK_INT(set_info(store).removed, 0);
    set_add(store, 100, 200, DIM, versions);
    compact(store);
    compact(store);
    set_check(store, versions, 200, DIM);
    vecstore_close(store);
}

TEST(engine_never_gives_an_id_again_that_was_compacted_away)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &flat);
    struct err err = {0};
    float vector[DIM] = {1};
    struct vec_entry entries[3];
    int64_t ids[3] = {-7, -7, -7}, again = -7, removed = 0;
    int i;

    for (i = 0; i < 3; i++)
        entries[i] = (struct vec_entry){.id = VEC_ID_NEW, .vector = vector};
    CHECK_OK(vecstore_add(store, entries, 3, ids, &err), err);
    CHECK_OK(vecstore_remove(store, ids + 1, 2, &removed, &err), err);
    CHECK_INT(removed, 2);
    compact(store);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &flat);
    CHECK_OK(vecstore_add(store, entries, 1, &again, &err), err);
    CHECK_INT(again, ids[2] + 1);
    vecstore_close(store);
}

TEST(engine_finds_the_settings_of_a_compacted_set)
{
    const struct vec_options lists = {.dim = DIM,
                                      .metric = VECINDEX_L2,
                                      .type = VECINDEX_IVFFLAT,
                                      .storage = VEC_FLOAT32,
                                      .nlist = 20};
    const struct vec_options any = {0};
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &lists);
    struct err err = {0};

    set_add(store, 0, COUNT, DIM, versions);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    set_drop(store, 0, COUNT, 3, versions);
    compact(store);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &any);
    CHECK_INT(set_info(store).storage, VEC_FLOAT32);
    CHECK_INT(set_info(store).type, VECINDEX_IVFFLAT);
    CHECK_INT(set_info(store).nlist, 20);
    CHECK_INT(set_info(store).pending, 0);
    set_check(store, versions, COUNT, DIM);
    vecstore_close(store);
}

TEST(engine_compacts_by_itself_when_many_were_removed)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &flat);
    int64_t end_us = clock_us() + PATIENCE_US;

    set_add(store, 0, 3000, DIM, versions);
    set_drop(store, 0, 3000, 2, versions);
    while (set_info(store).removed >= 1000) {
        CHECK(clock_us() < end_us);
        sched_yield();
    }
    set_check(store, versions, 3000, DIM);
    vecstore_close(store);
}

/* --- what goes wrong ------------------------------------------------------
 */

static int stop_at_once(void *user, int64_t done, int64_t total)
{
    (void)user;
    (void)done;
    (void)total;
    return 1;
}

static void check_nothing_left(void)
{
    CHECK(!file_exists(set_file("x.compact")));
    CHECK(!file_exists(set_file("x.compact.checkpoint")));
    CHECK(!file_exists(set_file("x.compact.checkpoint.new")));
}

TEST(engine_stops_compacting_when_it_is_told_to_and_is_as_it_was)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &flat);
    struct err err = {0};
    int rc;

    set_add(store, 0, COUNT, DIM, versions);
    set_drop(store, 0, 500, 1, versions);
    rc = vecstore_compact(store, stop_at_once, NULL, &err);
    CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
    CHECK_INT(set_info(store).removed, rc == 0 ? 0 : 500);
    set_check(store, versions, COUNT, DIM);
    check_nothing_left();
    vecstore_close(store);
}

static void limit_files(rlim_t len)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(engine_is_as_it_was_when_the_disk_is_full_while_it_compacts)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};
    rlim_t room;

    set_add(store, 0, COUNT, DIM, versions);
    set_drop(store, 0, 500, 1, versions);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    signal(SIGXFSZ, SIG_IGN);
    for (room = 0; room < 120000; room += 20000) {
        int rc;

        limit_files(room);
        rc = vecstore_compact(store, NULL, NULL, &err);
        limit_files(RLIM_INFINITY);
        CHECK_ERR(rc, ERR_IO);
        set_check(store, versions, COUNT, DIM);
        CHECK_INT(set_info(store).removed, 500);
        check_nothing_left();
    }
    signal(SIGXFSZ, SIG_DFL);
    compact(store);
    set_check(store, versions, COUNT, DIM);
    CHECK_INT(set_info(store).removed, 0);
    vecstore_close(store);
}

/* A folder has the name that the new log is to have. */
TEST(engine_saves_the_graph_of_a_set_that_it_could_not_compact)
{
    struct vecstore *store = NULL;
    int64_t end_us = clock_us() + PATIENCE_US;
    struct err err = {0};
    int i;

    CHECK_INT(mkdir(set_file("x.compact"), 0700), 0);
    store = set_open(set_file("x"), VEC_WRITE, &flat);
    set_add(store, 0, COUNT, DIM, versions);
    for (i = 0; i < 4; i++)
        CHECK_OK(set_remove(store, i * SET_BATCH_MAX, SET_BATCH_MAX, &err),
                 err);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    while (set_info(store).type != VECINDEX_HNSW ||
           set_info(store).pending != 0) {
        CHECK(clock_us() < end_us);
        sched_yield();
    }
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &hnsw);
    CHECK_INT(set_info(store).type, VECINDEX_HNSW);
    CHECK(set_info(store).removed > 0);
    vecstore_close(store);
}

TEST(engine_torture_compacts_or_says_why_and_loses_nothing)
{
    struct vecstore *store = NULL;
    struct err err = {0};
    bool is_reached = true;
    long nth;

    for (nth = 1; is_reached; nth++) {
        int rc;

        unlink(set_file("x"));
        unlink(set_file("x.checkpoint"));
        store = set_open(set_file("x"), VEC_WRITE, &hnsw);
        memset(versions, 0, sizeof versions);
        set_add(store, 0, 100, DIM, versions);
        set_drop(store, 0, 100, 3, versions);
        CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
        mem_fail_at(nth);
        rc = vecstore_compact(store, NULL, NULL, &err);
        is_reached = mem_tries() >= nth;
        mem_fail_at(0);
        CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
        set_check(store, versions, 100, DIM);
        err = (struct err){0};
        set_add(store, 100, 110, DIM, versions);
        vecstore_close(store);
        store = set_open(set_file("x"), VEC_READ, &hnsw);
        set_check(store, versions, 110, DIM);
        vecstore_close(store);
    }
    CHECK(nth > 10);
}

/* --- the files ------------------------------------------------------------
 */

static int mode_of(const char *name)
{
    struct stat about = {0};

    CHECK_INT(stat(set_file(name), &about), 0);
    return (int)(about.st_mode & 0777);
}

/* No file can be opened while there are no more numbers for one. */
TEST(log_file_takes_nothing_under_a_name_that_may_not_last)
{
    const struct log_record note = {.kind = LOG_DONE};
    const struct log_shape shape = {.dim = DIM, .metric = VECINDEX_L2};
    struct log_file *file = NULL;
    struct rlimit limit, none;
    struct err err = {0};

    CHECK_OK(log_file_create(set_file("new"), &shape, &file, &err), err);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_ERR(log_file_rename(file, set_file("x"), &err), ERR_IO);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(access(set_file("x"), F_OK), 0);
    CHECK_ERR(log_file_put(file, &note, NULL, &err), ERR_IO);
    log_file_close(file);
}

TEST(engine_lets_nobody_else_read_a_set_after_it_compacted)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &flat);
    struct err err = {0};

    CHECK_INT(chmod(set_file("x"), 0600), 0);
    set_add(store, 0, 100, DIM, versions);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    CHECK_INT(mode_of("x.checkpoint"), 0600);
    set_drop(store, 0, 100, 2, versions);
    compact(store);
    CHECK_INT(mode_of("x"), 0600);
    CHECK_INT(mode_of("x.checkpoint"), 0600);
    vecstore_close(store);
}

TEST(engine_compacts_what_a_link_leads_to_and_leaves_the_link)
{
    struct stat about = {0};
    struct vecstore *store = NULL;

    CHECK_INT(symlink("x", set_file("link")), 0);
    store = set_open(set_file("link"), VEC_WRITE, &flat);
    set_add(store, 0, 100, DIM, versions);
    set_drop(store, 0, 100, 2, versions);
    compact(store);
    set_add(store, 100, 110, DIM, versions);
    vecstore_close(store);
    CHECK_INT(lstat(set_file("link"), &about), 0);
    CHECK(S_ISLNK(about.st_mode));
    store = set_open(set_file("x"), VEC_READ, &flat);
    set_check(store, versions, 110, DIM);
    CHECK_INT(set_info(store).removed, 0);
    vecstore_close(store);
}

/* --- who looks on ---------------------------------------------------------
 */

TEST(engine_reader_follows_a_compacted_set)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct vecstore *reader = NULL;
    struct err err = {0};

    set_add(store, 0, COUNT, DIM, versions);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    reader = set_open(set_file("x"), VEC_READ, &hnsw);
    set_drop(store, 0, COUNT, 3, versions);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    compact(store);
    /* Until it refreshes it has the files that were there. */
    set_check(reader, versions, COUNT, DIM);
    set_add(store, COUNT, COUNT + 10, DIM, versions);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    set_check(reader, versions, COUNT + 10, DIM);
    CHECK_INT(set_info(reader).removed, 0);
    CHECK_INT(set_info(reader).type, VECINDEX_HNSW);
    compact(store);
    compact(store);
    vecstore_close(store);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    set_check(reader, versions, COUNT + 10, DIM);
    vecstore_close(reader);
}

struct looker {
    struct vecstore *store;
    _Atomic bool is_over;
    _Atomic int failed;
};

/* The entries below COUNT / 2 never change. */
static void *look_on(void *argument)
{
    struct looker *looker = argument;
    struct err err = {0};
    int64_t id = 0;

    while (!looker->is_over) {
        if (set_look(looker->store, id, 1, DIM, &err) != 0 &&
            atomic_fetch_add(&looker->failed, 1) == 0)
            fprintf(stderr, "%s\n", err.text);
        id = (id + 7) % (COUNT / 2);
    }
    return NULL;
}

TEST(engine_shows_every_entry_at_every_moment_of_compacting)
{
    struct looker looker = {0};
    pthread_t threads[3];
    struct err err = {0};
    int i, rounds = set_rounds(16);

    looker.store = set_open(set_file("x"), VEC_WRITE, &flat);
    set_add(looker.store, 0, COUNT, DIM, versions);
    for (i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, look_on, &looker), 0);
    for (i = 0; i < rounds; i++) {
        CHECK_OK(set_put(looker.store, COUNT / 2, 100, i + 2, DIM, false, &err),
                 err);
        compact(looker.store);
    }
    looker.is_over = true;
    for (i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(looker.failed, 0);
    vecstore_close(looker.store);
}
