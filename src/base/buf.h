/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that somebody else owns, and a growing buffer with a hard maximum.
 *
 * A buffer remembers its first failure, so that a writer appends freely and
 * asks once at the end:
 *
 *     buf_init(&out, 1 << 20);
 *     buf_printf(&out, "%d images", count);
 *     rc = buf_check(&out, err);
 *
 * One thread at a time. */
#ifndef OLHO_BASE_BUF_H
#define OLHO_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Borrowed bytes; data may be NULL when len is 0. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

struct bytes bytes_of_text(const char *text); /* without the NUL */

struct buf {
    char *data;     /* owned; NUL after the last byte once anything is in */
    size_t len;     /* bytes in use */
    size_t len_cap; /* bytes taken */
    size_t len_max; /* never more than this */
    bool is_full;   /* something did not fit into len_max */
    bool is_broken; /* memory ran out */
};

void buf_init(struct buf *buf, size_t len_max);
void buf_release(struct buf *buf); /* also of a zeroed one; then empty */
void buf_clear(struct buf *buf);   /* keeps the memory, forgets failures */

void buf_add(struct buf *buf, const void *data, size_t len);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Room for len more bytes, to be written by the caller and then claimed with
 * buf->len += n; NULL after a failure. */
char *buf_reserve(struct buf *buf, size_t len) MUST_CHECK;

/* Hands the bytes over: the caller owns them (mem_free); buf is empty again.
 * NULL when nothing was ever added. */
char *buf_detach(struct buf *buf);

struct bytes buf_bytes(const struct buf *buf); /* borrowed until changed */

/* ERR_TOO_LARGE when something did not fit, ERR_UNAVAILABLE when memory ran
 * out, else 0. */
MUST_CHECK int buf_check(const struct buf *buf, struct err *err);

#endif
