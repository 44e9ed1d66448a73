/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/half_dot.h"

/* As in dot_c.c. */
enum { LANES = 16 };

static bool is_usable(void)
{
    return true;
}

static float fold(const float *sums)
{
    float total = 0;
    int lane;

    for (lane = 0; lane < LANES; lane++)
        total += sums[lane];
    return total;
}

static void float16(const float *query, const uint16_t *const *rows, int count,
                    int len, float *out)
{
    int i, j, lane;

    for (i = 0; i < count; i++) {
        float sums[LANES] = {0};

        for (j = 0; j < len; j += LANES)
            for (lane = 0; lane < LANES; lane++)
                sums[lane] +=
                    query[j + lane] * half_to_float(rows[i][j + lane]);
        out[i] = fold(sums);
    }
}

static void bfloat16(const float *query, const uint16_t *const *rows, int count,
                     int len, float *out)
{
    int i, j, lane;

    for (i = 0; i < count; i++) {
        float sums[LANES] = {0};

        for (j = 0; j < len; j += LANES)
            for (lane = 0; lane < LANES; lane++)
                sums[lane] +=
                    query[j + lane] * bfloat_to_float(rows[i][j + lane]);
        out[i] = fold(sums);
    }
}

const struct half_kernels half_kernels_c = {"c", is_usable, float16, bfloat16};
