/* SPDX-License-Identifier: Apache-2.0 */
/* The statistics of a rollout: intervals and a sequential test of two rates.
 * All depend on counts alone, so that a restart loses nothing but the counts
 * it cannot read back. docs/design/rollout.md derives them.
 *
 * Stateless and thread-safe. */
#ifndef OLHO_MODELS_ROLLOUT_STATS_H
#define OLHO_MODELS_ROLLOUT_STATS_H

#include <stdint.h>

struct rate {
    int64_t count; /* trials */
    int64_t hits;  /* 0..count */
};

double rate_value(struct rate rate); /* hits / count; NaN without trials */

/* Wilson's score interval (Wilson 1927) at 95 %, for one look at a fixed
 * number of trials; 0 and 1 without trials. */
void rate_wilson(struct rate rate, double *low, double *high);

/* The natural logarithm of the e-value against "the rate of b is that of a
 * plus diff" (-1 < diff < 1): were that so, the chance that it ever reaches
 * log(1/alpha), at whatever number of trials one looks, is at most alpha. */
double rate_log_e(struct rate a, struct rate b, double diff);

/* The same for diff 0 as an always-valid p-value, 0..1. */
double rate_p_value(struct rate a, struct rate b);

/* The differences b - a whose e-value is below 1/alpha: a confidence sequence,
 * which holds the true one at every look at once with 1 - alpha. -1 and 1
 * where nothing is known. 0 is outside exactly when the p-value is below
 * alpha. */
void rate_sequence(struct rate a, struct rate b, double alpha, double *low,
                   double *high);

#endif
