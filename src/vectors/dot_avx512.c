/* SPDX-License-Identifier: Apache-2.0 */
/* As dot_avx2.c with rows twice as wide; a mask takes what is left over. */
#include "vectors/dot.h"

#include <immintrin.h>

enum { ROWS = 4, LANES = 16 };

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

static inline __m512 add_inner(__m512 sums, __m512 q, __m512 row)
{
    return _mm512_fmadd_ps(q, row, sums);
}

static inline __m512 add_square(__m512 sums, __m512 q, __m512 row)
{
    __m512 gap = _mm512_sub_ps(q, row);

    return _mm512_fmadd_ps(gap, gap, sums);
}

typedef __m512 add_fn(__m512 sums, __m512 q, __m512 row);

/* Inlined into its callers, where `add` and `row_count` are constants. */
static inline __attribute__((always_inline)) void
sum_rows(add_fn *add, int row_count, const float *query,
         const float *const *rows, int dim, float *out)
{
    __m512 even[ROWS], odd[ROWS];
    int i, r;

    for (r = 0; r < row_count; r++)
        even[r] = odd[r] = _mm512_setzero_ps();
    for (i = 0; i + 2 * LANES <= dim; i += 2 * LANES) {
        __m512 q0 = _mm512_loadu_ps(query + i);
        __m512 q1 = _mm512_loadu_ps(query + i + LANES);

        for (r = 0; r < row_count; r++) {
            even[r] = add(even[r], q0, _mm512_loadu_ps(rows[r] + i));
            odd[r] = add(odd[r], q1, _mm512_loadu_ps(rows[r] + i + LANES));
        }
    }
    for (; i < dim; i += LANES) {
        int left = dim - i < LANES ? dim - i : LANES;
        __mmask16 mask = (__mmask16)((1u << left) - 1);
        __m512 q0 = _mm512_maskz_loadu_ps(mask, query + i);

        for (r = 0; r < row_count; r++)
            even[r] =
                add(even[r], q0, _mm512_maskz_loadu_ps(mask, rows[r] + i));
    }
    for (r = 0; r < row_count; r++)
        out[r] = _mm512_reduce_add_ps(_mm512_add_ps(even[r], odd[r]));
}

static void inner(const float *query, const float *const *rows, int count,
                  int dim, float *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(add_inner, ROWS, query, rows + i, dim, out + i);
    for (; i < count; i++)
        sum_rows(add_inner, 1, query, rows + i, dim, out + i);
}

static void square(const float *query, const float *const *rows, int count,
                   int dim, float *out)
{
    int i;

    for (i = 0; i + ROWS <= count; i += ROWS)
        sum_rows(add_square, ROWS, query, rows + i, dim, out + i);
    for (; i < count; i++)
        sum_rows(add_square, 1, query, rows + i, dim, out + i);
}

const struct dot_kernels dot_kernels_avx512 = {"avx512", is_usable, inner,
                                               square};
