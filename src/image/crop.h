/* SPDX-License-Identifier: Apache-2.0 */
/* A part of an image as an image of its own. Thread-safe: no state. */
#ifndef OLHO_IMAGE_CROP_H
#define OLHO_IMAGE_CROP_H

#include "base/err.h"
#include "image/decode.h"

/* Columns left..right-1 and rows top..bottom-1. */
struct crop {
    int left, top, right, bottom;
};

/* The middle of an image: `share` (0..1) of each side, at least one pixel, the
 * odd pixel cut off after it. */
struct crop crop_centre(const struct image *image, double share);

/* Copies that part, which must lie in the image and hold a pixel. The source's
 * size and format stay those of the file. ERR_UNAVAILABLE without memory. The
 * caller owns *out and ends it with image_free. */
MUST_CHECK int crop_run(const struct image *image, const struct crop *crop,
                        struct image **out, struct err *err);

#endif
