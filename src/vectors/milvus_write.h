/* SPDX-License-Identifier: Apache-2.0 */
/* Writing rows of a collection and removing them. Of the backend's files
 * alone; thread-safe. */
#ifndef OLHO_VECTORS_MILVUS_WRITE_H
#define OLHO_VECTORS_MILVUS_WRITE_H

#include "vectors/milvus_shape.h"

/* What the columns of the collection cannot hold: ERR_UNSUPPORTED for a key,
 * a path or a tag that has no column, a tag that stands there twice and a
 * column that there is nothing for; ERR_INVALID for a text that is too long or
 * no UTF-8. The message says which entry. */
MUST_CHECK int milvus_check_entry(const struct milvus_shape *shape,
                                  const struct vec_entry *entry, int number,
                                  struct err *err);

/* How many of the entries go into one call. */
int milvus_part_max(const struct milvus_shape *shape);

/* Sends `count` entries as one part. With is_upsert rows of the same id are
 * replaced. ids are those of the rows, or with has_auto_id are given back there
 * by the server. *out_fate: GRPC_PERHAPS when the rows may be there all the
 * same. */
MUST_CHECK int milvus_write(struct milvus_link *link,
                            const struct milvus_shape *shape,
                            const struct vec_entry *entries, int count,
                            bool is_upsert, int64_t *ids,
                            enum grpc_fate *out_fate, struct err *err);

/* Removes rows by id; unknown ids are passed over. Doing it twice is doing it
 * once. */
MUST_CHECK int milvus_delete(struct milvus_link *link,
                             const struct milvus_shape *shape,
                             const int64_t *ids, int count, struct err *err);

#endif
