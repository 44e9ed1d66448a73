/* SPDX-License-Identifier: Apache-2.0 */
/* Searching lists: the nearest centroids say which. When their lists come out
 * short of k, twice as many are asked for, until enough rows were seen or all
 * were. */
#include "base/mem.h"
#include "vectors/vecindex_parts.h"

/* The `width` nearest lists, nearest first, ties by number. */
static void find_lists(const struct vecindex_scan *scan, int64_t width,
                       struct near *out)
{
    const struct faiss_ivf *ivf = &scan->index->data.ivf;
    struct nearest nearest = {.hits = out, .k = (int)width};
    const float *rows[VECINDEX_RUN_LEN];
    float distances[VECINDEX_RUN_LEN];
    int dim = scan->index->data.dim, i, part;
    int64_t done;

    for (done = 0; done < ivf->list_count; done += part) {
        part = ivf->list_count - done < VECINDEX_RUN_LEN
                   ? (int)(ivf->list_count - done)
                   : VECINDEX_RUN_LEN;
        for (i = 0; i < part; i++)
            rows[i] = ivf->centroids + (done + i) * dim;
        vecindex_distances(scan->index->kernels, ivf->metric, scan->query, rows,
                           part, dim, distances);
        for (i = 0; i < part; i++)
            nearest_offer(&nearest, &(struct near){distances[i], done + i});
    }
    nearest_sort(&nearest);
}

int ivf_search(const struct vecindex_scan *scan, int nprobe, bool *out_is_exact,
               struct err *err)
{
    const struct faiss_index *data = &scan->index->data;
    const struct faiss_ivf *ivf = &data->ivf;
    int64_t width = nprobe < ivf->list_count ? nprobe : ivf->list_count;
    int64_t wanted =
        scan->nearest->k < data->count ? scan->nearest->k : data->count;
    int64_t done = 0, seen = 0;
    struct near *lists = mem_try((size_t)ivf->list_count, sizeof *lists);

    if (lists == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to search %lld lists",
                       (long long)ivf->list_count);
    while (done < ivf->list_count && (done == 0 || seen < wanted)) {
        find_lists(scan, width, lists);
        for (; done < width; done++) {
            const struct faiss_list *list = &ivf->lists[lists[done].id];

            vecindex_scan_rows(scan, list->rows, list->ids, 0, list->count);
            seen += list->count;
        }
        width = width > ivf->list_count / 2 ? ivf->list_count : 2 * width;
    }
    mem_free(lists);
    *out_is_exact = seen == data->count;
    return 0;
}
