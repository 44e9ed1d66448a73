/* SPDX-License-Identifier: Apache-2.0 */
/* As int16_dot_avx2.c, with the instruction that multiplies and adds up in one
 * step (VNNI); the greater number of registers holds a tile of four by four. */
#include "vectors/int16_dot.h"

#include <immintrin.h>

enum { ROWS = 4, OTHERS = 4, LANES = 32 };

/* All that the Makefile lets the compiler use for this file. */
static bool is_usable(void)
{
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("fma");
}

/* Inlined where the counts are constants. */
static inline __attribute__((always_inline)) void
dot_tile(int row_count, int other_count, const int16_t *a, const int16_t *b,
         int len, int32_t *out, int out_len)
{
    __m512i sums[ROWS][OTHERS];
    int i, j, m;

    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            sums[i][j] = _mm512_setzero_si512();
    for (m = 0; m < len; m += LANES) {
        __m512i rows[ROWS];

        for (i = 0; i < row_count; i++)
            rows[i] = _mm512_loadu_si512(a + (int64_t)i * len + m);
        for (j = 0; j < other_count; j++) {
            __m512i other = _mm512_loadu_si512(b + (int64_t)j * len + m);

            for (i = 0; i < row_count; i++)
                sums[i][j] = _mm512_dpwssd_epi32(sums[i][j], rows[i], other);
        }
    }
    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            out[(int64_t)i * out_len + j] = _mm512_reduce_add_epi32(sums[i][j]);
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

const struct int16_kernels int16_kernels_avx512 = {"avx512", is_usable, dot};
