/* SPDX-License-Identifier: Apache-2.0 */
/* Windows that slide over a plane: kernels and pools. Internal to
 * models/keras_*.c; thread-safe. */
#ifndef OLHO_MODELS_KERAS_WINDOW_H
#define OLHO_MODELS_KERAS_WINDOW_H

#include "models/keras_build.h"

struct keras_window {
    int64_t kernel[2], stride[2], dilation[2]; /* height, width */
    int64_t pads[4];                           /* top, left, bottom, right */
    int64_t out[2];
};

/* The sizes that a layer's config gives; the stride is 1 (a kernel) or the
 * window's size (a pool) when absent. */
MUST_CHECK int keras_window_sizes(const struct keras_layer *layer,
                                  const char *size_key,
                                  struct keras_window *out, struct err *err);

/* The same, with the padding and the output of `in`. "same" is TensorFlow's:
 * the odd pixel goes to the bottom and right. */
MUST_CHECK int keras_window_read(const struct keras_layer *layer,
                                 const char *size_key,
                                 const struct keras_plane *in,
                                 struct keras_window *out, struct err *err);

/* Whether a config has a member that is not null. */
bool keras_has_member(const struct keras_layer *layer, const char *key);

#endif
