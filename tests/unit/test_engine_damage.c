/* SPDX-License-Identifier: Apache-2.0 */
/* A set whose files were cut or damaged gives right answers or refuses with the
 * place of the damage. */
#include "set_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { DIM = 8, COUNT = 80, FILE_MAX = 1 << 20, FLIPS = 500, NOTE_LEN = 64 };

static const struct vec_options hnsw = {.dim = DIM,
                                        .metric = VECINDEX_L2,
                                        .type = VECINDEX_HNSW,
                                        .links = 4,
                                        .ef_construction = 16};
static const struct vec_options any = {0};

static int versions[COUNT];
static uint8_t log_bytes[FILE_MAX], saved_bytes[FILE_MAX];
static size_t log_len, saved_len;

static size_t read_file(const char *path, uint8_t *out)
{
    FILE *file = fopen(path, "rb");
    size_t len;

    CHECK(file != NULL);
    len = fread(out, 1, FILE_MAX, file);
    CHECK(len < FILE_MAX);
    fclose(file);
    return len;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_INT(fwrite(bytes, 1, len, file), len);
    CHECK_INT(fclose(file), 0);
}

/* Some entries of two versions, some removed, in a log that the checkpoint
 * covers up to the last `tail` of them. */
static void make_set(int tail)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct err err = {0};
    int i;

    for (i = 0; i < COUNT - tail; i += 5)
        CHECK_OK(set_put(store, i, 5, 1, DIM, true, &err), err);
    CHECK_OK(set_put(store, 10, 10, 2, DIM, false, &err), err);
    CHECK_OK(set_remove(store, 30, 7, &err), err);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    for (i = COUNT - tail; i < COUNT; i += 5)
        CHECK_OK(set_put(store, i, 5, 1, DIM, true, &err), err);
    if (tail > 0)
        CHECK_OK(set_remove(store, COUNT - 1, 1, &err), err);
    saved_len = read_file(set_file("x.checkpoint"), saved_bytes);
    vecstore_close(store);
    for (i = 0; i < COUNT; i++)
        versions[i] = i >= 10 && i < 20            ? 2
                      : i >= 30 && i < 37          ? 0
                      : tail > 0 && i == COUNT - 1 ? 0
                                                   : 1;
    log_len = read_file(set_file("x"), log_bytes);
}

/* Puts both files where they were; a length of 0: no such file. */
static void put_files(size_t log, size_t saved)
{
    write_file(set_file("x"), log_bytes, log);
    if (saved > 0)
        write_file(set_file("x.checkpoint"), saved_bytes, saved);
    else
        unlink(set_file("x.checkpoint"));
}

/* --- right, or refused ----------------------------------------------------
 */

static void check_refusal(int rc, const struct err *err)
{
    if (rc != ERR_CORRUPT && rc != ERR_UNSUPPORTED && rc != ERR_CONFLICT)
        test_fail(__FILE__, __LINE__, "%s: %s", err_name((enum err_code)rc),
                  err->text);
    if (rc == ERR_CORRUPT)
        CHECK_HAS(err->text, "byte");
}

/* What is found is what is there, at the distance that it has. */
static void check_hits(const struct vec_hits *hits, const float *query)
{
    float vector[DIM];
    int i, j;

    for (i = 0; i < hits->count; i++) {
        int64_t id = hits->list[i].id;
        double sum = 0;

        CHECK(id >= 0 && id < COUNT && versions[id] != 0);
        set_vector(id, versions[id], DIM, vector);
        for (j = 0; j < DIM; j++)
            sum +=
                ((double)query[j] - vector[j]) * ((double)query[j] - vector[j]);
        CHECK_NEAR(hits->list[i].distance, sum, 1e-4);
    }
}

/* Whether it found the k nearest, or said why not. */
static void check_search(struct vecstore *store, int number, bool is_exact,
                         int there)
{
    struct arena *arena = arena_new(1 << 20);
    float vector[DIM];
    struct vec_query query = {
        .vector = vector, .dim = DIM, .k = 10, .is_exact = is_exact};
    struct vec_hits hits = {0};
    struct err err = {0};
    int rc;

    set_vector(-1 - number, 1, DIM, vector);
    rc = vecstore_search(store, &query, arena, &hits, &err);
    if (rc) {
        check_refusal(rc, &err);
    } else {
        CHECK_INT(hits.count, there < 10 ? there : 10);
        check_hits(&hits, vector);
    }
    arena_free(arena);
}

/* Opens, gets and searches; true when nothing was refused. */
static bool is_right_or_refused(enum vec_mode mode)
{
    struct vecstore *store = NULL;
    struct err err = {0};
    int rc = vecstore_open(set_file("x"), mode, &any, &store, &err);
    int i, there = 0;
    bool is_right = rc == 0;

    if (rc) {
        check_refusal(rc, &err);
        return false;
    }
    for (i = 0; i < COUNT; i++) {
        there += versions[i] != 0;
        rc = set_look(store, i, versions[i], DIM, &err);
        if (rc == 0)
            continue;
        check_refusal(rc, &err);
        err = (struct err){0};
        is_right = false;
    }
    for (i = 0; i < 4; i++)
        check_search(store, i, i % 2 == 0, there);
    vecstore_close(store);
    return is_right;
}

static void check_check_fails(void)
{
    struct vecstore *store = set_open(set_file("x"), VEC_READ, &any);
    struct err err = {0};

    CHECK_ERR(vecstore_check(store, NULL, NULL, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "byte");
    vecstore_close(store);
}

/* --- bits -----------------------------------------------------------------
 */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 16;
}

TEST(engine_is_right_or_refuses_when_a_bit_of_the_log_flips)
{
    uint64_t state = 88172645463325252U;
    int i, right = 0, flips = set_rounds(FLIPS);

    make_set(20);
    for (i = 0; i < flips; i++) {
        size_t at = next_random(&state) % log_len;
        uint8_t was = log_bytes[at];

        log_bytes[at] ^= (uint8_t)(1 << next_random(&state) % 8);
        /* With its checkpoint, and without. */
        put_files(log_len, i % 4 < 2 ? saved_len : 0);
        right += is_right_or_refused(i % 2 == 0 ? VEC_READ : VEC_WRITE);
        log_bytes[at] = was;
    }
    /* Most damage is seen; what is not was of rows that were removed. */
    CHECK(right < flips / 2 || flips < 10);
    put_files(log_len, saved_len);
    CHECK(is_right_or_refused(VEC_READ));
}

TEST(engine_needs_nothing_of_a_checkpoint_of_which_a_bit_flipped)
{
    uint64_t state = 1181783497276652981U;
    int i, flips = set_rounds(FLIPS);

    make_set(20);
    for (i = 0; i < flips; i++) {
        size_t at = next_random(&state) % saved_len;
        uint8_t was = saved_bytes[at];

        saved_bytes[at] ^= (uint8_t)(1 << next_random(&state) % 8);
        put_files(log_len, saved_len);
        if (i % 5 == 0)
            check_check_fails();
        CHECK(is_right_or_refused(i % 2 == 0 ? VEC_READ : VEC_WRITE));
        saved_bytes[at] = was;
    }
}

TEST(engine_writes_a_damaged_checkpoint_anew)
{
    struct vecstore *store = NULL;
    struct err err = {0};

    make_set(0);
    saved_bytes[saved_len / 2] ^= 4;
    put_files(log_len, saved_len);
    check_check_fails();
    store = set_open(set_file("x"), VEC_WRITE, &any);
    vecstore_close(store);
    store = set_open(set_file("x"), VEC_READ, &any);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    set_check(store, versions, COUNT, DIM);
    vecstore_close(store);
}

/* But of the note at its end, which may be torn: nothing is lost with it. */
TEST(engine_check_finds_every_flipped_bit_of_a_log)
{
    uint64_t state = 2545934093467298137U;
    int i, flips = set_rounds(FLIPS / 5);

    make_set(0);
    for (i = 0; i < flips; i++) {
        size_t at = 256 + next_random(&state) % (log_len - NOTE_LEN - 256);
        struct vecstore *store = NULL;
        struct err err = {0};
        int rc;

        log_bytes[at] ^= (uint8_t)(1 << i % 8);
        put_files(log_len, saved_len);
        rc = vecstore_open(set_file("x"), VEC_READ, &any, &store, &err);
        if (rc == 0)
            rc = vecstore_check(store, NULL, NULL, &err);
        CHECK_ERR(rc, ERR_CORRUPT);
        CHECK_HAS(err.text, "byte");
        vecstore_close(store);
        log_bytes[at] ^= (uint8_t)(1 << i % 8);
    }
}

/* --- cuts -----------------------------------------------------------------
 */

TEST(engine_refuses_a_log_that_is_shorter_than_its_checkpoint_says)
{
    int i, cuts = set_rounds(FLIPS / 5);

    make_set(0);
    for (i = 0; i < cuts; i++) {
        struct vecstore *store = NULL;
        struct err err = {0};
        enum vec_mode mode = i % 2 == 0 ? VEC_READ : VEC_WRITE;
        size_t len = 256 + (log_len - 256) * (size_t)i / (size_t)cuts;

        put_files(len, saved_len);
        CHECK_ERR(vecstore_open(set_file("x"), mode, &any, &store, &err),
                  ERR_CORRUPT);
        CHECK_HAS(err.text, "bytes");
    }
}

/* Without a checkpoint a cut is what a killed writer leaves: what is there is
 * right, and it is a beginning. */
TEST(engine_gives_the_beginning_of_a_log_that_was_cut)
{
    int i, id, cuts = set_rounds(FLIPS / 5), last = -1;

    make_set(0);
    for (i = 0; i < cuts; i++) {
        struct vecstore *store = NULL;
        struct err err = {0};
        size_t len = 256 + (log_len - 256) * (size_t)i / (size_t)cuts;
        int count = 0;

        put_files(len, 0);
        store =
            set_open(set_file("x"), i % 2 == 0 ? VEC_READ : VEC_WRITE, &any);
        for (id = 0; id < COUNT; id++)
            if (set_look(store, id, 1, DIM, &err) == 0 ||
                set_look(store, id, 2, DIM, &err) == 0)
                count++;
        CHECK_INT(set_info(store).count, count);
        CHECK(count % 5 == 0 || count == COUNT - 7);
        CHECK(count >= last || count == COUNT - 7);
        last = count;
        vecstore_close(store);
    }
}

TEST(engine_needs_nothing_of_a_checkpoint_that_was_cut)
{
    int i, cuts = set_rounds(FLIPS / 5);

    make_set(20);
    for (i = 0; i < cuts; i++) {
        put_files(log_len, 1 + (saved_len - 1) * (size_t)i / (size_t)cuts);
        CHECK(is_right_or_refused(i % 2 == 0 ? VEC_READ : VEC_WRITE));
    }
}
