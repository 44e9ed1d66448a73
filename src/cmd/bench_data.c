/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "cmd/bench.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "vectors/npy.h"

enum { CLUSTERS_MAX = 500, ROWS_A_CLUSTER = 40 };

/* --- made up -------------------------------------------------------------- */

static double next_uniform(uint64_t *state)
{
    return ((double)(random_next(state) >> 11) + 0.5) * 0x1p-53;
}

/* Adds `size` times values of a normal distribution (Box and Muller 1958). */
static void add_normal(uint64_t *state, double size, float *out, int dim)
{
    const double turn = 6.283185307179586;
    int i;

    for (i = 0; i < dim; i += 2) {
        double radius = size * sqrt(-2 * log(next_uniform(state)));
        double angle = turn * next_uniform(state);

        out[i] += (float)(radius * cos(angle));
        if (i + 1 < dim)
            out[i + 1] += (float)(radius * sin(angle));
    }
}

static void normalise(float *row, int dim)
{
    double sum = 0;
    int i;

    for (i = 0; i < dim; i++)
        sum += (double)row[i] * row[i];
    for (i = 0; i < dim; i++)
        row[i] = (float)(row[i] / sqrt(sum));
}

/* A centre of unit length and noise with a length of 0.3, both then brought to
 * unit length: what embeddings of a class look like. */
static void make_row(const float *centres, int cluster_count, int dim,
                     uint64_t *state, float *out)
{
    size_t which = random_next(state) % (uint64_t)cluster_count;

    memcpy(out, centres + which * (size_t)dim, (size_t)dim * sizeof *out);
    add_normal(state, 0.3 / sqrt(dim), out, dim);
    normalise(out, dim);
}

static int make_up(const struct bench_wish *wish, struct bench_data *data,
                   struct err *err)
{
    int64_t i, all = (int64_t)wish->row_count + wish->query_count;
    size_t row_len = (size_t)wish->dim * sizeof(float);
    uint64_t state = (uint64_t)wish->seed;
    int clusters = wish->row_count / ROWS_A_CLUSTER;
    int64_t begin_us = clock_us();
    float *centres = NULL;

    clusters = clusters < 1 ? 1 : clusters;
    data->cluster_count = clusters > CLUSTERS_MAX ? CLUSTERS_MAX : clusters;
    data->count = wish->row_count;
    data->dim = wish->dim;
    centres = mem_try((size_t)data->cluster_count, row_len);
    data->rows = mem_try((size_t)wish->row_count, row_len);
    data->queries = mem_try((size_t)wish->query_count, row_len);
    if (centres == NULL || data->rows == NULL || data->queries == NULL) {
        mem_free(centres);
        return err_set(err, ERR_UNAVAILABLE,
                       "no memory for %lld vectors of %d values",
                       (long long)all, wish->dim);
    }
    for (i = 0; i < data->cluster_count; i++) {
        add_normal(&state, 1, centres + i * wish->dim, wish->dim);
        normalise(centres + i * wish->dim, wish->dim);
    }
    for (i = 0; i < all && !progress_is_stopped(); i++) {
        terminal_progress("vectors made up", i, all, begin_us);
        make_row(centres, data->cluster_count, wish->dim, &state,
                 i < data->count
                     ? data->rows + i * wish->dim
                     : data->queries + (i - data->count) * wish->dim);
    }
    terminal_progress_end();
    mem_free(centres);
    return progress_go_on(err);
}

/* --- read ----------------------------------------------------------------- */

/* Searches are for rows that are in it, from all over the file, as somebody
 * searches for a person who is enrolled. */
static int take_queries(const struct bench_wish *wish, struct bench_data *data,
                        struct err *err)
{
    size_t row_len = (size_t)data->dim * sizeof(float);
    int i;

    data->queries = mem_try((size_t)wish->query_count, row_len);
    if (data->queries == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d queries",
                       wish->query_count);
    for (i = 0; i < wish->query_count; i++) {
        int64_t place = data->count * i / wish->query_count;

        memcpy(data->queries + (size_t)i * (size_t)data->dim,
               data->rows + place * data->dim, row_len);
    }
    return 0;
}

static int read_rows(const struct bench_wish *wish, struct bench_data *data,
                     struct err *err)
{
    struct npy_matrix matrix = {0};
    int rc = npy_read_matrix(wish->embeddings, &matrix, err);

    if (rc)
        return rc;
    data->rows = matrix.rows;
    data->count = matrix.row_count;
    data->dim = matrix.dim;
    if (data->count == 0)
        return err_set(err, ERR_INVALID, "'%s' has no vectors",
                       wish->embeddings);
    if (wish->names != NULL)
        rc = names_read(wish->names, data->count, &data->names, err);
    return rc ? rc : take_queries(wish, data, err);
}

/* --- the truth ------------------------------------------------------------ */

static int find_limit(struct vecindex *index, struct bench_data *data, int i,
                      struct vecindex_hit *hits, struct err *err)
{
    struct vecindex_query query = {
        .vector = data->queries + (size_t)i * (size_t)data->dim,
        .dim = data->dim,
        .k = data->k,
        .is_exact = true,
    };
    bool is_exact;
    int count, rc;

    rc = vecindex_search(index, &query, hits, &count, &is_exact, err);
    if (rc == 0)
        data->limits[i] = hits[count - 1].distance;
    return rc;
}

/* Every row is looked at in float32. */
static int find_limits(struct bench_data *data, struct err *err)
{
    const struct vecindex_options options = {
        .type = VECINDEX_FLAT, .metric = data->metric, .is_lean = true};
    struct vecindex_hit *hits = mem_try((size_t)data->k, sizeof *hits);
    struct vecindex *index = NULL;
    int64_t begin_us = clock_us();
    int i, rc = 0;

    data->limits = mem_try((size_t)data->query_count, sizeof *data->limits);
    if (hits == NULL || data->limits == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for the neighbours");
    if (rc == 0)
        rc = vecindex_build(data->rows, NULL, data->count, data->dim, &options,
                            &index, err);
    for (i = 0; rc == 0 && i < data->query_count; i++) {
        terminal_progress("true neighbours found", i, data->query_count,
                          begin_us);
        rc = find_limit(index, data, i, hits, err);
        if (rc == 0)
            rc = progress_go_on(err);
    }
    terminal_progress_end();
    vecindex_free(index);
    mem_free(hits);
    return rc;
}

int bench_data_load(const struct bench_wish *wish, struct bench_data *out,
                    struct err *err)
{
    int rc;

    *out = (struct bench_data){.query_count = wish->query_count,
                               .metric = wish->metric};
    rc = wish->embeddings != NULL ? read_rows(wish, out, err)
                                  : make_up(wish, out, err);
    out->k = wish->k > out->count ? (int)out->count : wish->k;
    return rc ? rc : find_limits(out, err);
}

void bench_data_release(struct bench_data *data)
{
    mem_free(data->rows);
    mem_free(data->queries);
    mem_free(data->limits);
    names_release(&data->names);
    *data = (struct bench_data){0};
}
