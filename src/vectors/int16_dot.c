/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/int16_dot.h"

#include <math.h>

enum { LEN = 3 * INT16_STEP, ROWS = 5, OTHERS = 7 };

static const struct int16_kernels *const by_speed[] = {
    &int16_kernels_avx512,
    &int16_kernels_avx2,
    &int16_kernels_neon,
    &int16_kernels_c,
};

const struct int16_kernels *int16_get(size_t i)
{
    size_t j;

    for (j = 0; j < sizeof by_speed / sizeof by_speed[0]; j++) {
        if (by_speed[j] != NULL && i-- == 0)
            return by_speed[j];
    }
    return NULL;
}

/* On this very machine, with the extremes of both signs. */
static bool is_right(const struct int16_kernels *kernels)
{
    int16_t a[ROWS * LEN], b[OTHERS * LEN];
    int32_t want[ROWS * OTHERS], got[ROWS * OTHERS];
    int limit = int16_limit(LEN), i;

    for (i = 0; i < ROWS * LEN; i++)
        a[i] = (int16_t)(i / LEN == 0 ? -limit : i * 89 % limit - limit / 2);
    for (i = 0; i < OTHERS * LEN; i++)
        b[i] = (int16_t)(i / LEN == 0   ? -limit
                         : i / LEN == 1 ? limit
                                        : i * 53 % limit - limit / 2);
    int16_kernels_c.dot(a, ROWS, b, OTHERS, LEN, want);
    kernels->dot(a, ROWS, b, OTHERS, LEN, got);
    for (i = 0; i < ROWS * OTHERS; i++)
        if (want[i] != got[i])
            return false;
    return true;
}

const struct int16_kernels *int16_best(void)
{
    const struct int16_kernels *kernels;
    size_t i;

    for (i = 0; (kernels = int16_get(i)) != NULL; i++)
        if (kernels->is_usable() && is_right(kernels))
            return kernels;
    return &int16_kernels_c;
}

int int16_limit(int len)
{
    int limit = (int)sqrt((double)INT32_MAX / len);

    return limit < INT16_MAX ? limit : INT16_MAX;
}
