/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "models/rollout.h"
#include "test.h"

/* v1 is the control, v2 the newer one. */
static struct rollout_options make_options(double v1, double v2)
{
    return (struct rollout_options){
        .arms = {{"v1", v1, true, false}, {"v2", v2, false, false}},
        .arm_count = 2,
        .seed = 42,
        .sample_min = 100,
        .alpha = 0.05,
        .margin = 0.02,
        .is_auto_rollback = true,
        .recent_max = 100,
    };
}

static struct rollout *make(const struct rollout_options *options)
{
    struct rollout *rollout = NULL;
    struct err err = {0};

    CHECK_OK(rollout_new(options, &rollout, &err), err);
    return rollout;
}

static struct rollout *make_with_shadow(void)
{
    struct rollout_options options = make_options(1, 0);

    options.arms[1].is_shadow = true;
    return make(&options);
}

static void record(struct rollout *rollout, int arm, int count, int error_count)
{
    struct rollout_outcome outcome = {5000, false, 0.8, -1};
    int i;

    for (i = 0; i < count; i++) {
        outcome.is_error = i < error_count;
        rollout_record(rollout, arm, &outcome);
    }
}

static void judge(struct rollout *rollout, int arm, int count,
                  int correct_count)
{
    int i;

    for (i = 0; i < count; i++)
        rollout_feedback(rollout, arm, i < correct_count);
}

static const char *key_of(int i)
{
    static char key[32];

    snprintf(key, sizeof key, "user-%d", i);
    return key;
}

static int pick(struct rollout *rollout, const char *key)
{
    struct rollout_choice choice;

    rollout_pick(rollout, key, &choice);
    return choice.arm;
}

TEST(rollout_honours_the_weights_with_and_without_a_key)
{
    static const double shares[] = {0.5, 0.9, 1};
    enum { COUNT = 20000 };
    int k, i;

    for (k = 0; k < 3; k++) {
        struct rollout_options options =
            make_options(shares[k] * 3, (1 - shares[k]) * 3);
        struct rollout *rollout = make(&options);
        int keyed = 0, drawn = 0;

        for (i = 0; i < COUNT; i++) {
            keyed += pick(rollout, key_of(i)) == 0;
            drawn += pick(rollout, NULL) == 0;
        }
        CHECK_NEAR((double)keyed / COUNT, shares[k], 0.015);
        CHECK_NEAR((double)drawn / COUNT, shares[k], 0.015);
        rollout_free(rollout);
    }
}

TEST(rollout_gives_a_key_the_same_arm_on_every_instance)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout_options turned = {
        .arms = {options.arms[1], options.arms[0]},
        .arm_count = 2,
        .seed = 7,
        .sample_min = 5,
        .alpha = 0.01,
    };
    struct rollout *one = make(&options), *other = make(&turned);
    char arms[17] = "";
    int i;

    for (i = 0; i < 500; i++)
        CHECK_INT(pick(one, key_of(i)), 1 - pick(other, key_of(i)));
    /* Written down once: a change of the hash would move every user. */
    for (i = 0; i < 16; i++)
        arms[i] = pick(one, key_of(i)) == 0 ? '1' : '2';
    CHECK_TEXT(arms, "2111211222211222");
    rollout_free(one);
    rollout_free(other);
}

TEST(rollout_moves_only_keys_that_gain_by_a_new_weight)
{
    struct rollout_options before = make_options(9, 1);
    struct rollout_options after = make_options(8, 2);
    struct rollout *one = make(&before), *other = make(&after);
    int i, moved = 0;

    for (i = 0; i < 10000; i++) {
        int from = pick(one, key_of(i)), to = pick(other, key_of(i));

        CHECK(from == to || (from == 0 && to == 1));
        moved += from != to;
    }
    CHECK_NEAR(moved / 10000.0, 0.1, 0.015);
    rollout_free(one);
    rollout_free(other);
}

TEST(rollout_draws_the_same_arms_from_the_same_seed)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *one = make(&options), *other = make(&options);
    struct rollout *third;
    int i, same = 0;

    options.seed++;
    third = make(&options);
    for (i = 0; i < 1000; i++) {
        int arm = pick(one, NULL);

        CHECK_INT(arm, pick(other, NULL));
        same += arm == pick(third, NULL);
    }
    CHECK(same > 400 && same < 600);
    rollout_free(one);
    rollout_free(other);
    rollout_free(third);
}

TEST(rollout_asks_the_shadow_too_but_never_serves_it)
{
    struct rollout *rollout = make_with_shadow();
    struct rollout_choice choice;
    int i;

    for (i = 0; i < 100; i++) {
        rollout_pick(rollout, i % 2 ? NULL : key_of(i), &choice);
        CHECK_INT(choice.arm, 0);
        CHECK_INT(choice.shadow, 1);
    }
    CHECK(rollout_stop(rollout, 1));
    rollout_pick(rollout, NULL, &choice);
    CHECK_INT(choice.shadow, -1);
    rollout_free(rollout);
}

TEST(rollout_reports_what_was_recorded)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_outcome fast = {1000, false, 0.9, 1};
    struct rollout_outcome slow = {9000, false, 0.5, 0};
    struct rollout_outcome broken = {20000, true, 0.7, -1};
    struct rollout_report report;
    int i;

    for (i = 0; i < 90; i++)
        rollout_record(rollout, 1, &fast);
    for (i = 0; i < 9; i++)
        rollout_record(rollout, 1, &slow);
    rollout_record(rollout, 1, &broken);
    judge(rollout, 1, 10, 3);
    rollout_report(rollout, &report);
    CHECK_INT(report.arms[1].request_count, 100);
    CHECK_NEAR(report.arms[1].error_rate, 0.01, 1e-12);
    CHECK_NEAR((double)report.arms[1].latency_p50_us, 1000, 10);
    CHECK_NEAR((double)report.arms[1].latency_p95_us, 9000, 90);
    CHECK_NEAR(report.arms[1].confidence_mean, (81 + 4.5) / 99, 1e-12);
    CHECK_NEAR(report.arms[1].agreement, 90 / 99.0, 1e-12);
    CHECK_NEAR(report.arms[1].accuracy, 0.3, 1e-12);
    CHECK_NEAR(report.arms[1].accuracy_low, 0.107791267406, 1e-11);
    CHECK_NEAR(report.arms[1].accuracy_high, 0.603221852539, 1e-11);
    CHECK(isnan(report.arms[0].error_rate));
    CHECK_INT(report.arms[0].latency_p95_us, -1);
    CHECK_TEXT(report.arms[0].reason, "the control");
    rollout_free(rollout);
}

static struct rollout_report report_of(struct rollout *rollout)
{
    struct rollout_report report;

    rollout_report(rollout, &report);
    return report;
}

TEST(rollout_waits_until_enough_is_known)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);

    record(rollout, 0, 99, 0);
    record(rollout, 1, 99, 99);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_WAIT);
    CHECK_INT(rollout_verdict(rollout), -1);
    CHECK_HAS(report_of(rollout).arms[1].reason, "99 requests");
    record(rollout, 0, 1, 0);
    record(rollout, 1, 1, 1);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_ROLLBACK);
    rollout_free(rollout);
}

TEST(rollout_takes_an_arm_with_more_errors_out_once)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_report report;
    int i;

    record(rollout, 0, 1000, 10);
    record(rollout, 1, 1000, 100);
    CHECK_INT(rollout_verdict(rollout), 1);
    CHECK_INT(rollout_verdict(rollout), -1);
    for (i = 0; i < 100; i++)
        CHECK_INT(pick(rollout, key_of(i)), 0);
    report = report_of(rollout);
    CHECK(report.arms[1].is_stopped);
    CHECK_INT(report.arms[1].advice, ROLLOUT_ROLLBACK);
    CHECK_HAS(report.arms[1].reason, "error rate 10 % against 1 %");
    CHECK_INT(report.advice_arm, -1);
    rollout_free(rollout);
}

TEST(rollout_takes_an_arm_with_less_accuracy_out)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);

    record(rollout, 0, 1000, 0);
    record(rollout, 1, 1000, 0);
    judge(rollout, 0, 500, 480);
    judge(rollout, 1, 500, 380);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_ROLLBACK);
    CHECK_INT(report_of(rollout).advice_arm, 1);
    CHECK_HAS(report_of(rollout).arms[1].reason, "accuracy 76 % against 96 %");
    CHECK_INT(rollout_verdict(rollout), 1);
    rollout_free(rollout);
}

TEST(rollout_never_takes_out_an_arm_that_is_better)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);

    record(rollout, 0, 1000, 100);
    record(rollout, 1, 1000, 10);
    judge(rollout, 0, 500, 380);
    judge(rollout, 1, 500, 480);
    CHECK_INT(rollout_verdict(rollout), -1);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_PROMOTE);
    CHECK_INT(report_of(rollout).advice_arm, 1);
    rollout_free(rollout);
}

TEST(rollout_promotes_an_arm_that_only_makes_fewer_errors)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);

    record(rollout, 0, 1000, 100);
    record(rollout, 1, 1000, 10);
    judge(rollout, 0, 500, 450);
    judge(rollout, 1, 500, 450);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_PROMOTE);
    CHECK_HAS(report_of(rollout).arms[1].reason, "error rate 1 % against 10 %");
    rollout_free(rollout);
}

TEST(rollout_advises_the_more_accurate_of_two_better_arms)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout;
    int i;

    options.arms[2] = (struct rollout_arm){"v3", 1, false, false};
    options.arm_count = 3;
    rollout = make(&options);
    for (i = 0; i < 3; i++) {
        record(rollout, i, 600, 0);
        judge(rollout, i, 600, i == 0 ? 300 : i == 1 ? 500 : 590);
    }
    CHECK_INT(report_of(rollout).arms[1].advice, ROLLOUT_PROMOTE);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_PROMOTE);
    CHECK_INT(report_of(rollout).advice_arm, 2);
    record(rollout, 1, 2000, 2000);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_ROLLBACK);
    CHECK_INT(report_of(rollout).advice_arm, 1);
    rollout_free(rollout);
}

TEST(rollout_only_advises_when_it_must_not_act)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout;

    options.is_auto_rollback = false;
    rollout = make(&options);
    record(rollout, 0, 1000, 10);
    record(rollout, 1, 1000, 200);
    CHECK_INT(rollout_verdict(rollout), -1);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_ROLLBACK);
    CHECK(!report_of(rollout).arms[1].is_stopped);
    rollout_free(rollout);
}

TEST(rollout_promotes_nothing_that_nobody_judged)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);

    record(rollout, 0, 1000, 100);
    record(rollout, 1, 1000, 0);
    CHECK_INT(report_of(rollout).advice, ROLLOUT_WAIT);
    rollout_free(rollout);
}

TEST(rollout_keeps_the_control_when_nothing_is_to_be_gained)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_total total = {200000, 2000, 150000, 20000, 19000};

    CHECK(rollout_restore(rollout, "v1", &total));
    CHECK(rollout_restore(rollout, "v2", &total));
    CHECK_INT(report_of(rollout).advice, ROLLOUT_KEEP);
    CHECK_HAS(report_of(rollout).arms[1].reason, "no gain");
    rollout_free(rollout);
}

TEST(rollout_goes_on_from_restored_totals)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_total total = {990, 90, 450, 100, 80};
    struct rollout_report report;

    CHECK(rollout_restore(rollout, "v2", &total));
    CHECK(!rollout_restore(rollout, "v3", &total));
    record(rollout, 1, 10, 10);
    judge(rollout, 1, 1, 1);
    report = report_of(rollout);
    CHECK_INT(report.arms[1].request_count, 1000);
    CHECK_INT(report.arms[1].error_count, 100);
    CHECK_NEAR(report.arms[1].confidence_mean, 0.5, 1e-12);
    CHECK_INT(report.arms[1].correct_count, 81);
    rollout_free(rollout);
}

TEST(rollout_bears_totals_that_cannot_be)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_total total = {5, 9, 0, -3, 4};
    struct rollout_report report;

    CHECK(rollout_restore(rollout, "v1", &total));
    report = report_of(rollout);
    CHECK_INT(report.arms[0].error_count, 5);
    CHECK_INT(report.arms[0].feedback_count, 0);
    CHECK_INT(report.arms[0].correct_count, 0);
    rollout_free(rollout);
}

TEST(rollout_feedback_finds_the_arms_that_answered)
{
    struct rollout *rollout = make_with_shadow();
    struct rollout_judgement judgement;
    struct rollout_report report;

    /* The shadow may be done first. */
    rollout_remember(rollout, "r1", 1, "selo");
    CHECK(!rollout_judge(rollout, "r1", "selo", &judgement));
    rollout_remember(rollout, "r1", 0, "moeda");
    CHECK(rollout_judge(rollout, "r1", "selo", &judgement));
    CHECK_INT(judgement.arm, 0);
    CHECK_TEXT(judgement.predicted, "moeda");
    CHECK(!judgement.is_correct);
    CHECK(!judgement.is_correction);
    report = report_of(rollout);
    CHECK_INT(report.arms[0].correct_count, 0);
    CHECK_INT(report.arms[1].correct_count, 1);
    CHECK(!rollout_judge(rollout, "r2", "selo", &judgement));
    rollout_free(rollout);
}

TEST(rollout_feedback_given_twice_counts_once_as_it_was_said_last)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_judgement judgement;
    struct rollout_report report;

    rollout_remember(rollout, "r1", 0, "moeda");
    CHECK(rollout_judge(rollout, "r1", "selo", &judgement));
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    CHECK(judgement.is_correct);
    CHECK(judgement.is_correction);
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    report = report_of(rollout);
    CHECK_INT(report.arms[0].feedback_count, 1);
    CHECK_INT(report.arms[0].correct_count, 1);
    rollout_free(rollout);
}

TEST(rollout_takes_a_request_id_that_comes_again_for_a_new_request)
{
    struct rollout *rollout = make_with_shadow();
    struct rollout_judgement judgement;

    rollout_remember(rollout, "r1", 0, "moeda");
    rollout_remember(rollout, "r1", 1, "moeda");
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    rollout_remember(rollout, "r1", 0, "selo");
    CHECK(rollout_judge(rollout, "r1", "selo", &judgement));
    CHECK(!judgement.is_correction);
    CHECK_TEXT(judgement.predicted, "selo");
    CHECK_INT(report_of(rollout).arms[0].correct_count, 2);
    CHECK_INT(report_of(rollout).arms[1].feedback_count, 1);
    rollout_free(rollout);
}

TEST(rollout_forgets_what_a_replaced_shadow_answered)
{
    struct rollout *rollout = make_with_shadow();
    struct rollout_judgement judgement;
    struct err err = {0};

    rollout_remember(rollout, "r1", 0, "moeda");
    rollout_remember(rollout, "r1", 1, "moeda");
    CHECK_OK(rollout_replace(rollout, 1, "v3", &err), err);
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    CHECK_INT(report_of(rollout).arms[0].feedback_count, 1);
    CHECK_INT(report_of(rollout).arms[1].feedback_count, 0);
    rollout_free(rollout);
}

TEST(rollout_forgets_the_oldest_answers)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout;
    struct rollout_judgement judgement;
    int i;

    options.recent_max = 7;
    rollout = make(&options);
    for (i = 0; i < 1000; i++)
        rollout_remember(rollout, key_of(i), i % 2, key_of(i));
    for (i = 0; i < 1000; i++) {
        CHECK_INT(rollout_judge(rollout, key_of(i), key_of(i), &judgement),
                  i >= 993);
        CHECK(i < 993 || (judgement.arm == i % 2 && judgement.is_correct));
    }
    rollout_free(rollout);
}

TEST(rollout_that_remembers_nothing_judges_nothing)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout_judgement judgement;
    struct rollout *rollout;
    char name[ROLLOUT_REQUEST_MAX + 1];

    options.recent_max = 0;
    rollout = make(&options);
    rollout_remember(rollout, "r1", 0, "moeda");
    CHECK(!rollout_judge(rollout, "r1", "moeda", &judgement));
    rollout_free(rollout);
    options.recent_max = 3;
    rollout = make(&options);
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    rollout_remember(rollout, name, 0, "moeda");
    CHECK(!rollout_judge(rollout, name, "moeda", &judgement));
    rollout_free(rollout);
}

TEST(rollout_keeps_the_last_arm_that_serves)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);

    CHECK(rollout_stop(rollout, 0));
    CHECK(!rollout_stop(rollout, 0));
    CHECK(!rollout_stop(rollout, 1));
    CHECK_INT(pick(rollout, NULL), 1);
    rollout_free(rollout);
}

TEST(rollout_begins_anew_when_an_arm_gets_another_version)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_judgement judgement;
    struct rollout_report report;
    struct err err = {0};

    record(rollout, 0, 10, 5);
    record(rollout, 1, 10, 5);
    rollout_remember(rollout, "r1", 0, "moeda");
    rollout_remember(rollout, "r2", 1, "moeda");
    CHECK_OK(rollout_replace(rollout, 0, "v3", &err), err);
    report = report_of(rollout);
    CHECK_TEXT(report.arms[0].name, "v3");
    CHECK(report.arms[0].is_control);
    CHECK_INT(report.arms[0].request_count, 0);
    CHECK_INT(report.arms[0].latency_p50_us, -1);
    CHECK_INT(report.arms[1].request_count, 10);
    CHECK_INT(rollout_find(rollout, "v1"), -1);
    CHECK_INT(rollout_find(rollout, "v3"), 0);
    CHECK(!rollout_judge(rollout, "r1", "moeda", &judgement));
    CHECK(rollout_judge(rollout, "r2", "moeda", &judgement));
    rollout_free(rollout);
}

TEST(rollout_picks_for_a_replaced_arm_as_a_new_start_would)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout_options fresh = make_options(1, 1);
    struct rollout *one = make(&options), *other;
    struct err err = {0};
    int i;

    fresh.arms[0].name = "v3";
    other = make(&fresh);
    CHECK_OK(rollout_replace(one, 0, "v3", &err), err);
    for (i = 0; i < 300; i++)
        CHECK_INT(pick(one, key_of(i)), pick(other, key_of(i)));
    rollout_free(one);
    rollout_free(other);
}

TEST(rollout_takes_the_arm_out_whose_version_became_the_control)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct err err = {0};
    int i;

    CHECK_OK(rollout_replace(rollout, 0, "v2", &err), err);
    CHECK(report_of(rollout).arms[1].is_stopped);
    CHECK_INT(rollout_find(rollout, "v2"), 0);
    for (i = 0; i < 50; i++)
        CHECK_INT(pick(rollout, key_of(i)), 0);
    CHECK_OK(rollout_replace(rollout, 1, "v3", &err), err);
    CHECK(!report_of(rollout).arms[1].is_stopped);
    CHECK_ERR(rollout_replace(rollout, 1, "", &err), ERR_INVALID);
    CHECK_TEXT(report_of(rollout).arms[1].name, "v3");
    rollout_free(rollout);
}

TEST(rollout_shares_alpha_out_among_its_tests)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout;

    options.arms[2] = (struct rollout_arm){"v3", 1, false, false};
    options.arm_count = 3;
    rollout = make(&options);
    CHECK_NEAR(report_of(rollout).arms[1].errors.alpha, 0.05 / 4, 1e-15);
    CHECK_NEAR(report_of(rollout).arms[2].correctness.alpha, 0.05 / 4, 1e-15);
    rollout_free(rollout);
}

static const char *refusal(const struct rollout_options *options)
{
    static struct err err;
    struct rollout *rollout = NULL;

    err = (struct err){0};
    CHECK_ERR(rollout_new(options, &rollout, &err), ERR_INVALID);
    CHECK(rollout == NULL);
    return err.text;
}

TEST(rollout_refuses_arms_that_cannot_be)
{
    struct rollout_options options = make_options(1, 1);

    options.arm_count = 0;
    CHECK_HAS(refusal(&options), "0 arms");
    options = make_options(1, NAN);
    CHECK_HAS(refusal(&options), "\"v2\" has weight");
    options = make_options(-1, 1);
    CHECK_HAS(refusal(&options), "\"v1\" has weight -1");
    options = make_options(0, 0);
    CHECK_HAS(refusal(&options), "no arm has a weight");
    options = make_options(1, 1);
    options.arms[1].name = "v1";
    CHECK_HAS(refusal(&options), "two arms are called \"v1\"");
    options = make_options(1, 1);
    options.arms[1].is_shadow = true;
    CHECK_HAS(refusal(&options), "\"v2\" is a shadow");
    options = make_options(1, 1);
    options.arms[1].is_control = true;
    CHECK_HAS(refusal(&options), "2 arms are the control");
    options = make_options(1, 1);
    options.arms[0].name = "";
    CHECK_HAS(refusal(&options), "0 bytes");
}

TEST(rollout_refuses_limits_that_cannot_be)
{
    struct rollout_options options = make_options(1, 1);

    options.alpha = 0.5;
    CHECK_HAS(refusal(&options), "alpha is 0.5");
    options = make_options(1, 1);
    options.margin = -1;
    CHECK_HAS(refusal(&options), "margin is -1");
    options = make_options(1, 1);
    options.sample_min = 0;
    CHECK_HAS(refusal(&options), "sample is 0");
    options = make_options(1, 1);
    options.recent_max = ROLLOUT_RECENT_MAX + 1;
    CHECK_HAS(refusal(&options), "1048577");
}

TEST(rollout_survives_torture)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = NULL;
    long nth;

    for (nth = 1; nth <= 2; nth++) {
        struct err err = {0};

        mem_fail_at(nth);
        CHECK_ERR(rollout_new(&options, &rollout, &err), ERR_UNAVAILABLE);
        mem_fail_at(0);
        CHECK(rollout == NULL);
    }
    rollout = make(&options);
    rollout_free(rollout);
    rollout_free(NULL);
}

enum { THREADS = 4, ROUNDS = 2000 };

static void *work(void *user)
{
    struct rollout *rollout = user;
    struct rollout_outcome outcome = {1000, false, 0.5, 1};
    struct rollout_judgement judgement;
    struct rollout_choice choice;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        char id[32];

        snprintf(id, sizeof id, "%p-%d", (void *)&outcome, i);
        rollout_pick(rollout, NULL, &choice);
        rollout_record(rollout, choice.arm, &outcome);
        rollout_remember(rollout, id, choice.arm, "moeda");
        (void)rollout_judge(rollout, id, "moeda", &judgement);
        (void)rollout_verdict(rollout);
        (void)rollout_find(rollout, "v2");
    }
    return NULL;
}

TEST(rollout_loses_no_count_among_threads)
{
    struct rollout_options options = make_options(1, 1);
    struct rollout *rollout = make(&options);
    struct rollout_report report;
    pthread_t threads[THREADS];
    int i;

    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, work, rollout), 0);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    report = report_of(rollout);
    CHECK_INT(report.arms[0].request_count + report.arms[1].request_count,
              THREADS * ROUNDS);
    CHECK_INT(report.arms[0].agreed_count + report.arms[1].agreed_count,
              THREADS * ROUNDS);
    CHECK(report.arms[0].feedback_count + report.arms[1].feedback_count <=
          THREADS * ROUNDS);
    CHECK_INT(report.arms[0].feedback_count, report.arms[0].correct_count);
    rollout_free(rollout);
}
