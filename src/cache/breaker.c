/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/breaker.h"

bool breaker_allows(struct breaker *breaker, int64_t now_us)
{
    if (!breaker->is_open)
        return true;
    if (breaker->is_probing || now_us < breaker->until_us)
        return false;
    breaker->is_probing = true;
    return true;
}

static void keep_open(struct breaker *breaker, int64_t now_us)
{
    breaker->is_probing = false;
    breaker->until_us = now_us + breaker->pause_ms * INT64_C(1000);
}

/* Those who were allowed before it opened report late: their failures say
 * nothing new, and one that went well closes it. */
enum breaker_change breaker_report(struct breaker *breaker, bool is_ok,
                                   int64_t now_us)
{
    bool was_open = breaker->is_open;

    if (is_ok) {
        *breaker = (struct breaker){0};
        return was_open ? BREAKER_CLOSED : BREAKER_SAME;
    }
    if (was_open) {
        if (breaker->is_probing) {
            breaker->pause_ms *= 2;
            if (breaker->pause_ms > BREAKER_PAUSE_MAX_MS)
                breaker->pause_ms = BREAKER_PAUSE_MAX_MS;
            keep_open(breaker, now_us);
        }
        return BREAKER_SAME;
    }
    breaker->failure_count++;
    if (breaker->failure_count < BREAKER_FAILURES)
        return BREAKER_SAME;
    breaker->is_open = true;
    breaker->pause_ms = BREAKER_PAUSE_MIN_MS;
    keep_open(breaker, now_us);
    return BREAKER_OPENED;
}
