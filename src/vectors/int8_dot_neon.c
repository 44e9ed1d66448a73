/* SPDX-License-Identifier: Apache-2.0 */
/* As int8_dot_avx2.c. Every 64-bit ARM processor can run it. */
#include "vectors/int8_dot.h"

#include <arm_neon.h>

enum { ROWS = 4, LANES = 8 };

static bool is_usable(void)
{
    return true;
}

/* The next rows are fetched while these are summed. Inlined where row_count is
 * a constant. */
static inline __attribute__((always_inline)) void
sum_rows(int row_count, const int16_t *query, const int8_t *const *rows,
         const int8_t *const *next, int len, int32_t *out)
{
    int32x4_t sums[ROWS];
    int i, j, r;

    for (r = 0; r < row_count; r++)
        sums[r] = vdupq_n_s32(0);
    for (i = 0; i < len; i += INT8_STEP) {
        for (r = 0; r < row_count; r++)
            __builtin_prefetch(next[r] + i);
        for (j = i; j < i + INT8_STEP; j += LANES) {
            int16x8_t q = vld1q_s16(query + j);

            for (r = 0; r < row_count; r++) {
                int16x8_t row = vmovl_s8(vld1_s8(rows[r] + j));

                sums[r] = vmlal_high_s16(
                    vmlal_s16(sums[r], vget_low_s16(q), vget_low_s16(row)), q,
                    row);
            }
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = vaddvq_s32(sums[r]);
}

static void dot(const int16_t *query, const int8_t *const *rows, int count,
                int len, int32_t *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(ROWS, query, rows + i,
                 rows + (i + 2 * ROWS <= count ? i + ROWS : i), len, out + i);
    for (; i < count; i++)
        sum_rows(1, query, rows + i, rows + i, len, out + i);
}

const struct int8_kernels int8_kernels_neon = {"neon", is_usable, dot};
