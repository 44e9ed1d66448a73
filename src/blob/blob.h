/* SPDX-License-Identifier: Apache-2.0 */
/* Files by key: photographs and models in a folder or in an S3 bucket.
 *
 *     struct blob_options options = {.url = "s3://photos", ...};
 *     rc = blob_open(&options, &blob, &err);
 *     rc = blob_split(blob, "photos//cars/1.jpg", &key, &err);
 *     buf_init(&image, 10 << 20);
 *     rc = blob_read(blob, key, &image, &err);
 *
 * A key is 1..BLOB_KEY_MAX bytes of clean UTF-8 with '/' between its parts:
 * no part is "." or "..", none begins the key with '/', and there is no '\'.
 * Other keys are ERR_FORBIDDEN. Keys are relative to the url's prefix.
 *
 * Backends: blob_folder.c, blob_s3.c. Thread-safe; opening and closing belong
 * to one thread. All calls block. Common failures: ERR_NOT_FOUND,
 * ERR_FORBIDDEN, ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_IO. Messages name bucket
 * and key, never a secret. */
#ifndef OLHO_BLOB_BLOB_H
#define OLHO_BLOB_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    BLOB_KEY_MAX = 1024, /* bytes; S3's own limit */
    BLOB_URL_MAX = 4096, /* bytes of a presigned URL, with its NUL */
    BLOB_EXPIRES_MAX_S = 7 * 24 * 3600, /* as long as S3 signs */
};

/* Texts are copied. Only url and bucket matter to a folder. */
struct blob_options {
    const char *url;      /* "s3://bucket[/prefix]", "file:///folder" or a
                             folder, which is made when it is not there */
    const char *bucket;   /* of a folder: the name that API paths may begin
                             with; NULL or "": none */
    const char *endpoint; /* "http://host:9000"; NULL or "": Amazon's of
                             the region, over TLS */
    const char *public_endpoint; /* in presigned URLs; NULL or "": endpoint */
    const char *access_key, *secret_key; /* both NULL or "": not signed */
    const char *region;                  /* NULL or "": "us-east-1" */
    bool is_virtual_host;   /* bucket.host/key instead of host/bucket/key */
    bool is_insecure;       /* do not check certificates */
    const char *ca_file;    /* PEM of authorities; NULL or "": the system's */
    int connection_max;     /* 1..256; 0: 8 */
    int connect_timeout_ms; /* 0: 2000 */
    int timeout_ms;         /* for one call with all its tries; 0: 10000. While
                               there are retries a try gets half of what is left */
    int file_timeout_ms; /* for one call where a file streams; 0: 600000. Each
                            try gets what is left */
    int retry_max;       /* tries after the first, 0..10 */
    int retry_pause_ms;  /* longest pause before the first retry, 0..5000;
                            doubles each time up to 5 s */
};

struct blob_item {
    const char *key;     /* borrowed for the call */
    uint64_t len;        /* bytes */
    int64_t modified_ms; /* since 1970, UTC; 0: not known */
};

struct blob;

/* ERR_INVALID for options that cannot be, ERR_IO when the folder cannot be
 * made. Nothing is asked of an S3 server yet. The caller owns *out. */
MUST_CHECK int blob_open(const struct blob_options *options, struct blob **out,
                         struct err *err);
void blob_close(struct blob *blob); /* NULL is allowed */

/* The key that an API's path means: "s3://bucket/key", "bucket//key",
 * "bucket/key" or "key"; *out points into path. What stands before the first
 * '/' is a bucket: any but the configured one is ERR_FORBIDDEN. In a folder
 * without a bucket's name every path is a key. */
MUST_CHECK int blob_split(const struct blob *blob, const char *path,
                          const char **out, struct err *err);

/* Appends the blob to out. More than fits into out->len_max is ERR_TOO_LARGE,
 * and never read. On failure out is as it was. */
MUST_CHECK int blob_read(struct blob *blob, const char *key, struct buf *out,
                         struct err *err);

/* Streams the blob into the file `path`, which is replaced once the whole is
 * there and on disk; more than len_max bytes are ERR_TOO_LARGE. */
MUST_CHECK int blob_read_file(struct blob *blob, const char *key,
                              const char *path, uint64_t len_max,
                              struct err *err);

/* Stores bytes, or streams a file, under key; readers see the old or the new,
 * never a part. content_type may be NULL. A file that cannot be read is
 * ERR_IO. */
MUST_CHECK int blob_write(struct blob *blob, const char *key,
                          struct bytes bytes, const char *content_type,
                          struct err *err);
MUST_CHECK int blob_write_file(struct blob *blob, const char *key,
                               const char *path, const char *content_type,
                               struct err *err);

/* Calls fn for each blob whose key begins with prefix ("": all), in byte order
 * of the keys; stops at the first non-zero answer and returns it. Keys that
 * blob_read would refuse are left out. */
typedef int blob_list_fn(void *user, const struct blob_item *item,
                         struct err *err);
MUST_CHECK int blob_list(struct blob *blob, const char *prefix,
                         blob_list_fn *fn, void *user, struct err *err);

/* Whether it is there, and its length and time (item->key is key itself).
 * Absent: *out_found is false and the answer 0. */
MUST_CHECK int blob_find(struct blob *blob, const char *key, bool *out_found,
                         struct blob_item *out, struct err *err);

/* A URL that gives the blob to anyone for expires_s seconds
 * (1..BLOB_EXPIRES_MAX_S) into out (BLOB_URL_MAX bytes are enough). Does not
 * ask the server. ERR_UNSUPPORTED for a folder. */
MUST_CHECK int blob_presign(struct blob *blob, const char *key, int expires_s,
                            char *out, size_t size, struct err *err);

const char *blob_backend(const struct blob *blob); /* "folder" or "s3" */

#endif
