/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Signature Version 4 for S3: what a request looks like on the wire and
 * what is signed of it, as text from text.
 *
 * S3's rules, where they differ from the general ones of version 4: a path is
 * percent-encoded once, its slashes stay, and nothing is normalised.
 * Pure functions; thread-safe. */
#ifndef OLHO_BLOB_SIGV4_H
#define OLHO_BLOB_SIGV4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    SIGV4_PAIRS_MAX = 16,  /* of a query; of further headers */
    SIGV4_TIME_LEN = 17,   /* "20261121T120000Z" and a NUL */
    SIGV4_TEXT_MAX = 32768 /* bytes of a target or of what is signed */
};

#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct sigv4_keys {
    const char *access_key, *secret_key, *region;
};

struct sigv4_pair {
    const char *name, *value;
};

struct sigv4_request {
    const char *method;
    const char *host;                 /* as the Host header has it */
    const char *path;                 /* "/bucket/key", not yet encoded */
    const struct sigv4_pair *query;   /* not yet encoded, in any order */
    int query_count;                  /* 0..SIGV4_PAIRS_MAX */
    const struct sigv4_pair *headers; /* signed beside host, x-amz-date and
                                         x-amz-content-sha256: names in lower
                                         case, in any order */
    int header_count;                 /* 0..SIGV4_PAIRS_MAX */
    const char *payload_hash;         /* SHA-256 in hexadecimal digits, or
                                         SIGV4_UNSIGNED */
    int64_t time_ms;                  /* since 1970, UTC */
};

/* RFC 3986 with upper-case digits: all but letters, digits and "-._~". */
void sigv4_encode(const char *text, bool keeps_slash, struct buf *out);

void sigv4_time(int64_t time_ms, char out[SIGV4_TIME_LEN]); /* x-amz-date */

/* "/bucket/key%20x?a=1&b=2": what goes behind the host in the URL. */
MUST_CHECK int sigv4_target(const struct sigv4_request *request,
                            struct buf *out, struct err *err);

/* The canonical request, whose SHA-256 is signed. */
MUST_CHECK int sigv4_canonical(const struct sigv4_request *request,
                               struct buf *out, struct err *err);

/* The value of the Authorization header. */
MUST_CHECK int sigv4_authorize(const struct sigv4_keys *keys,
                               const struct sigv4_request *request,
                               struct buf *out, struct err *err);

/* The target that needs no header for expires_s seconds; the payload is not
 * signed, and headers and payload_hash are not looked at. */
MUST_CHECK int sigv4_presign(const struct sigv4_keys *keys,
                             const struct sigv4_request *request, int expires_s,
                             struct buf *out, struct err *err);

#endif
