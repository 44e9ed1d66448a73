/* SPDX-License-Identifier: Apache-2.0 */
/* RGB pixels to the tensor a network wants: resize, crop or letterbox,
 * normalise and lay out, in one pass over the pixels.
 *
 * The filter changes answers, so it is part of a model's metadata. Each equals
 * its reference within 1/255 on every pixel:
 *   bilinear-aa, bicubic-aa, box   Pillow's Image.resize
 *   bilinear                       tf.image.resize and OpenCV INTER_LINEAR
 *   area                           OpenCV INTER_AREA
 *   nearest                        Pillow, tf.image.resize v2 (pixel centres)
 *   nearest-corner                 OpenCV INTER_NEAREST, tf v1 (left edges)
 *
 * The kernels (AVX-512, AVX2, NEON or plain C) are chosen once at run time.
 * Stateless and thread-safe. */
#ifndef OLHO_IMAGE_TRANSFORM_H
#define OLHO_IMAGE_TRANSFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "image/decode.h"

enum filter {
    FILTER_BILINEAR_AA,
    FILTER_BICUBIC_AA,
    FILTER_BILINEAR,
    FILTER_NEAREST,
    FILTER_NEAREST_CORNER,
    FILTER_AREA,
    FILTER_BOX,
    FILTER_COUNT,
};

enum fit {
    FIT_STRETCH,   /* both sides to the target, the shape is lost */
    FIT_CROP,      /* short side to short_side_px, then the centre is cut out */
    FIT_LETTERBOX, /* long side to the target, the rest is filled with pad */
    FIT_COUNT,
};

enum layout { LAYOUT_NCHW, LAYOUT_NHWC };
enum channel_order { ORDER_RGB, ORDER_BGR };

struct transform {
    int width_px, height_px; /* of the target */
    enum filter filter;
    enum fit fit;
    int short_side_px; /* of FIT_CROP; 0: the target's shorter side */
    uint8_t pad;       /* of FIT_LETTERBOX: a grey value */
    enum layout layout;
    enum channel_order order;
    float scale[3]; /* out = pixel * scale + bias, pixel in 0..255, */
    float bias[3];  /* by channel as laid out */
};

/* The names as metadata has them; FILTER_COUNT / FIT_COUNT when unknown. */
const char *filter_name(enum filter filter);
enum filter filter_find(const char *name);
const char *fit_name(enum fit fit);
enum fit fit_find(const char *name);

/* Writes 3 * height * width floats. ERR_INVALID when a side of the target is
 * outside 1..8192 px; ERR_UNAVAILABLE without memory. */
MUST_CHECK int transform_run(const struct transform *transform,
                             const struct image *image, float *out,
                             struct err *err);

/* The same as 8-bit values before normalisation, RGB, rows of width * 3. */
MUST_CHECK int transform_pixels(const struct transform *transform,
                                const struct image *image, uint8_t *out,
                                struct err *err);

/* The kernels in use: "avx512", "avx2", "neon" or "c". */
const char *transform_kernels(void);

/* For tests: the kernels of that name from now on; false when this machine or
 * build lacks them. NULL: the best. */
bool transform_use_kernels(const char *name);

#endif
