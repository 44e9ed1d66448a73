/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Thread-safe. */
#ifndef OLHO_BASE_CLOCK_H
#define OLHO_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

int64_t clock_us(void);      /* monotonic, microseconds since some start */
int64_t clock_wall_ms(void); /* since 1970, UTC, milliseconds */

/* The monotonic instant as an absolute timespec for pthread_cond_timedwait on
 * a condition variable made with CLOCK_MONOTONIC. */
struct timespec clock_timespec(int64_t monotonic_us);

/* "2026-11-21T12:00:00.123Z" into out (at least CLOCK_TEXT_LEN bytes). */
enum { CLOCK_TEXT_LEN = 32 };
void clock_format(int64_t wall_ms, char *out);

#endif
