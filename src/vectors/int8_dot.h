/* SPDX-License-Identifier: Apache-2.0 */
/* Inner products of queries of int16 with rows of int8, exact: they fit into 32
 * bits.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_INT8_DOT_H
#define OLHO_VECTORS_INT8_DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    INT8_STEP = 64, /* rows are as long as a multiple of this */
    INT8_LEN_MAX = 1 << 16,
    INT8_SUM_MAX = INT32_MAX / 127 /* 127 of each value */
};

/* out[i] = sum of query[j] * rows[i][j] for `count` rows, which lie anywhere.
 * len is a multiple of INT8_STEP; values of rows are -127..127, and the sum of
 * the query's absolute values is at most INT8_SUM_MAX. Neither need be aligned
 * to more than their type. */
typedef void int8_dot_fn(const int16_t *query, const int8_t *const *rows,
                         int count, int len, int32_t *out);

struct int8_kernels {
    const char *name;        /* "avx512", "avx2", "neon" or "c" */
    bool (*is_usable)(void); /* whether this processor can run them */
    int8_dot_fn *dot;
};

/* The fastest that this processor can run and that agrees with plain C on it;
 * never NULL. */
const struct int8_kernels *int8_best(void);

/* Number i, fastest first, of those that were compiled in, usable or not;
 * NULL past the last. */
const struct int8_kernels *int8_get(size_t i);

/* As in dot.h. */
extern const struct int8_kernels int8_kernels_c;
extern const struct int8_kernels int8_kernels_avx2 __attribute__((weak));
extern const struct int8_kernels int8_kernels_avx512 __attribute__((weak));
extern const struct int8_kernels int8_kernels_neon __attribute__((weak));

#endif
