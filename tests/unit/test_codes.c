/* SPDX-License-Identifier: Apache-2.0 */
/* However rows are kept, what is found is what looking at every float32 row
 * finds: not an id, not a bit of a distance is another. */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
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

TEST(codes_hold_the_smallest_and_the_largest_numbers)
{
    float *rows = make_rows(COUNT, 8, 1);
    float *queries = make_rows(QUERIES, 8, 2);
    size_t m;
    int i;

    for (i = 0; i < COUNT * 8; i++)
        rows[i] *= i % 16 < 8 ? 1e17F : FLT_MIN / 8;
    for (i = 0; i < QUERIES * 8; i++)
        queries[i] *= i % 16 < 8 ? 1e17F : FLT_MIN;
    for (m = 0; m < 2; m++)
        check_storages(rows, queries, 8, metrics[m]);
    for (i = 0; i < COUNT * 8; i++)
        rows[i] *= i % 24 < 8 ? 1e-30F : 1;
    for (m = 0; m < 2; m++)
        check_storages(rows, queries, 8, metrics[m]);
    mem_free(rows);
    mem_free(queries);
}

TEST(codes_tell_rows_apart_that_lie_far_from_the_origin)
{
    float *rows = make_rows(COUNT, 40, 1);
    float *queries = make_rows(QUERIES, 40, 2);
    size_t m;
    int i;

    for (i = 0; i < COUNT * 40; i++)
        rows[i] = 100 + rows[i] / 100;
    for (i = 0; i < QUERIES * 40; i++)
        queries[i] = 100 + queries[i] / 100;
    for (m = 0; m < sizeof metrics / sizeof metrics[0]; m++)
        check_storages(rows, queries, 40, metrics[m]);
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
    struct wanted wanted = {filter, INFINITY, 50, 1};
    struct near hits[50], all[K_MAX];
    struct wanted everything = {NULL, INFINITY, COUNT, 1};
    int count = scan(codes, vector, &wanted, hits), seen = 0, i;

    CHECK_INT(scan(codes, vector, &everything, all), COUNT);
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
    float *rows = hard_rows(COUNT, 33, 5);
    float *queries = make_rows(3, 33, 6);
    uint64_t words[COUNT / 64 + 1] = {0};
    struct blocks removed = {0};
    struct slot_filter filter = {&removed, NULL, 0};
    size_t s;
    int i;

    fill_removed(&removed, COUNT);
    fill_wanted(words, COUNT);
    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *codes =
            make_codes(rows, COUNT, 33, VECINDEX_L2, storages[s]);

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
    float *rows = make_rows(COUNT, 24, 5), *query = make_rows(1, 24, 9);
    size_t s;

    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *codes =
            make_codes(rows, COUNT, 24, VECINDEX_IP, storages[s]);
        struct wanted wanted = {NULL, INFINITY, K, 1};
        struct near want[K], got[K];
        struct nearest nearest = {.hits = got, .k = K};
        struct codes_query *made = NULL;
        struct err err = {0};
        int i;

        CHECK_INT(scan(codes, query, &wanted, want), K);
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
    float *rows = hard_rows(MANY, DIM, 5), *queries = make_rows(4, DIM, 6);
    size_t s;
    int i, j;

    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *codes =
            make_codes(rows, MANY, DIM, VECINDEX_L2, storages[s]);

        for (i = 0; i < 4; i++) {
            struct wanted wanted = {NULL, INFINITY, K, 1};
            struct near want[K], got[K];

            CHECK_INT(scan(codes, queries + i * DIM, &wanted, want), K);
            wanted.thread_count = 2 + i;
            CHECK_INT(scan(codes, queries + i * DIM, &wanted, got), K);
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
    float *rows = make_rows(ADDED, ADDED_DIM, 3);
    size_t s;

    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        const struct codes_options options = {
            .dim = ADDED_DIM, .metric = VECINDEX_L2, .storage = storages[s]};
        struct adding adding = {.rows = rows};
        struct wanted wanted = {NULL, INFINITY, 1, 1};
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
            CHECK_INT(scan(adding.codes, rows + (count - 1) * ADDED_DIM,
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

/* --- walking -------------------------------------------------------------- */

/* Approximate distances are off by no more than they say, from queries and
 * from rows. */
static void check_errors(const struct codes *codes, const float *rows, int dim,
                         const float *vector)
{
    struct codes_query *query = NULL;
    float distances[300];
    int32_t slots[300];
    struct err err = {0};
    double slack;
    int i;

    for (i = 0; i < 300; i++)
        slots[i] = (int32_t)(i * 997 % COUNT);
    CHECK_OK(codes_query_new(codes, vector, &query, &err), err);
    codes_distances(codes, query, slots, 300, distances);
    for (i = 0; i < 300; i++) {
        double want = distance_of(vector, rows + (int64_t)slots[i] * dim, dim,
                                  codes_metric(codes), &slack);
        float off = codes_error(codes, query, slots[i], distances[i]);

        CHECK_NEAR((double)distances[i], want, (double)off + slack);
    }
    codes_query_free(query);
    CHECK_OK(codes_query_slot(codes, 0, &query, &err), err);
    for (i = 0; i < 30; i++) {
        int32_t slot = slots[i + 1];
        double want = distance_of(rows + (int64_t)slots[i] * dim,
                                  rows + (int64_t)slot * dim, dim,
                                  codes_metric(codes), &slack);

        codes_query_move(codes, query, slots[i]);
        codes_distances(codes, query, &slot, 1, distances);
        CHECK_NEAR((double)distances[0], want,
                   (double)codes_error(codes, query, slot, distances[0]) +
                       slack);
    }
    codes_query_free(query);
}

TEST(codes_distances_are_off_by_no_more_than_they_say)
{
    float *rows = hard_rows(COUNT, 70, 7), *queries = make_rows(4, 70, 8);
    size_t s, m;
    int i;

    for (s = 0; s < sizeof storages / sizeof storages[0]; s++)
        for (m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
            struct codes *codes =
                make_codes(rows, COUNT, 70, metrics[m], storages[s]);

            for (i = 0; i < 4; i++)
                check_errors(codes, rows, 70, queries + i * 70);
            codes_free(codes);
        }
    mem_free(rows);
    mem_free(queries);
}

TEST(codes_rerank_leaves_out_only_what_cannot_be_near)
{
    float *rows = make_rows(COUNT, 48, 7), *queries = make_rows(4, 48, 8);
    static int32_t slots[COUNT];
    static float approx[COUNT];
    size_t s;
    int i;

    for (i = 0; i < COUNT; i++)
        slots[i] = i;
    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *codes =
            make_codes(rows, COUNT, 48, VECINDEX_COSINE, storages[s]);
        struct codes_query *query = NULL;
        struct wanted wanted = {NULL, INFINITY, K, 1};
        struct near want[K], got[K];
        struct nearest nearest = {.hits = got, .k = K};
        struct err err = {0};

        CHECK_INT(scan(codes, queries, &wanted, want), K);
        CHECK_OK(codes_query_new(codes, queries, &query, &err), err);
        codes_distances(codes, query, slots, COUNT, approx);
        CHECK_OK(codes_rerank(codes, query, slots, approx, COUNT,
                              want[9].distance, &nearest, &err),
                 err);
        CHECK(nearest.count >= 10);
        nearest_sort(&nearest);
        for (i = 0; i < nearest.count; i++) {
            CHECK(got[i].distance <= want[9].distance);
            CHECK_INT(got[i].id, want[i].id);
        }
        codes_query_free(query);
        codes_free(codes);
    }
    mem_free(rows);
    mem_free(queries);
}

TEST(codes_tell_which_rows_are_equal)
{
    float *rows = hard_rows(COUNT, 20, 7);
    size_t s;

    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *codes =
            make_codes(rows, COUNT, 20, VECINDEX_L2, storages[s]);

        CHECK(codes_is_equal(codes, 0, 11));
        CHECK(codes_is_equal(codes, 22, 33));
        CHECK(!codes_is_equal(codes, 0, 1));
        CHECK(!codes_is_equal(codes, 1, 2));
        codes_free(codes);
    }
    mem_free(rows);
}

/* --- checkpoints ---------------------------------------------------------- */

/* Refuses slot 7, and counts. */
struct checked {
    int calls;
    bool is_strict;
};

static int check_slot(void *user, int64_t slot, struct err *err)
{
    struct checked *checked = user;

    checked->calls++;
    if (checked->is_strict && slot == 7)
        return err_set(err, ERR_CORRUPT, "slot 7 is damaged");
    return 0;
}

static struct codes *save_and_load(const struct codes *codes,
                                   const float *const *places, int count,
                                   struct checked *checked,
                                   struct checkpoint **out)
{
    const struct codes_options options = {.dim = codes_dim(codes),
                                          .metric = codes_metric(codes),
                                          .storage = codes_storage(codes),
                                          .check = check_slot,
                                          .user = checked};
    struct checkpoint_writer *writer = NULL;
    struct codes *loaded = NULL;
    struct err err = {0};
    char path[512];

    snprintf(path, sizeof path, "%s/codes.checkpoint", test_dir());
    CHECK_OK(checkpoint_begin(path, &writer, &err), err);
    codes_save(codes, count, writer);
    CHECK_OK(checkpoint_commit(writer, &err), err);
    CHECK_OK(checkpoint_open(path, out, &err), err);
    CHECK_OK(codes_load(&options, *out, places, count, &loaded, &err), err);
    CHECK_INT(codes_count(loaded), count);
    return loaded;
}

TEST(codes_come_back_from_a_checkpoint_and_grow_on)
{
    enum { MANY = BLOCK_ROWS + 700, DIM = 9 };
    float *rows = make_rows(MANY + 500, DIM, 3);
    float *query = make_rows(1, DIM, 4);
    const float **places = mem_new((MANY + 500) * sizeof *places);
    size_t s;
    int i;

    for (i = 0; i < MANY + 500; i++)
        places[i] = rows + i * DIM;
    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *whole =
            make_codes(rows, MANY + 500, DIM, VECINDEX_COSINE, storages[s]);
        struct checkpoint *checkpoint = NULL;
        struct checked checked = {0};
        struct wanted wanted = {NULL, INFINITY, K, 1};
        struct codes *loaded =
            save_and_load(whole, places, MANY, &checked, &checkpoint);
        struct err err = {0};

        CHECK_INT(checked.calls, 0);
        CHECK_OK(codes_add(loaded, places + MANY, 500, &err), err);
        check_same(whole, loaded, query, &wanted);
        CHECK(checked.calls >= 1);
        i = checked.calls;
        check_same(whole, loaded, query, &wanted);
        CHECK_INT(checked.calls, i);
        codes_free(loaded);
        codes_free(whole);
        checkpoint_close(checkpoint);
    }
    mem_free(places);
    mem_free(rows);
    mem_free(query);
}

TEST(codes_find_a_damaged_row_before_they_use_it)
{
    float *rows = make_rows(COUNT, 12, 3);
    const float *places[COUNT];
    size_t s;
    int i;

    for (i = 0; i < COUNT; i++)
        places[i] = rows + i * 12;
    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct codes *whole =
            make_codes(rows, COUNT, 12, VECINDEX_L2, storages[s]);
        struct checkpoint *checkpoint = NULL;
        struct checked checked = {.is_strict = true};
        struct codes *loaded =
            save_and_load(whole, places, COUNT, &checked, &checkpoint);
        struct near hits[K];
        struct nearest nearest = {.hits = hits, .k = K};
        struct codes_query *query = NULL;
        const float *row = rows;
        struct err err = {0};

        CHECK_OK(codes_query_new(loaded, rows + 7 * 12, &query, &err), err);
        CHECK_ERR(codes_scan(loaded, query, 0, COUNT, NULL, INFINITY, 2,
                             &nearest, &err),
                  ERR_CORRUPT);
        err = (struct err){0};
        CHECK_ERR(codes_row(loaded, 7, &row, &err), ERR_CORRUPT);
        CHECK(row == rows);
        err = (struct err){0};
        CHECK_OK(codes_row(loaded, 8, &row, &err), err);
        CHECK(row == places[8]);
        codes_query_free(query);
        codes_free(loaded);
        codes_free(whole);
        checkpoint_close(checkpoint);
    }
    mem_free(rows);
}

/* --- memory --------------------------------------------------------------- */

static int build_and_search(const float *const *places, int count,
                            enum vec_storage storage, struct err *err)
{
    const struct codes_options options = {
        .dim = 16, .metric = VECINDEX_COSINE, .storage = storage};
    struct near hits[K];
    struct nearest nearest = {.hits = hits, .k = K};
    struct codes *codes = NULL;
    struct codes_query *query = NULL, *of_slot = NULL;
    int rc = codes_new(&options, &codes, err);

    if (rc == 0)
        rc = codes_add(codes, places, count, err);
    if (rc == 0)
        rc = codes_query_new(codes, places[3], &query, err);
    if (rc == 0)
        rc = codes_query_slot(codes, 5, &of_slot, err);
    if (rc == 0)
        rc = codes_scan(codes, query, 0, count, NULL, INFINITY, 1, &nearest,
                        err);
    if (rc == 0)
        CHECK_INT(nearest.count, K);
    codes_query_free(of_slot);
    codes_query_free(query);
    codes_free(codes);
    return rc;
}

TEST(codes_torture_every_allocation_fails_in_turn)
{
    float *rows = make_rows(COUNT, 16, 3);
    const float *places[COUNT];
    size_t s;
    long nth;
    int i;

    for (i = 0; i < COUNT; i++)
        places[i] = rows + i * 16;
    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        for (nth = 1; nth < 40; nth++) {
            struct err err = {0};
            int rc;

            mem_fail_at(nth);
            rc = build_and_search(places, COUNT, storages[s], &err);
            if (mem_tries() < nth) {
                mem_fail_at(0);
                CHECK_OK(rc, err);
                break;
            }
            mem_fail_at(0);
            CHECK_ERR(rc, ERR_UNAVAILABLE);
        }
        CHECK(nth >= 9 && nth < 40);
    }
    mem_free(rows);
}

TEST(codes_add_that_fails_adds_nothing)
{
    const struct codes_options options = {
        .dim = 16, .metric = VECINDEX_L2, .storage = VEC_INT8};
    float *rows = make_rows(COUNT, 16, 3);
    const float *places[COUNT];
    struct codes *codes = NULL;
    struct err err = {0};
    int i;

    for (i = 0; i < COUNT; i++)
        places[i] = rows + i * 16;
    CHECK_OK(codes_new(&options, &codes, &err), err);
    /* What was taken before stays for the next try. */
    for (i = 1; i <= 4; i++) {
        mem_fail_at(1);
        CHECK_ERR(codes_add(codes, places, COUNT, &err), ERR_UNAVAILABLE);
        mem_fail_at(0);
        err = (struct err){0};
        CHECK_INT(codes_count(codes), 0);
    }
    CHECK_OK(codes_add(codes, places, COUNT, &err), err);
    CHECK_INT(codes_count(codes), COUNT);
    CHECK(codes_memory(codes) >= COUNT * 16);
    codes_free(codes);
    mem_free(rows);
}
