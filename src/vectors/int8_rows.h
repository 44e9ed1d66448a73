/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of rows in int8, a quarter of their memory, that tells which of them
 * can be among the k nearest: all others are ruled out by the error that
 * rounding to int8 can have made, so what is found after looking at the rest
 * is what looking at every row finds.
 *
 * Thread-safe after int8_rows_new. */
#ifndef OLHO_VECTORS_INT8_ROWS_H
#define OLHO_VECTORS_INT8_ROWS_H

#include <stdint.h>

#include "base/err.h"
#include "vectors/faiss_file.h"

struct int8_rows;

/* Copies `count` (1 or more) rows of dim floats, which need not be aligned.
 * ERR_UNAVAILABLE. The caller owns *out. */
MUST_CHECK int int8_rows_new(const float *rows, int64_t count, int dim,
                             enum faiss_metric metric, struct int8_rows **out,
                             struct err *err);
void int8_rows_free(struct int8_rows *rows); /* NULL is allowed */

/* The places, in order, of all rows that can be among the k (1..count)
 * nearest, at least k of them, in *out (the caller ends it with mem_free).
 * ERR_UNAVAILABLE. */
MUST_CHECK int int8_rows_candidates(const struct int8_rows *rows,
                                    const float *query, int k, int64_t **out,
                                    int64_t *out_count, struct err *err);

int64_t int8_rows_memory(const struct int8_rows *rows); /* bytes */

#endif
