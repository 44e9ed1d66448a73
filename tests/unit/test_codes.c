/* SPDX-License-Identifier: Apache-2.0 */
/* However rows are kept, what is found is what looking at every float32 row
 * finds: not an id, not a bit of a distance is another. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "test.h"
#include "vectors/codes.h"

enum { COUNT = 1500, QUERIES = 12, K = 20, K_MAX = 2000 };

static const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                               VECINDEX_COSINE};
static const enum vec_storage storages[] = {VEC_FLOAT32, VEC_FLOAT16,
                                            VEC_BFLOAT16, VEC_INT8};

/* In -1..1, the same in every run. */
static float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (float)(*state >> 33) / 1073741824.0F - 1;
}

/* Rows around 30 centres that depend on nothing but their number. */
static float *make_rows(int count, int dim, uint64_t seed)
{
    float *rows = mem_new((size_t)count * (size_t)dim * sizeof *rows);
    int i, j;

    for (i = 0; i < count; i++) {
        uint64_t centre = (uint64_t)(i % 30) + 77;

        for (j = 0; j < dim; j++)
            rows[(int64_t)i * dim + j] = noise(&centre) + noise(&seed) / 3;
    }
    return rows;
}

/* Rows that are hard to round: lengths that differ by orders of magnitude, a
 * single huge value, zeros, equal rows, rows beside each other. */
static float *hard_rows(int count, int dim, uint64_t seed)
{
    float *rows = make_rows(count, dim, seed);
    int i, j;

    for (i = 0; i < count; i++) {
        float *row = rows + (int64_t)i * dim;
        float scale = powf(10, (float)(i % 9) - 4);

        for (j = 0; i % 3 == 0 && j < dim; j++)
            row[j] *= scale;
        if (i % 7 == 0)
            row[i % dim] = 50;
        if (i % 13 == 0)
            for (j = 0; j < dim; j++)
                row[j] = rows[j] * (1 + (float)i * FLT_EPSILON);
        if (i % 50 == 0 && i > 0)
            memset(row, 0, (size_t)dim * sizeof *row);
        if (i % 11 == 0 && i > 0)
            memcpy(row, rows, (size_t)dim * sizeof *row);
    }
    return rows;
}

static struct codes *make_codes(const float *rows, int count, int dim,
                                enum vecindex_metric metric,
                                enum vec_storage storage)
{
    const struct codes_options options = {
        .dim = dim, .metric = metric, .storage = storage};
    const float **places = mem_new((size_t)count * sizeof *places);
    struct codes *codes = NULL;
    struct err err = {0};
    int i, half = count / 2;

    for (i = 0; i < count; i++)
        places[i] = rows + (int64_t)i * dim;
    CHECK_OK(codes_new(&options, &codes, &err), err);
    CHECK_OK(codes_add(codes, places, half, &err), err);
    CHECK_OK(codes_add(codes, places + half, count - half, &err), err);
    CHECK_INT(codes_count(codes), count);
    mem_free(places);
    return codes;
}

struct wanted {
    const struct slot_filter *filter;
    float limit;
    int k, thread_count;
};

/* Searches all slots; the hits, sorted, are in `hits`. */
static int scan(const struct codes *codes, const float *vector,
                const struct wanted *wanted, struct near *hits)
{
    struct nearest nearest = {.hits = hits, .k = wanted->k};
    struct codes_query *query = NULL;
    struct err err = {0};

    CHECK_OK(codes_query_new(codes, vector, &query, &err), err);
    CHECK_OK(codes_scan(codes, query, 0, codes_count(codes), wanted->filter,
                        wanted->limit, wanted->thread_count, &nearest, &err),
             err);
    codes_query_free(query);
    nearest_sort(&nearest);
    return nearest.count;
}

/* In double, of which a result may be off by `slack`. */
static double distance_of(const float *a, const float *b, int dim,
                          enum vecindex_metric metric, double *slack)
{
    double inner = 0, square = 0, aa = 0, bb = 0;
    int i;

    for (i = 0; i < dim; i++) {
        double x = (double)a[i], y = (double)b[i];

        inner += x * y;
        square += (x - y) * (x - y);
        aa += x * x;
        bb += y * y;
    }
    if (metric == VECINDEX_L2) {
        *slack = 1e-5 * square + 1e-37;
        return square;
    }
    if (metric == VECINDEX_IP) {
        *slack = 1e-5 * sqrt(aa) * sqrt(bb) + 1e-37;
        return -inner;
    }
    *slack = 1e-5;
    return aa > 0 && bb > 0 ? -inner / sqrt(aa) / sqrt(bb) : 0;
}

/* What float32 finds is right, by sums in double. */
static void check_truth(const float *rows, int count, const float *vector,
                        int dim, enum vecindex_metric metric,
                        const struct near *hits, int hit_count)
{
    double farthest = -INFINITY, slack;
    int i, j, nearer = 0;

    for (i = 0; i < hit_count; i++) {
        double want =
            distance_of(vector, rows + hits[i].id * dim, dim, metric, &slack);

        CHECK_NEAR((double)hits[i].distance, want, slack);
        farthest = fmax(farthest, want + slack);
        CHECK(i == 0 || hits[i - 1].distance < hits[i].distance ||
              (hits[i - 1].distance == hits[i].distance &&
               hits[i - 1].id < hits[i].id));
    }
    for (i = 0; i < count; i++) {
        double want =
            distance_of(vector, rows + (int64_t)i * dim, dim, metric, &slack);

        for (j = 0; j < hit_count && hits[j].id != i; j++)
            continue;
        nearer += j == hit_count && want + slack < farthest - 2 * slack &&
                  want + slack < (double)hits[hit_count - 1].distance - slack;
    }
    CHECK_INT(nearer, 0);
}

static void check_same(const struct codes *truth, const struct codes *codes,
                       const float *vector, const struct wanted *wanted)
{
    static struct near want[K_MAX], got[K_MAX];
    int count = scan(truth, vector, wanted, want), i;

    CHECK_INT(scan(codes, vector, wanted, got), count);
    for (i = 0; i < count; i++) {
        CHECK_INT(got[i].id, want[i].id);
        CHECK(got[i].distance == want[i].distance);
    }
}

static void check_storages(const float *rows, const float *queries, int dim,
                           enum vecindex_metric metric)
{
    struct codes *truth = make_codes(rows, COUNT, dim, metric, VEC_FLOAT32);
    struct near hits[K];
    size_t s;
    int i;

    for (i = 0; i < QUERIES; i++) {
        struct wanted wanted = {NULL, INFINITY, 1 + i % K, 1};
        int count = scan(truth, queries + (int64_t)i * dim, &wanted, hits);

        CHECK_INT(count, wanted.k);
        check_truth(rows, COUNT, queries + (int64_t)i * dim, dim, metric, hits,
                    count);
    }
    for (s = 1; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *codes = make_codes(rows, COUNT, dim, metric, storages[s]);

        for (i = 0; i < QUERIES; i++) {
            struct wanted wanted = {NULL, INFINITY, 1 + i % K, 1};

            check_same(truth, codes, queries + (int64_t)i * dim, &wanted);
            wanted.k = K_MAX;
            wanted.limit = hits[i % 5].distance;
            check_same(truth, codes, queries + (int64_t)i * dim, &wanted);
        }
        codes_free(codes);
    }
    codes_free(truth);
}

TEST(codes_find_what_every_float32_row_finds)
{
    static const int dims[] = {1, 2, 17, 64, 65, 300};
    size_t i, m;

    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        float *rows = make_rows(COUNT, dims[i], 1);
        float *queries = make_rows(QUERIES, dims[i], 2);

        for (m = 0; m < sizeof metrics / sizeof metrics[0]; m++)
            check_storages(rows, queries, dims[i], metrics[m]);
        mem_free(rows);
        mem_free(queries);
    }
}

TEST(codes_find_the_same_among_rows_that_are_hard_to_round)
{
    static const int dims[] = {1, 5, 64, 130};
    size_t i, m;

    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        float *rows = hard_rows(COUNT, dims[i], 3);
        float *queries = hard_rows(QUERIES, dims[i], 4);

        for (m = 0; m < 2; m++)
            check_storages(rows, queries, dims[i], metrics[m]);
        mem_free(rows);
        mem_free(queries);
    }
}
