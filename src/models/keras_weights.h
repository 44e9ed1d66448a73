/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of a Keras file, by layer: where each lies in the HDF5 file, its
 * shape checked before it is read. Two ways of storing them are known:
 *
 *   .h5     model_weights/<layer of the whole model>/<path of the weight>, in
 *           the order of the attribute weight_names; those of a nested model
 *           all lie in its group and are found by their path's end
 *   .keras  layers/<class_name>[_n]/vars/<i>, nested models inside
 *
 * One thread at a time. */
#ifndef OLHO_MODELS_KERAS_WEIGHTS_H
#define OLHO_MODELS_KERAS_WEIGHTS_H

#include "models/hdf5_file.h"
#include "models/keras_config.h"

/* A protobuf message, and so an ONNX file, ends at 2 GB. */
#define KERAS_WEIGHTS_LEN_MAX 2000000000ull

struct keras_weights;

/* Borrows file, which must outlive it. is_archive: as .keras has them. */
struct keras_weights *keras_weights_new(struct hdf5_file *file, bool is_archive)
    __attribute__((returns_nonnull));
void keras_weights_free(struct keras_weights *weights); /* NULL is allowed */

/* Weight number i of a layer, called `name` ("kernel"; "a|b": either): its
 * shape; its numbers, of which there are as many as dims say. Another shape is
 * ERR_UNPROCESSABLE naming both, over KERAS_WEIGHTS_LEN_MAX in all is
 * ERR_TOO_LARGE, no memory ERR_UNAVAILABLE. The caller owns *out and ends it
 * with mem_free. */
MUST_CHECK int keras_weights_shape(struct keras_weights *weights,
                                   const struct keras_layer *layer, int i,
                                   const char *name, int64_t *dims, int *rank,
                                   struct err *err);
MUST_CHECK int keras_weights_read(struct keras_weights *weights,
                                  const struct keras_layer *layer, int i,
                                  const char *name, const int64_t *dims,
                                  int rank, float **out, struct err *err);

/* Numbers read so far. */
int64_t keras_weights_count(const struct keras_weights *weights);

#endif
