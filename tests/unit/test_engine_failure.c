/* SPDX-License-Identifier: Apache-2.0 */
/* A full disk and no memory: what was acknowledged is there, the rest is not,
 * and the store works on. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "vecs_fixture.h"

enum { DIM = 19 };

static uint8_t bytes[1 << 20];

/* RLIMIT_FSIZE makes writes past it come up short and then fail. */
static void limit_files(rlim_t len)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(vecstore_stays_usable_when_the_disk_is_full)
{
    const char *path = vecs_file("x");
    struct vecstore *store = NULL, *reader = NULL;
    const int64_t first = 0;
    struct err err = {0};
    size_t len, room;

    signal(SIGXFSZ, SIG_IGN);
    store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    vecs_add_each(store, DIM, 0, 3);
    reader = vecs_open(path, VEC_READ, DIM, VECINDEX_L2);
    len = vecs_read(path, bytes, sizeof bytes);
    for (room = 0; room < 500; room += 23) {
        int64_t ids[3] = {77, 77, 77};
        int rc;

        limit_files(len + room);
        rc = vecs_try_add(store, DIM, 3, 3, room % 2 != 0, ids, &err);
        limit_files(RLIM_INFINITY);
        CHECK_ERR(rc, ERR_IO);
        CHECK_HAS(err.text, "write");
        CHECK_INT(ids[0], 77);
        CHECK_INT(vecs_info(store).count, 3);
        CHECK_INT(vecs_read(path, bytes, sizeof bytes), len);
        CHECK_OK(vecstore_refresh(reader, &err), err);
        CHECK_INT(vecs_info(reader).count, 3);
        vecs_check(store, DIM, 3);
    }
    limit_files(len);
    CHECK_ERR(vecstore_remove(store, &first, 1, NULL, &err), ERR_IO);
    limit_files(RLIM_INFINITY);
    vecs_check(store, DIM, 3);
    vecs_add(store, DIM, 3, 3);
    vecs_check(store, DIM, 6);
    vecstore_close(store);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    vecs_check(reader, DIM, 6);
    vecstore_close(reader);
    store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    vecs_check(store, DIM, 6);
    vecstore_close(store);
    signal(SIGXFSZ, SIG_DFL);
}

TEST(vecstore_makes_no_half_store_when_the_disk_is_full)
{
    const char *path = vecs_file("x");
    const struct vec_options options = {.dim = DIM};
    struct vecstore *store = NULL;
    struct err err = {0};
    int rc;

    signal(SIGXFSZ, SIG_IGN);
    limit_files(100);
    rc = vecstore_open(path, VEC_WRITE, &options, &store, &err);
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    CHECK_ERR(rc, ERR_IO);
    CHECK(store == NULL);
    CHECK_INT(vecs_read(path, bytes, sizeof bytes), 0);
    store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    vecs_add(store, DIM, 0, 1);
    vecstore_close(store);
}

/* --- writers on a disk that fills up ---------------------------------- */

enum { WRITER_COUNT = 4, TRY_COUNT = 60 };

struct writer {
    struct vecstore *store;
    int number;
    int64_t ids[TRY_COUNT]; /* -1: refused */
    struct err err;
};

static void *add_or_be_refused(void *user)
{
    struct writer *writer = user;
    int i;

    for (i = 0; i < TRY_COUNT; i++) {
        uint64_t number = (uint64_t)(writer->number * TRY_COUNT + i);
        struct err err = {0};
        int rc = vecs_try_add(writer->store, DIM, number, 1, false,
                              &writer->ids[i], &err);

        if (rc != 0)
            writer->ids[i] = -1;
        if (rc != 0 && rc != ERR_IO)
            writer->err = err;
    }
    return NULL;
}

TEST(vecstore_tells_each_writer_whether_a_full_disk_took_its_entry)
{
    static struct writer writers[WRITER_COUNT];
    const char *path = vecs_file("x");
    struct vecstore *store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    pthread_t threads[WRITER_COUNT];
    int64_t count = 0;
    int i, j, turn;

    signal(SIGXFSZ, SIG_IGN);
    limit_files(20000);
    for (i = 0; i < WRITER_COUNT; i++) {
        writers[i] = (struct writer){.store = store, .number = i};
        CHECK_INT(
            pthread_create(&threads[i], NULL, add_or_be_refused, &writers[i]),
            0);
    }
    for (i = 0; i < WRITER_COUNT; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_TEXT(writers[i].err.text, "");
    }
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    for (turn = 0; turn < 2; turn++) {
        for (i = 0, count = 0; i < WRITER_COUNT; i++) {
            for (j = 0; j < TRY_COUNT; j++) {
                if (writers[i].ids[j] < 0)
                    continue;
                vecs_check_entry(store, DIM, writers[i].ids[j],
                                 (uint64_t)(i * TRY_COUNT + j));
                count++;
            }
        }
        CHECK(count > 10 && count < (int64_t)WRITER_COUNT * TRY_COUNT);
        CHECK_INT(vecs_info(store).count, count);
        vecstore_close(store);
        store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    }
    vecs_add(store, DIM, 9999, 1);
    vecstore_close(store);
}

/* --- no memory -------------------------------------------------------- */

/* Adds, replaces, searches with a filter, lists, removes, refreshes a reader;
 * *out_step: how far it came. */
static int use_all(const char *path, int *out_step, struct err *err)
{
    const char *const cats[] = {"cat", "dog"};
    const struct vec_term terms[] = {{"kind", cats, 2, false},
                                     {"third", cats, 1, true}};
    const struct vec_filter filter = {terms, 2};
    const struct vec_options options = {.dim = DIM};
    struct vecstore *store = NULL, *reader = NULL;
    float vector[DIM];
    struct vec_query query = {.vector = vector,
                              .dim = DIM,
                              .k = 5,
                              .filter = &filter,
                              .exclude_key = vecs_key(1)};
    struct vec_hits hits;
    int rc = vecstore_open(path, VEC_WRITE, &options, &store, err);

    *out_step = 0;
    vecs_vector(1, DIM, vector);
    if (rc == 0)
        rc = vecstore_open(path, VEC_READ, &options, &reader, err);
    if (rc == 0)
        rc = vecs_try_add(store, DIM, 0, 10, false, NULL, err);
    *out_step += rc == 0;
    if (rc == 0)
        rc = vecs_try_add(store, DIM, 0, 1, true, NULL, err);
    *out_step += rc == 0;
    if (rc == 0)
        rc = vecstore_refresh(reader, err);
    if (rc == 0)
        rc = vecstore_search(reader, &query, vecs_arena(), &hits, err);
    if (rc == 0)
        rc = vecstore_list(store, 3, 4, vecs_arena(), &hits, NULL, err);
    if (rc == 0)
        rc = vecstore_remove_matching(store, &filter, NULL, err);
    *out_step += rc == 0;
    vecstore_close(reader);
    vecstore_close(store);
    return rc;
}

TEST(vecstore_torture_tells_of_every_allocation_that_fails_and_loses_nothing)
{
    static const int64_t counts[] = {0, 10, 10, 6};
    const char *path = vecs_file("x");
    struct err err = {0};
    bool is_over = false;
    long nth;
    int step = 0;

    for (nth = 1; !is_over; nth++) {
        struct vecstore *store = NULL;
        int rc;

        unlink(path);
        err = (struct err){0};
        mem_fail_at(nth);
        rc = use_all(path, &step, &err);
        is_over = mem_tries() < nth;
        mem_fail_at(0);
        if (rc != 0)
            CHECK_ERR(rc, ERR_UNAVAILABLE);
        if (rc != 0)
            CHECK(err.text[0] != '\0');
        store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
        CHECK_INT(vecs_info(store).count, counts[step]);
        if (step > 0)
            vecs_check_entry(store, DIM, 9, 9);
        vecs_add(store, DIM, 500, 1);
        vecstore_close(store);
    }
    CHECK(nth > 30);
    CHECK_INT(step, 3);
}
