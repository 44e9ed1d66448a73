/* SPDX-License-Identifier: Apache-2.0 */
/* Codes as graphs walk over them, as checkpoints keep them, and without
 * memory. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codes_fixture.h"
#include "vectors/codes_parts.h"

enum { COUNT = 1500, WIDE = 70, K = 20 };

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
        double want = codes_distance(vector, rows + (int64_t)slots[i] * dim,
                                     dim, codes_metric(codes), &slack);
        float off = codes_error(codes, query, slots[i], distances[i]);

        CHECK_NEAR((double)distances[i], want, (double)off + slack);
    }
    codes_query_free(query);
    CHECK_OK(codes_query_slot(codes, 0, &query, &err), err);
    for (i = 0; i < 30; i++) {
        int32_t slot = slots[i + 1];
        double want = codes_distance(rows + (int64_t)slots[i] * dim,
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

static void check_all_errors(const float *rows, const float *queries)
{
    size_t s, m;
    int i;

    for (s = 0; s < CODES_STORAGES; s++)
        for (m = 0; m < CODES_METRICS; m++) {
            struct codes *codes = codes_of(rows, COUNT, WIDE, codes_metrics[m],
                                           codes_storages[s]);

            for (i = 0; i < 4; i++)
                check_errors(codes, rows, WIDE, queries + (int64_t)i * WIDE);
            codes_free(codes);
        }
}

TEST(codes_distances_are_off_by_no_more_than_they_say)
{
    float *rows = codes_hard_rows(COUNT, WIDE, 7),
          *queries = codes_rows(4, WIDE, 8);
    int number;

    for (number = 0; codes_use_kernels(number); number++)
        check_all_errors(rows, queries);
    mem_free(rows);
    mem_free(queries);
}

/* A query that points to where rounding has moved the row from, as long as the
 * row: no other is as wrong about it. */
static void make_worst(const struct codes *codes, int64_t slot,
                       const float *row, float *out)
{
    bool is_int8 = codes_storage(codes) == VEC_INT8;
    struct codes_query *kept = NULL;
    double lost = 0, len = 0;
    struct err err = {0};
    int i, dim = codes_dim(codes);

    CHECK_OK(codes_query_slot(codes, slot, &kept, &err), err);
    for (i = 0; i < dim; i++) {
        float value = codes_metric(codes) == VECINDEX_COSINE
                          ? row[i] * codes_about(codes, slot)->len
                          : row[i];

        out[i] = value - (is_int8 ? kept->scale * ((int16_t *)kept->values)[i]
                                  : ((float *)kept->values)[i]);
        lost += (double)out[i] * (double)out[i];
        len += (double)row[i] * (double)row[i];
    }
    for (i = 0; i < dim && lost > 0; i++)
        out[i] = (float)((double)out[i] * sqrt(len / lost));
    codes_query_free(kept);
}

/* A query that is one large value and others that int8 takes for zeros, all of
 * one sign with the row's. */
static void make_uneven(const struct codes *codes, int64_t slot,
                        const float *row, float *out)
{
    int i, dim = codes_dim(codes);

    (void)slot;
    for (i = 0; i < dim; i++)
        out[i] = copysignf(i == 0 ? 1 : 1.4e-5F, row[i]);
}

typedef void make_fn(const struct codes *codes, int64_t slot, const float *row,
                     float *out);

static void check_worst(make_fn *make, const float *rows,
                        enum vecindex_metric metric, enum vec_storage storage)
{
    struct codes *truth = codes_of(rows, COUNT, WIDE, metric, VEC_FLOAT32);
    struct codes *codes = codes_of(rows, COUNT, WIDE, metric, storage);
    const struct codes_wanted wanted = {NULL, INFINITY, K, 1};
    float worst[WIDE], distance;
    int32_t slot;

    for (slot = 1; slot < COUNT; slot += 37) {
        const float *row = rows + (int64_t)slot * WIDE;
        struct codes_query *query = NULL;
        struct err err = {0};
        double slack, want;

        make(codes, slot, row, worst);
        want = codes_distance(worst, row, WIDE, metric, &slack);
        CHECK_OK(codes_query_new(codes, worst, &query, &err), err);
        codes_distances(codes, query, &slot, 1, &distance);
        CHECK_NEAR((double)distance, want,
                   (double)codes_error(codes, query, slot, distance));
        codes_query_free(query);
        codes_check_same(truth, codes, worst, &wanted);
    }
    codes_free(codes);
    codes_free(truth);
}

static void check_all_worst(make_fn *make, const float *rows)
{
    int number;
    size_t s, m;

    for (number = 0; codes_use_kernels(number); number++)
        for (s = 1; s < CODES_STORAGES; s++)
            for (m = 0; m < CODES_METRICS; m++)
                check_worst(make, rows, codes_metrics[m], codes_storages[s]);
}

TEST(codes_know_how_wrong_they_are_where_rounding_took_most)
{
    float *rows = codes_rows(COUNT, WIDE, 7);
    int i;

    check_all_worst(make_worst, rows);
    /* Rows that int8 keeps as they are: what is lost is the query's. */
    for (i = 0; i < COUNT * WIDE; i++)
        rows[i] = copysignf(1, rows[i]);
    check_all_worst(make_uneven, rows);
    mem_free(rows);
}

TEST(codes_rerank_leaves_out_only_what_cannot_be_near)
{
    float *rows = codes_rows(COUNT, 48, 7), *queries = codes_rows(4, 48, 8);
    static int32_t slots[COUNT];
    static float approx[COUNT];
    size_t s;
    int i;

    for (i = 0; i < COUNT; i++)
        slots[i] = i;
    for (s = 0; s < CODES_STORAGES; s++) {
        struct codes *codes =
            codes_of(rows, COUNT, 48, VECINDEX_COSINE, codes_storages[s]);
        struct codes_query *query = NULL;
        struct codes_wanted wanted = {NULL, INFINITY, K, 1};
        struct near want[K], got[K];
        struct nearest nearest = {.hits = got, .k = K};
        struct err err = {0};

        CHECK_INT(codes_search(codes, queries, &wanted, want), K);
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
    float *rows = codes_hard_rows(COUNT, 20, 7);
    size_t s;

    for (s = 0; s < CODES_STORAGES; s++) {
        struct codes *codes =
            codes_of(rows, COUNT, 20, VECINDEX_L2, codes_storages[s]);

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
    float *rows = codes_rows(MANY + 500, DIM, 3);
    float *query = codes_rows(1, DIM, 4);
    const float **places = mem_new((MANY + 500) * sizeof *places);
    size_t s;
    int i;

    for (i = 0; i < MANY + 500; i++)
        places[i] = rows + i * DIM;
    for (s = 0; s < CODES_STORAGES; s++) {
        struct codes *whole =
            codes_of(rows, MANY + 500, DIM, VECINDEX_COSINE, codes_storages[s]);
        struct checkpoint *checkpoint = NULL;
        struct checked checked = {0};
        struct codes_wanted wanted = {NULL, INFINITY, K, 1};
        struct codes *loaded =
            save_and_load(whole, places, MANY, &checked, &checkpoint);
        struct err err = {0};

        CHECK_INT(checked.calls, 0);
        CHECK_OK(codes_add(loaded, places + MANY, 500, &err), err);
        codes_check_same(whole, loaded, query, &wanted);
        CHECK(checked.calls >= 1);
        i = checked.calls;
        codes_check_same(whole, loaded, query, &wanted);
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
    float *rows = codes_rows(COUNT, 12, 3);
    const float *places[COUNT];
    size_t s;
    int i;

    for (i = 0; i < COUNT; i++)
        places[i] = rows + i * 12;
    for (s = 0; s < CODES_STORAGES; s++) {
        struct codes *whole =
            codes_of(rows, COUNT, 12, VECINDEX_L2, codes_storages[s]);
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
    float *rows = codes_rows(COUNT, 16, 3);
    const float *places[COUNT];
    size_t s;
    long nth;
    int i;

    for (i = 0; i < COUNT; i++)
        places[i] = rows + i * 16;
    for (s = 0; s < CODES_STORAGES; s++) {
        for (nth = 1; nth < 40; nth++) {
            struct err err = {0};
            int rc;

            mem_fail_at(nth);
            rc = build_and_search(places, COUNT, codes_storages[s], &err);
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
    float *rows = codes_rows(COUNT, 16, 3);
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
