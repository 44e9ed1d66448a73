/* SPDX-License-Identifier: Apache-2.0 */
/* The pass over the pixels: rows stream from the image through a small ring of
 * horizontally resized rows into finished rows of the target.
 *
 * Thread-safe: a run shares nothing. */
#ifndef OLHO_IMAGE_RESAMPLE_H
#define OLHO_IMAGE_RESAMPLE_H

#include "base/err.h"
#include "image/fit.h"
#include "image/kernels.h"

/* Fills floats (laid out and normalised) or, when that is NULL, pixels. The
 * transform has been checked. ERR_UNAVAILABLE without memory. */
MUST_CHECK int resample_run(const struct transform *transform,
                            const struct image *image,
                            const struct kernels *kernels, float *floats,
                            uint8_t *pixels, struct err *err);

#endif
