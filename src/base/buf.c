/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_LEN = 256 };

struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void buf_init(struct buf *buf, size_t len_max)
{
    *buf = (struct buf){.len_max = len_max};
}

void buf_release(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){.len_max = buf->len_max};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->is_full = false;
    buf->is_broken = false;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

char *buf_reserve(struct buf *buf, size_t len)
{
    size_t want, cap;
    char *data;

    if (buf->is_full || buf->is_broken)
        return NULL;
    if (len > buf->len_max || buf->len > buf->len_max - len) {
        buf->is_full = true;
        return NULL;
    }
    want = buf->len + len + 1;
    if (want > buf->len_cap) {
        cap = buf->len_cap == 0 ? FIRST_LEN : buf->len_cap * 2;
        if (cap > buf->len_max + 1)
            cap = buf->len_max + 1;
        if (cap < want)
            cap = want;
        data = mem_resize(buf->data, cap, 1);
        if (data == NULL) {
            buf->is_broken = true;
            return NULL;
        }
        buf->data = data;
        buf->len_cap = cap;
    }
    return buf->data + buf->len;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    char *room = buf_reserve(buf, len);

    if (room == NULL)
        return;
    if (len > 0)
        memcpy(room, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_add_text(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    char *room;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return;
    room = buf_reserve(buf, (size_t)len);
    if (room == NULL)
        return;
    va_start(args, format);
    vsnprintf(room, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

char *buf_detach(struct buf *buf)
{
    char *data = buf->data;

    buf->data = NULL;
    buf_release(buf);
    return data;
}

struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){(const uint8_t *)buf->data, buf->len};
}

int buf_check(const struct buf *buf, struct err *err)
{
    if (buf->is_full)
        return err_set(err, ERR_TOO_LARGE, "more than %zu bytes", buf->len_max);
    if (buf->is_broken)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu bytes",
                       buf->len);
    return 0;
}
