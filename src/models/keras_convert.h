/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a Keras file to an ONNX file, in this process: what
 * models/keras_import.h has a child do. One thread of the process at a time
 * (HDF5). */
#ifndef OLHO_MODELS_KERAS_CONVERT_H
#define OLHO_MODELS_KERAS_CONVERT_H

#include "models/keras_import.h"

/* Larger files are refused: weights of 2 GB and the state of an optimiser. */
#define KERAS_FILE_LEN_MAX 8000000000ull

/* Reads `path`, writes the ONNX file `onnx_path`. The weights of an archive are
 * unpacked into a new file `scratch`, which is gone afterwards (after a crash
 * it may not be). Fails as keras_import does. */
MUST_CHECK int keras_convert(const char *path,
                             const struct keras_options *options,
                             const char *scratch, const char *onnx_path,
                             struct keras_report *out, struct err *err);

#endif
