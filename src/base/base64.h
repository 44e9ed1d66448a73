/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648, section 4): bytes as text. Thread-safe. */
#ifndef OLHO_BASE_BASE64_H
#define OLHO_BASE_BASE64_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Appends the bytes with padding; a failure stays in the buffer. */
void base64_encode(struct bytes bytes, struct buf *out);

/* Decodes len characters in place; *out_len is the number of bytes, at most
 * three quarters of len. ERR_INVALID for a length that is no multiple of 4, a
 * character that is none of Base64's, or padding that is not at the end; the
 * text is then spoilt. */
MUST_CHECK int base64_decode(char *text, size_t len, size_t *out_len,
                             struct err *err);

#endif
