/* SPDX-License-Identifier: Apache-2.0 */
/* As dot_avx2.c with four lanes. Every 64-bit ARM processor can run it. */
#include "vectors/dot.h"

#include <arm_neon.h>

enum { ROWS = 4, LANES = 4 };

static bool is_usable(void)
{
    return true;
}

static inline float32x4_t add_inner(float32x4_t sums, float32x4_t q,
                                    const float *row)
{
    return vfmaq_f32(sums, q, vld1q_f32(row));
}

static inline float32x4_t add_square(float32x4_t sums, float32x4_t q,
                                     const float *row)
{
    float32x4_t gap = vsubq_f32(q, vld1q_f32(row));

    return vfmaq_f32(sums, gap, gap);
}

typedef float32x4_t add_fn(float32x4_t sums, float32x4_t q, const float *row);

/* Inlined into its callers, where `add` and `row_count` are constants. What
 * is left over after whole steps goes through a row filled up with zeros. */
static inline __attribute__((always_inline)) void
sum_rows(add_fn *add, int row_count, const float *query,
         const float *const *rows, int dim, float *out)
{
    float32x4_t even[ROWS], odd[ROWS];
    float query_end[LANES] = {0}, row_end[LANES] = {0};
    int i, j, r;

    for (r = 0; r < row_count; r++)
        even[r] = odd[r] = vdupq_n_f32(0);
    for (i = 0; i + 2 * LANES <= dim; i += 2 * LANES) {
        float32x4_t q0 = vld1q_f32(query + i);
        float32x4_t q1 = vld1q_f32(query + i + LANES);

        for (r = 0; r < row_count; r++) {
            even[r] = add(even[r], q0, rows[r] + i);
            odd[r] = add(odd[r], q1, rows[r] + i + LANES);
        }
    }
    for (; i + LANES <= dim; i += LANES) {
        float32x4_t q0 = vld1q_f32(query + i);

        for (r = 0; r < row_count; r++)
            even[r] = add(even[r], q0, rows[r] + i);
    }
    for (j = 0; i + j < dim; j++)
        query_end[j] = dot_load(query + i + j);
    for (r = 0; r < row_count; r++) {
        for (j = 0; i + j < dim; j++)
            row_end[j] = dot_load(rows[r] + i + j);
        odd[r] = add(odd[r], vld1q_f32(query_end), row_end);
        out[r] = vaddvq_f32(vaddq_f32(even[r], odd[r]));
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

const struct dot_kernels dot_kernels_neon = {"neon", is_usable, inner, square};
