/* SPDX-License-Identifier: Apache-2.0 */
/* Lists by k-means (Lloyd 1982) over a sample of the rows, from centroids that
 * are rows drawn at random. For L2 a centroid is the mean of its rows; for the
 * inner product and the cosine it is the mean's direction, and a row goes to
 * the direction nearest to its own (spherical k-means, Dhillon and Modha 2001),
 * so that long rows do not all go where the longest mean is. */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/parallel.h"
#include "vectors/vecindex_parts.h"

enum {
    ROUNDS = 10,
    SAMPLE_PER_LIST = 64, /* rows of the sample for each list */
    STEP = 64,
    TILE = 64, /* centroids that stay in a core's cache for STEP rows */
};

struct training {
    const struct vecindex *index;
    const int64_t *sample; /* places; NULL: all rows */
    int64_t count;         /* of the sample */
    float *centroids;
    int64_t list_count;
    int32_t *lists; /* of each row of the sample */
    float *distances;
};

static const float *sample_row(const struct training *training, int64_t i)
{
    return vecindex_place(training->index,
                          training->sample == NULL ? i : training->sample[i]);
}

/* The nearest list of the rows begin..end-1. */
static void assign(void *user, int worker, int64_t begin, int64_t end)
{
    const struct training *training = user;
    const struct vecindex *index = training->index;
    const float *rows[TILE];
    float distances[TILE];
    int dim = index->data.dim, j, part;
    int64_t i, done;

    (void)worker;
    for (i = begin; i < end; i++)
        training->distances[i] = INFINITY;
    for (done = 0; done < training->list_count; done += part) {
        part = training->list_count - done < TILE
                   ? (int)(training->list_count - done)
                   : TILE;
        for (j = 0; j < part; j++)
            rows[j] = training->centroids + (done + j) * dim;
        for (i = begin; i < end; i++) {
            vecindex_distances(index->kernels, index->data.metric,
                               sample_row(training, i), rows, part, dim,
                               distances);
            for (j = 0; j < part; j++)
                if (distances[j] < training->distances[i]) {
                    training->distances[i] = distances[j];
                    training->lists[i] = (int32_t)(done + j);
                }
        }
    }
}

static void make_unit(float *row, int dim)
{
    double square = 0;
    int i;

    for (i = 0; i < dim; i++)
        square += (double)row[i] * (double)row[i];
    for (i = 0; square > 0 && i < dim; i++)
        row[i] = (float)(row[i] / sqrt(square));
}

/* Adds up in double: a list may have millions of rows. */
static void set_centroids(const struct training *training, double *sums,
                          int64_t *counts)
{
    int dim = training->index->data.dim, j;
    int64_t i;

    memset(sums, 0, (size_t)training->list_count * (size_t)dim * sizeof *sums);
    memset(counts, 0, (size_t)training->list_count * sizeof *counts);
    for (i = 0; i < training->count; i++) {
        const float *row = sample_row(training, i);
        double *sum = sums + (int64_t)training->lists[i] * dim;

        counts[training->lists[i]]++;
        for (j = 0; j < dim; j++)
            sum[j] += row[j];
    }
    for (i = 0; i < training->list_count; i++)
        for (j = 0; counts[i] > 0 && j < dim; j++)
            training->centroids[i * dim + j] =
                (float)(sums[i * dim + j] / (double)counts[i]);
}

/* A list that nothing went to takes over the row that is farthest from its
 * own centroid. */
static void fill_empty(const struct training *training, const int64_t *counts)
{
    int dim = training->index->data.dim;
    int64_t i, j, farthest;

    for (i = 0; i < training->list_count; i++) {
        if (counts[i] > 0)
            continue;
        farthest = 0;
        for (j = 1; j < training->count; j++)
            if (training->distances[j] > training->distances[farthest])
                farthest = j;
        training->distances[farthest] = -INFINITY;
        memcpy(training->centroids + i * dim, sample_row(training, farthest),
               (size_t)dim * sizeof(float));
    }
}

static void finish_centroids(const struct training *training)
{
    int dim = training->index->data.dim;
    int64_t i;

    for (i = 0; training->index->data.metric == FAISS_INNER &&
                i < training->list_count;
         i++)
        make_unit(training->centroids + i * dim, dim);
}

static int train(struct training *training,
                 const struct vecindex_options *options, struct err *err)
{
    int dim = training->index->data.dim, round, rc = 0;
    double *sums =
        mem_try((size_t)training->list_count * (size_t)dim, sizeof *sums);
    int64_t *counts = mem_try((size_t)training->list_count, sizeof *counts);
    int64_t i;

    if (sums == NULL || counts == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to make %lld lists",
                     (long long)training->list_count);
        goto out;
    }
    /* The sample is in random order. */
    for (i = 0; i < training->list_count; i++)
        memcpy(training->centroids + i * dim, sample_row(training, i),
               (size_t)dim * sizeof(float));
    finish_centroids(training);
    for (round = 0; round < ROUNDS; round++) {
        parallel_run(options->thread_count, training->count, STEP, assign,
                     training);
        set_centroids(training, sums, counts);
        fill_empty(training, counts);
        finish_centroids(training);
    }
out:
    mem_free(sums);
    mem_free(counts);
    return rc;
}

/* Draws places without repeating one: the beginning of a shuffle. */
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
    for (i = 0; i < wanted; i++) {
        int64_t j =
            i + (int64_t)(vecindex_random(&seed) % (uint64_t)(count - i));
        int64_t moved = places[i];

        places[i] = places[j];
        places[j] = moved;
    }
    *out = places;
    return 0;
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

static int sort_rows(struct vecindex *index, struct training *training,
                     const struct vecindex_options *options, struct err *err)
{
    int64_t count = index->data.count;
    int64_t *sample = NULL;
    int rc = 0;

    training->count = training->list_count * SAMPLE_PER_LIST;
    if (training->count > count)
        training->count = count;
    rc = draw_sample(count, training->count, options->seed, &sample, err);
    if (rc == 0) {
        training->sample = sample;
        rc = train(training, options, err);
    }
    if (rc == 0) {
        training->sample = NULL;
        training->count = count;
        parallel_run(options->thread_count, count, STEP, assign, training);
        rc = fill_lists(index, training->lists, err);
    }
    mem_free(sample);
    return rc;
}

int ivf_build(struct vecindex *index, const struct vecindex_options *options,
              struct err *err)
{
    struct faiss_index *data = &index->data;
    struct faiss_ivf *ivf = &data->ivf;
    struct training training = {.index = index};
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
    training.list_count = list_count;
    training.centroids = ivf->centroids;
    training.lists = mem_try((size_t)data->count, sizeof *training.lists);
    training.distances =
        mem_try((size_t)data->count, sizeof *training.distances);
    if (ivf->lists == NULL || ivf->centroids == NULL ||
        training.lists == NULL || training.distances == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to make %lld lists",
                     (long long)list_count);
    if (rc == 0 && data->count > 0)
        rc = sort_rows(index, &training, options, err);
    if (rc == 0)
        data->kind = FAISS_IVF_FLAT;
    mem_free(training.lists);
    mem_free(training.distances);
    return rc;
}
