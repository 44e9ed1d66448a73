/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of the NEON kernels: the passes with floats, and finished
 * rows to tensors. kernels.h says what each does. Thread-safe: no state. */
#ifndef OLHO_IMAGE_KERNELS_NEON_H
#define OLHO_IMAGE_KERNELS_NEON_H

#include "image/kernels.h"

void neon_across_float(const struct axis *axis, const float *row, float *out);
void neon_down_float(const float *weights, int taps, const uint8_t *const *rows,
                     int len, float *out);
void neon_planes(const uint8_t *row, int width,
                 const struct kernel_target *target);
void neon_pixels(const uint8_t *row, int width,
                 const struct kernel_target *target);
void neon_planes_float(const float *row, int width,
                       const struct kernel_target *target);
void neon_pixels_float(const float *row, int width,
                       const struct kernel_target *target);

#endif
