/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of entries on its way into a collection. Of the backend's files
 * alone; a batch belongs to one thread.
 *
 * Rows of collections that olho makes have ids of olho's own: the entry's, or
 * one that follows from its key, or a random one. So a write of which nobody
 * knows what came of it is repeated as an Upsert of the same ids, which leaves
 * one row of each. What a failed batch has left is removed again where all its
 * ids are random, and so nobody else's; otherwise, and where the server gives
 * the ids, the error says what is stored. */
#ifndef OLHO_VECTORS_MILVUS_BATCH_H
#define OLHO_VECTORS_MILVUS_BATCH_H

#include "vectors/milvus_shape.h"

struct milvus_batch {
    struct milvus_link *link; /* borrowed, as the next two */
    const struct milvus_shape *shape;
    const struct vec_entry *entries;
    int count;
    bool is_upsert;
    bool needs_turn; /* some entry has an id or a key, which must be free */
    int64_t *ids;    /* owned; of the rows */
};

/* Checks the entries against the columns and chooses ids; asks nobody. On
 * failure nothing is to be released. */
MUST_CHECK int milvus_batch_init(struct milvus_batch *batch,
                                 struct milvus_link *link,
                                 const struct milvus_shape *shape,
                                 const struct vec_entry *entries, int count,
                                 bool is_upsert, struct err *err);
void milvus_batch_release(struct milvus_batch *batch);

/* Looks who is there and writes; batch->ids are then those of the rows.
 * ERR_CONFLICT names an id or key that is there and was not to be. */
MUST_CHECK int milvus_batch_run(struct milvus_batch *batch, struct err *err);

#endif
