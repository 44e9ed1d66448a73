/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/int8_dot.h"

enum { LEN = 3 * INT8_STEP, ROWS = 7 };

static const struct int8_kernels *const by_speed[] = {
    &int8_kernels_avx512,
    &int8_kernels_avx2,
    &int8_kernels_neon,
    &int8_kernels_c,
};

const struct int8_kernels *int8_get(size_t i)
{
    size_t j;

    for (j = 0; j < sizeof by_speed / sizeof by_speed[0]; j++) {
        if (by_speed[j] != NULL && i-- == 0)
            return by_speed[j];
    }
    return NULL;
}

/* On this very machine, with the extremes of both signs. */
static bool is_right(const struct int8_kernels *kernels)
{
    int16_t query[LEN];
    int8_t rows[ROWS * LEN];
    const int8_t *places[ROWS];
    int32_t want[ROWS], got[ROWS];
    int i;

    for (i = 0; i < LEN; i++)
        query[i] = (int16_t)(i % 3 == 0 ? -32767 : i * 8941 % 65535 - 32767);
    for (i = 0; i < ROWS * LEN; i++)
        rows[i] = (int8_t)(i / LEN == 0 ? -127 : i * 53 % 255 - 127);
    for (i = 0; i < ROWS; i++)
        places[i] = rows + (ptrdiff_t)(ROWS - 1 - i) * LEN;
    int8_kernels_c.dot(query, places, ROWS, LEN, want);
    kernels->dot(query, places, ROWS, LEN, got);
    for (i = 0; i < ROWS; i++)
        if (want[i] != got[i])
            return false;
    return true;
}

const struct int8_kernels *int8_best(void)
{
    const struct int8_kernels *kernels;
    size_t i;

    for (i = 0; (kernels = int8_get(i)) != NULL; i++)
        if (kernels->is_usable() && is_right(kernels))
            return kernels;
    return &int8_kernels_c;
}
