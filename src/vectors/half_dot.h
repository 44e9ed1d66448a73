/* SPDX-License-Identifier: Apache-2.0 */
/* Inner products of float32 queries with rows of 16-bit floats: float16 (IEEE
 * 754, 5 bits of exponent) and bfloat16 (the upper half of a float32).
 *
 * A row's values are taken as they are, without any rounding of the query, so
 * that the sums are those of dot.h to its rounding. Thread-safe: no state. */
#ifndef OLHO_VECTORS_HALF_DOT_H
#define OLHO_VECTORS_HALF_DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HALF_STEP = 32 }; /* rows are as long as a multiple of this */

/* out[i] = sum of query[j] * rows[i][j] for `count` rows of `len` values, a
 * multiple of HALF_STEP. Neither need be aligned to more than their type. */
typedef void half_dot_fn(const float *query, const uint16_t *const *rows,
                         int count, int len, float *out);

struct half_kernels {
    const char *name;        /* "avx512", "avx2", "neon" or "c" */
    bool (*is_usable)(void); /* whether this processor can run them */
    half_dot_fn *float16;
    half_dot_fn *bfloat16;
};

/* To the nearest, ties to even; what is too large becomes infinite. */
uint16_t half_from_float(float value);
uint16_t bfloat_from_float(float value);
float half_to_float(uint16_t bits);
float bfloat_to_float(uint16_t bits);

/* The fastest that this processor can run and that agrees with plain C on it;
 * never NULL. */
const struct half_kernels *half_best(void);

/* Number i, fastest first, of those that were compiled in, usable or not;
 * NULL past the last. */
const struct half_kernels *half_get(size_t i);

/* As in dot.h. */
extern const struct half_kernels half_kernels_c;
extern const struct half_kernels half_kernels_avx2 __attribute__((weak));
extern const struct half_kernels half_kernels_avx512 __attribute__((weak));
extern const struct half_kernels half_kernels_neon __attribute__((weak));

#endif
