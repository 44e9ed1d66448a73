/* SPDX-License-Identifier: Apache-2.0 */
/* Two products of at most 127 * 127 are added up in 16 bits, then in 32. */
#include "vectors/int8_dot.h"

#include <arm_neon.h>

enum { ROWS = 4, LANES = 16 };

static bool is_usable(void)
{
    return true;
}

/* Inlined where row_count is a constant. */
static inline __attribute__((always_inline)) void
dot_rows(int row_count, const int8_t *query, const int8_t *rows, int len,
         int32_t *out)
{
    int32x4_t sums[ROWS];
    int i, r;

    for (r = 0; r < row_count; r++)
        sums[r] = vdupq_n_s32(0);
    for (i = 0; i < len; i += LANES) {
        int8x16_t q = vld1q_s8(query + i);

        for (r = 0; r < row_count; r++) {
            int8x16_t row = vld1q_s8(rows + (int64_t)r * len + i);
            int16x8_t pairs = vmlal_high_s8(
                vmull_s8(vget_low_s8(q), vget_low_s8(row)), q, row);

            sums[r] = vpadalq_s16(sums[r], pairs);
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = vaddvq_s32(sums[r]);
}

static void dot(const int8_t *query, const int8_t *rows, int count, int len,
                int32_t *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        dot_rows(ROWS, query, rows + (int64_t)i * len, len, out + i);
    for (; i < count; i++)
        dot_rows(1, query, rows + (int64_t)i * len, len, out + i);
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
        for (j = i; j < i + INT8_STEP; j += LANES / 2) {
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

static void dot_anywhere(const int16_t *query, const int8_t *const *rows,
                         int count, int len, int32_t *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(ROWS, query, rows + i,
                 rows + (i + 2 * ROWS <= count ? i + ROWS : i), len,
                 out + i);
    for (; i < count; i++)
        sum_rows(1, query, rows + i, rows + i, len, out + i);
}

const struct int8_kernels int8_kernels_neon = {"neon", is_usable, dot,
                                               dot_anywhere};
