/* SPDX-License-Identifier: Apache-2.0 */
/* The passes with floats, and finished rows to tensors. */
#include "image/kernels_avx2.h"

#include <immintrin.h>

static inline __m128i load16(const uint8_t *bytes)
{
    return _mm_loadu_si128((const void *)bytes);
}

void avx2_down_float(const float *weights, int taps, const uint8_t *const *rows,
                     int len, float *out)
{
    int i = 0;

    for (; i + 8 <= len; i += 8) {
        __m256 sum = _mm256_setzero_ps();

        for (int tap = 0; tap < taps; tap++) {
            const void *bytes = rows[tap] + i;
            __m256i value = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes));

            sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_set1_ps(weights[tap]),
                                                   _mm256_cvtepi32_ps(value)));
        }
        _mm256_storeu_ps(out + i, sum);
    }
    for (; i < len; i++) {
        float sum = 0.0F;

        for (int tap = 0; tap < taps; tap++)
            sum += weights[tap] * (float)rows[tap][i];
        out[i] = sum;
    }
}

/* The fourth value of a vector is the next pixel's, and is written over. */
static inline __m128 add_pixel(__m128 sum, float weight, const float *pixel)
{
    return _mm_add_ps(sum,
                      _mm_mul_ps(_mm_set1_ps(weight), _mm_loadu_ps(pixel)));
}

static inline void store_last(__m128 sum, float *out)
{
    _mm_storel_pi((void *)out, sum);
    _mm_store_ss(out + 2, _mm_movehl_ps(sum, sum));
}

void avx2_across_float(const struct axis *axis, const float *row, float *out)
{
    const float *weights = axis->weights;

    for (int i = 0; i < axis->len; i++, weights += axis->taps_max) {
        const float *pixel = row + (size_t)axis->first[i] * 3;
        __m128 sum = _mm_setzero_ps();

        for (int tap = 0; tap < axis->count[i]; tap++, pixel += 3)
            sum = add_pixel(sum, weights[tap], pixel);
        if (i + 1 < axis->len)
            _mm_storeu_ps(out + 3 * i, sum);
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

static inline void put(__m256 value, __m256 scale, __m256 bias, float *out)
{
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_mul_ps(value, scale), bias));
}

/* 8 pixels lie in 24 bytes; the lower half of the vector sees bytes 0..15, the
 * upper half bytes 8..23, so its first pixel begins at its byte 4. */
static inline __m256i channel_order(int channel)
{
    const __m256i first = _mm256_setr_epi8(
        0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1, 4, -1, -1,
        -1, 7, -1, -1, -1, 10, -1, -1, -1, 13, -1, -1, -1);

    return _mm256_add_epi32(first, _mm256_set1_epi32(channel));
}

void avx2_planes(const uint8_t *row, int width,
                 const struct kernel_target *target)
{
    __m256i order[3];
    __m256 scale[3], bias[3];
    struct kernel_target rest;
    int i = 0;

    for (int channel = 0; channel < 3; channel++) {
        order[channel] = channel_order(channel);
        scale[channel] = _mm256_set1_ps(target->scale[channel]);
        bias[channel] = _mm256_set1_ps(target->bias[channel]);
    }
    for (; i + 8 <= width; i += 8) {
        __m256i eight =
            _mm256_inserti128_si256(_mm256_castsi128_si256(load16(row + 3 * i)),
                                    load16(row + 3 * i + 8), 1);

        for (int channel = 0; channel < 3; channel++)
            put(_mm256_cvtepi32_ps(_mm256_shuffle_epi8(eight, order[channel])),
                scale[channel], bias[channel], target->planes[channel] + i);
    }
    rest = target_after(target, i);
    kernels_c.planes(row + 3 * i, width - i, &rest);
}

/* Three channels' values repeated over 8 pixels, vector n of 3. */
static inline __m256 repeated(const float *values, int n)
{
    float all[8];

    for (int i = 0; i < 8; i++)
        all[i] = values[(8 * n + i) % 3];
    return _mm256_loadu_ps(all);
}

void avx2_pixels(const uint8_t *row, int width,
                 const struct kernel_target *target)
{
    __m256 scale[3], bias[3];
    struct kernel_target rest;
    int i = 0;

    for (int n = 0; n < 3; n++) {
        scale[n] = repeated(target->scale, n);
        bias[n] = repeated(target->bias, n);
    }
    for (; i + 8 <= width; i += 8)
        for (int n = 0; n < 3; n++) {
            const void *bytes = row + 3 * i + 8 * n;
            __m256i eight = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes));

            put(_mm256_cvtepi32_ps(eight), scale[n], bias[n],
                target->row + 3 * i + 8 * n);
        }
    rest = target_after(target, i);
    kernels_c.pixels(row + 3 * i, width - i, &rest);
}

void avx2_planes_float(const float *row, int width,
                       const struct kernel_target *target)
{
    const __m256i red_order = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5);
    const __m256i green_order = _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6);
    const __m256i blue_order = _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7);
    __m256 scale[3], bias[3];
    struct kernel_target rest;
    int i = 0;

    for (int channel = 0; channel < 3; channel++) {
        scale[channel] = _mm256_set1_ps(target->scale[channel]);
        bias[channel] = _mm256_set1_ps(target->bias[channel]);
    }
    for (; i + 8 <= width; i += 8) {
        __m256 a = _mm256_loadu_ps(row + 3 * i);
        __m256 b = _mm256_loadu_ps(row + 3 * i + 8);
        __m256 c = _mm256_loadu_ps(row + 3 * i + 16);
        __m256 red = _mm256_blend_ps(_mm256_blend_ps(a, b, 0x92), c, 0x24);
        __m256 green = _mm256_blend_ps(_mm256_blend_ps(a, b, 0x24), c, 0x49);
        __m256 blue = _mm256_blend_ps(_mm256_blend_ps(a, b, 0x49), c, 0x92);

        put(_mm256_permutevar8x32_ps(red, red_order), scale[0], bias[0],
            target->planes[0] + i);
        put(_mm256_permutevar8x32_ps(green, green_order), scale[1], bias[1],
            target->planes[1] + i);
        put(_mm256_permutevar8x32_ps(blue, blue_order), scale[2], bias[2],
            target->planes[2] + i);
    }
    rest = target_after(target, i);
    kernels_c.planes_float(row + 3 * i, width - i, &rest);
}

void avx2_pixels_float(const float *row, int width,
                       const struct kernel_target *target)
{
    __m256 scale[3], bias[3];
    struct kernel_target rest;
    int i = 0;

    for (int n = 0; n < 3; n++) {
        scale[n] = repeated(target->scale, n);
        bias[n] = repeated(target->bias, n);
    }
    for (; i + 8 <= width; i += 8)
        for (int n = 0; n < 3; n++)
            put(_mm256_loadu_ps(row + 3 * i + 8 * n), scale[n], bias[n],
                target->row + 3 * i + 8 * n);
    rest = target_after(target, i);
    kernels_c.pixels_float(row + 3 * i, width - i, &rest);
}
