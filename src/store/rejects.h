/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that the database refused, one JSON object a line, for somebody to look
 * at: {"rejected":"2026-11-21T...","error":"...","table":"predictions",...}.
 * Thread-safe; lines of several processes do not mix. */
#ifndef OLHO_STORE_REJECTS_H
#define OLHO_STORE_REJECTS_H

#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

/* The file grows no further than this; later rows are only counted. */
enum { REJECTS_LEN_MAX = 16 << 20 };

/* Appends the row and why it was refused. ERR_TOO_LARGE when the file has
 * REJECTS_LEN_MAX bytes, ERR_IO, ERR_UNAVAILABLE. */
MUST_CHECK int rejects_add(const char *path, const struct store_row *row,
                           const char *why, int64_t now_ms, struct err *err);

#endif
