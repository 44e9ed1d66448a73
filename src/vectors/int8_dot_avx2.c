/* SPDX-License-Identifier: Apache-2.0 */
/* Rows are widened to 16 bits, so that the query has 16 as well and next to no
 * error of its own; the widening is no dearer than the signs that products of
 * bytes would need. */
#include "vectors/int8_dot.h"

#include <immintrin.h>

enum { ROWS = 4, LANES = 16 };

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

/* The four sums of four at once. */
static void fold_four(const __m256i *sums, int32_t *out)
{
    __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                                      _mm256_hadd_epi32(sums[2], sums[3]));

    _mm_storeu_si128((void *)out,
                     _mm_add_epi32(_mm256_castsi256_si128(pairs),
                                   _mm256_extracti128_si256(pairs, 1)));
}

/* The next rows are fetched while these are summed. Inlined where row_count is
 * a constant: 1 or ROWS. */
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
        for (j = i; j < i + INT8_STEP; j += LANES) {
            __m256i q = _mm256_loadu_si256((const void *)(query + j));

            for (r = 0; r < row_count; r++) {
                __m256i row = _mm256_cvtepi8_epi16(
                    _mm_loadu_si128((const void *)(rows[r] + j)));

                sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(q, row));
            }
        }
    }
    if (row_count == ROWS)
        fold_four(sums, out);
    else
        out[0] = fold(sums[0]);
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

const struct int8_kernels int8_kernels_avx2 = {"avx2", is_usable, dot};
