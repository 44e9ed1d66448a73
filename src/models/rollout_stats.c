/* SPDX-License-Identifier: Apache-2.0 */
#include "models/rollout_stats.h"

#include <assert.h>
#include <math.h>

/* Halvings and golden sections: 2^-50 and 0.618^70 are below what a double of
 * this size can tell. */
enum { HALVINGS = 50, SECTIONS = 70 };

/* The 97.5 % point of the normal distribution. */
static const double z95 = 1.959963984540054;
static const double golden = 0.6180339887498949;

double rate_value(struct rate rate)
{
    return rate.count > 0 ? (double)rate.hits / (double)rate.count : NAN;
}

void rate_wilson(struct rate rate, double *low, double *high)
{
    double n = (double)rate.count, p, centre, half;

    *low = 0;
    *high = 1;
    if (rate.count == 0)
        return;
    p = rate_value(rate);
    centre = (p + z95 * z95 / (2 * n)) / (1 + z95 * z95 / n);
    half = z95 * sqrt(p * (1 - p) / n + z95 * z95 / (4 * n * n)) /
           (1 + z95 * z95 / n);
    /* At the ends the two sides are equal but for rounding. */
    if (rate.hits > 0)
        *low = centre - half;
    if (rate.hits < rate.count)
        *high = centre + half;
}

/* lgamma writes the global signgam; lgamma_r is its thread-safe form. */
static double log_gamma(double x)
{
    int sign;

    return lgamma_r(x, &sign);
}

/* The logarithm of the probability of one order of these outcomes, the rate
 * being drawn from Jeffreys' prior Beta(1/2, 1/2): what Krichevsky and
 * Trofimov's estimator predicts. */
static double log_mixture(struct rate rate)
{
    double hits = (double)rate.hits, misses = (double)(rate.count - rate.hits);

    return log_gamma(hits + 0.5) + log_gamma(misses + 0.5) -
           log_gamma(hits + misses + 1) - log(M_PI);
}

/* n log p, where what never happened costs nothing. */
static double log_power(double p, int64_t n)
{
    return n > 0 ? (double)n * log(p) : 0;
}

static double log_likelihood(struct rate rate, double p)
{
    return log_power(p, rate.hits) + log_power(1 - p, rate.count - rate.hits);
}

/* The highest likelihood of both under p of a and p + diff of b. It is concave
 * in p, so a golden section search finds it. */
static double log_profile(struct rate a, struct rate b, double diff)
{
    double low = diff < 0 ? -diff : 0, high = diff > 0 ? 1 - diff : 1;
    double left = high - golden * (high - low);
    double right = low + golden * (high - low);
    double at_left = log_likelihood(a, left) + log_likelihood(b, left + diff);
    double at_right =
        log_likelihood(a, right) + log_likelihood(b, right + diff);
    int i;

    for (i = 0; i < SECTIONS; i++) {
        if (at_left > at_right) {
            high = right;
            right = left;
            at_right = at_left;
            left = high - golden * (high - low);
            at_left = log_likelihood(a, left) + log_likelihood(b, left + diff);
        } else {
            low = left;
            left = right;
            at_left = at_right;
            right = low + golden * (high - low);
            at_right =
                log_likelihood(a, right) + log_likelihood(b, right + diff);
        }
    }
    return at_left > at_right ? at_left : at_right;
}

double rate_log_e(struct rate a, struct rate b, double diff)
{
    struct rate both = {a.count + b.count, a.hits + b.hits};
    double best;

    assert(diff > -1 && diff < 1);
    if (both.count == 0)
        return 0;
    best = diff == 0 ? log_likelihood(both, rate_value(both))
                     : log_profile(a, b, diff);
    return log_mixture(a) + log_mixture(b) - best;
}

double rate_p_value(struct rate a, struct rate b)
{
    double log_e = rate_log_e(a, b, 0);

    return log_e > 0 ? exp(-log_e) : 1;
}

/* From a difference that is inside towards one that need not be. The profile
 * is concave in the difference, so there is one crossing on each side. */
static double find_edge(struct rate a, struct rate b, double alpha,
                        double inside, double outside)
{
    double limit = -log(alpha), middle;
    int i;

    for (i = 0; i < HALVINGS; i++) {
        middle = (inside + outside) / 2;
        if (rate_log_e(a, b, middle) < limit)
            inside = middle;
        else
            outside = middle;
    }
    return outside;
}

void rate_sequence(struct rate a, struct rate b, double alpha, double *low,
                   double *high)
{
    const double end = 1 - 1e-12;
    double diff;

    assert(alpha > 0 && alpha < 1);
    *low = -1;
    *high = 1;
    if (a.count == 0 || b.count == 0)
        return;
    diff = rate_value(b) - rate_value(a);
    if (diff > -end)
        *low = find_edge(a, b, alpha, diff, -1);
    if (diff < end)
        *high = find_edge(a, b, alpha, diff, 1);
}
