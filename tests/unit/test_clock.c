/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/clock.h"

TEST(clock_formats_utc_with_milliseconds)
{
    char text[CLOCK_TEXT_LEN];

    clock_format(0, text);
    CHECK_TEXT(text, "1970-01-01T00:00:00.000Z");
    clock_format(1795262400123, text);
    CHECK_TEXT(text, "2026-11-21T12:00:00.123Z");
    clock_format(951782400000, text);
    CHECK_TEXT(text, "2000-02-29T00:00:00.000Z");
    clock_format(-1, text);
    CHECK_TEXT(text, "1969-12-31T23:59:59.999Z");
    clock_format(INT64_MAX, text);
    CHECK_TEXT(text, "292278994-08-17T07:12:55.807Z");
}

TEST(clock_splits_an_instant_for_waiting)
{
    struct timespec time = clock_timespec(3000007);

    CHECK_INT(time.tv_sec, 3);
    CHECK_INT(time.tv_nsec, 7000);
    time = clock_timespec(-5);
    CHECK_INT(time.tv_sec, 0);
    CHECK_INT(time.tv_nsec, 0);
}

TEST(clock_never_goes_back)
{
    int64_t last = clock_us(), now;
    int i;

    for (i = 0; i < 10000; i++) {
        now = clock_us();
        CHECK(now >= last);
        last = now;
    }
    CHECK(clock_wall_ms() > 1700000000000);
}
