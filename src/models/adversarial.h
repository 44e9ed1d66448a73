/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an image was made to deceive the network that classifies it.
 *
 * Feature squeezing (W. Xu, D. Evans, Y. Qi, "Feature Squeezing: Detecting
 * Adversarial Examples in Deep Neural Networks", NDSS 2018): small changes
 * that leave a photograph's class alone take the effect out of pixels that were
 * computed against the network. Thread-safe: no state. */
#ifndef OLHO_MODELS_ADVERSARIAL_H
#define OLHO_MODELS_ADVERSARIAL_H

#include "base/err.h"
#include "image/decode.h"
#include "models/bundle.h"

/* How far the scores move when the image is squeezed. scores is what
 * bundle_run gave for the image. Runs the network once for each of the
 * squeezers. Fails as bundle_run does. */
MUST_CHECK int adversarial_score(const struct bundle *bundle,
                                 const struct image *image, const float *scores,
                                 double *out, struct err *err);

#endif
