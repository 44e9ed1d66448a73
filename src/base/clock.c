/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>

enum { US_PER_S = 1000000, MS_PER_S = 1000, NS_PER_US = 1000 };

static struct timespec now(clockid_t clock)
{
    struct timespec time;
    int rc = clock_gettime(clock, &time);

    assert(rc == 0);
    (void)rc;
    return time;
}

int64_t clock_us(void)
{
    struct timespec time = now(CLOCK_MONOTONIC);

    return (int64_t)time.tv_sec * US_PER_S + time.tv_nsec / NS_PER_US;
}

int64_t clock_wall_ms(void)
{
    struct timespec time = now(CLOCK_REALTIME);

    return (int64_t)time.tv_sec * MS_PER_S + time.tv_nsec / 1000000;
}

struct timespec clock_timespec(int64_t monotonic_us)
{
    if (monotonic_us < 0)
        monotonic_us = 0;
    return (struct timespec){.tv_sec = (time_t)(monotonic_us / US_PER_S),
                             .tv_nsec =
                                 (long)(monotonic_us % US_PER_S * NS_PER_US)};
}

void clock_format(int64_t wall_ms, char *out)
{
    int64_t second = wall_ms / MS_PER_S, ms = wall_ms % MS_PER_S;
    time_t time;
    struct tm parts = {0};
    size_t len;

    if (ms < 0) {
        ms += MS_PER_S;
        second--;
    }
    time = (time_t)second;
    /* It fails for years that 64 bits of milliseconds do not reach. */
    gmtime_r(&time, &parts);
    len = strftime(out, CLOCK_TEXT_LEN, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + len, CLOCK_TEXT_LEN - len, ".%03dZ", (int)ms);
}
