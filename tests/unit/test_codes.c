/* SPDX-License-Identifier: Apache-2.0 */
/* However rows are kept, what is found is what looking at every float32 row
 * finds: not an id, not a bit of a distance is another. */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "codes_fixture.h"

enum { COUNT = 1500, QUERIES = 12, K = 20, K_MAX = 2000 };

/* What float32 finds is right, by sums in double. */
static void check_truth(const float *rows, int count, const float *vector,
                        int dim, enum vecindex_metric metric,
                        const struct near *hits, int hit_count)
{
    double farthest = -INFINITY, slack;
    int i, j, nearer = 0;

    for (i = 0; i < hit_count; i++) {
        double want = codes_distance(vector, rows + hits[i].id * dim, dim,
                                     metric, &slack);

        CHECK_NEAR((double)hits[i].distance, want, slack);
        farthest = fmax(farthest, want + slack);
        CHECK(i == 0 || hits[i - 1].distance < hits[i].distance ||
              (hits[i - 1].distance == hits[i].distance &&
               hits[i - 1].id < hits[i].id));
    }
    for (i = 0; i < count; i++) {
        double want = codes_distance(vector, rows + (int64_t)i * dim, dim,
                                     metric, &slack);

        for (j = 0; j < hit_count && hits[j].id != i; j++)
            continue;
        nearer += j == hit_count && want + slack < farthest - 2 * slack &&
                  want + slack < (double)hits[hit_count - 1].distance - slack;
    }
    CHECK_INT(nearer, 0);
}

static void check_by_kernels(const float *rows, const float *queries, int dim,
                             enum vecindex_metric metric)
{
    struct codes *truth = codes_of(rows, COUNT, dim, metric, VEC_FLOAT32);
    struct near hits[K];
    size_t s;
    int i;

    for (i = 0; i < QUERIES; i++) {
        struct codes_wanted wanted = {NULL, INFINITY, 1 + i % K, 1};
        int count =
            codes_search(truth, queries + (int64_t)i * dim, &wanted, hits);

        CHECK_INT(count, wanted.k);
        check_truth(rows, COUNT, queries + (int64_t)i * dim, dim, metric, hits,
                    count);
    }
    for (s = 1; s < CODES_STORAGES; s++) {
        struct codes *codes =
            codes_of(rows, COUNT, dim, metric, codes_storages[s]);

        for (i = 0; i < QUERIES; i++) {
            struct codes_wanted wanted = {NULL, INFINITY, 1 + i % K, 1};

            codes_check_same(truth, codes, queries + (int64_t)i * dim, &wanted);
            wanted.k = K_MAX;
            wanted.limit = hits[i % 5].distance;
            codes_check_same(truth, codes, queries + (int64_t)i * dim, &wanted);
        }
        codes_free(codes);
    }
    codes_free(truth);
}

static void check_storages(const float *rows, const float *queries, int dim,
                           enum vecindex_metric metric)
{
    int number;

    for (number = 0; codes_use_kernels(number); number++)
        check_by_kernels(rows, queries, dim, metric);
    CHECK(number >= 1);
}

TEST(codes_find_what_every_float32_row_finds)
{
    static const int dims[] = {1, 2, 17, 64, 65, 300};
    size_t i, m;

    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        float *rows = codes_rows(COUNT, dims[i], 1);
        float *queries = codes_rows(QUERIES, dims[i], 2);

        for (m = 0; m < CODES_METRICS; m++)
            check_storages(rows, queries, dims[i], codes_metrics[m]);
        mem_free(rows);
        mem_free(queries);
    }
}

TEST(codes_find_the_same_among_rows_that_are_hard_to_round)
{
    static const int dims[] = {1, 5, 64, 130};
    size_t i, m;

    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        float *rows = codes_hard_rows(COUNT, dims[i], 3);
        float *queries = codes_hard_rows(QUERIES, dims[i], 4);

        memset(queries + (ptrdiff_t)5 * dims[i], 0,
               (size_t)dims[i] * sizeof *queries);
        for (m = 0; m < CODES_METRICS; m++)
            check_storages(rows, queries, dims[i], codes_metrics[m]);
        mem_free(rows);
        mem_free(queries);
    }
}

/* By what even and odd rows and queries are multiplied. */
struct scales {
    float rows[2], queries[2];
};

static void check_scaled(const struct scales *scales,
                         enum vecindex_metric metric)
{
    float *rows = codes_rows(COUNT, 8, 1);
    float *queries = codes_rows(QUERIES, 8, 2);
    int i;

    for (i = 0; i < COUNT * 8; i++)
        rows[i] *= scales->rows[i / 8 % 2];
    for (i = 0; i < QUERIES * 8; i++)
        queries[i] *= scales->queries[i / 8 % 2];
    check_storages(rows, queries, 8, metric);
    mem_free(rows);
    mem_free(queries);
}

TEST(codes_hold_the_smallest_and_the_largest_numbers)
{
    /* Squares and products that are denormal or nothing, numbers that are. The
     * cosine is not asked of vectors shorter than 1e-15. */
    static const struct scales any[] = {{{1e18F, 1e-13F}, {1e18F, 1e-13F}},
                                        {{1e18F, 1}, {1, 1e-13F}}};
    static const struct scales not_cosine[] = {
        {{1e17F, FLT_MIN / 8}, {1e17F, FLT_MIN}},
        {{1e-13F, 0}, {1e17F, FLT_MIN}},
        {{1e-20F, 3e-22F}, {1e-20F, 1e-18F}},
        {{FLT_MIN / 8, FLT_MIN / 1e5F}, {1, 1e-10F}}};
    size_t i, m;

    for (m = 0; m < CODES_METRICS; m++)
        for (i = 0; i < sizeof any / sizeof any[0]; i++)
            check_scaled(&any[i], codes_metrics[m]);
    for (i = 0; i < sizeof not_cosine / sizeof not_cosine[0]; i++) {
        check_scaled(&not_cosine[i], VECINDEX_L2);
        check_scaled(&not_cosine[i], VECINDEX_IP);
    }
}

enum { LONG_ROWS = 6, LONG = VEC_DIM_MAX };

static void check_long(const float *rows, enum vecindex_metric metric,
                       enum vec_storage storage)
{
    struct codes_wanted wanted = {NULL, INFINITY, LONG_ROWS, 1};
    struct codes *truth = codes_of(rows, LONG_ROWS, LONG, metric, VEC_FLOAT32);
    struct codes *codes = codes_of(rows, LONG_ROWS, LONG, metric, storage);
    int i;

    for (i = 0; i < LONG_ROWS; i++)
        codes_check_same(truth, codes, rows + (int64_t)i * LONG, &wanted);
    codes_free(codes);
    codes_free(truth);
}

/* Sums of the longest rows of the largest codes stay in their range. */
TEST(codes_hold_the_longest_rows_of_extremes)
{
    float *rows = mem_new((size_t)LONG_ROWS * LONG * sizeof *rows);
    int number, s, m, i;

    for (i = 0; i < LONG_ROWS * LONG; i++) {
        int row = i / LONG;

        rows[i] = row < 2    ? 1 - 2 * (float)row
                  : row == 2 ? 1 - 2 * (float)(i % 2)
                             : (float)(i % row) / 7 - 0.5F;
    }
    for (number = 0; codes_use_kernels(number); number++)
        for (m = 0; m < CODES_METRICS; m++)
            for (s = 0; s < CODES_STORAGES; s++)
                check_long(rows, codes_metrics[m], codes_storages[s]);
    mem_free(rows);
}

TEST(codes_tell_rows_apart_that_lie_far_from_the_origin)
{
    float *rows = codes_rows(COUNT, 40, 1);
    float *queries = codes_rows(QUERIES, 40, 2);
    size_t m;
    int i;

    for (i = 0; i < COUNT * 40; i++)
        rows[i] = 100 + rows[i] / 100;
    for (i = 0; i < QUERIES * 40; i++)
        queries[i] = 100 + queries[i] / 100;
    for (m = 0; m < CODES_METRICS; m++)
        check_storages(rows, queries, 40, codes_metrics[m]);
    mem_free(rows);
    mem_free(queries);
}

/* --- filters, limits, threads --------------------------------------------- */

static void fill_removed(struct blocks *removed, int count)
{
    struct err err = {0};
    int i;

    CHECK_OK(blocks_init(removed, 1, &err), err);
    CHECK_OK(blocks_reserve(removed, count, &err), err);
    for (i = 0; i < count; i += 3)
        *(uint8_t *)blocks_at(removed, i) = 1;
}

/* Bits of which few are set in some words, many in others, none in others. */
static void fill_wanted(uint64_t *words, int count)
{
    int i;

    for (i = 0; i < count; i++)
        if (i / 64 % 3 != 1 && (i / 64 % 3 == 0 || i % 17 == 0))
            words[i / 64] |= (uint64_t)1 << i % 64;
}

/* What passes is found in order, by distances of its own. */
static void check_filtered(const struct codes *codes, const float *rows,
                           int dim, const float *vector,
                           const struct slot_filter *filter)
{
    struct codes_wanted wanted = {filter, INFINITY, 50, 1};
    struct near hits[50], all[K_MAX];
    struct codes_wanted everything = {NULL, INFINITY, COUNT, 1};
    int count = codes_search(codes, vector, &wanted, hits), seen = 0, i;

    CHECK_INT(codes_search(codes, vector, &everything, all), COUNT);
    for (i = 0; i < COUNT && seen < 50; i++) {
        if (!slot_passes(filter, all[i].id))
            continue;
        CHECK_INT(hits[seen].id, all[i].id);
        CHECK(hits[seen].distance == all[i].distance);
        seen++;
    }
    CHECK_INT(count, seen);
    check_truth(rows, 0, vector, dim, codes_metric(codes), hits, count);
}

TEST(codes_scan_finds_what_passes_the_filter)
{
    float *rows = codes_hard_rows(COUNT, 33, 5);
    float *queries = codes_rows(3, 33, 6);
    uint64_t words[COUNT / 64 + 1] = {0};
    struct blocks removed = {0};
    struct slot_filter filter = {&removed, NULL, 0};
    size_t s;
    int i;

    fill_removed(&removed, COUNT);
    fill_wanted(words, COUNT);
    for (s = 0; s < CODES_STORAGES; s++) {
        struct codes *codes =
            codes_of(rows, COUNT, 33, VECINDEX_L2, codes_storages[s]);

        for (i = 0; i < 3; i++) {
            filter.wanted = NULL;
            check_filtered(codes, rows, 33, queries + i * 33, &filter);
            filter.wanted = words;
            filter.wanted_count = COUNT;
            check_filtered(codes, rows, 33, queries + i * 33, &filter);
            filter.wanted_count = 70;
            check_filtered(codes, rows, 33, queries + i * 33, &filter);
            filter.wanted_count = 0;
            check_filtered(codes, rows, 33, queries + i * 33, &filter);
        }
        codes_free(codes);
    }
    blocks_release(&removed);
    mem_free(rows);
    mem_free(queries);
}

TEST(codes_scan_adds_to_what_was_found_before)
{
    float *rows = codes_rows(COUNT, 24, 5), *query = codes_rows(1, 24, 9);
    size_t s;

    for (s = 0; s < CODES_STORAGES; s++) {
        struct codes *codes =
            codes_of(rows, COUNT, 24, VECINDEX_IP, codes_storages[s]);
        struct codes_wanted wanted = {NULL, INFINITY, K, 1};
        struct near want[K], got[K];
        struct nearest nearest = {.hits = got, .k = K};
        struct codes_query *made = NULL;
        struct err err = {0};
        int i;

        CHECK_INT(codes_search(codes, query, &wanted, want), K);
        CHECK_OK(codes_query_new(codes, query, &made, &err), err);
        CHECK_OK(
            codes_scan(codes, made, 0, 700, NULL, INFINITY, 1, &nearest, &err),
            err);
        CHECK_OK(codes_scan(codes, made, 700, 700, NULL, INFINITY, 1, &nearest,
                            &err),
                 err);
        CHECK_OK(codes_scan(codes, made, 700, COUNT, NULL, INFINITY, 1,
                            &nearest, &err),
                 err);
        nearest_sort(&nearest);
        for (i = 0; i < K; i++) {
            CHECK_INT(got[i].id, want[i].id);
            CHECK(got[i].distance == want[i].distance);
        }
        codes_query_free(made);
        codes_free(codes);
    }
    mem_free(rows);
    mem_free(query);
}

TEST(codes_scan_finds_the_same_on_several_threads)
{
    /* Enough for a second thread with every storage. */
    enum { MANY = 2 * BLOCK_ROWS + 100, DIM = 300 };
    float *rows = codes_hard_rows(MANY, DIM, 5),
          *queries = codes_rows(4, DIM, 6);
    size_t s;
    int i, j;

    for (s = 0; s < CODES_STORAGES; s++) {
        struct codes *codes =
            codes_of(rows, MANY, DIM, VECINDEX_L2, codes_storages[s]);

        for (i = 0; i < 4; i++) {
            struct codes_wanted wanted = {NULL, INFINITY, K, 1};
            struct near want[K], got[K];

            CHECK_INT(codes_search(codes, queries + i * DIM, &wanted, want), K);
            wanted.thread_count = 2 + i;
            CHECK_INT(codes_search(codes, queries + i * DIM, &wanted, got), K);
            for (j = 0; j < K; j++) {
                CHECK_INT(got[j].id, want[j].id);
                CHECK(got[j].distance == want[j].distance);
            }
        }
        codes_free(codes);
    }
    mem_free(rows);
    mem_free(queries);
}

struct adding {
    struct codes *codes;
    const float *rows;
    int rc;
};

enum { ADDED = BLOCK_ROWS + 400, ADDED_DIM = 5, ADD_STEP = 200 };

static void *add_rows(void *argument)
{
    struct adding *adding = argument;
    const float *places[ADD_STEP];
    struct err err = {0};
    int i, done;

    for (done = 0; done < ADDED && adding->rc == 0; done += i) {
        for (i = 0; i < ADD_STEP && done + i < ADDED; i++)
            places[i] = adding->rows + (int64_t)(done + i) * ADDED_DIM;
        adding->rc = codes_add(adding->codes, places, i, &err);
    }
    return NULL;
}

/* The row that is asked for is found as soon as it is counted. */
TEST(codes_are_searched_while_rows_are_added)
{
    float *rows = codes_rows(ADDED, ADDED_DIM, 3);
    size_t s;

    for (s = 0; s < CODES_STORAGES; s++) {
        const struct codes_options options = {.dim = ADDED_DIM,
                                              .metric = VECINDEX_L2,
                                              .storage = codes_storages[s]};
        struct adding adding = {.rows = rows};
        struct codes_wanted wanted = {NULL, INFINITY, 1, 1};
        struct err err = {0};
        pthread_t thread;
        int64_t count = 0;

        CHECK_OK(codes_new(&options, &adding.codes, &err), err);
        CHECK_INT(pthread_create(&thread, NULL, add_rows, &adding), 0);
        while (count < ADDED) {
            struct near hit;

            count = codes_count(adding.codes);
            if (count == 0)
                continue;
            CHECK_INT(codes_search(adding.codes, rows + (count - 1) * ADDED_DIM,
                                   &wanted, &hit),
                      1);
            CHECK(hit.distance == 0);
        }
        pthread_join(thread, NULL);
        CHECK_INT(adding.rc, 0);
        codes_free(adding.codes);
    }
    mem_free(rows);
}
