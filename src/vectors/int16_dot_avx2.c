/* SPDX-License-Identifier: Apache-2.0 */
/* madd multiplies sixteen pairs and adds two products each up. A tile of two
 * rows by four shares its loads: six for eight of these. */
#include "vectors/int16_dot.h"

#include <immintrin.h>

enum { ROWS = 2, OTHERS = 4, LANES = 16 };

static bool is_usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int32_t fold(__m256i sums)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums),
                                 _mm256_extracti128_si256(sums, 1));

    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

/* Inlined where the counts are constants. */
static inline __attribute__((always_inline)) void
dot_tile(int row_count, int other_count, const int16_t *a, const int16_t *b,
         int len, int32_t *out, int out_len)
{
    __m256i sums[ROWS][OTHERS];
    int i, j, m;

    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            sums[i][j] = _mm256_setzero_si256();
    for (m = 0; m < len; m += LANES) {
        __m256i rows[ROWS];

        for (i = 0; i < row_count; i++)
            rows[i] =
                _mm256_loadu_si256((const void *)(a + (int64_t)i * len + m));
        for (j = 0; j < other_count; j++) {
            __m256i other =
                _mm256_loadu_si256((const void *)(b + (int64_t)j * len + m));

            for (i = 0; i < row_count; i++)
                sums[i][j] = _mm256_add_epi32(
                    sums[i][j], _mm256_madd_epi16(rows[i], other));
        }
    }
    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            out[(int64_t)i * out_len + j] = fold(sums[i][j]);
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

const struct int16_kernels int16_kernels_avx2 = {"avx2", is_usable, dot};
