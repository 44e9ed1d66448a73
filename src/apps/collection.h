/* SPDX-License-Identifier: Apache-2.0 */
/* The index of images that goes with a model: found by the settings, opened
 * when its file appears, and kept up with what other processes add.
 *
 * Thread-safe. */
#ifndef OLHO_APPS_COLLECTION_H
#define OLHO_APPS_COLLECTION_H

#include "base/config.h"
#include "base/err.h"
#include "models/bundle.h"
#include "vectors/flat.h"

struct collection;

/* Knows the file's name afterwards: EMBEDDINGS_PATH, else index.olho in the
 * model's folder when it is there, else index.olho in the data folder. Opens
 * nothing. The caller owns *out. */
MUST_CHECK int collection_new(const struct config *config,
                              const struct bundle *bundle,
                              struct collection **out, struct err *err);
void collection_free(struct collection *collection); /* NULL is allowed */

const char *collection_path(const struct collection *collection);

/* The index, up to date, or NULL in *out when there is no file yet. Borrowed
 * until collection_free. ERR_CONFLICT when another model made its vectors. */
MUST_CHECK int collection_get(struct collection *collection, struct flat **out,
                              struct err *err);

/* Opens the index for writing, making it when absent. The caller owns *out
 * (flat_close). ERR_UNPROCESSABLE when the model gives no embedding. */
MUST_CHECK int collection_open_for_writing(struct collection *collection,
                                           struct flat **out, struct err *err);

#endif
