/* SPDX-License-Identifier: Apache-2.0 */
/* The passes with floats, and finished rows to tensors. Products and sums stay
 * apart: a fused one would differ from plain C in the last bit. */
#include "image/kernels_neon.h"

#include <arm_neon.h>

static inline float32x4_t add_product(float32x4_t sum, float weight,
                                      float32x4_t value)
{
    return vaddq_f32(sum, vmulq_n_f32(value, weight));
}

void neon_down_float(const float *weights, int taps, const uint8_t *const *rows,
                     int len, float *out)
{
    int i = 0;

    for (; i + 8 <= len; i += 8) {
        float32x4_t low = vdupq_n_f32(0.0F), high = low;

        for (int tap = 0; tap < taps; tap++) {
            uint16x8_t wide = vmovl_u8(vld1_u8(rows[tap] + i));

            low = add_product(low, weights[tap],
                              vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))));
            high = add_product(high, weights[tap],
                               vcvtq_f32_u32(vmovl_high_u16(wide)));
        }
        vst1q_f32(out + i, low);
        vst1q_f32(out + i + 4, high);
    }
    for (; i < len; i++) {
        float sum = 0.0F;

        for (int tap = 0; tap < taps; tap++)
            sum += weights[tap] * (float)rows[tap][i];
        out[i] = sum;
    }
}

/* The fourth value of a vector is the next pixel's, and is written over. */
static inline void store_last(float32x4_t sum, float *out)
{
    vst1_f32(out, vget_low_f32(sum));
    vst1q_lane_f32(out + 2, sum, 2);
}

void neon_across_float(const struct axis *axis, const float *row, float *out)
{
    const float *weights = axis->weights;

    for (int i = 0; i < axis->len; i++, weights += axis->taps_max) {
        const float *pixel = row + (size_t)axis->first[i] * 3;
        float32x4_t sum = vdupq_n_f32(0.0F);

        for (int tap = 0; tap < axis->count[i]; tap++, pixel += 3)
            sum = add_product(sum, weights[tap], vld1q_f32(pixel));
        if (i + 1 < axis->len)
            vst1q_f32(out + 3 * i, sum);
        else
            store_last(sum, out + 3 * i);
    }
}

/* What is left of a row, less than one vector's pixels, in plain C. */
static struct kernel_target target_after(const struct kernel_target *target,
                                         int done)
{
    struct kernel_target rest = *target;

    for (int channel = 0; channel < 3; channel++)
        rest.planes[channel] += done;
    rest.row += 3 * done;
    return rest;
}

static inline void put(float32x4_t value, float32x4_t scale, float32x4_t bias,
                       float *out)
{
    vst1q_f32(out, vaddq_f32(vmulq_f32(value, scale), bias));
}

static inline void put8(uint8x8_t bytes, float32x4_t scale, float32x4_t bias,
                        float *out)
{
    uint16x8_t wide = vmovl_u8(bytes);

    put(vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), scale, bias, out);
    put(vcvtq_f32_u32(vmovl_high_u16(wide)), scale, bias, out + 4);
}

void neon_planes(const uint8_t *row, int width,
                 const struct kernel_target *target)
{
    struct kernel_target rest;
    int i = 0;

    for (; i + 8 <= width; i += 8) {
        uint8x8x3_t eight = vld3_u8(row + 3 * i);

        for (int channel = 0; channel < 3; channel++)
            put8(eight.val[channel], vdupq_n_f32(target->scale[channel]),
                 vdupq_n_f32(target->bias[channel]),
                 target->planes[channel] + i);
    }
    rest = target_after(target, i);
    kernels_c.planes(row + 3 * i, width - i, &rest);
}

void neon_planes_float(const float *row, int width,
                       const struct kernel_target *target)
{
    struct kernel_target rest;
    int i = 0;

    for (; i + 4 <= width; i += 4) {
        float32x4x3_t four = vld3q_f32(row + 3 * i);

        for (int channel = 0; channel < 3; channel++)
            put(four.val[channel], vdupq_n_f32(target->scale[channel]),
                vdupq_n_f32(target->bias[channel]),
                target->planes[channel] + i);
    }
    rest = target_after(target, i);
    kernels_c.planes_float(row + 3 * i, width - i, &rest);
}

/* Three channels' values repeated over 4 pixels, vector n of 3. */
static inline float32x4_t repeated(const float *values, int n)
{
    const float all[4] = {values[(4 * n) % 3], values[(4 * n + 1) % 3],
                          values[(4 * n + 2) % 3], values[(4 * n + 3) % 3]};

    return vld1q_f32(all);
}

void neon_pixels(const uint8_t *row, int width,
                 const struct kernel_target *target)
{
    const float32x4_t scale[3] = {repeated(target->scale, 0),
                                  repeated(target->scale, 1),
                                  repeated(target->scale, 2)};
    const float32x4_t bias[3] = {repeated(target->bias, 0),
                                 repeated(target->bias, 1),
                                 repeated(target->bias, 2)};
    struct kernel_target rest;
    int i = 0;

    for (; i + 8 <= width; i += 8)
        for (int n = 0; n < 3; n++) {
            uint16x8_t wide = vmovl_u8(vld1_u8(row + 3 * i + 8 * n));
            float *out = target->row + 3 * i + 8 * n;
            int first = 2 * n % 3, second = (2 * n + 1) % 3;

            put(vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), scale[first],
                bias[first], out);
            put(vcvtq_f32_u32(vmovl_high_u16(wide)), scale[second],
                bias[second], out + 4);
        }
    rest = target_after(target, i);
    kernels_c.pixels(row + 3 * i, width - i, &rest);
}

void neon_pixels_float(const float *row, int width,
                       const struct kernel_target *target)
{
    const float32x4_t scale[3] = {repeated(target->scale, 0),
                                  repeated(target->scale, 1),
                                  repeated(target->scale, 2)};
    const float32x4_t bias[3] = {repeated(target->bias, 0),
                                 repeated(target->bias, 1),
                                 repeated(target->bias, 2)};
    struct kernel_target rest;
    int i = 0;

    for (; i + 4 <= width; i += 4)
        for (int n = 0; n < 3; n++)
            put(vld1q_f32(row + 3 * i + 4 * n), scale[n], bias[n],
                target->row + 3 * i + 4 * n);
    rest = target_after(target, i);
    kernels_c.pixels_float(row + 3 * i, width - i, &rest);
}
