/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "models/rollout_latency.h"
#include "test.h"

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

TEST(latency_quantiles_are_within_one_percent)
{
    enum { COUNT = 5000 };
    static const double quantiles[] = {0, 0.05, 0.5, 0.95, 0.99, 1};
    static struct latency latency;
    static int64_t values[COUNT];
    uint64_t state = 1;
    int i;

    for (i = 0; i < COUNT; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        /* From about 50 us to 3 s, as many in each tenfold. */
        values[i] = (int64_t)(50 * exp((double)(state >> 33) * 0x1p-31 * 11));
        latency_add(&latency, latency_bucket(values[i]));
    }
    qsort(values, COUNT, sizeof *values, compare);
    for (i = 0; i < 6; i++) {
        double want = (double)values[(int)(quantiles[i] * (COUNT - 1))];

        CHECK_NEAR((double)latency_quantile(&latency, quantiles[i]), want,
                   want * 0.01 + 0.5);
    }
}

TEST(latency_of_any_length_has_a_bucket)
{
    static struct latency latency;

    CHECK_INT(latency_bucket(-5), 0);
    CHECK_INT(latency_bucket(0), 0);
    CHECK_INT(latency_bucket(1), 0);
    CHECK_INT(latency_bucket(INT64_MAX), LATENCY_BUCKET_COUNT - 1);
    latency_add(&latency, latency_bucket(INT64_MAX));
    CHECK_NEAR((double)latency_quantile(&latency, 0.5), 3.6e9, 3.6e7);
}

TEST(latency_of_nothing_is_unknown)
{
    static struct latency latency;

    CHECK_INT(latency_quantile(&latency, 0.95), -1);
}
