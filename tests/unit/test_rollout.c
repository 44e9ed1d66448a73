/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "models/rollout.h"
#include "rollout_fixture.h"
#include "test.h"

TEST(rollout_honours_the_weights_with_and_without_a_key)
{
    static const double shares[] = {0.5, 0.9, 1};
    enum { COUNT = 20000 };
    int k, i;

    for (k = 0; k < 3; k++) {
        struct rollout_options options =
            rollout_fixture_options(shares[k] * 3, (1 - shares[k]) * 3);
        struct rollout *rollout = rollout_fixture_open(&options);
        int keyed = 0, drawn = 0;

        for (i = 0; i < COUNT; i++) {
            keyed += rollout_fixture_pick(rollout, rollout_fixture_key(i)) == 0;
            drawn += rollout_fixture_pick(rollout, NULL) == 0;
        }
        CHECK_NEAR((double)keyed / COUNT, shares[k], 0.015);
        CHECK_NEAR((double)drawn / COUNT, shares[k], 0.015);
        rollout_free(rollout);
    }
}

TEST(rollout_gives_a_key_the_same_arm_on_every_instance)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout_options turned = {
        .arms = {options.arms[1], options.arms[0]},
        .arm_count = 2,
        .seed = 7,
        .sample_min = 5,
        .alpha = 0.01,
    };
    struct rollout *one = rollout_fixture_open(&options),
                   *other = rollout_fixture_open(&turned);
    char arms[17] = "";
    int i;

    for (i = 0; i < 500; i++)
        CHECK_INT(rollout_fixture_pick(one, rollout_fixture_key(i)),
                  1 - rollout_fixture_pick(other, rollout_fixture_key(i)));
    /* Written down once: a change of the hash would move every user. */
    for (i = 0; i < 16; i++)
        arms[i] =
            rollout_fixture_pick(one, rollout_fixture_key(i)) == 0 ? '1' : '2';
    CHECK_TEXT(arms, "2111211222211222");
    rollout_free(one);
    rollout_free(other);
}

TEST(rollout_moves_only_keys_that_gain_by_a_new_weight)
{
    struct rollout_options before = rollout_fixture_options(9, 1);
    struct rollout_options after = rollout_fixture_options(8, 2);
    struct rollout *one = rollout_fixture_open(&before),
                   *other = rollout_fixture_open(&after);
    int i, moved = 0;

    for (i = 0; i < 10000; i++) {
        int from = rollout_fixture_pick(one, rollout_fixture_key(i)),
            to = rollout_fixture_pick(other, rollout_fixture_key(i));

        CHECK(from == to || (from == 0 && to == 1));
        moved += from != to;
    }
    CHECK_NEAR(moved / 10000.0, 0.1, 0.015);
    rollout_free(one);
    rollout_free(other);
}

TEST(rollout_draws_the_same_arms_from_the_same_seed)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *one = rollout_fixture_open(&options),
                   *other = rollout_fixture_open(&options);
    struct rollout *third;
    int i, same = 0;

    options.seed++;
    third = rollout_fixture_open(&options);
    for (i = 0; i < 1000; i++) {
        int arm = rollout_fixture_pick(one, NULL);

        CHECK_INT(arm, rollout_fixture_pick(other, NULL));
        same += arm == rollout_fixture_pick(third, NULL);
    }
    CHECK(same > 400 && same < 600);
    rollout_free(one);
    rollout_free(other);
    rollout_free(third);
}

TEST(rollout_asks_the_shadow_too_but_never_serves_it)
{
    struct rollout *rollout = rollout_fixture_shadow();
    struct rollout_choice choice;
    int i;

    for (i = 0; i < 100; i++) {
        rollout_pick(rollout, i % 2 ? NULL : rollout_fixture_key(i), &choice);
        CHECK_INT(choice.arm, 0);
        CHECK_INT(choice.shadow, 1);
    }
    CHECK(rollout_stop(rollout, 1));
    rollout_pick(rollout, NULL, &choice);
    CHECK_INT(choice.shadow, -1);
    rollout_free(rollout);
}

TEST(rollout_feedback_finds_the_arms_that_answered)
{
    struct rollout *rollout = rollout_fixture_shadow();
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
    report = rollout_fixture_report(rollout);
    CHECK_INT(report.arms[0].correct_count, 0);
    CHECK_INT(report.arms[1].correct_count, 1);
    CHECK(!rollout_judge(rollout, "r2", "selo", &judgement));
    rollout_free(rollout);
}

TEST(rollout_feedback_given_twice_counts_once_as_it_was_said_last)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct rollout_judgement judgement;
    struct rollout_report report;

    rollout_remember(rollout, "r1", 0, "moeda");
    CHECK(rollout_judge(rollout, "r1", "selo", &judgement));
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    CHECK(judgement.is_correct);
    CHECK(judgement.is_correction);
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    report = rollout_fixture_report(rollout);
    CHECK_INT(report.arms[0].feedback_count, 1);
    CHECK_INT(report.arms[0].correct_count, 1);
    rollout_free(rollout);
}

TEST(rollout_takes_a_request_id_that_comes_again_for_a_new_request)
{
    struct rollout *rollout = rollout_fixture_shadow();
    struct rollout_judgement judgement;

    rollout_remember(rollout, "r1", 0, "moeda");
    rollout_remember(rollout, "r1", 1, "moeda");
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    rollout_remember(rollout, "r1", 0, "selo");
    CHECK(rollout_judge(rollout, "r1", "selo", &judgement));
    CHECK(!judgement.is_correction);
    CHECK_TEXT(judgement.predicted, "selo");
    CHECK_INT(rollout_fixture_report(rollout).arms[0].correct_count, 2);
    CHECK_INT(rollout_fixture_report(rollout).arms[1].feedback_count, 1);
    rollout_free(rollout);
}

TEST(rollout_forgets_what_a_replaced_shadow_answered)
{
    struct rollout *rollout = rollout_fixture_shadow();
    struct rollout_judgement judgement;
    struct err err = {0};

    rollout_remember(rollout, "r1", 0, "moeda");
    rollout_remember(rollout, "r1", 1, "moeda");
    CHECK_OK(rollout_replace(rollout, 1, "v3", &err), err);
    CHECK(rollout_judge(rollout, "r1", "moeda", &judgement));
    CHECK_INT(rollout_fixture_report(rollout).arms[0].feedback_count, 1);
    CHECK_INT(rollout_fixture_report(rollout).arms[1].feedback_count, 0);
    rollout_free(rollout);
}

TEST(rollout_forgets_the_oldest_answers)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout;
    struct rollout_judgement judgement;
    int i;

    options.recent_max = 7;
    rollout = rollout_fixture_open(&options);
    for (i = 0; i < 1000; i++)
        rollout_remember(rollout, rollout_fixture_key(i), i % 2,
                         rollout_fixture_key(i));
    for (i = 0; i < 1000; i++) {
        CHECK_INT(rollout_judge(rollout, rollout_fixture_key(i),
                                rollout_fixture_key(i), &judgement),
                  i >= 993);
        CHECK(i < 993 || (judgement.arm == i % 2 && judgement.is_correct));
    }
    rollout_free(rollout);
}

TEST(rollout_that_remembers_nothing_judges_nothing)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout_judgement judgement;
    struct rollout *rollout;
    char name[ROLLOUT_REQUEST_MAX + 1];

    options.recent_max = 0;
    rollout = rollout_fixture_open(&options);
    rollout_remember(rollout, "r1", 0, "moeda");
    CHECK(!rollout_judge(rollout, "r1", "moeda", &judgement));
    rollout_free(rollout);
    options.recent_max = 3;
    rollout = rollout_fixture_open(&options);
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    rollout_remember(rollout, name, 0, "moeda");
    CHECK(!rollout_judge(rollout, name, "moeda", &judgement));
    rollout_free(rollout);
}

TEST(rollout_begins_anew_when_an_arm_gets_another_version)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct rollout_judgement judgement;
    struct rollout_report report;
    struct err err = {0};

    rollout_fixture_record(rollout, 0, 10, 5);
    rollout_fixture_record(rollout, 1, 10, 5);
    rollout_remember(rollout, "r1", 0, "moeda");
    rollout_remember(rollout, "r2", 1, "moeda");
    CHECK_OK(rollout_replace(rollout, 0, "v3", &err), err);
    report = rollout_fixture_report(rollout);
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
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout_options fresh = rollout_fixture_options(1, 1);
    struct rollout *one = rollout_fixture_open(&options), *other;
    struct err err = {0};
    int i;

    fresh.arms[0].name = "v3";
    other = rollout_fixture_open(&fresh);
    CHECK_OK(rollout_replace(one, 0, "v3", &err), err);
    for (i = 0; i < 300; i++)
        CHECK_INT(rollout_fixture_pick(one, rollout_fixture_key(i)),
                  rollout_fixture_pick(other, rollout_fixture_key(i)));
    rollout_free(one);
    rollout_free(other);
}

TEST(rollout_takes_the_arm_out_whose_version_became_the_control)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct err err = {0};
    int i;

    CHECK_OK(rollout_replace(rollout, 0, "v2", &err), err);
    CHECK(rollout_fixture_report(rollout).arms[1].is_stopped);
    CHECK_INT(rollout_find(rollout, "v2"), 0);
    for (i = 0; i < 50; i++)
        CHECK_INT(rollout_fixture_pick(rollout, rollout_fixture_key(i)), 0);
    CHECK_OK(rollout_replace(rollout, 1, "v3", &err), err);
    CHECK(!rollout_fixture_report(rollout).arms[1].is_stopped);
    CHECK_ERR(rollout_replace(rollout, 1, "", &err), ERR_INVALID);
    CHECK_TEXT(rollout_fixture_report(rollout).arms[1].name, "v3");
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
    struct rollout_options options = rollout_fixture_options(1, 1);

    options.arm_count = 0;
    CHECK_HAS(refusal(&options), "0 arms");
    options = rollout_fixture_options(1, NAN);
    CHECK_HAS(refusal(&options), "\"v2\" has weight");
    options = rollout_fixture_options(-1, 1);
    CHECK_HAS(refusal(&options), "\"v1\" has weight -1");
    options = rollout_fixture_options(0, 0);
    CHECK_HAS(refusal(&options), "no arm has a weight");
    options = rollout_fixture_options(1, 1);
    options.arms[1].name = "v1";
    CHECK_HAS(refusal(&options), "two arms are called \"v1\"");
    options = rollout_fixture_options(1, 1);
    options.arms[1].is_shadow = true;
    CHECK_HAS(refusal(&options), "\"v2\" is a shadow");
    options = rollout_fixture_options(1, 1);
    options.arms[1].is_control = true;
    CHECK_HAS(refusal(&options), "2 arms are the control");
    options = rollout_fixture_options(1, 1);
    options.arms[0].name = "";
    CHECK_HAS(refusal(&options), "0 bytes");
}

TEST(rollout_refuses_limits_that_cannot_be)
{
    struct rollout_options options = rollout_fixture_options(1, 1);

    options.alpha = 0.5;
    CHECK_HAS(refusal(&options), "alpha is 0.5");
    options = rollout_fixture_options(1, 1);
    options.margin = -1;
    CHECK_HAS(refusal(&options), "margin is -1");
    options = rollout_fixture_options(1, 1);
    options.sample_min = 0;
    CHECK_HAS(refusal(&options), "sample is 0");
    options = rollout_fixture_options(1, 1);
    options.recent_max = ROLLOUT_RECENT_MAX + 1;
    CHECK_HAS(refusal(&options), "1048577");
}

TEST(rollout_survives_torture)
{
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = NULL;
    long nth;

    for (nth = 1; nth <= 2; nth++) {
        struct err err = {0};

        mem_fail_at(nth);
        CHECK_ERR(rollout_new(&options, &rollout, &err), ERR_UNAVAILABLE);
        mem_fail_at(0);
        CHECK(rollout == NULL);
    }
    rollout = rollout_fixture_open(&options);
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
    struct rollout_options options = rollout_fixture_options(1, 1);
    struct rollout *rollout = rollout_fixture_open(&options);
    struct rollout_report report;
    pthread_t threads[THREADS];
    int i;

    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, work, rollout), 0);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    report = rollout_fixture_report(rollout);
    CHECK_INT(report.arms[0].request_count + report.arms[1].request_count,
              THREADS * ROUNDS);
    CHECK_INT(report.arms[0].agreed_count + report.arms[1].agreed_count,
              THREADS * ROUNDS);
    CHECK(report.arms[0].feedback_count + report.arms[1].feedback_count <=
          THREADS * ROUNDS);
    CHECK_INT(report.arms[0].feedback_count, report.arms[0].correct_count);
    rollout_free(rollout);
}
