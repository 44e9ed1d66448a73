/* SPDX-License-Identifier: Apache-2.0 */
/* Where an S3 server is, and how a bucket is named there: as the first part of
 * the path ("path style") or of the host ("virtual-host style").
 * Thread-safe. */
#ifndef OLHO_BLOB_S3_ENDPOINT_H
#define OLHO_BLOB_S3_ENDPOINT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct s3_endpoint {
    char *origin; /* "https://host:9000", owned */
    char *host;   /* as the Host header has it: no default port; owned */
    bool is_tls;
    bool has_bucket; /* in the host */
};

/* From "http(s)://host[:port][/]"; bucket: to stand in the host, NULL for path
 * style. ERR_INVALID for anything else in the URL. */
MUST_CHECK int s3_endpoint_init(const char *url, const char *bucket,
                                struct s3_endpoint *out, struct err *err);
void s3_endpoint_release(struct s3_endpoint *endpoint); /* also a zeroed one */

/* Appends the path of a key ("": of the bucket), not encoded. */
void s3_endpoint_path(const struct s3_endpoint *endpoint, const char *bucket,
                      const char *key, struct buf *out);

bool s3_is_bucket(const char *name);

#endif
