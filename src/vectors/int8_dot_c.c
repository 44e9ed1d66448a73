/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/int8_dot.h"

static bool is_usable(void)
{
    return true;
}

static void dot(const int16_t *query, const int8_t *const *rows, int count,
                int len, int32_t *out)
{
    int i, j;

    for (i = 0; i < count; i++) {
        int32_t sum = 0;

        for (j = 0; j < len; j++)
            sum += query[j] * rows[i][j];
        out[i] = sum;
    }
}

const struct int8_kernels int8_kernels_c = {"c", is_usable, dot};
