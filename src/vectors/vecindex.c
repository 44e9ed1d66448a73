/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/vecindex.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "vectors/codes.h"
#include "vectors/hnsw.h"
#include "vectors/vecindex_parts.h"

/* Squares and products of two rows as long as this cannot overflow, with room
 * to spare; NaN and infinities are not below it. The direction of a row
 * shorter than the other limit would be all rounding. */
static const float square_max = 1e37F;
static const float square_min = 1e-30F;

/* When more than one row in so many is wanted, nothing is ruled out. */
enum { QUICK_PART = 8 };

static const char *const type_names[] = {
    [VECINDEX_ANY] = "any",   [VECINDEX_AUTO] = "auto",
    [VECINDEX_FLAT] = "Flat", [VECINDEX_IVFFLAT] = "IVFFlat",
    [VECINDEX_HNSW] = "HNSW",
};

static const char *const metric_names[] = {
    [VECINDEX_METRIC_ANY] = "any",
    [VECINDEX_L2] = "L2",
    [VECINDEX_IP] = "IP",
    [VECINDEX_COSINE] = "cosine",
};

const char *vecindex_type_name(enum vecindex_type type)
{
    return type_names[type];
}

const char *vecindex_metric_name(enum vecindex_metric metric)
{
    return metric_names[metric];
}

int vecindex_type_parse(const char *text, enum vecindex_type *out,
                        struct err *err)
{
    int type;

    for (type = VECINDEX_AUTO; type <= VECINDEX_HNSW; type++)
        if (strcasecmp(text, type_names[type]) == 0) {
            *out = (enum vecindex_type)type;
            return 0;
        }
    if (strcasecmp(text, "ivf") == 0) {
        *out = VECINDEX_IVFFLAT;
        return 0;
    }
    return err_set(err, ERR_INVALID,
                   "index type '%.40s' is not known; it is Flat, IVFFlat, HNSW "
                   "or auto",
                   text);
}

int vecindex_metric_parse(const char *text, enum vecindex_metric *out,
                          struct err *err)
{
    int metric;

    for (metric = VECINDEX_L2; metric <= VECINDEX_COSINE; metric++)
        if (strcasecmp(text, metric_names[metric]) == 0) {
            *out = (enum vecindex_metric)metric;
            return 0;
        }
    return err_set(err, ERR_INVALID,
                   "metric '%.40s' is not known; it is L2, IP or cosine", text);
}

/* --- rows and distances --------------------------------------------------- */

void vecindex_distances(const struct dot_kernels *kernels,
                        enum faiss_metric metric, const float *query,
                        const float *const *rows, int count, int dim,
                        float *out)
{
    int i;

    if (metric == FAISS_L2) {
        kernels->square(query, rows, count, dim, out);
        return;
    }
    kernels->inner(query, rows, count, dim, out);
    for (i = 0; i < count; i++)
        out[i] = -out[i];
}

void vecindex_scan_rows(const struct vecindex_scan *scan, const float *rows,
                        const int64_t *ids, int64_t first_id, int64_t count)
{
    const struct faiss_index *data = &scan->index->data;
    const float *places[VECINDEX_RUN_LEN];
    float distances[VECINDEX_RUN_LEN];
    int64_t done;
    int i, part;

    for (done = 0; done < count; done += part) {
        part = count - done < VECINDEX_RUN_LEN ? (int)(count - done)
                                               : VECINDEX_RUN_LEN;
        for (i = 0; i < part; i++)
            places[i] = rows + (done + i) * data->dim;
        vecindex_distances(scan->index->kernels, data->metric, scan->query,
                           places, part, data->dim, distances);
        for (i = 0; i < part; i++)
            nearest_offer(scan->nearest,
                          &(struct near){distances[i], ids == NULL
                                                           ? first_id + done + i
                                                           : ids[done + i]});
    }
}

/* The list of IVFFlat that holds a place. */
static int64_t list_of(const struct vecindex *index, int64_t place)
{
    int64_t low = 0, high = index->data.ivf.list_count;

    while (high - low > 1) {
        int64_t middle = (low + high) / 2;

        if (index->list_begins[middle] <= place)
            low = middle;
        else
            high = middle;
    }
    return low;
}

const float *vecindex_place(const struct vecindex *index, int64_t place)
{
    const struct faiss_index *data = &index->data;
    int64_t list;

    if (data->kind != FAISS_IVF_FLAT)
        return data->rows + place * data->dim;
    list = list_of(index, place);
    return data->ivf.lists[list].rows +
           (place - index->list_begins[list]) * data->dim;
}

int64_t vecindex_id(const struct vecindex *index, int64_t place)
{
    const struct faiss_index *data = &index->data;
    int64_t list;

    if (data->kind != FAISS_IVF_FLAT)
        return data->ids == NULL ? place : data->ids[place];
    list = list_of(index, place);
    return data->ivf.lists[list].ids[place - index->list_begins[list]];
}

static float square_of(const struct vecindex *index, const float *row)
{
    float square;

    index->kernels->inner(row, &row, 1, index->data.dim, &square);
    return square;
}

/* --- searching ------------------------------------------------------------ */

static int check_range(const char *name, int value, int max, struct err *err)
{
    if (value < 1 || value > max)
        return err_set(err, ERR_INVALID, "%s is %d; it must be 1..%d", name,
                       value, max);
    return 0;
}

static int check_query(const struct vecindex *index,
                       const struct vecindex_query *query, struct err *err)
{
    float square;
    int rc;

    if (query->dim != index->data.dim)
        return err_set(err, ERR_INVALID,
                       "the query has %d values; the index has %d", query->dim,
                       index->data.dim);
    rc = check_range("k", query->k, VECINDEX_K_MAX, err);
    if (rc == 0 && query->nprobe != 0)
        rc = check_range("nprobe", query->nprobe, VECINDEX_NPROBE_MAX, err);
    if (rc == 0 && query->ef_search != 0)
        rc = check_range("ef_search", query->ef_search, VECINDEX_EF_MAX, err);
    if (rc)
        return rc;
    square = square_of(index, query->vector);
    if (!(square <= square_max))
        return err_set(err, ERR_INVALID,
                       "the query has NaN, an infinity or a length over 3e18");
    if (index->metric == VECINDEX_COSINE && square < square_min)
        return err_set(err, ERR_INVALID,
                       "the query is all zeros, which has no direction");
    return 0;
}

static void scan_all(const struct vecindex_scan *scan)
{
    const struct faiss_index *data = &scan->index->data;

    vecindex_scan_rows(scan, data->rows, data->ids, 0, data->count);
}

/* Every row that the copy in int8 does not rule out. */
static int scan_quick(const struct vecindex_scan *scan, struct err *err)
{
    const struct codes *quick = scan->index->quick;
    struct codes_query *query = NULL;
    int rc = codes_query_new(quick, scan->query, &query, err);

    if (rc == 0)
        rc = codes_scan(quick, query, 0, codes_count(quick), NULL, INFINITY, 1,
                        scan->nearest, err);
    codes_query_free(query);
    return rc;
}

static int scan_graph(const struct vecindex_scan *scan, int ef,
                      bool *out_is_exact, struct err *err)
{
    const struct faiss_index *data = &scan->index->data;
    struct nearest *nearest = scan->nearest;
    int64_t count = 0;
    int rc =
        hnsw_search(scan->index->hnsw, scan->query,
                    ef > nearest->k ? ef : nearest->k, nearest, &count, err);

    if (rc)
        return rc;
    *out_is_exact = count == data->count;
    if (count < nearest->k && count < data->count) {
        nearest->count = 0;
        scan_all(scan);
        *out_is_exact = true;
    }
    return 0;
}

static int scan_type(const struct vecindex_scan *scan,
                     const struct vecindex_query *query, bool *out_is_exact,
                     struct err *err)
{
    const struct vecindex *index = scan->index;

    if (index->type == VECINDEX_IVFFLAT) {
        int nprobe = query->nprobe > 0 ? query->nprobe : index->nprobe;

        return ivf_search(scan, query->is_exact ? VECINDEX_NPROBE_MAX : nprobe,
                          out_is_exact, err);
    }
    if (index->type == VECINDEX_HNSW && !query->is_exact)
        return scan_graph(
            scan, query->ef_search > 0 ? query->ef_search : index->ef_search,
            out_is_exact, err);
    *out_is_exact = true;
    if (index->quick != NULL &&
        scan->nearest->k <= index->data.count / QUICK_PART)
        return scan_quick(scan, err);
    scan_all(scan);
    return 0;
}

/* The query at unit length. */
static int make_direction(const struct vecindex *index, const float *query,
                          float **out, struct err *err)
{
    float scale = 1 / sqrtf(square_of(index, query));
    float *unit = mem_try((size_t)index->data.dim, sizeof *unit);
    int i;

    if (unit == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a query");
    for (i = 0; i < index->data.dim; i++)
        unit[i] = query[i] * scale;
    *out = unit;
    return 0;
}

int vecindex_search(struct vecindex *index, const struct vecindex_query *query,
                    struct vecindex_hit *out, int *out_count,
                    bool *out_is_exact, struct err *err)
{
    struct nearest nearest = {0};
    struct vecindex_scan scan = {index, query->vector, &nearest};
    float *unit = NULL;
    bool is_exact = true;
    int i, rc = check_query(index, query, err);

    if (rc)
        return rc;
    nearest.k =
        query->k < index->data.count ? query->k : (int)index->data.count;
    nearest.hits = mem_try((size_t)nearest.k, sizeof *nearest.hits);
    if (nearest.hits == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %d hits", query->k);
    if (rc == 0 && index->metric == VECINDEX_COSINE) {
        rc = make_direction(index, query->vector, &unit, err);
        scan.query = unit;
    }
    if (rc == 0 && nearest.k > 0)
        rc = scan_type(&scan, query, &is_exact, err);
    if (rc == 0) {
        nearest_sort(&nearest);
        for (i = 0; i < nearest.count; i++)
            out[i] = (struct vecindex_hit){index->data.metric == FAISS_L2
                                               ? nearest.hits[i].distance
                                               : -nearest.hits[i].distance,
                                           nearest.hits[i].id};
        *out_count = nearest.count;
        *out_is_exact = is_exact;
    }
    mem_free(unit);
    mem_free(nearest.hits);
    return rc;
}

int vecindex_row(struct vecindex *index, int64_t id, float *out,
                 struct err *err)
{
    int64_t low = 0, high = index->data.count, place = id;

    if (index->by_id != NULL) {
        while (low < high) {
            int64_t middle = (low + high) / 2;

            if (index->by_id[middle].id < id)
                low = middle + 1;
            else
                high = middle;
        }
        place = low < index->data.count && index->by_id[low].id == id
                    ? index->by_id[low].place
                    : -1;
    }
    if (place < 0 || place >= index->data.count)
        return err_set(err, ERR_NOT_FOUND, "there is no entry with id %" PRId64,
                       id);
    memcpy(out, vecindex_place(index, place),
           (size_t)index->data.dim * sizeof *out);
    return 0;
}

/* --- about an index ------------------------------------------------------- */

static int64_t memory_len(const struct vecindex *index)
{
    const struct faiss_index *data = &index->data;
    int64_t count = data->count, len = (int64_t)sizeof *index;

    if (data->row_block != NULL)
        len += count * data->dim * 4;
    if (data->ids != NULL)
        len += count * 8;
    if (index->quick != NULL)
        len += codes_memory(index->quick);
    if (index->lists != NULL)
        len += lists_memory(index->lists) + count * 8;
    if (index->by_id != NULL)
        len += count * (int64_t)sizeof *index->by_id;
    if (data->kind == FAISS_IVF_FLAT)
        len += count * 8 +
               data->ivf.list_count *
                   (data->dim * 4 + 8 + (int64_t)sizeof *data->ivf.lists);
    if (index->hnsw != NULL)
        len += hnsw_memory(index->hnsw);
    return len;
}

void vecindex_info(struct vecindex *index, struct vecindex_info *out)
{
    const struct faiss_index *data = &index->data;
    bool is_graph = index->type == VECINDEX_HNSW;
    bool is_lists = index->type == VECINDEX_IVFFLAT;

    *out = (struct vecindex_info){
        .type = index->type,
        .type_name = type_names[index->type],
        .metric = index->metric,
        .metric_name = metric_names[index->metric],
        .count = data->count,
        .dim = data->dim,
        .is_exact = index->type == VECINDEX_FLAT,
        .has_ids = index->has_ids,
        .nlist = is_lists ? (int)data->ivf.list_count : 0,
        .nprobe = is_lists ? index->nprobe : 0,
        .links = is_graph ? data->graph.starts[1] / 2 : 0,
        .ef_construction = is_graph ? data->graph.ef_construction : 0,
        .ef_search = is_graph ? index->ef_search : 0,
        .memory_len = memory_len(index),
        .mapped_len = (int64_t)data->map.len,
        .kernels = index->kernels->name,
    };
}

int vecindex_save_faiss(struct vecindex *index, const char *path,
                        struct err *err)
{
    if (index->hnsw != NULL)
        return hnsw_write(index->hnsw, path, &index->data, err);
    return faiss_file_write(path, &index->data, err);
}

void vecindex_free(struct vecindex *index)
{
    if (index == NULL)
        return;
    hnsw_free(index->hnsw);
    faiss_index_release(&index->data);
    lists_free(index->lists);
    codes_free(index->quick);
    mem_free(index->list_ids);
    mem_free(index->list_begins);
    mem_free(index->by_id);
    mem_free(index);
}
