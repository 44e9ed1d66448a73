/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend of blob/blob.h implements. Only blob.c, blob_sink.c and the
 * backends include this; blob.c checks keys and bounds before it calls, and
 * times and counts. */
#ifndef OLHO_BLOB_BLOB_OPS_H
#define OLHO_BLOB_BLOB_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blob/blob.h"

/* Where a blob's bytes go: into a buffer, or into an open file. */
struct blob_sink {
    struct buf *buf;  /* NULL: into fd */
    size_t start_len; /* what was in buf before */
    int fd;
    uint64_t len, len_max; /* taken so far, and at most */
};

/* Forgets what came, before a second try. */
MUST_CHECK int blob_sink_rewind(struct blob_sink *sink, struct err *err);

/* ERR_TOO_LARGE over len_max. `user` is the sink. */
MUST_CHECK int blob_sink_take(void *user, struct bytes piece, struct err *err);

/* ERR_TOO_LARGE when that many bytes are to come and do not fit. */
MUST_CHECK int blob_sink_expect(const struct blob_sink *sink, uint64_t len,
                                struct err *err);

/* What is stored: bytes, or a file when path is not NULL. */
struct blob_source {
    struct bytes bytes;
    const char *path;
    const char *content_type; /* NULL: none */
};

struct blob_ops {
    const char *name;
    int (*read)(struct blob *blob, const char *key, struct blob_sink *sink,
                struct err *err);
    int (*write)(struct blob *blob, const char *key,
                 const struct blob_source *source, struct err *err);
    int (*list)(struct blob *blob, const char *prefix, blob_list_fn *fn,
                void *user, struct err *err);
    /* ERR_NOT_FOUND when it is absent. */
    int (*find)(struct blob *blob, const char *key, struct blob_item *out,
                struct err *err);
    int (*presign)(struct blob *blob, const char *key, int expires_s,
                   struct buf *out, struct err *err); /* NULL: cannot */
    void (*close)(struct blob *blob);
};

/* Embedded first in the backend's struct; ops is set by its open function, the
 * rest by blob.c. */
struct blob {
    const struct blob_ops *ops;
    char *bucket; /* "": none */
    char *prefix; /* "" or "folder/", of an S3 bucket */
};

/* Paths and names come without scheme, cleaned by blob.c. */
MUST_CHECK int blob_folder_open(const char *folder, struct blob **out,
                                struct err *err);
MUST_CHECK int blob_s3_open(const char *bucket,
                            const struct blob_options *options,
                            struct blob **out, struct err *err);

#endif
