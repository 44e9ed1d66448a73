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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/axis.h"

enum { KERNEL_ROWS_MAX = 16, KERNEL_SLACK = 64, CACHE_LINE = 64 };

/* Where a finished row of RGB goes as floats: value * scale + bias. */
struct kernel_target {
    float scale[3], bias[3]; /* of red, green, blue */
    float *planes[3];        /* of planes_*: red, green, blue */
    float *row;              /* of pixels_*: 3 * width floats, interleaved */
};

/* The horizontal pass works tile by tile, so that what it unpacks of 16 rows
 * stays in the first cache: target pixels target..target_end-1 read source
 * pixels source..source_end-1 and no others. */
struct tile {
    int target, target_end;
    int source, source_end;
};

struct kernel_across {
    const struct axis *axis;
    const struct tile *tiles; /* from left to right, all of the axis */
    int tile_count;
    int tile_px; /* the most source pixels in a tile */
    void *room;  /* across_room bytes, aligned to a cache line */
};

struct kernels {
    const char *name;
    int rows;    /* that `across` takes at once: 1..KERNEL_ROWS_MAX */
    int tile_px; /* wanted; the taps of one target pixel may need more */

    /* Bytes that `across` wants for tiles so long and so wide a target. */
    size_t (*across_room)(int tile_px, int target_px);

    /* Horizontal pass with fixed weights: rows of RGB to rows of axis->len
     * RGB pixels. The second half of `rows`, as many again, are those of the
     * next call; they may be fetched into the cache. */
    void (*across)(const struct kernel_across *across,
                   const uint8_t *const *rows, uint8_t *const *out);

    /* Vertical pass with fixed weights over `len` bytes. */
    void (*down)(const int32_t *fixed, int taps, const uint8_t *const *rows,
                 int len, uint8_t *out);

    /* With float weights the vertical pass is the first, straight from the
     * image, and nothing is rounded between the two. `across_float` may read
     * one element after the row. */
    void (*down_float)(const float *weights, int taps,
                       const uint8_t *const *rows, int len, float *out);
    void (*across_float)(const struct axis *axis, const float *row, float *out);

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

/* Whether a set gives the bits of kernels_c on an image of its own. */
bool kernels_are_right(const struct kernels *kernels);

#endif
