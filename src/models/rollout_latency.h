/* SPDX-License-Identifier: Apache-2.0 */
/* Quantiles of latencies in bounded memory: a histogram whose buckets grow by
 * a fixed ratio, so that a quantile is within 1 % of the true one (DDSketch:
 * Masson, Rim and Lee 2019, section 2). From 1 us to an hour; what is outside
 * counts as the nearer end.
 *
 * One thread at a time. */
#ifndef OLHO_MODELS_ROLLOUT_LATENCY_H
#define OLHO_MODELS_ROLLOUT_LATENCY_H

#include <stdint.h>

/* ceil(log(3.6e9) / log(1.01 / 0.99)) + 1: bucket i ends at ratio^i us. */
enum { LATENCY_BUCKET_COUNT = 1102 };

struct latency {
    int64_t count;
    int64_t buckets[LATENCY_BUCKET_COUNT];
};

/* The bucket of a latency, and its count: apart, so that the logarithm need
 * not be taken under a lock. */
int latency_bucket(int64_t latency_us);
void latency_add(struct latency *latency, int bucket);

/* The value with floor(q * (count - 1)) values below it, q in 0..1; -1
 * without values. */
int64_t latency_quantile(const struct latency *latency, double q);

#endif
