/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "models/rollout_stats.h"
#include "rollout_reference.h"
#include "test.h"

enum { COUNT_OF_WILSON = sizeof wilson_reference / sizeof wilson_reference[0] };
enum {
    COUNT_OF_SEQUENCES =
        sizeof sequence_reference / sizeof sequence_reference[0]
};

/* A small generator of known quality, the same on every machine: SplitMix64
 * (Steele, Lea and Flood 2014). */
struct dice {
    uint64_t state;
};

static double roll(struct dice *dice)
{
    uint64_t x = dice->state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (double)((x ^ x >> 31) >> 11) * 0x1p-53;
}

static void observe(struct rate *rate, double p, struct dice *dice)
{
    rate->count++;
    rate->hits += roll(dice) < p;
}

TEST(rate_wilson_is_that_of_statsmodels)
{
    double low, high;
    int i;

    for (i = 0; i < COUNT_OF_WILSON; i++) {
        rate_wilson(wilson_reference[i].rate, &low, &high);
        CHECK_NEAR(low, wilson_reference[i].low, 1e-11);
        CHECK_NEAR(high, wilson_reference[i].high, 1e-11);
    }
}

TEST(rate_of_nothing_is_unknown_and_its_interval_is_everything)
{
    double low = 2, high = 2;

    CHECK(isnan(rate_value((struct rate){0, 0})));
    rate_wilson((struct rate){0, 0}, &low, &high);
    CHECK_NEAR(low, 0, 0);
    CHECK_NEAR(high, 1, 0);
    rate_sequence((struct rate){0, 0}, (struct rate){9, 4}, 0.05, &low, &high);
    CHECK_NEAR(low, -1, 0);
    CHECK_NEAR(high, 1, 0);
    CHECK_NEAR(rate_p_value((struct rate){0, 0}, (struct rate){0, 0}), 1, 0);
}

TEST(rate_sequence_is_that_of_scipy)
{
    double low, high;
    int i;

    for (i = 0; i < COUNT_OF_SEQUENCES; i++) {
        CHECK_NEAR(
            rate_log_e(sequence_reference[i].a, sequence_reference[i].b, 0),
            sequence_reference[i].log_e, 1e-6);
        rate_sequence(sequence_reference[i].a, sequence_reference[i].b,
                      SEQUENCE_ALPHA, &low, &high);
        CHECK_NEAR(low, sequence_reference[i].low, 1e-7);
        CHECK_NEAR(high, sequence_reference[i].high, 1e-7);
    }
}

TEST(rate_sequence_leaves_0_out_exactly_when_the_p_value_is_below_alpha)
{
    struct dice dice = {11};
    double low, high;
    int i, outside_count = 0;

    for (i = 0; i < 400; i++) {
        struct rate a = {200, (int64_t)(roll(&dice) * 200)};
        struct rate b = {300, (int64_t)(roll(&dice) * 300)};
        bool is_outside;

        rate_sequence(a, b, 0.05, &low, &high);
        is_outside = low > 0 || high < 0;
        outside_count += is_outside;
        CHECK_INT(is_outside, rate_p_value(a, b) < 0.05);
    }
    CHECK(outside_count > 50 && outside_count < 390);
}

TEST(rate_sequence_stays_within_what_a_difference_can_be)
{
    static const struct rate rates[] = {
        {1, 0}, {1, 1}, {1000000, 0}, {1000, 1000}, {7, 3}};
    double low, high, diff;
    int i, j;

    for (i = 0; i < 5; i++)
        for (j = 0; j < 5; j++) {
            rate_sequence(rates[i], rates[j], 0.01, &low, &high);
            diff = rate_value(rates[j]) - rate_value(rates[i]);
            CHECK(low >= -1 && low <= diff && diff <= high && high <= 1);
        }
}

/* Whether somebody who looks after every pair of trials ever sees p below
 * alpha; *naive is whether he would have with the test for one look. */
static bool watch(double p_a, double p_b, int pair_count, double alpha,
                  struct dice *dice, bool *naive, int *stop)
{
    struct rate a = {0, 0}, b = {0, 0};
    double pooled, z;
    int i;

    *naive = false;
    for (i = 1; i <= pair_count; i++) {
        observe(&a, p_a, dice);
        observe(&b, p_b, dice);
        pooled = (double)(a.hits + b.hits) / (2 * i);
        z = (double)(b.hits - a.hits) / sqrt(2 * i * pooled * (1 - pooled));
        *naive = *naive || (i >= 30 && fabs(z) > 1.96);
        *stop = i;
        if (rate_p_value(a, b) <= alpha)
            return true;
    }
    return false;
}

TEST(rate_test_raises_no_false_alarm_while_somebody_watches)
{
    static const double rates[] = {0.5, 0.1, 0.02};
    enum { RUNS = 1000, PAIRS = 300 };
    struct dice dice = {20261121};
    int i, k, stop, alarms = 0, naive_alarms = 0;

    for (k = 0; k < 3; k++)
        for (i = 0; i < RUNS; i++) {
            bool naive;

            alarms +=
                watch(rates[k], rates[k], PAIRS, 0.05, &dice, &naive, &stop);
            naive_alarms += naive;
        }
    /* The test for one look, looked at 270 times, shows that this simulation
     * would notice. */
    CHECK(naive_alarms > 3 * RUNS * 0.15);
    CHECK(alarms <= 3 * RUNS * 0.05);
}

TEST(rate_test_raises_no_false_alarm_when_few_requests_go_to_one_arm)
{
    struct dice dice = {3};
    int i, j, alarms = 0;

    for (i = 0; i < 1000; i++) {
        struct rate a = {0, 0}, b = {0, 0};

        for (j = 0; j < 800; j++) {
            observe(roll(&dice) < 0.05 ? &b : &a, 0.03, &dice);
            if (rate_p_value(a, b) <= 0.05) {
                alarms++;
                break;
            }
        }
    }
    CHECK(alarms <= 50);
}

TEST(rate_test_finds_a_real_difference)
{
    static const struct {
        double a, b;
        int pair_max;
    } cases[] = {{0.95, 0.80, 600}, {0.02, 0.10, 800}, {0.9, 0.97, 1500}};
    enum { RUNS = 200 };
    struct dice dice = {7};
    int i, k, stop, found;

    for (k = 0; k < 3; k++) {
        for (i = 0, found = 0; i < RUNS; i++) {
            bool naive;

            found += watch(cases[k].a, cases[k].b, cases[k].pair_max, 0.025,
                           &dice, &naive, &stop);
        }
        CHECK(found >= RUNS * 95 / 100);
    }
}
