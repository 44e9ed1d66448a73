/* SPDX-License-Identifier: Apache-2.0 */
/* maddubs multiplies unsigned bytes by signed ones: the row without its sign,
 * the query with it. Two products of at most 127 * 127 fit into the 16 bits
 * that it adds them up in. */
#include "vectors/int8_dot.h"

#include <immintrin.h>

enum { ROWS = 4, LANES = 32 };

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

/* Inlined where row_count is a constant. */
static inline __attribute__((always_inline)) void
dot_rows(int row_count, const int8_t *query, const int8_t *rows, int len,
         int32_t *out)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sums[ROWS];
    int i, r;

    for (r = 0; r < row_count; r++)
        sums[r] = _mm256_setzero_si256();
    for (i = 0; i < len; i += LANES) {
        __m256i q = _mm256_loadu_si256((const void *)(query + i));

        for (r = 0; r < row_count; r++) {
            __m256i row =
                _mm256_loadu_si256((const void *)(rows + (int64_t)r * len + i));
            __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(row),
                                                 _mm256_sign_epi8(q, row));

            sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(pairs, ones));
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = fold(sums[r]);
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
    __m256i sums[ROWS];
    int i, j, r;

    for (r = 0; r < row_count; r++)
        sums[r] = _mm256_setzero_si256();
    for (i = 0; i < len; i += INT8_STEP) {
        for (r = 0; r < row_count; r++)
            _mm_prefetch((const void *)(next[r] + i), _MM_HINT_T0);
        for (j = i; j < i + INT8_STEP; j += LANES / 2) {
            __m256i q = _mm256_loadu_si256((const void *)(query + j));

            for (r = 0; r < row_count; r++) {
                __m256i row = _mm256_cvtepi8_epi16(
                    _mm_loadu_si128((const void *)(rows[r] + j)));

                sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(q, row));
            }
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = fold(sums[r]);
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

const struct int8_kernels int8_kernels_avx2 = {"avx2", is_usable, dot,
                                               dot_anywhere};
