/* SPDX-License-Identifier: Apache-2.0 */
/* One page of a ListObjectsV2 answer. Thread-safe. */
#ifndef OLHO_BLOB_S3_LIST_H
#define OLHO_BLOB_S3_LIST_H

#include "base/buf.h"
#include "base/err.h"
#include "blob/blob.h"

enum { S3_TOKEN_MAX = 4096 }; /* bytes of what names the next page */

/* Calls fn for each object of the page whose key begins with prefix, with the
 * key's rest; stops at the first non-zero answer and returns it. The token of
 * the next page, or nothing at the end, takes the place of this page's in
 * `token`. ERR_UNPROCESSABLE when the XML is no list, or goes on without a new
 * token. bucket is for messages. */
MUST_CHECK int s3_list_page(const char *bucket, const char *prefix,
                            struct bytes xml, blob_list_fn *fn, void *user,
                            struct buf *token, struct err *err);

#endif
