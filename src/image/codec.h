/* SPDX-License-Identifier: Apache-2.0 */
/* What decode.c and the codecs share: one row per format, and the steps that
 * every codec takes in the same way.
 *
 * A codec reads the header, calls codec_begin, which holds the size against
 * the limits before any pixel memory is taken, and then fills every pixel. It
 * knows nothing of EXIF: decode.c turns the finished pixels. Thread-safe. */
#ifndef OLHO_IMAGE_CODEC_H
#define OLHO_IMAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/decode.h"

enum { CODEC_SIDE_MAX = 65535 }; /* px, whatever the limits say */

/* Decodes file into image, whose format is set and whose other fields are
 * zero. The options' target is as the file lies, before it is turned. After
 * a failure the caller ends what image holds. Codes as image_decode. */
typedef int codec_fn(struct bytes file, const struct decode_options *options,
                     struct image *image, struct err *err);

struct codec {
    const char *name; /* "JPEG" */
    const char *mime; /* "image/jpeg" */
    bool is_in;       /* this build can decode it */
    codec_fn *decode;
};

/* One per file decode_*.c; the last two are in decode_heif.c, or in
 * decode_heif_none.c where the library is absent. */
extern const struct codec codec_jpeg, codec_png, codec_webp, codec_gif,
    codec_bmp, codec_heif, codec_avif;

/* Holds a size from a file's header against the limits: ERR_UNPROCESSABLE
 * names the size and the limit. */
MUST_CHECK int codec_check(int64_t width_px, int64_t height_px,
                           const struct image_limits *limits, struct err *err);

/* Checks the size, notes it as the source's, and takes pixels for an image of
 * that size. The bytes are not zeroed. */
MUST_CHECK int codec_begin(struct image *image, int64_t width_px,
                           int64_t height_px, const struct image_limits *limits,
                           struct err *err);

/* Takes height_px * width_px * 3 bytes for image, not zeroed. */
MUST_CHECK int codec_take_pixels(struct image *image, int width_px,
                                 int height_px, struct err *err);

/* ERR_UNPROCESSABLE: "JPEG is damaged: <what>". */
int codec_damaged(const struct image *image, const char *what, struct err *err);

/* ERR_UNAVAILABLE: no memory for a picture of that size. */
int codec_no_memory(const struct image *image, struct err *err);

/* Lays count RGBA pixels (alpha not multiplied in) over white, as RGB. */
void codec_over_white(const uint8_t *rgba, uint8_t *rgb, size_t count);

#endif
