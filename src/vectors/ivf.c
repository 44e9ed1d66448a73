/* SPDX-License-Identifier: Apache-2.0 */
/* Searching lists: the nearest centroids, by the file's metric, say which; the
 * rest is that of lists.h. A row's slot is its place. */
#include <limits.h>
#include <math.h>

#include "base/mem.h"
#include "vectors/vecindex_parts.h"

/* Told to codes, row by row, in the order of places. */
static int add_rows(const struct faiss_index *data, struct codes *codes,
                    struct err *err)
{
    enum { RUN = 1024 };
    const float *rows[RUN];
    int64_t list, done, part;
    int rc = 0;

    for (list = 0; rc == 0 && list < data->ivf.list_count; list++) {
        const struct faiss_list *from = &data->ivf.lists[list];

        for (done = 0; rc == 0 && done < from->count; done += part) {
            for (part = 0; part < RUN && done + part < from->count; part++)
                rows[part] = from->rows + (done + part) * data->dim;
            rc = codes_add(codes, rows, part, err);
        }
    }
    return rc;
}

int ivf_finish(struct vecindex *index, bool is_lean, struct err *err)
{
    const struct faiss_index *data = &index->data;
    struct codes_options wanted = {
        .dim = data->dim,
        .metric = data->metric == FAISS_L2 ? VECINDEX_L2 : VECINDEX_IP,
        .storage = is_lean ? VEC_FLOAT32 : VEC_INT8};
    int64_t i;
    int rc;

    if (data->count == 0)
        return 0;
    if (data->count > BLOCKS_ROWS_MAX || data->ivf.list_count > INT_MAX)
        return err_set(err, ERR_INVALID,
                       "%lld rows in %lld lists; there are at most %lld in %d",
                       (long long)data->count, (long long)data->ivf.list_count,
                       (long long)BLOCKS_ROWS_MAX, INT_MAX);
    index->list_ids = mem_try((size_t)data->count, sizeof *index->list_ids);
    if (index->list_ids == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld ids",
                       (long long)data->count);
    for (i = 0; i < data->count; i++)
        index->list_ids[i] = vecindex_id(index, i);
    wanted.ids = index->list_ids;
    rc = codes_new(&wanted, &index->quick, err);
    if (rc == 0)
        rc = add_rows(data, index->quick, err);
    return rc ? rc
              : lists_adopt(index->quick, data->ivf.centroids,
                            (int)data->ivf.list_count, index->list_begins,
                            &index->lists, err);
}

/* Of all centroids. */
static void measure_lists(const struct vecindex_scan *scan, float *out)
{
    const struct faiss_ivf *ivf = &scan->index->data.ivf;
    const float *rows[VECINDEX_RUN_LEN];
    int dim = scan->index->data.dim, i, part;
    int64_t done;

    for (done = 0; done < ivf->list_count; done += part) {
        part = ivf->list_count - done < VECINDEX_RUN_LEN
                   ? (int)(ivf->list_count - done)
                   : VECINDEX_RUN_LEN;
        for (i = 0; i < part; i++)
            rows[i] = ivf->centroids + (done + i) * dim;
        vecindex_distances(scan->index->kernels, ivf->metric, scan->query, rows,
                           part, dim, out + done);
    }
}

int ivf_search(const struct vecindex_scan *scan, int nprobe, bool *out_is_exact,
               struct err *err)
{
    const struct vecindex *index = scan->index;
    float *distances =
        mem_try((size_t)index->data.ivf.list_count, sizeof *distances);
    struct codes_query *query = NULL;
    int rc;

    if (distances == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to search %lld lists",
                       (long long)index->data.ivf.list_count);
    rc = codes_query_new(index->quick, scan->query, &query, err);
    if (rc == 0) {
        const struct lists_query asked = {.query = query,
                                          .nprobe = nprobe,
                                          .end = index->data.count,
                                          .distances = distances,
                                          .limit = INFINITY};

        measure_lists(scan, distances);
        rc = lists_search(index->lists, &asked, scan->nearest, out_is_exact,
                          err);
    }
    codes_query_free(query);
    mem_free(distances);
    return rc;
}
