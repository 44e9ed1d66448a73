/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of transform.c, once per instruction set. All sets give the
 * same bits: whole numbers as Pillow has them, floats multiplied and added in
 * the same order and never fused.
 *
 * No kernel reads or writes outside the lengths that it is told, but in the
 * rows between the two passes: those have KERNEL_SLACK elements after them that
 * the first pass may write and the second may read.
 * Thread-safe: the tables are constant. */
#ifndef OLHO_IMAGE_KERNELS_H
#define OLHO_IMAGE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "image/axis.h"

enum { KERNEL_ROWS_MAX = 16, KERNEL_SLACK = 64 };

/* Where a finished row of RGB goes as floats: value * scale + bias. */
struct kernel_target {
    float scale[3], bias[3]; /* of red, green, blue */
    float *planes[3];        /* of planes_*: red, green, blue */
    float *row;              /* of pixels_*: 3 * width floats, interleaved */
};

struct kernels {
    const char *name;
    int rows; /* that `across` takes at once: 1..KERNEL_ROWS_MAX */

    /* Bytes that `across` wants for an axis, and for how wide a target. */
    size_t (*across_room)(const struct axis *axis);

    /* Horizontal pass with fixed weights: rows of RGB to rows of axis->len
     * RGB pixels. `room` is aligned to 64 bytes. */
    void (*across)(const struct axis *axis, const uint8_t *const *rows,
                   uint8_t *const *out, void *room);

    /* Vertical pass with fixed weights over `len` bytes. */
    void (*down)(const int32_t *fixed, int taps, const uint8_t *const *rows,
                 int len, uint8_t *out);

    /* The same two with float weights, not rounded between the passes. */
    void (*across_float)(const struct axis *axis, const uint8_t *row,
                         float *out);
    void (*down_float)(const float *weights, int taps, const float *const *rows,
                       int len, float *out);

    /* A finished row to planes or interleaved, of bytes or of floats. */
    void (*planes)(const uint8_t *row, int width,
                   const struct kernel_target *target);
    void (*pixels)(const uint8_t *row, int width,
                   const struct kernel_target *target);
    void (*planes_float)(const float *row, int width,
                         const struct kernel_target *target);
    void (*pixels_float)(const float *row, int width,
                         const struct kernel_target *target);
};

extern const struct kernels kernels_c;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_neon;

/* The sets that this machine can run, best first, NULL at the end; the last
 * is kernels_c. */
const struct kernels *const *kernels_usable(void);

#endif
