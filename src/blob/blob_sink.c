/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "blob/blob_ops.h"

static int too_large(const struct blob_sink *sink, struct err *err)
{
    return err_set(err, ERR_TOO_LARGE, "it is larger than %llu bytes",
                   (unsigned long long)sink->len_max);
}

int blob_sink_rewind(struct blob_sink *sink, struct err *err)
{
    sink->len = 0;
    if (sink->buf != NULL)
        sink->buf->len = sink->start_len;
    else if (ftruncate(sink->fd, 0) != 0 || lseek(sink->fd, 0, SEEK_SET) != 0)
        return err_set(err, ERR_IO, "cannot cut a file: %s", strerror(errno));
    return 0;
}

int blob_sink_expect(const struct blob_sink *sink, uint64_t len,
                     struct err *err)
{
    return len > sink->len_max - sink->len ? too_large(sink, err) : 0;
}

static int write_all(int fd, struct bytes piece, struct err *err)
{
    ssize_t put;

    while (piece.len > 0) {
        put = write(fd, piece.data, piece.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_set(err, ERR_IO, "cannot write a file: %s",
                           strerror(errno));
        piece.data += put;
        piece.len -= (size_t)put;
    }
    return 0;
}

int blob_sink_take(void *user, struct bytes piece, struct err *err)
{
    struct blob_sink *sink = user;
    int rc = blob_sink_expect(sink, piece.len, err);

    if (rc)
        return rc;
    if (sink->buf == NULL) {
        rc = write_all(sink->fd, piece, err);
    } else {
        buf_add(sink->buf, piece.data, piece.len);
        rc = buf_check(sink->buf, err);
    }
    if (rc == 0)
        sink->len += piece.len;
    return rc;
}
