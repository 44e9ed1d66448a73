/* SPDX-License-Identifier: Apache-2.0 */
/* Keras models made into ONNX once: the folder `imported/CHECKSUM` of the data
 * folder, which bundle_open takes. Thread-safe, between processes too: whoever
 * comes second finds the folder or makes the same one. */
#ifndef OLHO_MODELS_IMPORTED_H
#define OLHO_MODELS_IMPORTED_H

#include "base/config.h"
#include "base/err.h"

/* Paths of what belongs together; the last three may be "" or absent. */
struct imported_files {
    const char *network;  /* .keras or .h5 */
    const char *classes;  /* class_indices.json */
    const char *labels;   /* labels.txt */
    const char *metadata; /* metadata.json, whose members go before ours */
};

/* Gives the folder (FILE_PATH_MAX bytes). Fails as keras_import does, and with
 * ERR_UNPROCESSABLE when metadata.json has a checksum of the network that is
 * not the file's. */
MUST_CHECK int imported_prepare(const struct config *config,
                                const struct imported_files *files,
                                char *out_dir, struct err *err);

#endif
