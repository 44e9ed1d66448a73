/* SPDX-License-Identifier: Apache-2.0 */
#include "rollout_fixture.h"

#include <stdio.h>

#include "test.h"

struct rollout_options rollout_fixture_options(double v1, double v2)
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

struct rollout *rollout_fixture_open(const struct rollout_options *options)
{
    struct rollout *rollout = NULL;
    struct err err = {0};

    CHECK_OK(rollout_new(options, &rollout, &err), err);
    return rollout;
}

struct rollout *rollout_fixture_shadow(void)
{
    struct rollout_options options = rollout_fixture_options(1, 0);

    options.arms[1].is_shadow = true;
    return rollout_fixture_open(&options);
}

void rollout_fixture_record(struct rollout *rollout, int arm, int count,
                            int error_count)
{
    struct rollout_outcome outcome = {5000, false, 0.8, -1};
    int i;

    for (i = 0; i < count; i++) {
        outcome.is_error = i < error_count;
        rollout_record(rollout, arm, &outcome);
    }
}

void rollout_fixture_judge(struct rollout *rollout, int arm, int count,
                           int correct_count)
{
    int i;

    for (i = 0; i < count; i++)
        rollout_feedback(rollout, arm, i < correct_count);
}

const char *rollout_fixture_key(int i)
{
    static char key[32];

    snprintf(key, sizeof key, "user-%d", i);
    return key;
}

int rollout_fixture_pick(struct rollout *rollout, const char *key)
{
    struct rollout_choice choice;

    rollout_pick(rollout, key, &choice);
    return choice.arm;
}

struct rollout_report rollout_fixture_report(struct rollout *rollout)
{
    struct rollout_report report;

    rollout_report(rollout, &report);
    return report;
}
