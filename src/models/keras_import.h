/* SPDX-License-Identifier: Apache-2.0 */
/* Keras model files made into ONNX: `.h5` of Keras 2 and 3, and `.keras`.
 *
 *     struct keras_options options = {.input_size_px = 224};
 *     keras_import("models/v2/model.keras", &options, dir, &report, &err);
 *     bundle_open(dir, &config, &bundle, &err);
 *
 * HDF5 was never written for hostile files, so the reading is done by a child
 * process with limits on memory and time (docs/design/keras.md): whatever a
 * damaged file does to it, the caller gets an error. For the same reason this
 * is thread-safe, although the HDF5 library is not. */
#ifndef OLHO_MODELS_KERAS_IMPORT_H
#define OLHO_MODELS_KERAS_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "infer/engine.h"

enum { KERAS_SIDE_MAX_PX = 8192 };

/* How far the reading is: bytes of weights read, and of the file. */
typedef void keras_progress_fn(void *user, int64_t done, int64_t total);

/* All zero is the default. */
struct keras_options {
    int input_size_px;      /* both sides where the model leaves them free; 0:
                             * a model that does is refused */
    const char *embedding;  /* the layer whose output is the embedding; NULL:
                             * one named embedding..., else what enters the
                             * last layer that has weights */
    bool keeps_batch_norms; /* do not fold them into the layer before */
    keras_progress_fn *progress; /* called now and then; NULL: not */
    void *user;                  /* what it gets */
};

/* What was understood. Plain data. */
struct keras_report {
    char keras_version[32]; /* "3.11.0"; "" when the file does not say */
    char class_name[32];    /* "Functional", "Sequential" */
    int layer_count;        /* with those of nested models */
    int64_t weight_count;   /* numbers, before anything is folded */
    int folded_count;       /* batch norms that are gone */
    int node_count;         /* of the ONNX graph */
    int width_px, height_px;
    bool is_channels_first; /* the input is N x 3 x height x width */
    bool has_own_scaling;   /* wants 0..255: it begins with a Rescaling, a
                             * Normalization or arithmetic */
    char input[TENSOR_NAME_MAX];
    char scores[TENSOR_NAME_MAX];
    int class_count;                 /* units of the last layer */
    char activation[16];             /* of the scores: "softmax", "linear" */
    char embedding[TENSOR_NAME_MAX]; /* "": none */
    int embedding_len;
};

/* Whether a path is one of a file that keras_import reads: by its ending,
 * .h5, .hdf5 or .keras. */
bool keras_is_path(const char *path);

/* Writes model.onnx and metadata.json into the folder out_dir, which must be
 * there. The network takes float32 N x height x width x 3 as Keras does.
 * Fails, and leaves neither file, with ERR_NOT_FOUND, ERR_IO,
 * ERR_UNPROCESSABLE (damaged, or made of what cannot be read, naming the
 * layer), ERR_TOO_LARGE or ERR_UNAVAILABLE (no memory or no process). Blocks:
 * about as long as reading and writing the file three times. */
MUST_CHECK int keras_import(const char *path,
                            const struct keras_options *options,
                            const char *out_dir, struct keras_report *out,
                            struct err *err);

#endif
