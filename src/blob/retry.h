/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before asking again: full jitter (Brooker, "Exponential
 * Backoff And Jitter", 2015). Thread-safe. */
#ifndef OLHO_BLOB_RETRY_H
#define OLHO_BLOB_RETRY_H

#include <stdint.h>

enum { RETRY_PAUSE_MAX_MS = 5000 };

/* A pause of 0..limit microseconds, chosen by `random`, where the limit is
 * pause_ms before the first retry (0), doubles with each, and ends at
 * RETRY_PAUSE_MAX_MS. */
int64_t retry_pause_us(int pause_ms, int retry, uint64_t random);

#endif
