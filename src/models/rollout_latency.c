/* SPDX-License-Identifier: Apache-2.0 */
#include "models/rollout_latency.h"

#include <assert.h>
#include <math.h>

/* (1 + 0.01) / (1 - 0.01), and its logarithm. */
static const double ratio = 1.01 / 0.99;
static const double log_ratio = 0.020000666706669544;
static const int64_t latency_max_us = 3600000000;

int latency_bucket(int64_t latency_us)
{
    if (latency_us <= 1)
        return 0;
    if (latency_us > latency_max_us)
        latency_us = latency_max_us;
    return (int)ceil(log((double)latency_us) / log_ratio);
}

void latency_add(struct latency *latency, int bucket)
{
    assert(bucket >= 0 && bucket < LATENCY_BUCKET_COUNT);
    latency->count++;
    latency->buckets[bucket]++;
}

int64_t latency_quantile(const struct latency *latency, double q)
{
    int64_t rank, seen = 0;
    int i;

    if (latency->count == 0)
        return -1;
    rank = (int64_t)floor(q * (double)(latency->count - 1));
    for (i = 0; i < LATENCY_BUCKET_COUNT - 1; i++) {
        seen += latency->buckets[i];
        if (seen > rank)
            break;
    }
    /* The point from which both ends of the bucket are equally far, as a
     * share of themselves. */
    return i == 0 ? 1 : llround(2 * pow(ratio, i) / (ratio + 1));
}
