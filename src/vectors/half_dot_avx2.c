/* SPDX-License-Identifier: Apache-2.0 */
/* As dot_avx2.c; the next four rows are fetched while four are summed, since
 * those of a graph lie anywhere. */
#include "vectors/half_dot.h"

#include <cpuid.h>
#include <immintrin.h>

/* Beyond what the Makefile lets the compiler use for this file. */
#define F16C __attribute__((target("avx2,fma,f16c")))

enum { ROWS = 4, LANES = 8, LINE = 32 };

static bool is_usable(void)
{
    unsigned a, b, c = 0, d;

    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}

static float fold(__m256 sums)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sums),
                             _mm256_extractf128_ps(sums, 1));

    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    four = _mm_add_ss(four, _mm_movehdup_ps(four));
    return _mm_cvtss_f32(four);
}

F16C static inline __m256 load_float16(const uint16_t *row)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)row));
}

F16C static inline __m256 load_bfloat16(const uint16_t *row)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)row));

    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

typedef __m256 load_fn(const uint16_t *row);

/* Inlined into its callers, where `load` and `row_count` are constants. */
F16C static inline __attribute__((always_inline)) void
sum_rows(load_fn *load, int row_count, const float *query,
         const uint16_t *const *rows, const uint16_t *const *next, int len,
         float *out)
{
    __m256 even[ROWS], odd[ROWS];
    int i, j, r;

    for (r = 0; r < row_count; r++)
        even[r] = odd[r] = _mm256_setzero_ps();
    for (i = 0; i < len; i += LINE) {
        for (r = 0; r < row_count; r++)
            _mm_prefetch((const void *)(next[r] + i), _MM_HINT_T0);
        for (j = i; j < i + LINE; j += 2 * LANES) {
            __m256 q0 = _mm256_loadu_ps(query + j);
            __m256 q1 = _mm256_loadu_ps(query + j + LANES);

            for (r = 0; r < row_count; r++) {
                even[r] = _mm256_fmadd_ps(q0, load(rows[r] + j), even[r]);
                odd[r] = _mm256_fmadd_ps(q1, load(rows[r] + j + LANES), odd[r]);
            }
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = fold(_mm256_add_ps(even[r], odd[r]));
}

F16C static void float16(const float *query, const uint16_t *const *rows,
                         int count, int len, float *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(load_float16, ROWS, query, rows + i,
                 rows + (i + 2 * ROWS <= count ? i + ROWS : i), len, out + i);
    for (; i < count; i++)
        sum_rows(load_float16, 1, query, rows + i, rows + i, len, out + i);
}

F16C static void bfloat16(const float *query, const uint16_t *const *rows,
                          int count, int len, float *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(load_bfloat16, ROWS, query, rows + i,
                 rows + (i + 2 * ROWS <= count ? i + ROWS : i), len, out + i);
    for (; i < count; i++)
        sum_rows(load_bfloat16, 1, query, rows + i, rows + i, len, out + i);
}

const struct half_kernels half_kernels_avx2 = {"avx2", is_usable, float16,
                                               bfloat16};
