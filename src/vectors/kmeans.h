/* SPDX-License-Identifier: Apache-2.0 */
/* Centroids of rows by k-means (Lloyd 1982), and which of them a row is nearest
 * to. For L2 a centroid is the mean of its rows; for the inner product and the
 * cosine it is the mean's direction, and a row goes to the direction nearest to
 * its own (spherical k-means, Dhillon and Modha 2001), so that long rows do not
 * all go where the longest mean is.
 *
 * Thread-safe: what was made is constant. */
#ifndef OLHO_VECTORS_KMEANS_H
#define OLHO_VECTORS_KMEANS_H

#include <stdint.h>

#include "base/err.h"
#include "vectors/vecindex.h"
#include "vectors/vecstore.h"

enum { KMEANS_SAMPLE_PER_LIST = 64 }; /* rows for each centroid are enough */

struct kmeans;

struct kmeans_options {
    int dim;
    enum vecindex_metric metric; /* not ANY */
    int nlist;                   /* centroids, 1..VECINDEX_NLIST_MAX */
    int thread_count;
    vec_progress_fn *progress; /* NULL: none */
    void *user;
};

/* Draws `wanted` of `count` numbers by the seed, none twice: moves them to the
 * front, in random order. */
void kmeans_draw(int64_t *numbers, int64_t count, int64_t wanted,
                 uint64_t seed);

/* Trains on `count` rows (nlist or more, finite, not necessarily aligned) in
 * random order; the same on any number of threads. ERR_UNAVAILABLE: no memory,
 * or stopped. The caller owns *out. */
MUST_CHECK int kmeans_train(const float *const *rows, int64_t count,
                            const struct kmeans_options *options,
                            struct kmeans **out, struct err *err);

/* From the centroids of others (finite; copied). ERR_UNAVAILABLE. */
MUST_CHECK int kmeans_new(const float *centroids,
                          const struct kmeans_options *options,
                          struct kmeans **out, struct err *err);
void kmeans_free(struct kmeans *kmeans); /* NULL is allowed */

const float *kmeans_centroids(const struct kmeans *kmeans); /* nlist * dim */
int64_t kmeans_memory(const struct kmeans *kmeans);         /* bytes */

/* The centroid that each of `count` rows is nearest to (to about a part in
 * 10^4 of their lengths; always the same one), and its distance, smaller when
 * nearer (NULL: not wanted). ERR_UNAVAILABLE. */
MUST_CHECK int kmeans_assign(const struct kmeans *kmeans,
                             const float *const *rows, int64_t count,
                             int thread_count, int32_t *out_lists,
                             float *out_distances, struct err *err);

#endif
