/* SPDX-License-Identifier: Apache-2.0 */
/* As half_dot_avx2.c with rows twice as wide. The instruction that multiplies
 * bfloat16 by bfloat16 is left alone: it would round the query too, which
 * doubles the error that an exact search has to allow for, while the memory is
 * what the scan waits for. */
#include "vectors/half_dot.h"

#include <immintrin.h>

enum { ROWS = 4, LANES = 16, LINE = 32 };

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

static inline __m512 load_float16(const uint16_t *row)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)row));
}

static inline __m512 load_bfloat16(const uint16_t *row)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)row));

    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

typedef __m512 load_fn(const uint16_t *row);

/* Inlined into its callers, where `load` and `row_count` are constants. */
static inline __attribute__((always_inline)) void
sum_rows(load_fn *load, int row_count, const float *query,
         const uint16_t *const *rows, const uint16_t *const *next, int len,
         float *out)
{
    __m512 even[ROWS], odd[ROWS];
    int i, r;

    for (r = 0; r < row_count; r++)
        even[r] = odd[r] = _mm512_setzero_ps();
    for (i = 0; i < len; i += LINE) {
        __m512 q0 = _mm512_loadu_ps(query + i);
        __m512 q1 = _mm512_loadu_ps(query + i + LANES);

        for (r = 0; r < row_count; r++) {
            _mm_prefetch((const void *)(next[r] + i), _MM_HINT_T0);
            even[r] = _mm512_fmadd_ps(q0, load(rows[r] + i), even[r]);
            odd[r] = _mm512_fmadd_ps(q1, load(rows[r] + i + LANES), odd[r]);
        }
    }
    for (r = 0; r < row_count; r++)
        out[r] = _mm512_reduce_add_ps(_mm512_add_ps(even[r], odd[r]));
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

const struct half_kernels half_kernels_avx512 = {"avx512", is_usable, float16,
                                                 bfloat16};
