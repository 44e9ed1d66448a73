/* SPDX-License-Identifier: Apache-2.0 */
/* The copy in int8 that an index keeps of its rows changes no answer: not an
 * id, not a bit of a distance. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vector_samples.h"
#include "vectors/int8_dot.h"

enum { COUNT = 1500, QUERIES = 25, LEN_MAX = 11 * INT8_STEP, ROW_MAX = 9 };
enum { K = 20 };

static int16_t query[LEN_MAX + 1];
static int8_t rows8[ROW_MAX * (LEN_MAX + 1)];

static int next_code(uint64_t *state, int max)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (int)((*state >> 40) % (uint64_t)(2 * max + 1)) - max;
}

/* Rows one byte apart from where they would be aligned. */
static void check_kernels(const struct int8_kernels *kernels, int len,
                          int count, uint64_t *state)
{
    const int8_t *places[ROW_MAX];
    int32_t want[ROW_MAX], got[ROW_MAX];
    int i;

    for (i = 0; i < len; i++)
        query[1 + i] = (int16_t)next_code(state, INT8_SUM_MAX / LEN_MAX);
    for (i = 0; i < (len + 1) * count; i++)
        rows8[i] = (int8_t)next_code(state, 127);
    for (i = 0; i < count; i++)
        places[i] = rows8 + (ptrdiff_t)(count - 1 - i) * (len + 1) + 1;
    int8_kernels_c.dot(query + 1, places, count, len, want);
    kernels->dot(query + 1, places, count, len, got);
    for (i = 0; i < count; i++)
        CHECK_INT(got[i], want[i]);
}

TEST(int8_kernels_agree_with_plain_c)
{
    const struct int8_kernels *kernels;
    uint64_t state = 5;
    size_t n;
    int len, count;

    for (n = 0; (kernels = int8_get(n)) != NULL; n++) {
        if (!kernels->is_usable())
            continue;
        for (len = INT8_STEP; len <= LEN_MAX; len += INT8_STEP)
            for (count = 1; count <= ROW_MAX; count++)
                check_kernels(kernels, len, count, &state);
    }
    CHECK(n >= 1);
}

TEST(int8_kernels_hold_the_longest_rows_of_extremes)
{
    int8_t *row = mem_new(INT8_LEN_MAX);
    int16_t *wide = mem_new(INT8_LEN_MAX * sizeof *wide);
    const int8_t *place = row;
    int32_t got = 0;
    int i;

    memset(row, -127, INT8_LEN_MAX);
    for (i = 0; i < INT8_LEN_MAX; i++)
        wide[i] = INT8_SUM_MAX / INT8_LEN_MAX;
    int8_best()->dot(wide, &place, 1, INT8_LEN_MAX, &got);
    CHECK_INT(got, -127LL * (INT8_SUM_MAX / INT8_LEN_MAX) * INT8_LEN_MAX);
    memset(wide, 0, INT8_LEN_MAX * sizeof *wide);
    for (i = 0; i < INT8_SUM_MAX / 32767; i++)
        wide[i] = -32767;
    int8_best()->dot(wide, &place, 1, INT8_LEN_MAX, &got);
    CHECK_INT(got, 127LL * 32767 * (INT8_SUM_MAX / 32767));
    mem_free(row);
    mem_free(wide);
}

/* Rows that are hard to round: lengths that differ by orders of magnitude, a
 * single large value, zeros, equal rows. */
static float *hard_rows(int dim, uint64_t seed)
{
    float *rows = sample_clusters(COUNT, dim, 30, seed);
    int64_t i;
    int j;

    for (i = 0; i < COUNT; i++) {
        float *row = rows + i * dim;
        float scale = powf(10, (float)(i % 9) - 4);

        for (j = 0; i % 3 == 0 && j < dim; j++)
            row[j] *= scale;
        if (i % 7 == 0)
            row[i % dim] = 50;
        if (i % 50 == 0)
            memset(row, 0, (size_t)dim * sizeof *row);
        if (i % 11 == 0 && i > 0)
            memcpy(row, rows, (size_t)dim * sizeof *row);
    }
    return rows;
}

static void check_equal(const float *rows, const float *queries, int dim,
                        enum vecindex_metric metric)
{
    struct vecindex_options options = {.type = VECINDEX_FLAT, .metric = metric};
    struct vecindex *quick = sample_build(rows, COUNT, dim, &options);
    struct vecindex *lean;
    int i, j;

    options.is_lean = true;
    lean = sample_build(rows, COUNT, dim, &options);
    for (i = 0; i < QUERIES; i++) {
        const struct vecindex_query wanted = {
            .vector = queries + (int64_t)i * dim, .dim = dim, .k = 1 + i % K};
        struct vecindex_hit a[K], b[K];
        int a_count = 0, b_count = 0;
        bool a_is_exact = false, b_is_exact = false;
        struct err err = {0};

        CHECK_OK(
            vecindex_search(quick, &wanted, a, &a_count, &a_is_exact, &err),
            err);
        CHECK_OK(vecindex_search(lean, &wanted, b, &b_count, &b_is_exact, &err),
                 err);
        CHECK_INT(a_count, b_count);
        CHECK(a_is_exact && b_is_exact);
        for (j = 0; j < a_count; j++) {
            CHECK_INT(a[j].id, b[j].id);
            CHECK(a[j].distance == b[j].distance);
        }
    }
    vecindex_free(quick);
    vecindex_free(lean);
}

TEST(int8_rows_change_no_answer)
{
    static const int dims[] = {1, 2, 17, 64, 65, 300};
    size_t i;

    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        float *rows = sample_clusters(COUNT, dims[i], 30, 1);
        float *queries = sample_clusters(QUERIES, dims[i], 30, 2);

        check_equal(rows, queries, dims[i], VECINDEX_L2);
        check_equal(rows, queries, dims[i], VECINDEX_IP);
        check_equal(rows, queries, dims[i], VECINDEX_COSINE);
        mem_free(rows);
        mem_free(queries);
    }
}

TEST(int8_rows_change_no_answer_of_rows_that_are_hard_to_round)
{
    static const int dims[] = {1, 5, 64, 130};
    size_t i;

    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        float *rows = hard_rows(dims[i], 3);
        float *queries = hard_rows(dims[i], 4);

        check_equal(rows, queries, dims[i], VECINDEX_L2);
        check_equal(rows, queries, dims[i], VECINDEX_IP);
        mem_free(rows);
        mem_free(queries);
    }
}

TEST(int8_rows_hold_the_smallest_and_the_largest_numbers)
{
    float *rows = sample_clusters(COUNT, 8, 30, 1);
    float *queries = sample_clusters(QUERIES, 8, 30, 2);
    int i;

    for (i = 0; i < COUNT * 8; i++)
        rows[i] *= i % 16 < 8 ? 2e18F : FLT_MIN / 8;
    for (i = 0; i < QUERIES * 8; i++)
        queries[i] *= i % 16 < 8 ? 2e18F : FLT_MIN;
    check_equal(rows, queries, 8, VECINDEX_L2);
    check_equal(rows, queries, 8, VECINDEX_IP);
    mem_free(rows);
    mem_free(queries);
}

TEST(int8_rows_leave_ties_to_the_lower_id)
{
    struct vecindex_options options = {.type = VECINDEX_FLAT};
    float *rows = sample_clusters(COUNT, 16, 30, 1);
    static int64_t ids[COUNT];
    struct vecindex_query wanted = {.vector = rows, .dim = 16, .k = 3};
    struct vecindex *index = NULL;
    struct vecindex_hit hits[3];
    struct err err = {0};
    bool is_exact;
    int i, count = 0;

    for (i = 0; i < COUNT; i++) {
        ids[i] = 10 * COUNT - i;
        if (i % 4 == 0)
            memcpy(rows + i * 16, rows, 16 * sizeof *rows);
    }
    CHECK_OK(vecindex_build(rows, ids, COUNT, 16, &options, &index, &err), err);
    CHECK_OK(vecindex_search(index, &wanted, hits, &count, &is_exact, &err),
             err);
    CHECK_INT(count, 3);
    for (i = 0; i < 3; i++)
        CHECK_INT(hits[i].id, 10 * COUNT - (COUNT - 4) + 4 * i);
    vecindex_free(index);
    mem_free(rows);
}

TEST(int8_rows_torture_finds_nothing_without_memory)
{
    float *rows = sample_clusters(COUNT, 16, 30, 1);
    const struct vecindex_options options = {.type = VECINDEX_FLAT};
    const struct vecindex_query wanted = {.vector = rows, .dim = 16, .k = 3};
    struct vecindex *index = sample_build(rows, COUNT, 16, &options);
    long nth;

    for (nth = 1; nth < 20; nth++) {
        struct vecindex_hit hits[3];
        struct err err = {0};
        bool is_exact;
        int rc, count = -1;

        mem_fail_at(nth);
        rc = vecindex_search(index, &wanted, hits, &count, &is_exact, &err);
        if (mem_tries() < nth) {
            mem_fail_at(0);
            CHECK_OK(rc, err);
            break;
        }
        mem_fail_at(0);
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK_INT(count, -1);
    }
    CHECK(nth >= 6 && nth < 20);
    vecindex_free(index);
    mem_free(rows);
}
