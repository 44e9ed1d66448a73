/* SPDX-License-Identifier: Apache-2.0 */
/* RGB pixels to a JPEG file: baseline, 4:2:0, the library's own tables, as
 * Pillow writes it by default. Stateless and thread-safe. */
#ifndef OLHO_IMAGE_ENCODE_H
#define OLHO_IMAGE_ENCODE_H

#include "base/buf.h"
#include "base/err.h"
#include "image/decode.h"

/* Adds the file to out; quality 1..100. ERR_TOO_LARGE when out is full,
 * ERR_UNAVAILABLE without memory. */
MUST_CHECK int image_encode_jpeg(const struct image *image, int quality,
                                 struct buf *out, struct err *err);

#endif
