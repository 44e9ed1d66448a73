/* SPDX-License-Identifier: Apache-2.0 */
#include "codes_fixture.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/codes_parts.h"

enum { HITS_MAX = 2000 };

/* --- kernels --------------------------------------------------------------
 */

static struct {
    const struct dot_kernels *dot; /* NULL: as codes choose */
    const struct int8_kernels *int8;
    const struct half_kernels *half;
} used;

static const struct int8_kernels *find_int8(const char *name)
{
    const struct int8_kernels *kernels;
    size_t i;

    for (i = 0; (kernels = int8_get(i)) != NULL; i++)
        if (strcmp(kernels->name, name) == 0 && kernels->is_usable())
            return kernels;
    return &int8_kernels_c;
}

static const struct half_kernels *find_half(const char *name)
{
    const struct half_kernels *kernels;
    size_t i;

    for (i = 0; (kernels = half_get(i)) != NULL; i++)
        if (strcmp(kernels->name, name) == 0 && kernels->is_usable())
            return kernels;
    return &half_kernels_c;
}

bool codes_use_kernels(int number)
{
    const struct dot_kernels *kernels;
    size_t i;

    used.dot = NULL;
    for (i = 0; (kernels = dot_get(i)) != NULL; i++) {
        if (!kernels->is_usable() || number-- > 0)
            continue;
        used.dot = kernels;
        used.int8 = find_int8(kernels->name);
        used.half = find_half(kernels->name);
        return true;
    }
    return false;
}

/* --- rows -----------------------------------------------------------------
 */

/* In -1..1, the same in every run. */
static float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (float)(*state >> 33) / 1073741824.0F - 1;
}

float *codes_rows(int count, int dim, uint64_t seed)
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

float *codes_hard_rows(int count, int dim, uint64_t seed)
{
    float *rows = codes_rows(count, dim, seed);
    int i, j;

    for (i = 0; i < count; i++) {
        float *row = rows + (int64_t)i * dim;
        float scale = powf(10, (float)(i % 9) - 4);

        for (j = 0; i % 3 == 0 && j < dim; j++)
            row[j] *= scale;
        if (i % 7 == 0)
            row[i % dim] = 50;
        for (j = 0; i % 17 == 0 && j < dim; j++)
            row[j] *= j == i % dim ? 1e9F : 1e-9F;
        if (i % 13 == 0)
            for (j = 0; j < dim; j++)
                row[j] = rows[j] * (1 + (float)i * FLT_EPSILON);
        if (i % 19 == 0) {
            memcpy(row, rows, (size_t)dim * sizeof *row);
            row[i % dim] = nextafterf(row[i % dim], (float)(i % 2));
        }
        if (i % 50 == 0 && i > 0)
            memset(row, 0, (size_t)dim * sizeof *row);
        if (i % 11 == 0 && i > 0)
            memcpy(row, rows, (size_t)dim * sizeof *row);
    }
    return rows;
}

struct codes *codes_of(const float *rows, int count, int dim,
                       enum vecindex_metric metric, enum vec_storage storage)
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
    if (used.dot != NULL) {
        codes->dot = used.dot;
        codes->int8 = used.int8;
        codes->half = used.half;
    }
    CHECK_OK(codes_add(codes, places, half, &err), err);
    CHECK_OK(codes_add(codes, places + half, count - half, &err), err);
    CHECK_INT(codes_count(codes), count);
    mem_free(places);
    return codes;
}

int codes_search(const struct codes *codes, const float *vector,
                 const struct codes_wanted *wanted, struct near *hits)
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

double codes_distance(const float *a, const float *b, int dim,
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

void codes_check_same(const struct codes *truth, const struct codes *codes,
                      const float *vector, const struct codes_wanted *wanted)
{
    static struct near want[HITS_MAX], got[HITS_MAX];
    int count = codes_search(truth, vector, wanted, want), i;

    CHECK_INT(codes_search(codes, vector, wanted, got), count);
    for (i = 0; i < count; i++) {
        CHECK_INT(got[i].id, want[i].id);
        CHECK(got[i].distance == want[i].distance);
    }
}
