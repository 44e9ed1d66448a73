/* SPDX-License-Identifier: Apache-2.0 */
/* What the counts mean. Every arm but the control is tested twice, for errors
 * and for correctness; alpha is shared out among all these tests (Bonferroni),
 * so that it bounds the chance of any false alarm at any time. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/rollout_arms.h"

const char *rollout_advice_name(enum rollout_advice advice)
{
    static const char *const names[ROLLOUT_ADVICE_COUNT] = {
        [ROLLOUT_WAIT] = "wait",
        [ROLLOUT_PROMOTE] = "promote",
        [ROLLOUT_ROLLBACK] = "rollback",
        [ROLLOUT_KEEP] = "keep",
    };

    return names[advice];
}

static double test_alpha(const struct rollout *rollout)
{
    int others = rollout->arm_count > 1 ? rollout->arm_count - 1 : 1;

    return rollout->alpha / (2 * others);
}

static struct arm_counts read_counts(struct arm *arm)
{
    struct arm_counts counts;

    pthread_mutex_lock(&arm->mutex);
    counts = arm->counts;
    pthread_mutex_unlock(&arm->mutex);
    return counts;
}

static bool is_enough(const struct rollout *rollout, struct rate a,
                      struct rate b)
{
    return a.count >= rollout->sample_min && b.count >= rollout->sample_min;
}

/* --- the verdict --- */

/* Whether b's rate differs significantly from a's in that direction. */
static bool is_beyond(const struct rollout *rollout, struct rate a,
                      struct rate b, int direction)
{
    return is_enough(rollout, a, b) &&
           (rate_value(b) - rate_value(a)) * direction > 0 &&
           rate_p_value(a, b) <= test_alpha(rollout);
}

static bool is_worse(const struct rollout *rollout,
                     const struct arm_counts *control,
                     const struct arm_counts *counts)
{
    return is_beyond(rollout, control->requests, counts->requests, 1) ||
           is_beyond(rollout, control->feedback, counts->feedback, -1);
}

int rollout_verdict(struct rollout *rollout)
{
    struct arm_counts control, counts;
    int i;

    if (!rollout->is_auto_rollback)
        return -1;
    control = read_counts(&rollout->arms[rollout->control]);
    for (i = 0; i < rollout->arm_count; i++) {
        if (i == rollout->control || atomic_load(&rollout->arms[i].is_stopped))
            continue;
        counts = read_counts(&rollout->arms[i]);
        if (is_worse(rollout, &control, &counts) && rollout_stop(rollout, i))
            return i;
    }
    return -1;
}

/* --- the report --- */

static void fill_test(const struct rollout *rollout, struct rate control,
                      struct rate arm, struct rollout_test *out)
{
    out->alpha = test_alpha(rollout);
    out->is_done = is_enough(rollout, control, arm);
    out->diff = rate_value(arm) - rate_value(control);
    out->p_value = out->is_done ? rate_p_value(control, arm) : 1;
    rate_sequence(control, arm, out->alpha, &out->low, &out->high);
}

static bool is_significant(const struct rollout_test *test, int direction)
{
    return test->is_done && test->p_value <= test->alpha &&
           test->diff * direction > 0;
}

/* "error rate 5.2 % against 2.1 %, p = 0.0003" */
static void say(struct rollout_arm_report *arm, const char *begin,
                const char *what, double rate, const struct rollout_test *test,
                const char *end)
{
    snprintf(arm->reason, sizeof arm->reason,
             "%s: %s %.4g %% against %.4g %% of the control, always-valid "
             "p = %.2g (limit %.2g)%s",
             begin, what, 100 * rate, 100 * (rate - test->diff), test->p_value,
             test->alpha, end);
}

static void say_few(const struct rollout *rollout,
                    const struct arm_counts *control,
                    const struct arm_counts *counts,
                    struct rollout_arm_report *arm)
{
    snprintf(
        arm->reason, sizeof arm->reason,
        "too little is known: %lld requests and %lld judged answers, the "
        "control has %lld and %lld; each needs %lld",
        (long long)counts->requests.count, (long long)counts->feedback.count,
        (long long)control->requests.count, (long long)control->feedback.count,
        (long long)rollout->sample_min);
}

/* Whether the arm cannot be better by the margin or more. */
static bool is_no_gain(const struct rollout *rollout,
                       const struct rollout_arm_report *arm)
{
    return arm->correctness.high < rollout->margin &&
           arm->errors.low > -rollout->margin;
}

/* Both tests are done, and the arm is worse in neither. */
static enum rollout_advice advise_equal(const struct rollout *rollout,
                                        struct rollout_arm_report *arm)
{
    if (is_significant(&arm->correctness, 1)) {
        say(arm, "better", "accuracy", arm->accuracy, &arm->correctness,
            "; not more errors");
        return ROLLOUT_PROMOTE;
    }
    if (is_significant(&arm->errors, -1)) {
        say(arm, "better", "error rate", arm->error_rate, &arm->errors,
            "; not less accurate");
        return ROLLOUT_PROMOTE;
    }
    snprintf(arm->reason, sizeof arm->reason,
             "%s: accuracy differs by %+.2f .. %+.2f points, error rate by "
             "%+.2f .. %+.2f; a gain below %.4g points does not count",
             is_no_gain(rollout, arm) ? "no gain" : "nothing is certain yet",
             100 * arm->correctness.low, 100 * arm->correctness.high,
             100 * arm->errors.low, 100 * arm->errors.high,
             100 * rollout->margin);
    return is_no_gain(rollout, arm) ? ROLLOUT_KEEP : ROLLOUT_WAIT;
}

static enum rollout_advice advise(const struct rollout *rollout,
                                  const struct arm_counts *control,
                                  const struct arm_counts *counts,
                                  struct rollout_arm_report *arm)
{
    if (is_significant(&arm->errors, 1)) {
        say(arm, "worse", "error rate", arm->error_rate, &arm->errors, "");
        return ROLLOUT_ROLLBACK;
    }
    if (is_significant(&arm->correctness, -1)) {
        say(arm, "worse", "accuracy", arm->accuracy, &arm->correctness, "");
        return ROLLOUT_ROLLBACK;
    }
    if (!arm->errors.is_done || !arm->correctness.is_done) {
        say_few(rollout, control, counts, arm);
        return ROLLOUT_WAIT;
    }
    return advise_equal(rollout, arm);
}

static void fill_rates(const struct arm_counts *counts,
                       struct rollout_arm_report *out)
{
    int64_t answered = counts->requests.count - counts->requests.hits;

    out->request_count = counts->requests.count;
    out->error_count = counts->requests.hits;
    out->error_rate = rate_value(counts->requests);
    out->confidence_mean =
        answered > 0 ? counts->confidence_sum / (double)answered : NAN;
    out->compared_count = counts->agreements.count;
    out->agreed_count = counts->agreements.hits;
    out->agreement = rate_value(counts->agreements);
    out->feedback_count = counts->feedback.count;
    out->correct_count = counts->feedback.hits;
    out->accuracy = rate_value(counts->feedback);
    rate_wilson(counts->feedback, &out->accuracy_low, &out->accuracy_high);
}

/* Copies an arm's counts at one moment. */
static void fill_arm(struct rollout *rollout, int i, struct arm_counts *counts,
                     struct rollout_arm_report *out)
{
    struct arm *arm = &rollout->arms[i];
    struct latency latency;
    char name[ROLLOUT_NAME_MAX];

    pthread_mutex_lock(&arm->mutex);
    *counts = arm->counts;
    latency = arm->latency;
    memcpy(name, arm->name, sizeof name);
    pthread_mutex_unlock(&arm->mutex);
    *out = (struct rollout_arm_report){
        .weight = arm->weight,
        .is_control = i == rollout->control,
        .is_shadow = arm->is_shadow,
        .is_stopped = atomic_load(&arm->is_stopped),
        .latency_p50_us = latency_quantile(&latency, 0.5),
        .latency_p95_us = latency_quantile(&latency, 0.95),
        .advice = ROLLOUT_KEEP,
    };
    memcpy(out->name, name, sizeof name);
    fill_rates(counts, out);
}

/* How much an advice asks for attention. */
static int urgency(enum rollout_advice advice)
{
    static const int urgencies[ROLLOUT_ADVICE_COUNT] = {
        [ROLLOUT_KEEP] = 0,
        [ROLLOUT_WAIT] = 1,
        [ROLLOUT_PROMOTE] = 2,
        [ROLLOUT_ROLLBACK] = 3,
    };

    return urgencies[advice];
}

/* The most urgent advice about an arm that still takes part; of two that could
 * be promoted the more accurate one. */
static void choose_advice(struct rollout_report *out)
{
    int i, best = -1;

    for (i = 0; i < out->arm_count; i++) {
        const struct rollout_arm_report *arm = &out->arms[i];

        if (i == out->control || arm->is_stopped)
            continue;
        if (best < 0 ||
            urgency(arm->advice) > urgency(out->arms[best].advice) ||
            (arm->advice == ROLLOUT_PROMOTE &&
             out->arms[best].advice == ROLLOUT_PROMOTE &&
             arm->accuracy > out->arms[best].accuracy))
            best = i;
    }
    out->advice_arm = best;
    out->advice = best >= 0 ? out->arms[best].advice : ROLLOUT_KEEP;
    out->reason = best >= 0            ? out->arms[best].reason
                  : out->arm_count > 1 ? "every other arm was taken out"
                                       : "there is one arm only";
}

void rollout_report(struct rollout *rollout, struct rollout_report *out)
{
    struct arm_counts counts[ROLLOUT_ARMS_MAX];
    const struct arm_counts *control = &counts[rollout->control];
    int i;

    *out = (struct rollout_report){
        .arm_count = rollout->arm_count,
        .control = rollout->control,
        .alpha = rollout->alpha,
        .margin = rollout->margin,
        .sample_min = rollout->sample_min,
        .is_auto_rollback = rollout->is_auto_rollback,
    };
    for (i = 0; i < rollout->arm_count; i++)
        fill_arm(rollout, i, &counts[i], &out->arms[i]);
    for (i = 0; i < rollout->arm_count; i++) {
        struct rollout_arm_report *arm = &out->arms[i];

        if (i == rollout->control) {
            snprintf(arm->reason, sizeof arm->reason, "the control");
            continue;
        }
        fill_test(rollout, control->requests, counts[i].requests, &arm->errors);
        fill_test(rollout, control->feedback, counts[i].feedback,
                  &arm->correctness);
        arm->advice = advise(rollout, control, &counts[i], arm);
    }
    choose_advice(out);
}
