/* SPDX-License-Identifier: Apache-2.0 */
/* As int8_dot_avx2.c, with the instruction that adds two products up in 32 bits
 * (VNNI). */
#include "vectors/int8_dot.h"

#include <immintrin.h>

enum { ROWS = 4, LANES = 32 };

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

/* The next rows are fetched while these are summed. Inlined where row_count is
 * a constant. */
static inline __attribute__((always_inline)) void
sum_rows(int row_count, const int16_t *query, const int8_t *const *rows,
         const int8_t *const *next, int len, int32_t *out)
{
    __m512i sums[ROWS];
    int i, j, r;

    for (r = 0; r < row_count; r++)
        sums[r] = _mm512_setzero_si512();
    for (i = 0; i < len; i += INT8_STEP) {
        for (r = 0; r < row_count; r++)
            _mm_prefetch((const void *)(next[r] + i), _MM_HINT_T0);
        for (j = i; j < i + INT8_STEP; j += LANES) {
            __m512i q = _mm512_loadu_si512(query + j);

            for (r = 0; r < row_count; r++)
                sums[r] =
                    _mm512_dpwssd_epi32(sums[r], q,
                                        _mm512_cvtepi8_epi16(_mm256_loadu_si256(
                                            (const void *)(rows[r] + j))));
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = _mm512_reduce_add_epi32(sums[r]);
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

const struct int8_kernels int8_kernels_avx512 = {"avx512", is_usable, dot};
