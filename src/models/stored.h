/* SPDX-License-Identifier: Apache-2.0 */
/* The blob store that the settings name. */
#ifndef OLHO_MODELS_STORED_H
#define OLHO_MODELS_STORED_H

#include "base/config.h"
#include "base/err.h"
#include "blob/blob.h"

/* Opens the store of images: BLOB_URL, else the bucket MINIO_BUCKET_ORIGINAL of
 * MINIO_HOST; *out is NULL when neither is set. url (NULL: as just said) names
 * another place with the same server and keys. The caller owns *out. */
MUST_CHECK int stored_open(const struct config *config, const char *url,
                           struct blob **out, struct err *err);

#endif
