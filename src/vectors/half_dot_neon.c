/* SPDX-License-Identifier: Apache-2.0 */
/* As half_dot_avx2.c with four lanes. Every 64-bit ARM processor can run it. */
#include "vectors/half_dot.h"

#include <arm_neon.h>

enum { ROWS = 4, LANES = 4, LINE = 32 };

static bool is_usable(void)
{
    return true;
}

static inline float32x4_t load_float16(const uint16_t *row)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(row)));
}

static inline float32x4_t load_bfloat16(const uint16_t *row)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(row), 16));
}

typedef float32x4_t load_fn(const uint16_t *row);

/* Inlined into its callers, where `load` and `row_count` are constants. */
static inline __attribute__((always_inline)) void
sum_rows(load_fn *load, int row_count, const float *query,
         const uint16_t *const *rows, const uint16_t *const *next, int len,
         float *out)
{
    float32x4_t even[ROWS], odd[ROWS];
    int i, j, r;

    for (r = 0; r < row_count; r++)
        even[r] = odd[r] = vdupq_n_f32(0);
    for (i = 0; i < len; i += LINE) {
        for (r = 0; r < row_count; r++)
            __builtin_prefetch(next[r] + i);
        for (j = i; j < i + LINE; j += 2 * LANES) {
            float32x4_t q0 = vld1q_f32(query + j);
            float32x4_t q1 = vld1q_f32(query + j + LANES);

            for (r = 0; r < row_count; r++) {
                even[r] = vfmaq_f32(even[r], q0, load(rows[r] + j));
                odd[r] = vfmaq_f32(odd[r], q1, load(rows[r] + j + LANES));
            }
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = vaddvq_f32(vaddq_f32(even[r], odd[r]));
}

static void float16(const float *query, const uint16_t *const *rows, int count,
                    int len, float *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(load_float16, ROWS, query, rows + i,
                 rows + (i + 2 * ROWS <= count ? i + ROWS : i), len, out + i);
    for (; i < count; i++)
        sum_rows(load_float16, 1, query, rows + i, rows + i, len, out + i);
}

static void bfloat16(const float *query, const uint16_t *const *rows, int count,
                     int len, float *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(load_bfloat16, ROWS, query, rows + i,
                 rows + (i + 2 * ROWS <= count ? i + ROWS : i), len, out + i);
    for (; i < count; i++)
        sum_rows(load_bfloat16, 1, query, rows + i, rows + i, len, out + i);
}

const struct half_kernels half_kernels_neon = {"neon", is_usable, float16,
                                               bfloat16};
