/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to an image that a person hardly sees, and that take the effect out
 * of pixels which were computed to deceive a network.
 *
 * Each writes an image of the same sides, owned by the caller, who ends it
 * with image_free; ERR_UNAVAILABLE without memory. Stateless and thread-safe.
 */
#ifndef OLHO_IMAGE_SQUEEZE_H
#define OLHO_IMAGE_SQUEEZE_H

#include "base/err.h"
#include "image/decode.h"

/* To JPEG of that quality (1..100) and back. */
MUST_CHECK int squeeze_jpeg(const struct image *image, int quality,
                            struct image **out, struct err *err);

/* Each channel the median of 2x2 pixels, this one, those to its left and above
 * and between: the mean of the middle two of four, halves up. Mirrored at the
 * edges without repeating them. */
MUST_CHECK int squeeze_median(const struct image *image, struct image **out,
                              struct err *err);

/* Turned about its centre, against the clock, with bilinear interpolation; the
 * edges are drawn out to where the image does not reach. */
MUST_CHECK int squeeze_rotate(const struct image *image, double degrees,
                              struct image **out, struct err *err);

#endif
