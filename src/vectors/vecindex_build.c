/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and building: rows from a file or the caller, then whatever is over
 * them. An index that is not as the options want it is taken apart to its rows
 * and ids, and built again. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "vectors/blocks.h"
#include "vectors/codes.h"
#include "vectors/hnsw.h"
#include "vectors/infile.h"
#include "vectors/npy.h"
#include "vectors/parallel.h"
#include "vectors/vecindex_parts.h"

/* Fewer rows are as quickly looked at whole. */
enum { QUICK_COUNT_MIN = 1000 };

enum {
    LINKS = 16,
    EF_CONSTRUCTION = 200,
    EF_SEARCH = 64,
    NPROBE = 10,
    LIST_LEN_MIN = 32, /* rows of a list on average */
};

static const float square_max = 1e37F;
static const float square_min = 1e-30F;

/* How far from 1 the square of a unit row may be, by its own rounding. */
static const float unit_slack = 1e-4F;

/* --- options -------------------------------------------------------------- */

static int check_range(const char *name, int value, int max, struct err *err)
{
    if (value < 0 || value > max)
        return err_set(err, ERR_INVALID,
                       "%s is %d; it must be 1..%d, or 0 for the default", name,
                       value, max);
    return 0;
}

static int check_options(const struct vecindex_options *options,
                         struct err *err)
{
    int rc = check_range("nlist", options->nlist, VECINDEX_NLIST_MAX, err);

    if (rc == 0)
        rc = check_range("nprobe", options->nprobe, VECINDEX_NPROBE_MAX, err);
    if (rc == 0)
        rc = check_range("M", options->links, VECINDEX_LINKS_MAX, err);
    if (rc == 0)
        rc = check_range("efConstruction", options->ef_construction,
                         VECINDEX_EF_MAX, err);
    if (rc == 0)
        rc = check_range("efSearch", options->ef_search, VECINDEX_EF_MAX, err);
    if (rc == 0)
        rc = check_range("threads", options->thread_count, VECINDEX_THREADS_MAX,
                         err);
    return rc;
}

static int or_default(int value, int otherwise)
{
    return value > 0 ? value : otherwise;
}

/* Fills in what is 0, for so many rows. */
static struct vecindex_options complete(const struct vecindex_options *options,
                                        int64_t count)
{
    struct vecindex_options full = *options;
    int64_t lists = (int64_t)(4 * sqrt((double)count));

    if (lists > count / LIST_LEN_MIN)
        lists = count / LIST_LEN_MIN;
    if (lists > VECINDEX_NLIST_MAX)
        lists = VECINDEX_NLIST_MAX;
    if (full.type == VECINDEX_ANY || full.type == VECINDEX_AUTO)
        full.type = count <= VECINDEX_FLAT_MAX ? VECINDEX_FLAT : VECINDEX_HNSW;
    if (full.metric == VECINDEX_METRIC_ANY)
        full.metric = VECINDEX_L2;
    full.nlist = or_default(full.nlist, lists < 1 ? 1 : (int)lists);
    full.nprobe = or_default(full.nprobe, NPROBE);
    full.links = or_default(full.links, LINKS);
    full.ef_construction = or_default(full.ef_construction, EF_CONSTRUCTION);
    full.ef_search = or_default(full.ef_search, EF_SEARCH);
    full.thread_count = parallel_threads(full.thread_count);
    full.seed = full.seed == 0 ? 1 : full.seed;
    return full;
}

static enum faiss_metric inner_metric(enum vecindex_metric metric)
{
    return metric == VECINDEX_L2 ? FAISS_L2 : FAISS_INNER;
}

/* --- rows ----------------------------------------------------------------- */

static int check_row(const struct vecindex *index, int64_t place, float *square,
                     struct err *err)
{
    const float *row = vecindex_place(index, place);

    index->kernels->inner(row, &row, 1, index->data.dim, square);
    if (!(*square <= square_max))
        return err_set(err, ERR_INVALID,
                       "row %" PRId64
                       " has NaN, an infinity or a length over 3e18",
                       place);
    return 0;
}

/* *out_is_unit: every row has the length 1. */
static int check_rows(const struct vecindex *index, bool *out_is_unit,
                      struct err *err)
{
    bool is_unit = true;
    float square = 0;
    int64_t i;
    int rc;

    for (i = 0; i < index->data.count; i++) {
        rc = check_row(index, i, &square, err);
        if (rc)
            return rc;
        is_unit = is_unit && fabsf(square - 1) <= unit_slack;
    }
    *out_is_unit = is_unit;
    return 0;
}

static int check_centroids(const struct vecindex *index, struct err *err)
{
    const struct faiss_ivf *ivf = &index->data.ivf;
    int64_t i;

    for (i = 0; i < ivf->list_count; i++) {
        const float *row = ivf->centroids + i * index->data.dim;
        float square;

        index->kernels->inner(row, &row, 1, index->data.dim, &square);
        if (!(square <= square_max))
            return err_set(
                err, ERR_INVALID,
                "the centroid of list %" PRId64 " has a length over 3e18", i);
    }
    return 0;
}

/* Rows of this process, that may be changed. */
static int own_rows(struct faiss_index *data, struct err *err)
{
    size_t value_count = (size_t)data->count * (size_t)data->dim;
    float *rows;

    assert(data->rows != NULL || data->count == 0);
    if (data->row_block != NULL)
        return 0;
    rows = mem_try_aligned(value_count, sizeof *rows);
    if (rows == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %" PRId64 " rows",
                       data->count);
    if (data->count > 0)
        memcpy(rows, data->rows, value_count * sizeof *rows);
    data->row_block = rows;
    data->rows = rows;
    return 0;
}

static int make_unit_rows(struct vecindex *index, struct err *err)
{
    struct faiss_index *data = &index->data;
    float square = 0;
    int64_t i;
    int j, rc = own_rows(data, err);

    for (i = 0; rc == 0 && i < data->count; i++) {
        float *row = data->row_block + i * data->dim;

        rc = check_row(index, i, &square, err);
        if (rc == 0 && square < square_min)
            rc = err_set(err, ERR_INVALID,
                         "row %" PRId64 " is all zeros, which has no direction",
                         i);
        for (j = 0; rc == 0 && j < data->dim; j++)
            row[j] = (float)((double)row[j] / sqrt((double)square));
    }
    return rc;
}

/* --- ids ------------------------------------------------------------------ */

static int by_id(const void *a, const void *b)
{
    const struct id_place *x = a, *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Makes by_id, unless the id is the place. */
static int sort_ids(struct vecindex *index, struct err *err)
{
    int64_t count = index->data.count, i;
    struct id_place *sorted;

    if (index->data.kind != FAISS_IVF_FLAT && index->data.ids == NULL)
        return 0;
    sorted = mem_try((size_t)count, sizeof *sorted);
    if (sorted == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %" PRId64 " ids",
                       count);
    for (i = 0; i < count; i++)
        sorted[i] = (struct id_place){vecindex_id(index, i), i};
    qsort(sorted, (size_t)count, sizeof *sorted, by_id);
    index->by_id = sorted;
    for (i = 0; i < count; i++)
        index->has_ids = index->has_ids || sorted[i].id != i;
    return 0;
}

static int sum_lists(struct vecindex *index, struct err *err)
{
    const struct faiss_ivf *ivf = &index->data.ivf;
    int64_t i;

    index->list_begins =
        mem_try((size_t)ivf->list_count + 1, sizeof *index->list_begins);
    if (index->list_begins == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for lists");
    for (i = 0; i < ivf->list_count; i++)
        index->list_begins[i + 1] = index->list_begins[i] + ivf->lists[i].count;
    return 0;
}

/* The ids of an IDMap around lists go into the lists. */
static void spread_ids(struct faiss_index *data)
{
    int64_t i, j;

    if (data->ids == NULL)
        return;
    for (i = 0; i < data->ivf.list_count; i++)
        for (j = 0; j < data->ivf.lists[i].count; j++)
            data->ivf.lists[i].ids[j] = data->ids[data->ivf.lists[i].ids[j]];
    mem_free(data->ids);
    data->ids = NULL;
    data->is_id_map2 = false;
}

/* --- from rows to an index ------------------------------------------------ */

/* What a search needs beside data. */
static int finish(struct vecindex *index,
                  const struct vecindex_options *options, struct err *err)
{
    struct faiss_index *data = &index->data;
    int rc = 0;

    switch (data->kind) {
    case FAISS_FLAT:
        index->type = VECINDEX_FLAT;
        break;
    case FAISS_IVF_FLAT:
        index->type = VECINDEX_IVFFLAT;
        index->nprobe = or_default(options->nprobe, (int)data->ivf.nprobe);
        data->ivf.nprobe = index->nprobe;
        spread_ids(data);
        rc = sum_lists(index, err);
        break;
    case FAISS_HNSW_FLAT:
        index->type = VECINDEX_HNSW;
        index->ef_search =
            or_default(options->ef_search, data->graph.ef_search);
        data->graph.ef_search = index->ef_search;
        break;
    }
    return rc ? rc : sort_ids(index, err);
}

enum { ADD_LEN = 1024 }; /* rows that are told to codes_add at once */

static int add_rows(const struct faiss_index *data, struct codes *codes,
                    struct err *err)
{
    const float *rows[ADD_LEN];
    int64_t done = 0, part;
    int rc = 0;

    while (rc == 0 && done < data->count) {
        for (part = 0; part < ADD_LEN && done < data->count; part++)
            rows[part] = data->rows + done++ * data->dim;
        rc = codes_add(codes, rows, part, err);
    }
    return rc;
}

/* What makes exact searches quick, and the graph, once the rows are those to
 * stay. */
static int make_quick(struct vecindex *index,
                      const struct vecindex_options *options, struct err *err)
{
    struct faiss_index *data = &index->data;
    const struct codes_options wanted = {
        .dim = data->dim,
        .metric = data->metric == FAISS_L2 ? VECINDEX_L2 : VECINDEX_IP,
        .storage = options->is_lean ? VEC_FLOAT32 : VEC_INT8,
        .ids = data->ids};
    int rc;

    if (index->type == VECINDEX_IVFFLAT)
        return ivf_finish(index, options->is_lean, err);
    if (index->type == VECINDEX_FLAT &&
        (options->is_lean || data->count < QUICK_COUNT_MIN))
        return 0;
    rc = codes_new(&wanted, &index->quick, err);
    if (rc == 0)
        rc = add_rows(data, index->quick, err);
    if (rc == 0 && index->type == VECINDEX_HNSW)
        rc = hnsw_new(index->quick, &data->graph, options, &index->hnsw, err);
    faiss_graph_release(&data->graph);
    return rc;
}

/* The graph itself is made when the rows are those to stay. */
static int describe_graph(struct vecindex *index,
                          const struct vecindex_options *full, struct err *err)
{
    struct faiss_index *data = &index->data;

    if (data->count > BLOCKS_ROWS_MAX)
        return err_set(err, ERR_INVALID,
                       "%" PRId64 " rows; a graph has at most %" PRId64,
                       data->count, (int64_t)BLOCKS_ROWS_MAX);
    hnsw_describe(full, &data->graph);
    data->kind = FAISS_HNSW_FLAT;
    return 0;
}

/* data is Flat; full options. */
static int build_over(struct vecindex *index,
                      const struct vecindex_options *full, struct err *err)
{
    bool is_unit = false;
    int rc;

    index->metric = full->metric;
    index->data.metric = inner_metric(full->metric);
    rc = check_rows(index, &is_unit, err);
    if (rc == 0 && full->metric == VECINDEX_COSINE && !is_unit)
        rc = make_unit_rows(index, err);
    if (rc == 0 && full->type == VECINDEX_IVFFLAT)
        rc = ivf_build(index, full, err);
    if (rc == 0 && full->type == VECINDEX_HNSW)
        rc = describe_graph(index, full, err);
    if (rc == 0 && index->data.row_block != NULL && index->data.map.len > 0) {
        munmap((void *)(uintptr_t)index->data.map.data, index->data.map.len);
        index->data.map = (struct bytes){0};
    }
    if (rc == 0)
        rc = finish(index, full, err);
    return rc ? rc : make_quick(index, full, err);
}

static struct vecindex *index_new(void)
{
    struct vecindex *index = mem_new(sizeof *index);

    index->kernels = dot_best();
    return index;
}

static int check_shape(const int64_t *ids, int64_t count, int dim,
                       struct err *err)
{
    int64_t i;

    if (dim < 1 || dim > VECINDEX_DIM_MAX)
        return err_set(err, ERR_INVALID,
                       "rows have %d values; they must have 1..%d", dim,
                       VECINDEX_DIM_MAX);
    for (i = 0; ids != NULL && i < count; i++)
        if (ids[i] == -1)
            return err_set(err, ERR_INVALID,
                           "the id of row %" PRId64 " is -1, which is none", i);
    return 0;
}

int vecindex_build(const float *rows, const int64_t *ids, int64_t count,
                   int dim, const struct vecindex_options *options,
                   struct vecindex **out, struct err *err)
{
    struct vecindex_options full;
    struct vecindex *index = NULL;
    int rc = check_options(options, err);

    if (rc == 0)
        rc = check_shape(ids, count, dim, err);
    if (rc)
        return rc;
    full = complete(options, count);
    index = index_new();
    index->data =
        (struct faiss_index){.dim = dim, .count = count, .rows = rows};
    rc = own_rows(&index->data, err);
    if (rc == 0 && ids != NULL) {
        index->data.ids = mem_try((size_t)count, sizeof *ids);
        index->data.is_id_map2 = true;
        if (index->data.ids == NULL)
            rc = err_set(err, ERR_UNAVAILABLE, "no memory for %" PRId64 " ids",
                         count);
        else if (count > 0)
            memcpy(index->data.ids, ids, (size_t)count * sizeof *ids);
    }
    if (rc == 0)
        rc = build_over(index, &full, err);
    if (rc) {
        vecindex_free(index);
        return rc;
    }
    *out = index;
    return 0;
}

/* --- opening -------------------------------------------------------------- */

/* Takes lists apart: rows in the order of their ids. */
static int gather_lists(struct vecindex *index, struct err *err)
{
    struct faiss_index *data = &index->data;
    struct faiss_index flat = {
        .metric = data->metric, .dim = data->dim, .count = data->count};
    bool is_plain = true;
    int64_t i;

    flat.row_block = mem_try_aligned((size_t)flat.count * (size_t)flat.dim,
                                     sizeof *flat.row_block);
    flat.ids = mem_try((size_t)flat.count, sizeof *flat.ids);
    flat.rows = flat.row_block;
    if (flat.row_block == NULL || flat.ids == NULL) {
        faiss_index_release(&flat);
        return err_set(err, ERR_UNAVAILABLE, "no memory for %" PRId64 " rows",
                       data->count);
    }
    for (i = 0; i < flat.count; i++) {
        flat.ids[i] = index->by_id[i].id;
        is_plain = is_plain && flat.ids[i] == i;
        memcpy(flat.row_block + i * flat.dim,
               vecindex_place(index, index->by_id[i].place),
               (size_t)flat.dim * sizeof(float));
    }
    if (is_plain) {
        mem_free(flat.ids);
        flat.ids = NULL;
    }
    faiss_index_release(data);
    *data = flat;
    return 0;
}

/* Takes the index apart to rows and ids. */
static int strip(struct vecindex *index, struct err *err)
{
    struct faiss_index *data = &index->data;
    int rc = 0;

    if (data->kind == FAISS_IVF_FLAT)
        rc = gather_lists(index, err);
    if (rc)
        return rc;
    faiss_graph_release(&data->graph);
    data->graph = (struct faiss_graph){0};
    data->kind = FAISS_FLAT;
    mem_free(index->list_begins);
    index->list_begins = NULL;
    mem_free(index->by_id);
    index->by_id = NULL;
    index->has_ids = false;
    return 0;
}

/* Whether the index as it was read is what the options ask for. */
static bool is_wanted(const struct vecindex *index,
                      const struct vecindex_options *options, bool is_unit)
{
    struct vecindex_options full = complete(options, index->data.count);

    if (options->type != VECINDEX_ANY && full.type != index->type)
        return false;
    if (options->metric == VECINDEX_METRIC_ANY)
        return true;
    return inner_metric(options->metric) == index->data.metric &&
           (options->metric != VECINDEX_COSINE || is_unit);
}

/* Another type or metric than the file's; what is not said stays. */
static int rebuild(struct vecindex *index,
                   const struct vecindex_options *options, struct err *err)
{
    struct vecindex_options full = complete(options, index->data.count);
    int rc = strip(index, err);

    if (options->type == VECINDEX_ANY)
        full.type = index->type;
    if (options->metric == VECINDEX_METRIC_ANY)
        full.metric = index->metric;
    return rc ? rc : build_over(index, &full, err);
}

static int open_faiss(const char *path, const struct vecindex_options *options,
                      struct vecindex **out, struct err *err)
{
    struct vecindex *index = index_new();
    bool is_unit = false;
    int rc = faiss_file_read(path, options->is_mapped, &index->data, err);

    if (rc)
        goto out;
    index->metric = index->data.metric == FAISS_L2 ? VECINDEX_L2 : VECINDEX_IP;
    rc = finish(index, options, err);
    if (rc == 0)
        rc = check_rows(index, &is_unit, err);
    if (rc == 0)
        rc = check_centroids(index, err);
    if (rc == 0)
        rc = is_wanted(index, options, is_unit)
                 ? make_quick(index, options, err)
                 : rebuild(index, options, err);
    if (rc) {
        err_wrap(err, "'%s'", path);
        goto out;
    }
    if (options->metric == VECINDEX_COSINE)
        index->metric = VECINDEX_COSINE;
    *out = index;
    index = NULL;
out:
    vecindex_free(index);
    return rc;
}

static int open_npy(const char *path, const struct vecindex_options *options,
                    struct vecindex **out, struct err *err)
{
    struct npy_matrix matrix = {0};
    struct vecindex_options full;
    struct vecindex *index;
    int rc = npy_read_matrix(path, &matrix, err);

    if (rc)
        return rc;
    full = complete(options, matrix.row_count);
    index = index_new();
    index->data = (struct faiss_index){.dim = matrix.dim,
                                       .count = matrix.row_count,
                                       .rows = matrix.rows,
                                       .row_block = matrix.rows};
    rc = build_over(index, &full, err);
    if (rc) {
        vecindex_free(index);
        return err_wrap(err, "'%s'", path);
    }
    *out = index;
    return 0;
}

int vecindex_open(const char *path, const struct vecindex_options *options,
                  struct vecindex **out, struct err *err)
{
    static const uint8_t npy[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    uint8_t start[sizeof npy] = {0};
    struct infile file = {.fd = -1};
    int rc = check_options(options, err);

    if (rc == 0)
        rc = infile_open(path, &file, err);
    if (rc)
        return rc;
    if (file.len >= sizeof start)
        infile_read(&file, start, sizeof start);
    infile_close(&file);
    if (memcmp(start, npy, sizeof npy) == 0)
        return open_npy(path, options, out, err);
    return open_faiss(path, options, out, err);
}
