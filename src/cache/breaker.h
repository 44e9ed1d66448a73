/* SPDX-License-Identifier: Apache-2.0 */
/* A circuit breaker: after failures in a row nobody asks for a while, then one
 * asks, and the others follow when that went well. The while doubles with each
 * failed probe.
 *
 *     if (!breaker_allows(&breaker, now_us))
 *         return false;
 *     is_ok = ask();
 *     breaker_report(&breaker, is_ok, now_us);
 *
 * Time is an argument. One thread at a time: its owner's mutex guards it. */
#ifndef OLHO_CACHE_BREAKER_H
#define OLHO_CACHE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BREAKER_FAILURES = 3, /* in a row open it */
    BREAKER_PAUSE_MIN_MS = 100,
    BREAKER_PAUSE_MAX_MS = 10000,
};

/* Zeroed: closed. */
struct breaker {
    int failure_count; /* in a row while closed */
    bool is_open;
    bool is_probing; /* one is asking */
    int pause_ms;    /* how long it is open for, this time */
    int64_t until_us;
};

enum breaker_change { BREAKER_SAME, BREAKER_OPENED, BREAKER_CLOSED };

/* Whether to ask; a true answer is followed by one breaker_report. */
bool breaker_allows(struct breaker *breaker, int64_t now_us);
enum breaker_change breaker_report(struct breaker *breaker, bool is_ok,
                                   int64_t now_us);

#endif
