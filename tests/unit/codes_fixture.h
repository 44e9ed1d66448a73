/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of codes share: rows that are easy and hard to round, codes of
 * them, searches, distances in double. One thread at a time. */
#ifndef OLHO_TEST_CODES_FIXTURE_H
#define OLHO_TEST_CODES_FIXTURE_H

#include "test.h"
#include "vectors/codes.h"

static const enum vecindex_metric codes_metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                                     VECINDEX_COSINE};
static const enum vec_storage codes_storages[] = {VEC_FLOAT32, VEC_FLOAT16,
                                                  VEC_BFLOAT16, VEC_INT8};
enum { CODES_METRICS = 3, CODES_STORAGES = 4 };

/* Rows around 30 centres, which depend on nothing but their number; the caller
 * ends them with mem_free. */
float *codes_rows(int count, int dim, uint64_t seed);

/* Rows that are hard to round: lengths that differ by orders of magnitude, a
 * single huge value, also among tiny ones, zeros, equal rows, rows beside each
 * other, the nearest of which differ in the last bit of one value. */
float *codes_hard_rows(int count, int dim, uint64_t seed);

/* Codes that are made from now on use that set of kernels (0, 1, and so on) of
 * those that this machine can run. false: there are no more; they use again
 * what they choose. */
bool codes_use_kernels(int number);

/* Codes of all rows, added in two parts. */
struct codes *codes_of(const float *rows, int count, int dim,
                       enum vecindex_metric metric, enum vec_storage storage);

struct codes_wanted {
    const struct slot_filter *filter;
    float limit;
    int k, thread_count;
};

/* Searches all slots; the hits, sorted, are in `hits` (room for k). */
int codes_search(const struct codes *codes, const float *vector,
                 const struct codes_wanted *wanted, struct near *hits);

/* In double; a result may be off by `slack`. */
double codes_distance(const float *a, const float *b, int dim,
                      enum vecindex_metric metric, double *slack);

/* Both find the same, to the last bit. */
void codes_check_same(const struct codes *truth, const struct codes *codes,
                      const float *vector, const struct codes_wanted *wanted);

#endif
