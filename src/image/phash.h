/* SPDX-License-Identifier: Apache-2.0 */
/* A hash of what an image shows: 64 bits of which few change when it is
 * scaled, compressed again or made a little brighter.
 *
 * The DCT hash of C. Zauner, "Implementation and Benchmarking of Perceptual
 * Image Hash Functions" (2010), with the median as Python's imagehash.phash
 * takes it: grey, 32x32, discrete cosine transform of both directions, the
 * 8x8 lowest frequencies, a bit for each above their median. It differs from
 * imagehash in the filter that makes the image small, hence in a bit or two.
 *
 * Stateless and thread-safe. */
#ifndef OLHO_IMAGE_PHASH_H
#define OLHO_IMAGE_PHASH_H

#include <stdint.h>

#include "base/err.h"
#include "image/decode.h"

/* The lowest frequency in the highest bit, then along the rows. Works as well
 * on an image that was decoded at reduced scale. ERR_UNAVAILABLE: no memory. */
MUST_CHECK int phash_compute(const struct image *image, uint64_t *out,
                             struct err *err);

/* Bits that differ, 0..64. */
int phash_distance(uint64_t a, uint64_t b);

#endif
