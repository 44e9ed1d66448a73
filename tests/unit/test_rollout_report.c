/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stddef.h>

#include "models/rollout.h"
#include "rollout_fixture.h"
#include "test.h"

TEST(rollout_reports_what_was_recorded)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
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
    rollout_fixture_judge(rollout, 1, 10, 3);
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

TEST(rollout_waits_until_enough_is_known)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);

    rollout_fixture_record(rollout, 0, 99, 0);
    rollout_fixture_record(rollout, 1, 99, 99);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_WAIT);
    CHECK_INT(rollout_verdict(rollout), -1);
    CHECK_HAS(rollout_fixture_report(rollout).arms[1].reason, "99 requests");
    rollout_fixture_record(rollout, 0, 1, 0);
    rollout_fixture_record(rollout, 1, 1, 1);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_ROLLBACK);
    rollout_free(rollout);
}

TEST(rollout_takes_an_arm_with_more_errors_out_once)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct rollout_report report;
    int i;

    rollout_fixture_record(rollout, 0, 1000, 10);
    rollout_fixture_record(rollout, 1, 1000, 100);
    CHECK_INT(rollout_verdict(rollout), 1);
    CHECK_INT(rollout_verdict(rollout), -1);
    for (i = 0; i < 100; i++)
        CHECK_INT(rollout_fixture_pick(rollout, rollout_fixture_key(i)), 0);
    report = rollout_fixture_report(rollout);
    CHECK(report.arms[1].is_stopped);
    CHECK_INT(report.arms[1].advice, ROLLOUT_ROLLBACK);
    CHECK_HAS(report.arms[1].reason, "error rate 10 % against 1 %");
    CHECK_INT(report.advice_arm, -1);
    rollout_free(rollout);
}

TEST(rollout_takes_an_arm_with_less_accuracy_out)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);

    rollout_fixture_record(rollout, 0, 1000, 0);
    rollout_fixture_record(rollout, 1, 1000, 0);
    rollout_fixture_judge(rollout, 0, 500, 480);
    rollout_fixture_judge(rollout, 1, 500, 380);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_ROLLBACK);
    CHECK_INT(rollout_fixture_report(rollout).advice_arm, 1);
    CHECK_HAS(rollout_fixture_report(rollout).arms[1].reason,
              "accuracy 76 % against 96 %");
    CHECK_INT(rollout_verdict(rollout), 1);
    rollout_free(rollout);
}

TEST(rollout_never_takes_out_an_arm_that_is_better)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);

    rollout_fixture_record(rollout, 0, 1000, 100);
    rollout_fixture_record(rollout, 1, 1000, 10);
    rollout_fixture_judge(rollout, 0, 500, 380);
    rollout_fixture_judge(rollout, 1, 500, 480);
    CHECK_INT(rollout_verdict(rollout), -1);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_PROMOTE);
    CHECK_INT(rollout_fixture_report(rollout).advice_arm, 1);
    rollout_free(rollout);
}

TEST(rollout_promotes_an_arm_that_only_makes_fewer_errors)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);

    rollout_fixture_record(rollout, 0, 1000, 100);
    rollout_fixture_record(rollout, 1, 1000, 10);
    rollout_fixture_judge(rollout, 0, 500, 450);
    rollout_fixture_judge(rollout, 1, 500, 450);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_PROMOTE);
    CHECK_HAS(rollout_fixture_report(rollout).arms[1].reason,
              "error rate 1 % against 10 %");
    rollout_free(rollout);
}

TEST(rollout_advises_the_more_accurate_of_two_better_arms)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout;
    int i;

    options.arms[2] = (struct rollout_arm){"v3", 1, false, false};
    options.arm_count = 3;
    rollout = rollout_fixture_open(&options);
    for (i = 0; i < 3; i++) {
        rollout_fixture_record(rollout, i, 600, 0);
        rollout_fixture_judge(rollout, i, 600,
                              i == 0   ? 300
                              : i == 1 ? 500
                                       : 590);
    }
    CHECK_INT(rollout_fixture_report(rollout).arms[1].advice, ROLLOUT_PROMOTE);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_PROMOTE);
    CHECK_INT(rollout_fixture_report(rollout).advice_arm, 2);
    rollout_fixture_record(rollout, 1, 2000, 2000);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_ROLLBACK);
    CHECK_INT(rollout_fixture_report(rollout).advice_arm, 1);
    rollout_free(rollout);
}

TEST(rollout_only_advises_when_it_must_not_act)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout;

    options.is_auto_rollback = false;
    rollout = rollout_fixture_open(&options);
    rollout_fixture_record(rollout, 0, 1000, 10);
    rollout_fixture_record(rollout, 1, 1000, 200);
    CHECK_INT(rollout_verdict(rollout), -1);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_ROLLBACK);
    CHECK(!rollout_fixture_report(rollout).arms[1].is_stopped);
    rollout_free(rollout);
}

TEST(rollout_promotes_nothing_that_nobody_judged)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);

    rollout_fixture_record(rollout, 0, 1000, 100);
    rollout_fixture_record(rollout, 1, 1000, 0);
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_WAIT);
    rollout_free(rollout);
}

TEST(rollout_keeps_the_control_when_nothing_is_to_be_gained)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct rollout_total total = {200000, 2000, 150000, 20000, 19000};

    CHECK(rollout_restore(rollout, "v1", &total));
    CHECK(rollout_restore(rollout, "v2", &total));
    CHECK_INT(rollout_fixture_report(rollout).advice, ROLLOUT_KEEP);
    CHECK_HAS(rollout_fixture_report(rollout).arms[1].reason, "no gain");
    rollout_free(rollout);
}

TEST(rollout_goes_on_from_restored_totals)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct rollout_total total = {990, 90, 450, 100, 80};
    struct rollout_report report;

    CHECK(rollout_restore(rollout, "v2", &total));
    CHECK(!rollout_restore(rollout, "v3", &total));
    rollout_fixture_record(rollout, 1, 10, 10);
    rollout_fixture_judge(rollout, 1, 1, 1);
    report = rollout_fixture_report(rollout);
    CHECK_INT(report.arms[1].request_count, 1000);
    CHECK_INT(report.arms[1].error_count, 100);
    CHECK_NEAR(report.arms[1].confidence_mean, 0.5, 1e-12);
    CHECK_INT(report.arms[1].correct_count, 81);
    rollout_free(rollout);
}

TEST(rollout_bears_totals_that_cannot_be)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct rollout_total total = {5, 9, 0, -3, 4};
    struct rollout_report report;

    CHECK(rollout_restore(rollout, "v1", &total));
    report = rollout_fixture_report(rollout);
    CHECK_INT(report.arms[0].error_count, 5);
    CHECK_INT(report.arms[0].feedback_count, 0);
    CHECK_INT(report.arms[0].correct_count, 0);
    rollout_free(rollout);
}

TEST(rollout_keeps_the_last_arm_that_serves)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);

    CHECK(rollout_stop(rollout, 0));
    CHECK(!rollout_stop(rollout, 0));
    CHECK(!rollout_stop(rollout, 1));
    CHECK_INT(rollout_fixture_pick(rollout, NULL), 1);
    rollout_free(rollout);
}

TEST(rollout_shares_alpha_out_among_its_tests)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout;

    options.arms[2] = (struct rollout_arm){"v3", 1, false, false};
    options.arm_count = 3;
    rollout = rollout_fixture_open(&options);
    CHECK_NEAR(rollout_fixture_report(rollout).arms[1].errors.alpha, 0.05 / 4,
               1e-15);
    CHECK_NEAR(rollout_fixture_report(rollout).arms[2].correctness.alpha,
               0.05 / 4, 1e-15);
    rollout_free(rollout);
}
