/* SPDX-License-Identifier: Apache-2.0 */
/* Nearly all of the time goes into inner products of rows with centroids.
 * Both are rounded to int16, as finely as sums of 32 bits allow (2047 steps to
 * each side at 512 values), which takes nothing off the result that one could
 * measure, and is several times as quick as float32. The tiles stay in a core's
 * own cache. Sums of rows are made list by list, in the order of the rows, so
 * that the number of threads does not matter. */
#include "vectors/kmeans.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "vectors/dot.h"
#include "vectors/int16_dot.h"
#include "vectors/nearest.h"
#include "vectors/parallel.h"

/* Rows for each centroid, round by round. The first rounds, which move
 * centroids from anywhere to about their places, need few: the sample is in
 * random order. */
static const int rows_per_list[] = {16, 16, 16, 16, 16, 16, 32, 32, 64, 64};

enum {
    ROUNDS = sizeof rows_per_list / sizeof rows_per_list[0],
    LANES = 4,
    ROW_TILE = 16,
    CENTROID_TILE = 64,
    LISTS_STEP = 16, /* whose centroids a thread makes in one go */
};

struct kmeans {
    const struct int16_kernels *kernels;
    enum vecindex_metric metric;
    int dim, nlist;
    int len, limit;   /* of rows of int16 */
    float *centroids; /* owned; nlist * dim */
    int16_t *codes;   /* owned; nlist * len, the centroids */
    float *scales;    /* owned; of the codes */
    float *biases;    /* owned; L2: half of a centroid's squared length */
};

/* --- numbers by chance ---------------------------------------------------- */

void kmeans_draw(int64_t *numbers, int64_t count, int64_t wanted, uint64_t seed)
{
    int64_t i;

    for (i = 0; i < wanted; i++) {
        int64_t j = i + (int64_t)(random_next(&seed) % (uint64_t)(count - i));
        int64_t moved = numbers[i];

        numbers[i] = numbers[j];
        numbers[j] = moved;
    }
}

/* --- rows of int16 -------------------------------------------------------- */

/* Several at once, since each comparison waits for the one before. */
static float max_of(const float *row, int dim)
{
    float max[LANES] = {0}, value;
    int i, j;

    for (i = 0; i + LANES <= dim; i += LANES)
        for (j = 0; j < LANES; j++) {
            value = fabsf(dot_load(row + i + j));
            max[j] = value > max[j] ? value : max[j];
        }
    for (; i < dim; i++) {
        value = fabsf(dot_load(row + i));
        max[0] = value > max[0] ? value : max[0];
    }
    for (j = 1; j < LANES; j++)
        max[0] = max[j] > max[0] ? max[j] : max[0];
    return max[0];
}

/* Fills codes (zeros at the end): a code times the scale that is returned is
 * about the row's value. */
static float round_row(const struct kmeans *kmeans, const float *row,
                       int16_t *codes)
{
    float max = max_of(row, kmeans->dim), steps;
    int i;

    memset(codes + kmeans->dim, 0,
           (size_t)(kmeans->len - kmeans->dim) * sizeof *codes);
    /* A row so short that its values have no inverse counts as zeros. */
    if (max < 1e-30F) {
        memset(codes, 0, (size_t)kmeans->dim * sizeof *codes);
        return 0;
    }
    steps = (float)kmeans->limit / max;
    for (i = 0; i < kmeans->dim; i++) {
        float code = dot_load(row + i) * steps;

        codes[i] = (int16_t)(code + (code < 0 ? -0.5F : 0.5F));
    }
    return max / (float)kmeans->limit;
}

static double square_of(const float *row, int dim)
{
    double sums[LANES] = {0};
    int i, j;

    for (i = 0; i + LANES <= dim; i += LANES)
        for (j = 0; j < LANES; j++)
            sums[j] +=
                (double)dot_load(row + i + j) * (double)dot_load(row + i + j);
    for (; i < dim; i++)
        sums[0] += (double)dot_load(row + i) * (double)dot_load(row + i);
    return sums[0] + sums[1] + sums[2] + sums[3];
}

/* What makes the row one of unit length; 0 for zeros. */
static double unit_of(const float *row, int dim)
{
    double square = square_of(row, dim);

    return square > 0 ? 1 / sqrt(square) : 0;
}

/* What is kept of each centroid beside it. */
static void round_centroids(void *user, int worker, int64_t begin, int64_t end)
{
    struct kmeans *kmeans = user;
    int64_t i;

    (void)worker;
    for (i = begin; i < end; i++) {
        const float *centroid = kmeans->centroids + i * kmeans->dim;

        kmeans->scales[i] =
            round_row(kmeans, centroid, kmeans->codes + i * kmeans->len);
        kmeans->biases[i] = kmeans->metric == VECINDEX_L2
                                ? (float)(square_of(centroid, kmeans->dim) / 2)
                                : 0;
    }
}

/* --- the nearest centroid ------------------------------------------------- */

struct assigning {
    const struct kmeans *kmeans;
    const float *const *rows;
    int32_t *lists;
    float *distances; /* NULL: not wanted */
    int16_t *codes;   /* ROW_TILE rows for each thread */
    int32_t *dots;    /* ROW_TILE * CENTROID_TILE for each thread */
};

/* Takes a tile of centroids into account. */
static void take_best(const struct kmeans *kmeans, const int32_t *dots,
                      float scale, int first, int count, float *best,
                      int32_t *list)
{
    int j;

    for (j = 0; j < count; j++) {
        float score = scale * kmeans->scales[first + j] * (float)dots[j] -
                      kmeans->biases[first + j];

        if (score > *best) {
            *best = score;
            *list = first + j;
        }
    }
}

static void assign_tile(void *user, int worker, int64_t begin, int64_t end)
{
    const struct assigning *work = user;
    const struct kmeans *kmeans = work->kmeans;
    int16_t *codes = work->codes + (int64_t)worker * ROW_TILE * kmeans->len;
    int32_t *dots = work->dots + (int64_t)worker * ROW_TILE * CENTROID_TILE;
    int count = (int)(end - begin), done, part, i;
    float scales[ROW_TILE], best[ROW_TILE];

    for (i = 0; i < count; i++) {
        scales[i] = round_row(kmeans, work->rows[begin + i],
                              codes + (int64_t)i * kmeans->len);
        best[i] = -INFINITY;
        work->lists[begin + i] = 0;
    }
    for (done = 0; done < kmeans->nlist; done += part) {
        part = kmeans->nlist - done < CENTROID_TILE ? kmeans->nlist - done
                                                    : CENTROID_TILE;
        kmeans->kernels->dot(codes, count,
                             kmeans->codes + (int64_t)done * kmeans->len, part,
                             kmeans->len, dots);
        for (i = 0; i < count; i++)
            take_best(kmeans, dots + (int64_t)i * part, scales[i], done, part,
                      &best[i], &work->lists[begin + i]);
    }
    for (i = 0; i < count && work->distances != NULL; i++) {
        const float *row = work->rows[begin + i];

        work->distances[begin + i] =
            kmeans->metric == VECINDEX_L2
                ? (float)square_of(row, kmeans->dim) - 2 * best[i]
            : kmeans->metric == VECINDEX_COSINE
                ? -best[i] * (float)unit_of(row, kmeans->dim)
                : -best[i];
    }
}

int kmeans_assign(const struct kmeans *kmeans, const float *const *rows,
                  int64_t count, int thread_count, int32_t *out_lists,
                  float *out_distances, struct err *err)
{
    struct assigning work = {.kmeans = kmeans,
                             .rows = rows,
                             .lists = out_lists,
                             .distances = out_distances};
    size_t tiles = (size_t)thread_count * ROW_TILE;
    int rc = 0;

    work.codes =
        mem_try_aligned(tiles * (size_t)kmeans->len, sizeof *work.codes);
    work.dots = mem_try_aligned(tiles * CENTROID_TILE, sizeof *work.dots);
    if (work.codes == NULL || work.dots == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to find lists");
    else
        parallel_run(thread_count, count, ROW_TILE, assign_tile, &work);
    mem_free(work.codes);
    mem_free(work.dots);
    return rc;
}

/* --- training ------------------------------------------------------------- */

struct training {
    struct kmeans *kmeans;
    const float *const *rows;
    int64_t total, count; /* of rows, and of those that a round looks at */
    int32_t *lists;       /* owned; of each row */
    float *distances;     /* owned */
    int64_t *begins; /* owned; where each list's rows begin in order, and the
                      * count */
    int32_t *order;  /* owned; the rows, list by list */
    double *sums;    /* owned; dim for each thread */
    struct near *farthest; /* owned; nlist */
};

static void sort_rows(const struct training *training)
{
    int nlist = training->kmeans->nlist, list;
    int64_t i;

    memset(training->begins, 0, ((size_t)nlist + 1) * sizeof *training->begins);
    for (i = 0; i < training->count; i++)
        training->begins[training->lists[i] + 1]++;
    for (list = 0; list < nlist; list++)
        training->begins[list + 1] += training->begins[list];
    for (i = 0; i < training->count; i++)
        training->order[training->begins[training->lists[i]]++] = (int32_t)i;
    for (list = nlist; list > 0; list--)
        training->begins[list] = training->begins[list - 1];
    training->begins[0] = 0;
}

/* The mean or its direction; adds up in double: a list may be long. */
static void set_centroid(const struct training *training, int64_t list,
                         double *sum)
{
    const struct kmeans *kmeans = training->kmeans;
    float *centroid = kmeans->centroids + list * kmeans->dim;
    int64_t count = training->begins[list + 1] - training->begins[list], i;
    double square = 0, scale = 1 / (double)count;
    int j;

    memset(sum, 0, (size_t)kmeans->dim * sizeof *sum);
    for (i = training->begins[list]; i < training->begins[list + 1]; i++) {
        const float *row = training->rows[training->order[i]];
        double weight =
            kmeans->metric == VECINDEX_COSINE ? unit_of(row, kmeans->dim) : 1;

        for (j = 0; j < kmeans->dim; j++)
            sum[j] += weight * (double)dot_load(row + j);
    }
    for (j = 0; j < kmeans->dim; j++)
        square += sum[j] * sum[j];
    /* Rows that add up to nothing have no direction: it stays as it was. */
    if (kmeans->metric != VECINDEX_L2 && !(square > 0))
        return;
    if (kmeans->metric != VECINDEX_L2)
        scale = 1 / sqrt(square);
    for (j = 0; j < kmeans->dim; j++)
        centroid[j] = (float)(sum[j] * scale);
}

static void set_centroids(void *user, int worker, int64_t begin, int64_t end)
{
    const struct training *training = user;
    int64_t i;

    for (i = begin; i < end; i++)
        if (training->begins[i + 1] > training->begins[i])
            set_centroid(training, i,
                         training->sums +
                             (int64_t)worker * training->kmeans->dim);
}

/* A row as a centroid. */
static void copy_row(const struct training *training, int64_t row, int64_t list)
{
    const struct kmeans *kmeans = training->kmeans;
    float *to = kmeans->centroids + list * kmeans->dim;
    double weight = kmeans->metric == VECINDEX_L2
                        ? 1
                        : unit_of(training->rows[row], kmeans->dim);
    int j;

    for (j = 0; j < kmeans->dim; j++)
        to[j] = (float)((double)dot_load(training->rows[row] + j) * weight);
}

/* The lists that nothing went to take over the rows that are farthest from
 * their own centroids. */
static void fill_empty(const struct training *training)
{
    struct nearest farthest = {.hits = training->farthest};
    int64_t i, list;
    int taken = 0;

    for (list = 0; list < training->kmeans->nlist; list++)
        farthest.k += training->begins[list] == training->begins[list + 1];
    if (farthest.k == 0)
        return;
    for (i = 0; i < training->count; i++)
        nearest_offer(&farthest, &(struct near){-training->distances[i], i});
    nearest_sort(&farthest);
    for (list = 0; list < training->kmeans->nlist; list++)
        if (training->begins[list] == training->begins[list + 1])
            copy_row(training, farthest.hits[taken++].id, list);
}

static int run_round(struct training *training, int thread_count,
                     struct err *err)
{
    struct kmeans *kmeans = training->kmeans;
    int rc;

    parallel_run(thread_count, kmeans->nlist, LISTS_STEP, round_centroids,
                 kmeans);
    rc = kmeans_assign(kmeans, training->rows, training->count, thread_count,
                       training->lists, training->distances, err);
    if (rc)
        return rc;
    sort_rows(training);
    parallel_run(thread_count, kmeans->nlist, LISTS_STEP, set_centroids,
                 training);
    fill_empty(training);
    return 0;
}

static struct kmeans *make(const struct kmeans_options *options)
{
    struct kmeans *made = mem_new(sizeof *made);
    size_t count = (size_t)options->nlist;

    made->kernels = int16_best();
    made->metric = options->metric;
    made->dim = options->dim;
    made->nlist = options->nlist;
    made->len = (options->dim + INT16_STEP - 1) / INT16_STEP * INT16_STEP;
    made->limit = int16_limit(made->len);
    made->centroids =
        mem_try_aligned(count * (size_t)made->dim, sizeof *made->centroids);
    made->codes =
        mem_try_aligned(count * (size_t)made->len, sizeof *made->codes);
    made->scales = mem_try(count, sizeof *made->scales);
    made->biases = mem_try(count, sizeof *made->biases);
    if (made->centroids == NULL || made->codes == NULL ||
        made->scales == NULL || made->biases == NULL) {
        kmeans_free(made);
        return NULL;
    }
    return made;
}

static int no_memory(const struct kmeans_options *options, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory to make %d lists",
                   options->nlist);
}

static bool has_memory(struct training *training, int thread_count)
{
    size_t count = (size_t)training->total;
    size_t nlist = (size_t)training->kmeans->nlist;

    training->lists = mem_try(count, sizeof *training->lists);
    training->distances = mem_try(count, sizeof *training->distances);
    training->order = mem_try(count, sizeof *training->order);
    training->begins = mem_try(nlist + 1, sizeof *training->begins);
    training->farthest = mem_try(nlist, sizeof *training->farthest);
    training->sums =
        mem_try((size_t)thread_count * (size_t)training->kmeans->dim,
                sizeof *training->sums);
    return training->lists != NULL && training->distances != NULL &&
           training->order != NULL && training->begins != NULL &&
           training->farthest != NULL && training->sums != NULL;
}

static int run_rounds(struct training *training,
                      const struct kmeans_options *options, struct err *err)
{
    int64_t i;
    int round, rc = 0;

    for (i = 0; i < options->nlist; i++)
        copy_row(training, i, i);
    for (round = 0; rc == 0 && round < ROUNDS; round++) {
        training->count = (int64_t)options->nlist * rows_per_list[round];
        if (training->count > training->total)
            training->count = training->total;
        rc = run_round(training, options->thread_count, err);
        if (rc == 0 && options->progress != NULL &&
            options->progress(options->user, round + 1, ROUNDS) != 0)
            rc = err_set(err, ERR_UNAVAILABLE, "stopped making %d lists",
                         options->nlist);
    }
    return rc;
}

int kmeans_train(const float *const *rows, int64_t count,
                 const struct kmeans_options *options, struct kmeans **out,
                 struct err *err)
{
    struct training training = {
        .kmeans = make(options), .rows = rows, .total = count};
    int rc;

    if (training.kmeans == NULL ||
        !has_memory(&training, options->thread_count))
        rc = no_memory(options, err);
    else
        rc = run_rounds(&training, options, err);
    mem_free(training.lists);
    mem_free(training.distances);
    mem_free(training.order);
    mem_free(training.begins);
    mem_free(training.farthest);
    mem_free(training.sums);
    if (rc) {
        kmeans_free(training.kmeans);
        return rc;
    }
    round_centroids(training.kmeans, 0, 0, options->nlist);
    *out = training.kmeans;
    return 0;
}

int kmeans_new(const float *centroids, const struct kmeans_options *options,
               struct kmeans **out, struct err *err)
{
    struct kmeans *made = make(options);

    if (made == NULL)
        return no_memory(options, err);
    memcpy(made->centroids, (const void *)centroids,
           (size_t)options->nlist * (size_t)options->dim *
               sizeof *made->centroids);
    round_centroids(made, 0, 0, options->nlist);
    *out = made;
    return 0;
}

void kmeans_free(struct kmeans *kmeans)
{
    if (kmeans == NULL)
        return;
    mem_free(kmeans->centroids);
    mem_free(kmeans->codes);
    mem_free(kmeans->scales);
    mem_free(kmeans->biases);
    mem_free(kmeans);
}

const float *kmeans_centroids(const struct kmeans *kmeans)
{
    return kmeans->centroids;
}

int64_t kmeans_memory(const struct kmeans *kmeans)
{
    return (int64_t)kmeans->nlist *
           (kmeans->dim * (int64_t)sizeof *kmeans->centroids +
            kmeans->len * (int64_t)sizeof *kmeans->codes +
            2 * (int64_t)sizeof *kmeans->scales);
}
