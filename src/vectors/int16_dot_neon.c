/* SPDX-License-Identifier: Apache-2.0 */
/* A tile of two rows by four shares its loads. */
#include "vectors/int16_dot.h"

#include <arm_neon.h>

enum { ROWS = 2, OTHERS = 4, LANES = 8 };

static bool is_usable(void)
{
    return true;
}

/* Inlined where the counts are constants. */
static inline __attribute__((always_inline)) void
dot_tile(int row_count, int other_count, const int16_t *a, const int16_t *b,
         int len, int32_t *out, int out_len)
{
    int32x4_t sums[ROWS][OTHERS];
    int i, j, m;

    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            sums[i][j] = vdupq_n_s32(0);
    for (m = 0; m < len; m += LANES) {
        int16x8_t rows[ROWS];

        for (i = 0; i < row_count; i++)
            rows[i] = vld1q_s16(a + (int64_t)i * len + m);
        for (j = 0; j < other_count; j++) {
            int16x8_t other = vld1q_s16(b + (int64_t)j * len + m);

            for (i = 0; i < row_count; i++)
                sums[i][j] =
                    vmlal_high_s16(vmlal_s16(sums[i][j], vget_low_s16(rows[i]),
                                             vget_low_s16(other)),
                                   rows[i], other);
        }
    }
    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            out[(int64_t)i * out_len + j] = vaddvq_s32(sums[i][j]);
}

static inline __attribute__((always_inline)) void
dot_rows(int row_count, const int16_t *a, const int16_t *b, int b_count,
         int len, int32_t *out)
{
    int j;

    for (j = 0; j + OTHERS <= b_count; j += OTHERS)
        dot_tile(row_count, OTHERS, a, b + (int64_t)j * len, len, out + j,
                 b_count);
    for (; j < b_count; j++)
        dot_tile(row_count, 1, a, b + (int64_t)j * len, len, out + j, b_count);
}

static void dot(const int16_t *a, int a_count, const int16_t *b, int b_count,
                int len, int32_t *out)
{
    int i;

    for (i = 0; i + ROWS <= a_count; i += ROWS)
        dot_rows(ROWS, a + (int64_t)i * len, b, b_count, len,
                 out + (int64_t)i * b_count);
    for (; i < a_count; i++)
        dot_rows(1, a + (int64_t)i * len, b, b_count, len,
                 out + (int64_t)i * b_count);
}

const struct int16_kernels int16_kernels_neon = {"neon", is_usable, dot};
