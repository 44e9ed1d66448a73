/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of AVX2 that the set of AVX-512 uses as well: each is bound by
 * memory or by single pixels, not by the width of a vector. kernels.h says
 * what each does. Thread-safe: no state. */
#ifndef OLHO_IMAGE_KERNELS_AVX2_H
#define OLHO_IMAGE_KERNELS_AVX2_H

#include "image/kernels.h"

void avx2_across_float(const struct axis *axis, const float *row, float *out);
void avx2_down_float(const float *weights, int taps, const uint8_t *const *rows,
                     int len, float *out);
void avx2_planes(const uint8_t *row, int width,
                 const struct kernel_target *target);
void avx2_pixels(const uint8_t *row, int width,
                 const struct kernel_target *target);
void avx2_planes_float(const float *row, int width,
                       const struct kernel_target *target);
void avx2_pixels_float(const float *row, int width,
                       const struct kernel_target *target);

/* Columns of 16 rows, 16 bytes each, back to rows of len bytes; up to 7 bytes
 * after each row are written. */
void avx2_turn_back(const uint8_t *packed, int len, uint8_t *const *rows);

#endif
