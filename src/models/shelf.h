/* SPDX-License-Identifier: Apache-2.0 */
/* An index made elsewhere and the names of its items: embeddings.faiss with
 * labels.npy beside it, as the former service and the trainer leave them.
 * Read-only after shelf_open; thread-safe. */
#ifndef OLHO_MODELS_SHELF_H
#define OLHO_MODELS_SHELF_H

#include <stdbool.h>

#include "base/file.h"
#include "models/collection.h"
#include "vectors/vecindex.h"

/* Where the labels of the index at path may be, the likeliest first; returns
 * how many places there are. */
enum { SHELF_LABEL_PATHS = 2 };
int shelf_label_paths(const char *path,
                      char out[SHELF_LABEL_PATHS][FILE_PATH_MAX]);

struct shelf;

/* Whether a path is of such a file, by its ending: .faiss, .index or .npy. */
bool shelf_is_path(const char *path);

/* Opens the index and, when they are there, its labels: labels.npy, or
 * labels_original_TIME.npy for index_original_TIME.faiss. ERR_CONFLICT when
 * its vectors have not `dim` values, ERR_UNPROCESSABLE when labels and vectors
 * differ in number. The caller owns *out. */
MUST_CHECK int shelf_open(const char *path,
                          const struct vecindex_options *options, int dim,
                          struct shelf **out, struct err *err);
void shelf_close(struct shelf *shelf); /* NULL is allowed */

void shelf_info(const struct shelf *shelf, struct vecindex_info *out);

/* As collection_search. Without labels the path of item 7 is "#7". */
MUST_CHECK int shelf_search(const struct shelf *shelf, const float *query,
                            int len, int k, struct arena *arena,
                            struct neighbours *out, struct err *err);

#endif
