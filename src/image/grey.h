/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of quality.c, once per instruction set. All give the same
 * numbers: everything is whole.
 *
 * Thread-safe: no state. */
#ifndef OLHO_IMAGE_GREY_H
#define OLHO_IMAGE_GREY_H

#include <stdbool.h>
#include <stdint.h>

/* OpenCV's weights of red, green and blue, in 1/32768 (BT.601). */
enum {
    GREY_RED = 9798,
    GREY_GREEN = 19235,
    GREY_BLUE = 3735,
    GREY_SHIFT = 15,
};

/* Sums over grey values; exact for 2^32 pixels and more. */
struct grey_sums {
    int64_t laplacian, laplacian_squared;
    int64_t level;        /* of the grey values */
    int64_t dark, bright; /* pixels up to QUALITY_BLACK, from QUALITY_WHITE */
};

struct grey_kernels {
    const char *name;        /* "avx2", "neon" or "c" */
    bool (*is_usable)(void); /* whether this processor can run them */

    /* count RGB pixels to grey values. */
    void (*convert)(const uint8_t *rgb, int count, uint8_t *grey);

    /* Adds the levels of one row. */
    void (*count)(const uint8_t *grey, int count, struct grey_sums *sums);

    /* Adds above + below + left + right - 4 * here for each of the count
     * pixels of `row`; row[-1] and row[count] are read. */
    void (*laplace)(const uint8_t *above, const uint8_t *row,
                    const uint8_t *below, int count, struct grey_sums *sums);
};

/* The fastest that this processor can run; never NULL. */
const struct grey_kernels *grey_best(void);

/* One definition per file; a weak name that nobody defines is NULL. */
extern const struct grey_kernels grey_kernels_c;
extern const struct grey_kernels grey_kernels_avx2 __attribute__((weak));
extern const struct grey_kernels grey_kernels_neon __attribute__((weak));

#endif
