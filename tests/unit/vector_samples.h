/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of files and indexes of vectors share: the rows of
 * tests/data/vectors, clustered rows, brute force. One thread at a time. */
#ifndef OLHO_TEST_VECTOR_SAMPLES_H
#define OLHO_TEST_VECTOR_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "test.h"
#include "vectors/vecindex.h"

enum {
    SAMPLE_DIM = 5,
    SAMPLE_COUNT = 40,
    SAMPLE_ID_STEP = 3,
    SAMPLE_ID_FIRST = 1000
};

/* Row i as tools/make_vector_samples.py makes it. */
void sample_row(int64_t i, float out[SAMPLE_DIM]);

/* The paths of "NAME" in tests/data/vectors and in the test's folder. Valid
 * until the next call of the same. */
const char *sample_path(const char *name);
const char *sample_file(const char *name);

/* The whole file; the caller ends *out with mem_free. */
size_t sample_read(const char *path, uint8_t **out);
void sample_write(const char *path, const void *data, size_t len);

/* `count` rows of unit length around `centre_count` centres, which depend on
 * nothing but `seed`; the caller ends them with mem_free. */
float *sample_clusters(int64_t count, int dim, int centre_count, uint64_t seed);

/* The ids of the k nearest of `count` rows by sums in double, nearest first,
 * ties by id. */
void sample_nearest(const float *rows, int64_t count, int dim,
                    enum vecindex_metric metric, const float *query, int k,
                    int64_t *out);

/* What part of the true k nearest a search finds, on average over queries. */
double sample_recall(struct vecindex *index, const float *rows, int64_t count,
                     const float *queries, int query_count, int k);

struct vecindex *sample_build(const float *rows, int64_t count, int dim,
                              const struct vecindex_options *options);

#endif
