/* SPDX-License-Identifier: Apache-2.0 */
/* What metadata.json left out, from the graph or by custom: which tensor is
 * the image, its layout and size, which output holds the scores, which the
 * embedding. Each guess leaves a note in the bundle. */
#ifndef OLHO_MODELS_GUESS_H
#define OLHO_MODELS_GUESS_H

#include "models/bundle.h"

/* Fills metadata and the tensor numbers of a bundle whose engine is open.
 * size_px is the side to take when nothing says it. ERR_UNPROCESSABLE when
 * the graph does not fit what metadata says, or is no image network. */
MUST_CHECK int guess_tensors(struct bundle *bundle, int size_px,
                             struct err *err);

/* From the raw scores of one run: whether they are probabilities already. */
void guess_activation(struct bundle *bundle, const float *raw);

#endif
