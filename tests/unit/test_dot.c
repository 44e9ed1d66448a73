/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/dot.h"

enum { ROW_MAX = 11, DIM_MAX = 1300, GUARD = 1 };

/* xorshift64: the same numbers in every run. */
static uint64_t state;

static float random_float(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)((double)(state >> 11) / 4503599627370496.0 - 1);
}

/* Rows at odd addresses, each ending where its memory ends: a kernel that
 * reads past a row is seen by the address sanitizer. */
static float *rows[ROW_MAX];

static void fill(int dim)
{
    int i, j;

    state = 88172645463325252U + (uint64_t)dim;
    for (i = 0; i < ROW_MAX; i++) {
        rows[i] = mem_new(((size_t)dim + GUARD) * sizeof(float));
        for (j = 0; j < dim; j++)
            rows[i][GUARD + j] = random_float();
    }
}

static void clear(void)
{
    int i;

    for (i = 0; i < ROW_MAX; i++) {
        mem_free(rows[i]);
        rows[i] = NULL;
    }
}

/* What a row's result may differ by: 1e-5 of the sum of absolute terms. */
static double sum(const float *query, const float *row, int dim, bool is_inner,
                  double *scale)
{
    double total = 0;
    int i;

    *scale = 0;
    for (i = 0; i < dim; i++) {
        double gap = (double)query[i] - (double)row[i];
        double term = is_inner ? (double)query[i] * (double)row[i] : gap * gap;

        total += term;
        *scale += fabs(term);
    }
    return total;
}

static void check_kernels(const struct dot_kernels *kernels, int count, int dim)
{
    const float *places[ROW_MAX] = {0};
    float inner[ROW_MAX + 1], square[ROW_MAX + 1];
    const float *query = rows[ROW_MAX - 1] + GUARD;
    int i;

    for (i = 0; i < count; i++)
        places[i] = rows[i] + GUARD;
    inner[count] = square[count] = 42;
    kernels->inner(query, places, count, dim, inner);
    kernels->square(query, places, count, dim, square);
    for (i = 0; i < count; i++) {
        double scale;
        double want = sum(query, places[i], dim, true, &scale);

        CHECK_NEAR(inner[i], want, 1e-5 * scale);
        want = sum(query, places[i], dim, false, &scale);
        CHECK_NEAR(square[i], want, 1e-5 * scale);
    }
    CHECK(inner[count] == 42 && square[count] == 42);
}

static void check_all_dims(const struct dot_kernels *kernels)
{
    static const int dims[] = {64, 127, 128, 512, 1000, 1279, 1280, DIM_MAX};
    size_t i;
    int dim, count;

    for (dim = 1; dim <= 50; dim++) {
        fill(dim);
        for (count = 0; count <= ROW_MAX; count++)
            check_kernels(kernels, count, dim);
        clear();
    }
    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        fill(dims[i]);
        check_kernels(kernels, ROW_MAX, dims[i]);
        clear();
    }
}

TEST(dot_kernels_that_can_run_here_agree_with_sums_in_double)
{
    const struct dot_kernels *kernels = NULL;
    int run_count = 0;
    size_t i;

    for (i = 0; (kernels = dot_get(i)) != NULL; i++) {
        if (kernels->is_usable()) {
            check_all_dims(kernels);
            run_count++;
        }
    }
    CHECK(run_count >= 1);
}

TEST(dot_kernels_agree_with_plain_c_within_1e_5)
{
    const struct dot_kernels *kernels = NULL;
    float want[ROW_MAX], got[ROW_MAX];
    const float *places[ROW_MAX] = {0};
    double scale;
    size_t i;
    int r;

    fill(1280);
    for (r = 0; r < ROW_MAX; r++)
        places[r] = rows[r] + GUARD;
    for (i = 0; (kernels = dot_get(i)) != NULL; i++) {
        if (!kernels->is_usable())
            continue;
        dot_kernels_c.square(places[0], places, ROW_MAX, 1280, want);
        kernels->square(places[0], places, ROW_MAX, 1280, got);
        for (r = 0; r < ROW_MAX; r++)
            CHECK_NEAR(got[r], want[r], 1e-5 * (double)want[r]);
        dot_kernels_c.inner(places[0], places, ROW_MAX, 1280, want);
        kernels->inner(places[0], places, ROW_MAX, 1280, got);
        for (r = 0; r < ROW_MAX; r++) {
            (void)sum(places[0], places[r], 1280, true, &scale);
            CHECK_NEAR(got[r], want[r], 1e-5 * scale);
        }
    }
    clear();
}

TEST(dot_best_is_the_first_that_can_run)
{
    const struct dot_kernels *kernels = NULL;
    size_t i = 0;

    while ((kernels = dot_get(i)) != NULL && !kernels->is_usable())
        i++;
    CHECK(kernels == dot_best());
    while (dot_get(i) != NULL)
        i++;
    CHECK(dot_get(i - 1) == &dot_kernels_c);
    CHECK(dot_get(i + 1) == NULL);
}

TEST(dot_passes_nan_and_infinity_on)
{
    const struct dot_kernels *kernels = NULL;
    float query[37], out;
    const float *row = query;
    size_t i;
    int j;

    for (i = 0; (kernels = dot_get(i)) != NULL; i++) {
        if (!kernels->is_usable())
            continue;
        for (j = 0; j < 37; j++) {
            memset(query, 0, sizeof query);
            query[j] = (float)NAN;
            kernels->inner(query, &row, 1, 37, &out);
            CHECK(isnan(out));
            query[j] = (float)INFINITY;
            kernels->inner(query, &row, 1, 37, &out);
            CHECK(isinf(out));
        }
    }
}
