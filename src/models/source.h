/* SPDX-License-Identifier: Apache-2.0 */
/* Where a model comes from: whatever MODEL_PATH or an update names becomes a
 * folder that bundle_open takes.
 *
 *     models/v2              a model folder
 *     models/v2/model.h5     a file in one
 *     models                 a root of versions: its current one
 *     s3://bucket/models/v3  the same in a bucket, fetched
 *     s3://bucket/           what the trainer left in a bucket (or a folder):
 *                            the newest classifier_*.keras and what goes with
 *                            it
 *
 * Keras files are made into ONNX once and kept in the data folder, under the
 * checksum of the file. Thread-safe. */
#ifndef OLHO_MODELS_SOURCE_H
#define OLHO_MODELS_SOURCE_H

#include "base/config.h"
#include "base/err.h"
#include "base/file.h"

struct source {
    char dir[FILE_PATH_MAX];   /* for bundle_open */
    char index[FILE_PATH_MAX]; /* the index that goes with it; "": by the rules
                                * of collection_new */
};

/* Finds, fetches and converts. index_path is EMBEDDINGS_PATH or "". Blocks, for
 * as long as a transfer and an import take. */
MUST_CHECK int source_prepare(const struct config *config, const char *path,
                              const char *index_path, struct source *out,
                              struct err *err);

#endif
