/* SPDX-License-Identifier: Apache-2.0 */
/* gzip (RFC 1952) by zlib. Thread-safe. */
#ifndef OLHO_BASE_GZIP_H
#define OLHO_BASE_GZIP_H

#include "base/buf.h"
#include "base/err.h"

/* Compresses data at `level` (1 fast .. 9 small) and appends it to out.
 * Fails as buf_check does. */
MUST_CHECK int gzip_compress(struct bytes data, int level, struct buf *out,
                             struct err *err);

#endif
