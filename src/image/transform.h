/* SPDX-License-Identifier: Apache-2.0 */
/* RGB pixels to the tensor a network wants: resize, crop or letterbox,
 * normalise and lay out, in one pass over the pixels.
 *
 * The filter changes answers, so it is part of a model's metadata. Each has a
 * reference:
 *   bilinear-aa, bicubic-aa, box   Pillow's Image.resize, to the last bit, with
 *                                  every set of kernels. (From 13.0 on Pillow
 *                                  takes the vertical pass first where the
 *                                  height shrinks much more than the width;
 *                                  the order here is that of all before.)
 *   bilinear                       tf.image.resize and OpenCV INTER_LINEAR
 *   area                           OpenCV INTER_AREA, also as it enlarges
 *   nearest                        Pillow; tf.image.resize v2, which differs
 *                                  only where a pixel's centre falls on an edge
 *   nearest-corner                 OpenCV INTER_NEAREST: left edges
 * bilinear and area are not rounded before the scale and bias: their floats
 * equal TensorFlow's, their pixels are within one level of OpenCV's.
 *
 * What a crop cuts off and what a filter skips is never computed or read.
 *
 * The kernels (AVX-512, AVX2, NEON or plain C) are chosen once at run time and
 * all give the same bits. Stateless and thread-safe. */
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
    /* Both sides to the target, the shape is lost. */
    FIT_STRETCH,
    /* torchvision's Resize and CenterCrop: the short side to short_side_px,
     * the long one to int(long * short_side_px / short); then the centre, at
     * round((side - target) / 2), halves to even. Where the target is larger
     * the rest is black, the odd pixel after the image. */
    FIT_CROP,
    /* Ultralytics' LetterBox: the smaller of both ratios, sides rounded (halves
     * to even, at least 1 px), the rest is `pad`, the odd pixel after. */
    FIT_LETTERBOX,
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
 * outside 1..8192 px or short_side_px outside 0..8192; ERR_UNAVAILABLE without
 * memory. The image may have any size from 1x1 on. */
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
