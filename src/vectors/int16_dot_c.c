/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/int16_dot.h"

static bool is_usable(void)
{
    return true;
}

static void dot(const int16_t *a, int a_count, const int16_t *b, int b_count,
                int len, int32_t *out)
{
    int i, j, m;

    for (i = 0; i < a_count; i++)
        for (j = 0; j < b_count; j++) {
            const int16_t *row = a + (int64_t)i * len;
            const int16_t *other = b + (int64_t)j * len;
            int32_t sum = 0;

            for (m = 0; m < len; m++)
                sum += row[m] * other[m];
            out[(int64_t)i * b_count + j] = sum;
        }
}

const struct int16_kernels int16_kernels_c = {"c", is_usable, dot};
