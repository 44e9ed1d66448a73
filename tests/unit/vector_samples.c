/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct ranked {
    double distance;
    int64_t id;
};

void sample_row(int64_t i, float out[SAMPLE_DIM])
{
    int64_t j;

    for (j = 0; j < SAMPLE_DIM; j++)
        out[j] = (float)((i * i * 7 + i * j * 11 + j * 13 + i) % 61 - 30) / 8;
}

const char *sample_path(const char *name)
{
    static char path[256];
    char inner[128];

    snprintf(inner, sizeof inner, "vectors/%s", name);
    snprintf(path, sizeof path, "%s", test_data(inner));
    return path;
}

const char *sample_file(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

size_t sample_read(const char *path, uint8_t **out)
{
    FILE *file = fopen(path, "rb");
    long len;

    CHECK(file != NULL);
    fseek(file, 0, SEEK_END);
    len = ftell(file);
    rewind(file);
    *out = mem_new((size_t)len + 1);
    CHECK_INT(fread(*out, 1, (size_t)len, file), len);
    fclose(file);
    return (size_t)len;
}

void sample_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_INT(fwrite(data, 1, len, file), len);
    CHECK_INT(fclose(file), 0);
}

/* In -1..1. */
static float noise(uint64_t *state)
{
    uint64_t bits;

    *state = *state * 6364136223846793005U + 1442695040888963407U;
    bits = *state >> 33;
    return (float)bits / 1073741824.0F - 1;
}

static void make_unit(float *row, int dim)
{
    double square = 0;
    int i;

    for (i = 0; i < dim; i++)
        square += (double)row[i] * (double)row[i];
    for (i = 0; i < dim; i++)
        row[i] = (float)((double)row[i] / sqrt(square));
}

float *sample_clusters(int64_t count, int dim, int centre_count, uint64_t seed)
{
    float *rows = mem_new((size_t)count * (size_t)dim * sizeof *rows);
    float *centres = mem_new((size_t)centre_count * (size_t)dim * sizeof *rows);
    uint64_t centre_state = 99, state = seed * 7919 + 1;
    int64_t i;
    int j;

    for (i = 0; i < (int64_t)centre_count * dim; i++)
        centres[i] = noise(&centre_state);
    for (i = 0; i < count; i++) {
        const float *centre =
            centres +
            (int64_t)((noise(&state) + 1) * 0.4999F * (float)centre_count) *
                dim;

        for (j = 0; j < dim; j++)
            rows[i * dim + j] = centre[j] + 0.4F * noise(&state);
        make_unit(rows + i * dim, dim);
    }
    mem_free(centres);
    return rows;
}

static double true_distance(const float *a, const float *b, int dim,
                            enum vecindex_metric metric)
{
    double inner = 0, square = 0, a2 = 0, b2 = 0;
    int i;

    for (i = 0; i < dim; i++) {
        double x = (double)a[i], y = (double)b[i];

        inner += x * y;
        square += (x - y) * (x - y);
        a2 += x * x;
        b2 += y * y;
    }
    if (metric == VECINDEX_L2)
        return square;
    return -(metric == VECINDEX_IP ? inner : inner / sqrt(a2 * b2));
}

static int by_distance(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void sample_nearest(const float *rows, int64_t count, int dim,
                    enum vecindex_metric metric, const float *query, int k,
                    int64_t *out)
{
    struct ranked *ranked = mem_new((size_t)count * sizeof *ranked);
    int64_t i;

    for (i = 0; i < count; i++)
        ranked[i] = (struct ranked){
            true_distance(query, rows + i * dim, dim, metric), i};
    qsort(ranked, (size_t)count, sizeof *ranked, by_distance);
    for (i = 0; i < k; i++)
        out[i] = ranked[i].id;
    mem_free(ranked);
}

double sample_recall(struct vecindex *index, const float *rows, int64_t count,
                     const float *queries, int query_count, int k)
{
    struct vecindex_hit *hits = mem_new((size_t)k * sizeof *hits);
    int64_t *wanted = mem_new((size_t)k * sizeof *wanted);
    struct vecindex_info info;
    int i, j, m, found = 0;

    vecindex_info(index, &info);
    for (i = 0; i < query_count; i++) {
        struct vecindex_query query = {
            .vector = queries + (int64_t)i * info.dim, .dim = info.dim, .k = k};
        struct err err = {0};
        bool is_exact;
        int hit_count = 0;

        CHECK_OK(
            vecindex_search(index, &query, hits, &hit_count, &is_exact, &err),
            err);
        CHECK_INT(hit_count, k);
        sample_nearest(rows, count, info.dim, info.metric, query.vector, k,
                       wanted);
        for (j = 0; j < k; j++)
            for (m = 0; m < k; m++)
                found += hits[j].id == wanted[m];
    }
    mem_free(hits);
    mem_free(wanted);
    return (double)found / k / query_count;
}

struct vecindex *sample_build(const float *rows, int64_t count, int dim,
                              const struct vecindex_options *options)
{
    struct vecindex *index = NULL;
    struct err err = {0};

    CHECK_OK(vecindex_build(rows, NULL, count, dim, options, &index, &err),
             err);
    return index;
}
