/* SPDX-License-Identifier: Apache-2.0 */
/* Single flight: identical requests at the same moment compute once.
 *
 *     rc = flight_begin(flight, key, deadline_us, &is_leader, out, err);
 *     if (rc || !is_leader)
 *         return rc;
 *     rc = compute(out, err);
 *     flight_end(flight, key, rc ? NULL : &value);
 *
 * The first to come with a key leads: it computes, and must call flight_end
 * once, whatever happens. Who comes with the same key meanwhile waits and gets
 * a copy of the leader's value. When the leader failed, one of those who wait
 * leads next. Thread-safe. */
#ifndef OLHO_CACHE_FLIGHT_H
#define OLHO_CACHE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct flight;

struct flight *flight_new(void) __attribute__((returns_nonnull));
void flight_free(struct flight *flight); /* nobody is in it; NULL is allowed */

/* Leads (*out_is_leader true, out untouched) or waits for the leader until
 * deadline_us (clock_us; 0: without end) and appends its value to out. Fails
 * with ERR_TIMEOUT at the deadline, ERR_TOO_LARGE when the value does not fit
 * into out. key is copied. */
MUST_CHECK int flight_begin(struct flight *flight, const char *key,
                            int64_t deadline_us, bool *out_is_leader,
                            struct buf *out, struct err *err);

/* The leader's result; NULL: it failed. The bytes are copied, if anybody
 * waits. */
void flight_end(struct flight *flight, const char *key,
                const struct bytes *value);

#endif
