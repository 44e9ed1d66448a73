/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of an index, around centroids by k-means (kmeans.h). */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/kmeans.h"
#include "vectors/vecindex_parts.h"

/* Places of a sample, in random order. */
static int draw_sample(int64_t count, int64_t wanted, uint64_t seed,
                       int64_t **out, struct err *err)
{
    int64_t *places = mem_try((size_t)count, sizeof *places);
    int64_t i;

    if (places == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a sample of %lld",
                       (long long)wanted);
    for (i = 0; i < count; i++)
        places[i] = i;
    kmeans_draw(places, count, wanted, seed);
    *out = places;
    return 0;
}

static int train(const struct vecindex *index,
                 const struct vecindex_options *options, int nlist,
                 struct kmeans **out, struct err *err)
{
    const struct kmeans_options wanted = {
        .dim = index->data.dim,
        .metric = index->data.metric == FAISS_L2 ? VECINDEX_L2 : VECINDEX_IP,
        .nlist = nlist,
        .thread_count = options->thread_count};
    int64_t count = index->data.count;
    int64_t sample = (int64_t)nlist * KMEANS_SAMPLE_PER_LIST, i;
    int64_t *places = NULL;
    const float **rows;
    int rc;

    if (sample > count)
        sample = count;
    rc = draw_sample(count, sample, options->seed, &places, err);
    if (rc)
        return rc;
    rows = mem_try((size_t)sample, sizeof *rows);
    for (i = 0; rows != NULL && i < sample; i++)
        rows[i] = vecindex_place(index, places[i]);
    rc = rows == NULL
             ? err_set(err, ERR_UNAVAILABLE, "no memory for a sample of %lld",
                       (long long)sample)
             : kmeans_train(rows, sample, &wanted, out, err);
    mem_free(rows);
    mem_free(places);
    return rc;
}

/* Moves rows and ids to their lists, into memory of the lists' own. */
static int fill_lists(struct vecindex *index, const int32_t *lists,
                      struct err *err)
{
    struct faiss_index *data = &index->data;
    struct faiss_ivf *ivf = &data->ivf;
    float *rows =
        mem_try_aligned((size_t)data->count * (size_t)data->dim, sizeof *rows);
    float *to = rows;
    int64_t i;

    if (rows == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld rows",
                       (long long)data->count);
    for (i = 0; i < data->count; i++)
        ivf->lists[lists[i]].count++;
    for (i = 0; i < ivf->list_count; i++) {
        struct faiss_list *list = &ivf->lists[i];

        list->rows = to;
        to += list->count * data->dim;
        list->ids = mem_try((size_t)list->count, sizeof *list->ids);
        list->count = 0;
        if (list->ids == NULL) {
            mem_free(rows);
            return err_set(err, ERR_UNAVAILABLE, "no memory for ids");
        }
    }
    for (i = 0; i < data->count; i++) {
        struct faiss_list *list = &ivf->lists[lists[i]];

        memcpy(rows + (list->rows - rows) + list->count * data->dim,
               data->rows + i * data->dim, (size_t)data->dim * sizeof *rows);
        list->ids[list->count++] = data->ids == NULL ? i : data->ids[i];
    }
    mem_free(data->row_block);
    data->row_block = rows;
    data->rows = NULL;
    mem_free(data->ids);
    data->ids = NULL;
    return 0;
}

/* Finds the list of every row, a run of rows at a time. */
static int assign(const struct vecindex *index, const struct kmeans *kmeans,
                  int thread_count, int32_t *lists, struct err *err)
{
    enum { RUN = 4096 };
    const float **rows = mem_try(RUN, sizeof *rows);
    int64_t count = index->data.count, done, part, i;
    int rc = 0;

    if (rows == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to find lists");
    for (done = 0; rc == 0 && done < count; done += part) {
        part = count - done < RUN ? count - done : RUN;
        for (i = 0; i < part; i++)
            rows[i] = vecindex_place(index, done + i);
        rc = kmeans_assign(kmeans, rows, part, thread_count, lists + done, NULL,
                           err);
    }
    mem_free(rows);
    return rc;
}

static int sort_rows(struct vecindex *index,
                     const struct vecindex_options *options, struct err *err)
{
    struct faiss_ivf *ivf = &index->data.ivf;
    int32_t *lists = mem_try((size_t)index->data.count, sizeof *lists);
    struct kmeans *kmeans = NULL;
    int rc;

    if (lists == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld rows",
                       (long long)index->data.count);
    rc = train(index, options, (int)ivf->list_count, &kmeans, err);
    if (rc == 0)
        rc = assign(index, kmeans, options->thread_count, lists, err);
    if (rc == 0) {
        memcpy(ivf->centroids, kmeans_centroids(kmeans),
               (size_t)ivf->list_count * (size_t)index->data.dim *
                   sizeof *ivf->centroids);
        rc = fill_lists(index, lists, err);
    }
    kmeans_free(kmeans);
    mem_free(lists);
    return rc;
}

int ivf_build(struct vecindex *index, const struct vecindex_options *options,
              struct err *err)
{
    struct faiss_index *data = &index->data;
    struct faiss_ivf *ivf = &data->ivf;
    int64_t list_count = options->nlist;
    int rc = 0;

    assert(data->kind == FAISS_FLAT);
    if (list_count > data->count)
        list_count = data->count > 0 ? data->count : 1;
    ivf->list_count = list_count;
    ivf->nprobe = options->nprobe;
    ivf->metric = data->metric;
    ivf->lists = mem_try((size_t)list_count, sizeof *ivf->lists);
    ivf->centroids =
        mem_try((size_t)list_count * (size_t)data->dim, sizeof *ivf->centroids);
    if (ivf->lists == NULL || ivf->centroids == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to make %lld lists",
                     (long long)list_count);
    if (rc == 0 && data->count > 0)
        rc = sort_rows(index, options, err);
    if (rc == 0)
        data->kind = FAISS_IVF_FLAT;
    return rc;
}
