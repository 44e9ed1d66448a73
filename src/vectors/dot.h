/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of an exact search: one query against many rows.
 *
 * Every set of kernels does the same sums in another order, so results agree
 * to rounding: within 1e-5 of the sum of the absolute terms.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_DOT_H
#define OLHO_VECTORS_DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* out[i] for each of `count` rows of `dim` floats (dim >= 1). Neither the
 * query nor the rows need be aligned, not even as floats: in a mapped file they
 * lie where they lie. */
typedef void dot_rows_fn(const float *query, const float *const *rows,
                         int count, int dim, float *out);

struct dot_kernels {
    const char *name;        /* "avx512", "avx2", "neon" or "c" */
    bool (*is_usable)(void); /* whether this processor can run them */
    dot_rows_fn *inner;      /* sum of query[j] * row[j] */
    dot_rows_fn *square;     /* sum of (query[j] - row[j]) squared */
};

/* The float at an address that need not be aligned. */
static inline float dot_load(const float *at)
{
    float value;

    memcpy(&value, (const void *)at, sizeof value);
    return value;
}

/* The fastest that this processor can run; never NULL. */
const struct dot_kernels *dot_best(void);

/* Number i, fastest first, of those that were compiled in, usable or not;
 * NULL past the last. */
const struct dot_kernels *dot_get(size_t i);

/* One definition per file; the Makefile leaves out the files that are for
 * another architecture, and a weak name that nobody defines is NULL. */
extern const struct dot_kernels dot_kernels_c;
extern const struct dot_kernels dot_kernels_avx2 __attribute__((weak));
extern const struct dot_kernels dot_kernels_avx512 __attribute__((weak));
extern const struct dot_kernels dot_kernels_neon __attribute__((weak));

#endif
