/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "cache/breaker.h"

enum { MS = 1000 };

static void open_it(struct breaker *breaker, int64_t now_us)
{
    int i;

    for (i = 1; i < BREAKER_FAILURES; i++) {
        CHECK(breaker_allows(breaker, now_us));
        CHECK_INT(breaker_report(breaker, false, now_us), BREAKER_SAME);
    }
    CHECK(breaker_allows(breaker, now_us));
    CHECK_INT(breaker_report(breaker, false, now_us), BREAKER_OPENED);
}

TEST(breaker_opens_after_failures_in_a_row_only)
{
    struct breaker breaker = {0};
    int i;

    for (i = 0; i < 10; i++) {
        CHECK_INT(breaker_report(&breaker, false, 0), BREAKER_SAME);
        CHECK_INT(breaker_report(&breaker, false, 0), BREAKER_SAME);
        CHECK_INT(breaker_report(&breaker, true, 0), BREAKER_SAME);
    }
    CHECK(breaker_allows(&breaker, 0));
    open_it(&breaker, 0);
    CHECK(!breaker_allows(&breaker, 0));
}

TEST(breaker_lets_one_ask_when_its_pause_is_over)
{
    struct breaker breaker = {0};

    open_it(&breaker, 0);
    CHECK(!breaker_allows(&breaker, BREAKER_PAUSE_MIN_MS * MS - 1));
    CHECK(breaker_allows(&breaker, BREAKER_PAUSE_MIN_MS * MS));
    CHECK(!breaker_allows(&breaker, BREAKER_PAUSE_MIN_MS * MS));
    CHECK_INT(breaker_report(&breaker, true, BREAKER_PAUSE_MIN_MS * MS),
              BREAKER_CLOSED);
    CHECK(breaker_allows(&breaker, BREAKER_PAUSE_MIN_MS * MS));
    CHECK(breaker_allows(&breaker, BREAKER_PAUSE_MIN_MS * MS));
}

TEST(breaker_doubles_its_pause_up_to_the_longest)
{
    struct breaker breaker = {0};
    int64_t now_us = 0, pause_ms = BREAKER_PAUSE_MIN_MS;
    int i;

    open_it(&breaker, now_us);
    for (i = 0; i < 12; i++) {
        CHECK(!breaker_allows(&breaker, now_us + pause_ms * MS - 1));
        now_us += pause_ms * MS;
        CHECK(breaker_allows(&breaker, now_us));
        CHECK_INT(breaker_report(&breaker, false, now_us), BREAKER_SAME);
        pause_ms *= 2;
        if (pause_ms > BREAKER_PAUSE_MAX_MS)
            pause_ms = BREAKER_PAUSE_MAX_MS;
    }
    CHECK_INT(pause_ms, BREAKER_PAUSE_MAX_MS);
}

TEST(breaker_starts_again_with_the_shortest_pause)
{
    struct breaker breaker = {0};

    open_it(&breaker, 0);
    CHECK(breaker_allows(&breaker, 1000 * MS));
    breaker_report(&breaker, false, 1000 * MS);
    CHECK(breaker_allows(&breaker, 2000 * MS));
    breaker_report(&breaker, true, 2000 * MS);
    open_it(&breaker, 2000 * MS);
    CHECK(breaker_allows(&breaker, (2000 + BREAKER_PAUSE_MIN_MS) * MS));
}

TEST(breaker_takes_late_answers_of_those_who_were_under_way)
{
    struct breaker breaker = {0};

    open_it(&breaker, 0);
    CHECK_INT(breaker_report(&breaker, false, 0), BREAKER_SAME);
    CHECK(breaker_allows(&breaker, BREAKER_PAUSE_MIN_MS * MS));
    CHECK_INT(breaker_report(&breaker, true, 0), BREAKER_CLOSED);
    CHECK(breaker_allows(&breaker, 0));
}
