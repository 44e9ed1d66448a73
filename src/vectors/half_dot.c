/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/half_dot.h"

#include <math.h>
#include <string.h>

enum { LEN = 3 * HALF_STEP, ROWS = 7 };

static const struct half_kernels *const by_speed[] = {
    &half_kernels_avx512,
    &half_kernels_avx2,
    &half_kernels_neon,
    &half_kernels_c,
};

const struct half_kernels *half_get(size_t i)
{
    size_t j;

    for (j = 0; j < sizeof by_speed / sizeof by_speed[0]; j++) {
        if (by_speed[j] != NULL && i-- == 0)
            return by_speed[j];
    }
    return NULL;
}

/* On this very machine, over all magnitudes and with subnormal values. */
static bool is_right(const struct half_kernels *kernels)
{
    float query[LEN], want[ROWS], got[ROWS], scale;
    uint16_t rows[ROWS][LEN];
    const uint16_t *places[ROWS];
    int i, j, pass;

    for (pass = 0; pass < 2; pass++) {
        for (i = 0; i < ROWS; i++) {
            places[i] = rows[i];
            for (j = 0; j < LEN; j++) {
                float value = ldexpf((float)((i * 53 + j * 29) % 97) - 48,
                                     (i * 7 + j) % 30 - 22);

                query[j] = ldexpf((float)(j * 37 % 101) - 50, -(j % 9));
                rows[i][j] =
                    (pass ? bfloat_from_float : half_from_float)(value);
            }
        }
        (pass ? half_kernels_c.bfloat16
              : half_kernels_c.float16)(query, places, ROWS, LEN, want);
        (pass ? kernels->bfloat16 : kernels->float16)(query, places, ROWS, LEN,
                                                      got);
        scale = 50 * 48 * 128 * LEN;
        for (i = 0; i < ROWS; i++)
            if (!(fabsf(want[i] - got[i]) <= 1e-6F * scale))
                return false;
    }
    return true;
}

const struct half_kernels *half_best(void)
{
    const struct half_kernels *kernels;
    size_t i;

    for (i = 0; (kernels = half_get(i)) != NULL; i++)
        if (kernels->is_usable() && is_right(kernels))
            return kernels;
    return &half_kernels_c;
}

/* --- one value ------------------------------------------------------------ */

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Subnormal halves are whole multiples of 2^-24, to which adding 0.5 rounds a
 * float; for the others the exponent is shifted and what is cut off rounded. */
uint16_t half_from_float(float value)
{
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000;

    bits &= 0x7fffffff;
    if (bits >= 0x47800000) /* 65536 and more, infinities, NaN */
        return (uint16_t)(sign | (bits > 0x7f800000 ? 0x7e00 : 0x7c00));
    if (bits < 0x38800000) /* below 2^-14 */
        return (uint16_t)(sign | (bits_of(of_bits(bits) + 0.5F) - 0x3f000000));
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
    float small = (float)fraction * 0x1p-24F;

    if (exponent == 0)
        return sign ? -small : small;
    if (exponent == 31)
        return of_bits(sign | 0x7f800000 | fraction << 13);
    return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t bfloat_from_float(float value)
{
    uint32_t bits = bits_of(value);

    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float bfloat_to_float(uint16_t bits)
{
    return of_bits((uint32_t)bits << 16);
}
