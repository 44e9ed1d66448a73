/* SPDX-License-Identifier: Apache-2.0 */
/* The copy in int8 changes no answer: not an id, not a bit of a distance. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vector_samples.h"
#include "vectors/int8_dot.h"
#include "vectors/int8_rows.h"

enum { COUNT = 1500, QUERIES = 25, DIM_MAX = 700, K = 20 };

static int8_t query[DIM_MAX + INT8_STEP], rows8[9 * (DIM_MAX + INT8_STEP)];

static int8_t next_code(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (int8_t)((int)((*state >> 40) % 255) - 127);
}

TEST(int8_kernels_agree_with_plain_c)
{
    const struct int8_kernels *kernels;
    uint64_t state = 5;
    int32_t want[9], got[9];
    size_t n;
    int len, count, i;

    for (n = 0; (kernels = int8_get(n)) != NULL; n++) {
        if (!kernels->is_usable())
            continue;
        for (len = INT8_STEP; len <= DIM_MAX; len += INT8_STEP)
            for (count = 1; count <= 9; count++) {
                /* One byte off, so that nothing is aligned. */
                for (i = 0; i < len; i++)
                    query[1 + i] = next_code(&state);
                for (i = 0; i < len * count; i++)
                    rows8[1 + i] = next_code(&state);
                int8_kernels_c.dot(query + 1, rows8 + 1, count, len, want);
                kernels->dot(query + 1, rows8 + 1, count, len, got);
                for (i = 0; i < count; i++)
                    CHECK_INT(got[i], want[i]);
            }
    }
    CHECK(n >= 1);
}

TEST(int8_kernels_hold_the_longest_rows_of_extremes)
{
    const struct int8_kernels *kernels = int8_best();
    int8_t *row = mem_new(INT8_LEN_MAX);
    int32_t got = 0;

    memset(row, -127, INT8_LEN_MAX);
    kernels->dot(row, row, 1, INT8_LEN_MAX, &got);
    CHECK_INT(got, 127LL * 127 * INT8_LEN_MAX);
    mem_free(row);
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

TEST(int8_rows_rule_most_rows_out)
{
    float *rows = sample_clusters(COUNT, 128, 30, 1);
    float *queries = sample_clusters(QUERIES, 128, 30, 2);
    struct int8_rows *quick = NULL;
    int64_t *places = NULL, count = 0, total = 0;
    struct err err = {0};
    int i;

    CHECK_OK(int8_rows_new(rows, COUNT, 128, FAISS_L2, &quick, &err), err);
    for (i = 0; i < QUERIES; i++) {
        CHECK_OK(int8_rows_candidates(quick, queries + i * 128, 5, &places,
                                      &count, &err),
                 err);
        CHECK(count >= 5);
        total += count;
        mem_free(places);
    }
    /* A cluster has 50 rows. */
    CHECK(total <= 100 * QUERIES);
    int8_rows_free(quick);
    mem_free(rows);
    mem_free(queries);
}

TEST(int8_rows_torture_finds_nothing_without_memory)
{
    float *rows = sample_clusters(COUNT, 16, 30, 1);
    long nth;

    for (nth = 1; nth < 20; nth++) {
        struct int8_rows *quick = NULL;
        int64_t *places = NULL, count = 0;
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = int8_rows_new(rows, COUNT, 16, FAISS_L2, &quick, &err);
        if (rc == 0)
            rc = int8_rows_candidates(quick, rows, 3, &places, &count, &err);
        int8_rows_free(quick);
        mem_free(places);
        if (mem_tries() < nth) {
            mem_fail_at(0);
            CHECK_OK(rc, err);
            break;
        }
        mem_fail_at(0);
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK(places == NULL);
    }
    CHECK_INT(nth, 7);
    mem_free(rows);
}
