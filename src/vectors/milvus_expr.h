/* SPDX-License-Identifier: Apache-2.0 */
/* Boolean expressions as Milvus reads them. Names are those of columns that
 * are there, values are quoted and escaped: no value can end its quotes.
 * Thread-safe. */
#ifndef OLHO_VECTORS_MILVUS_EXPR_H
#define OLHO_VECTORS_MILVUS_EXPR_H

#include "base/buf.h"
#include "vectors/milvus_shape.h"

enum { MILVUS_EXPR_MAX = 16 << 20 }; /* bytes of an expression */

/* "value" in quotes. */
void milvus_expr_text(const char *value, struct buf *out);

/* Appends terms joined by `and`, after one if something is there already;
 * nothing for a filter without terms. ERR_UNSUPPORTED names a tag that the
 * collection has no column for. */
MUST_CHECK int milvus_expr_filter(const struct milvus_shape *shape,
                                  const struct vec_filter *filter,
                                  struct buf *out, struct err *err);

/* Replaces what is there: id in [1,2], olho_key in ["a","b"]. */
void milvus_expr_ids(const struct milvus_shape *shape, const int64_t *ids,
                     int count, struct buf *out);
void milvus_expr_keys(const struct milvus_shape *shape, const char *const *keys,
                      int count, struct buf *out);

#endif
