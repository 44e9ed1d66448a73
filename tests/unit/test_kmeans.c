/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/kmeans.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vector_samples.h"
#include "vectors/int16_dot.h"

enum { COUNT = 3000, DIM = 48, CENTRES = 20, DIM_MAX = 700, A = 5, B = 9 };

static int16_t rows_a[A * (DIM_MAX + INT16_STEP) + 1];
static int16_t rows_b[B * (DIM_MAX + INT16_STEP) + 1];

static int next_value(uint64_t *state, int limit)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (int)((*state >> 33) % (uint64_t)(2 * limit + 1)) - limit;
}

TEST(int16_kernels_agree_with_plain_c)
{
    const struct int16_kernels *kernels;
    int32_t want[A * B], got[A * B];
    uint64_t state = 5;
    size_t n;
    int len, a, b, i;

    for (n = 0; (kernels = int16_get(n)) != NULL; n++) {
        if (!kernels->is_usable())
            continue;
        for (len = INT16_STEP; len <= DIM_MAX; len += INT16_STEP)
            for (a = 1; a <= A; a++)
                for (b = 1; b <= B; b++) {
                    /* Two bytes off, so that nothing is aligned. */
                    for (i = 0; i < len * a; i++)
                        rows_a[1 + i] =
                            (int16_t)next_value(&state, int16_limit(len));
                    for (i = 0; i < len * b; i++)
                        rows_b[1 + i] =
                            (int16_t)next_value(&state, int16_limit(len));
                    int16_kernels_c.dot(rows_a + 1, a, rows_b + 1, b, len,
                                        want);
                    kernels->dot(rows_a + 1, a, rows_b + 1, b, len, got);
                    CHECK(memcmp(want, got, (size_t)(a * b) * sizeof *want) ==
                          0);
                }
    }
    CHECK(n >= 1);
}

TEST(int16_kernels_hold_the_longest_rows_of_extremes)
{
    const int lens[] = {INT16_STEP, 512, 1024, VECINDEX_DIM_MAX};
    int16_t *row = mem_new(VECINDEX_DIM_MAX * sizeof *row);
    size_t n;

    for (n = 0; n < sizeof lens / sizeof lens[0]; n++) {
        int64_t limit = int16_limit(lens[n]);
        int32_t got = 0;
        int i;

        for (i = 0; i < lens[n]; i++)
            row[i] = (int16_t)-limit;
        int16_best()->dot(row, 1, row, 1, lens[n], &got);
        CHECK_INT(got, limit * limit * lens[n]);
        CHECK(limit >= 100);
    }
    mem_free(row);
}

/* --- k-means -------------------------------------------------------------- */

static const float *places[COUNT];
static int32_t lists[COUNT];
static float distances[COUNT];

static struct kmeans_options options_of(enum vecindex_metric metric)
{
    return (struct kmeans_options){
        .dim = DIM, .metric = metric, .nlist = 40, .thread_count = 1};
}

static struct kmeans *train(const float *rows,
                            const struct kmeans_options *options)
{
    struct kmeans *kmeans = NULL;
    struct err err = {0};
    int i;

    for (i = 0; i < COUNT; i++)
        places[i] = rows + (int64_t)i * DIM;
    CHECK_OK(kmeans_train(places, COUNT, options, &kmeans, &err), err);
    return kmeans;
}

/* Half the squared distance less what all have in common, or minus the inner
 * product. */
static double true_gap(const float *row, const float *centroid,
                       enum vecindex_metric metric)
{
    double inner = 0, square = 0;
    int i;

    for (i = 0; i < DIM; i++) {
        inner += (double)row[i] * (double)centroid[i];
        square += (double)centroid[i] * (double)centroid[i];
    }
    return metric == VECINDEX_L2 ? square / 2 - inner : -inner;
}

TEST(kmeans_finds_the_nearest_centroid_of_every_metric)
{
    const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                            VECINDEX_COSINE};
    float *rows = sample_clusters(COUNT, DIM, CENTRES, 1);
    struct err err = {0};
    size_t m;
    int i, j;

    for (m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
        const struct kmeans_options options = options_of(metrics[m]);
        struct kmeans *kmeans = train(rows, &options);
        const float *centroids = kmeans_centroids(kmeans);

        CHECK_OK(
            kmeans_assign(kmeans, places, COUNT, 2, lists, distances, &err),
            err);
        for (i = 0; i < COUNT; i++) {
            double best = INFINITY, got;

            for (j = 0; j < options.nlist; j++)
                best = fmin(
                    best, true_gap(places[i], centroids + j * DIM, metrics[m]));
            got = true_gap(places[i], centroids + lists[i] * DIM, metrics[m]);
            CHECK_NEAR(got, best, 1e-3);
            CHECK_NEAR(distances[i],
                       metrics[m] == VECINDEX_L2 ? 1 + 2 * got : got, 1e-2);
        }
        kmeans_free(kmeans);
    }
    mem_free(rows);
}

TEST(kmeans_has_directions_but_for_l2)
{
    float *rows = sample_clusters(COUNT, DIM, CENTRES, 1);
    int i, j, metric;

    /* Lengths of a factor of a thousand. */
    for (i = 0; i < COUNT * DIM; i++)
        rows[i] *= 1 + (float)(i / DIM % 7 == 0) * 999;
    for (metric = VECINDEX_IP; metric <= VECINDEX_COSINE; metric++) {
        const struct kmeans_options options =
            options_of((enum vecindex_metric)metric);
        struct kmeans *kmeans = train(rows, &options);

        for (i = 0; i < options.nlist; i++) {
            double square = 0;

            for (j = 0; j < DIM; j++)
                square += pow((double)kmeans_centroids(kmeans)[i * DIM + j], 2);
            CHECK_NEAR(square, 1, 1e-5);
        }
        kmeans_free(kmeans);
    }
    mem_free(rows);
}

TEST(kmeans_leaves_no_list_empty_where_rows_differ)
{
    const struct kmeans_options options = options_of(VECINDEX_L2);
    float *rows = sample_clusters(COUNT, DIM, CENTRES, 1);
    struct kmeans *kmeans;
    struct err err = {0};
    bool is_used[40] = {false};
    int i, j;

    /* The first centroids are all the same row. */
    for (i = 1; i < 40; i++)
        memcpy(rows + (int64_t)i * DIM, rows, DIM * sizeof *rows);
    kmeans = train(rows, &options);
    CHECK_OK(kmeans_assign(kmeans, places, COUNT, 1, lists, NULL, &err), err);
    for (i = 0; i < COUNT; i++)
        is_used[lists[i]] = true;
    for (i = 0, j = 0; i < 40; i++)
        j += is_used[i];
    CHECK_INT(j, 40);
    kmeans_free(kmeans);
    mem_free(rows);
}

TEST(kmeans_takes_rows_that_are_equal_zero_or_opposite)
{
    const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                            VECINDEX_COSINE};
    float *rows = mem_new(COUNT * DIM * sizeof *rows);
    struct err err = {0};
    size_t m;
    int i, j, kind;

    for (kind = 0; kind < 3; kind++)
        for (m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
            const struct kmeans_options options = options_of(metrics[m]);
            struct kmeans *kmeans;

            for (i = 0; i < COUNT; i++)
                for (j = 0; j < DIM; j++)
                    rows[i * DIM + j] = kind == 0   ? 0
                                        : kind == 1 ? 1e-3F
                                        : i % 2     ? 3e17F
                                                    : -3e17F;
            kmeans = train(rows, &options);
            for (i = 0; i < options.nlist * DIM; i++)
                CHECK(isfinite(kmeans_centroids(kmeans)[i]));
            CHECK_OK(kmeans_assign(kmeans, places, COUNT, 1, lists, NULL, &err),
                     err);
            for (i = 0; i < COUNT; i++)
                CHECK(lists[i] >= 0 && lists[i] < options.nlist);
            kmeans_free(kmeans);
        }
    mem_free(rows);
}

TEST(kmeans_is_the_same_on_any_number_of_threads)
{
    struct kmeans_options options = options_of(VECINDEX_IP);
    float *rows = sample_clusters(COUNT, DIM, CENTRES, 1);
    struct kmeans *first = train(rows, &options), *other;

    for (options.thread_count = 2; options.thread_count <= 4;
         options.thread_count++) {
        other = train(rows, &options);
        CHECK(memcmp(kmeans_centroids(first), kmeans_centroids(other),
                     (size_t)options.nlist * DIM * sizeof(float)) == 0);
        kmeans_free(other);
    }
    kmeans_free(first);
    mem_free(rows);
}

TEST(kmeans_draws_each_number_once)
{
    int64_t numbers[100], again[100];
    bool is_drawn[100] = {false};
    int i, moved = 0;

    for (i = 0; i < 100; i++)
        numbers[i] = again[i] = i;
    kmeans_draw(numbers, 100, 60, 7);
    kmeans_draw(again, 100, 60, 7);
    CHECK(memcmp(numbers, again, sizeof again) == 0);
    for (i = 0; i < 100; i++) {
        CHECK(numbers[i] >= 0 && numbers[i] < 100 && !is_drawn[numbers[i]]);
        is_drawn[numbers[i]] = true;
        moved += i < 60 && numbers[i] != i;
    }
    CHECK(moved > 50);
}

TEST(kmeans_survives_torture)
{
    const struct kmeans_options options = options_of(VECINDEX_L2);
    float *rows = sample_clusters(100, DIM, CENTRES, 1);
    struct kmeans *kmeans = NULL;
    long nth;
    int i;

    for (i = 0; i < 100; i++)
        places[i] = rows + (int64_t)i * DIM;
    for (nth = 1; nth < 200; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = kmeans_train(places, 100, &options, &kmeans, &err);
        if (rc == 0)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK(kmeans == NULL);
    }
    mem_fail_at(0);
    CHECK(nth > 10 && nth < 200);
    kmeans_free(kmeans);
    mem_free(rows);
}
