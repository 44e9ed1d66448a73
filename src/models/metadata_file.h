/* SPDX-License-Identifier: Apache-2.0 */
/* metadata.json of a model folder as a file: read, checked against the files
 * it speaks of, one member written. What it means: models/metadata.h.
 * Thread-safe; no state but the file. */
#ifndef OLHO_MODELS_METADATA_FILE_H
#define OLHO_MODELS_METADATA_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* The document of a folder; *out is NULL when it has none. The caller owns
 * *out (json_free). ERR_UNPROCESSABLE: no JSON. */
MUST_CHECK int metadata_file_read(const char *dir, struct json_value **out,
                                  struct err *err);

/* Reads every file that the document's "sha256" names, as long as that takes.
 * ERR_UNPROCESSABLE names the first that is not as it says. document may be
 * NULL. */
MUST_CHECK int metadata_file_check_sums(const char *dir,
                                        const struct json_value *document,
                                        struct err *err);

/* Puts a member, given as JSON text, into metadata.json in place of one of
 * that name; the others keep their order and values. The file is replaced as a
 * whole, or made. */
MUST_CHECK int metadata_file_set(const char *dir, const char *key,
                                 struct bytes value, struct err *err);

#endif
