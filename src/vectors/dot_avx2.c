/* SPDX-License-Identifier: Apache-2.0 */
/* Four rows at a time share each load of the query and give the memory four
 * streams to prefetch; eight sums hide the latency of the multiply-adds. */
#include "vectors/dot.h"

#include <immintrin.h>

enum { ROWS = 4, LANES = 8 };

static bool is_usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static float fold(__m256 sums)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sums),
                             _mm256_extractf128_ps(sums, 1));

    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    four = _mm_add_ss(four, _mm_movehdup_ps(four));
    return _mm_cvtss_f32(four);
}

static inline __m256 add_inner(__m256 sums, __m256 q, const float *row)
{
    return _mm256_fmadd_ps(q, _mm256_loadu_ps(row), sums);
}

static inline __m256 add_square(__m256 sums, __m256 q, const float *row)
{
    __m256 gap = _mm256_sub_ps(q, _mm256_loadu_ps(row));

    return _mm256_fmadd_ps(gap, gap, sums);
}

typedef __m256 add_fn(__m256 sums, __m256 q, const float *row);

/* Inlined into its callers, where `add` and `row_count` are constants. What
 * is left over after whole steps goes through a row filled up with zeros. */
static inline __attribute__((always_inline)) void
sum_rows(add_fn *add, int row_count, const float *query,
         const float *const *rows, int dim, float *out)
{
    __m256 even[ROWS], odd[ROWS];
    float query_end[LANES] = {0}, row_end[LANES] = {0};
    int i, j, r;

    for (r = 0; r < row_count; r++)
        even[r] = odd[r] = _mm256_setzero_ps();
    for (i = 0; i + 2 * LANES <= dim; i += 2 * LANES) {
        __m256 q0 = _mm256_loadu_ps(query + i);
        __m256 q1 = _mm256_loadu_ps(query + i + LANES);

        for (r = 0; r < row_count; r++) {
            even[r] = add(even[r], q0, rows[r] + i);
            odd[r] = add(odd[r], q1, rows[r] + i + LANES);
        }
    }
    for (; i + LANES <= dim; i += LANES) {
        __m256 q0 = _mm256_loadu_ps(query + i);

        for (r = 0; r < row_count; r++)
            even[r] = add(even[r], q0, rows[r] + i);
    }
    for (j = 0; i + j < dim; j++)
        query_end[j] = dot_load(query + i + j);
    for (r = 0; r < row_count; r++) {
        for (j = 0; i + j < dim; j++)
            row_end[j] = dot_load(rows[r] + i + j);
        odd[r] = add(odd[r], _mm256_loadu_ps(query_end), row_end);
        out[r] = fold(_mm256_add_ps(even[r], odd[r]));
    }
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

const struct dot_kernels dot_kernels_avx2 = {"avx2", is_usable, inner, square};
