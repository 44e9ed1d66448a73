/* SPDX-License-Identifier: Apache-2.0 */
/* A set of kernels is used only after it has given, on this very machine, the
 * bits that plain C gives. No build machine has every instruction set, so the
 * tests alone cannot promise that; a compiler, an emulator or a hypervisor may
 * also be at fault. It costs a fraction of a millisecond, once. */
#include <string.h>

#include "image/kernels.h"
#include "image/resample.h"

enum {
    SOURCE_WIDTH = 61,
    SOURCE_HEIGHT = 83,
    WIDTH = 37,
    HEIGHT = 29,
    VALUES = 3 * WIDTH * HEIGHT,
};

/* Odd sizes, so that the ends of rows are tried as well. */
static struct transform make_transform(enum filter filter, enum layout layout)
{
    struct transform transform = {
        .width_px = WIDTH,
        .height_px = HEIGHT,
        .filter = filter,
        .fit = FIT_STRETCH,
        .layout = layout,
        .scale = {0.017F, 0.0175F, 0.0174F},
        .bias = {-2.1F, -2.0F, -1.8F},
    };

    return transform;
}

static void fill(uint8_t *pixels, size_t len)
{
    uint32_t state = 1;
    size_t i;

    for (i = 0; i < len; i++) {
        state = state * 1664525 + 1013904223; /* Numerical Recipes, 7.1 */
        pixels[i] = (uint8_t)(state >> 24);
    }
}

/* Without memory nothing can be compared, and nothing is trusted. */
static bool agrees(const struct kernels *kernels, const struct image *image,
                   const struct transform *transform)
{
    float want[VALUES], got[VALUES];
    struct err err = {0};

    return resample_run(transform, image, &kernels_c, want, NULL, &err) == 0 &&
           resample_run(transform, image, kernels, got, NULL, &err) == 0 &&
           memcmp(want, got, sizeof want) == 0;
}

bool kernels_are_right(const struct kernels *kernels)
{
    uint8_t pixels[3 * SOURCE_WIDTH * SOURCE_HEIGHT];
    struct image image = {
        .width_px = SOURCE_WIDTH,
        .height_px = SOURCE_HEIGHT,
        .pixels = pixels,
    };
    int filter, layout;

    fill(pixels, sizeof pixels);
    for (filter = 0; filter < FILTER_COUNT; filter++)
        for (layout = LAYOUT_NCHW; layout <= LAYOUT_NHWC; layout++) {
            struct transform transform =
                make_transform((enum filter)filter, (enum layout)layout);

            if (!agrees(kernels, &image, &transform))
                return false;
        }
    return true;
}
