/* SPDX-License-Identifier: Apache-2.0 */
/* Inner products of every one of some rows with every one of others, all of
 * int16: the work of k-means. Twice as fast as in float32, and exact, since the
 * sums fit into 32 bits.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_INT16_DOT_H
#define OLHO_VECTORS_INT16_DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INT16_STEP = 32 }; /* rows are as long as a multiple of this */

/* out[i * b_count + j] = sum of a[i * len + m] * b[j * len + m], for rows one
 * behind the other. Values are -limit..limit with limit * limit * len below
 * 2^31. Neither need be aligned. */
typedef void int16_dot_fn(const int16_t *a, int a_count, const int16_t *b,
                          int b_count, int len, int32_t *out);

struct int16_kernels {
    const char *name;        /* "avx512", "avx2", "neon" or "c" */
    bool (*is_usable)(void); /* whether this processor can run them */
    int16_dot_fn *dot;
};

/* The fastest that this processor can run and that agrees with plain C on it;
 * never NULL. */
const struct int16_kernels *int16_best(void);

/* Number i, fastest first, of those that were compiled in, usable or not;
 * NULL past the last. */
const struct int16_kernels *int16_get(size_t i);

/* The greatest value that rows of `len` may have. */
int int16_limit(int len);

/* As in dot.h. */
extern const struct int16_kernels int16_kernels_c;
extern const struct int16_kernels int16_kernels_avx2 __attribute__((weak));
extern const struct int16_kernels int16_kernels_avx512 __attribute__((weak));
extern const struct int16_kernels int16_kernels_neon __attribute__((weak));

#endif
