/* SPDX-License-Identifier: Apache-2.0 */
/* Encoded bytes to RGB pixels. The format is told by content, never by name:
 * JPEG, PNG, WebP, GIF, BMP, and HEIF/AVIF where the library is there.
 * EXIF orientation is applied; alpha is laid over white; of an animation the
 * first frame is taken; CMYK, grey, palette and 16-bit images become 8-bit RGB.
 *
 * Sizes are checked against the limits before memory is taken. Stateless and
 * thread-safe. */
#ifndef OLHO_IMAGE_DECODE_H
#define OLHO_IMAGE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct image_limits {
    int side_min_px;
    int side_max_px;
    int64_t pixels_max; /* width * height */
};

struct decode_options {
    struct image_limits limits;
    /* A JPEG is decoded at the smallest DCT scale that leaves at least twice
     * these in both directions (after orientation); 0: at full size. */
    int target_width_px;
    int target_height_px;
};

enum image_format {
    IMAGE_JPEG,
    IMAGE_PNG,
    IMAGE_WEBP,
    IMAGE_GIF,
    IMAGE_BMP,
    IMAGE_HEIF,
    IMAGE_AVIF,
    IMAGE_FORMAT_COUNT, /* also: not an image we know */
};

/* RGB, 8 bits, rows one after another without padding. */
struct image {
    int width_px, height_px; /* of pixels, after scaling and orientation */
    int source_width_px;     /* of the file, after orientation */
    int source_height_px;
    enum image_format format;
    uint8_t *pixels; /* owned: height * width * 3 bytes */
};

/* Decodes. ERR_INVALID: empty; ERR_MEDIA_TYPE: no image format we know;
 * ERR_UNPROCESSABLE: damaged, or sides outside the limits;
 * ERR_UNSUPPORTED: a format that this build lacks; ERR_UNAVAILABLE: no memory.
 * The caller owns *out and ends it with image_free. */
MUST_CHECK int image_decode(struct bytes file,
                            const struct decode_options *options,
                            struct image **out, struct err *err);
void image_free(struct image *image); /* NULL is allowed */

/* The format by content. */
enum image_format image_sniff(struct bytes file);
const char *image_format_name(enum image_format format); /* "JPEG" */
const char *image_format_mime(enum image_format format); /* "image/jpeg" */

/* The formats in this build: "JPEG PNG WebP GIF BMP HEIF AVIF". */
const char *image_formats(void);

/* A blank image of that size (1..65535 px a side), for tests and drawing. */
MUST_CHECK int image_new(int width_px, int height_px, struct image **out,
                         struct err *err);

#endif
