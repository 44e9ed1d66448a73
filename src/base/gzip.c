/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gzip.h"

#include <assert.h>
#include <limits.h>

#include <zlib.h>

/* 15: the largest window; 16 more asks zlib for a gzip header. */
enum { WINDOW_BITS = 15 + 16, MEMORY_LEVEL = 8 };

int gzip_compress(struct bytes data, int level, struct buf *out,
                  struct err *err)
{
    z_stream stream = {0};
    uLong bound;
    char *room;
    int rc;

    assert(level >= 1 && level <= 9);
    if (data.len > UINT_MAX / 2)
        return err_set(err, ERR_TOO_LARGE,
                       "%zu bytes are too many to compress at once", data.len);
    rc = deflateInit2(&stream, level, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                      Z_DEFAULT_STRATEGY);
    if (rc != Z_OK)
        return err_set(err, ERR_UNAVAILABLE, "no memory to compress");
    bound = deflateBound(&stream, (uLong)data.len);
    room = buf_reserve(out, bound);
    if (room == NULL) {
        deflateEnd(&stream);
        return buf_check(out, err);
    }
    stream.next_in = (Bytef *)(uintptr_t)data.data;
    stream.avail_in = (uInt)data.len;
    stream.next_out = (Bytef *)room;
    stream.avail_out = (uInt)bound;
    rc = deflate(&stream, Z_FINISH);
    out->len += stream.total_out;
    deflateEnd(&stream);
    if (rc != Z_STREAM_END)
        return err_set(err, ERR_INTERNAL, "gzip failed");
    return buf_check(out, err);
}
