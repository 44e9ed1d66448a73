/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a collection at the server: in its memory, flushed, indexed,
 * compacted; and the server's own. Of the backend's files alone; thread-safe.
 */
#ifndef OLHO_VECTORS_MILVUS_STATE_H
#define OLHO_VECTORS_MILVUS_STATE_H

#include "vectors/milvus_shape.h"

/* Who is told of the progress of a wait, and may stop it. fn NULL: nobody. */
struct milvus_watcher {
    vec_progress_fn *fn;
    void *user;
};

/* Waits until the collection is in the server's memory. ERR_UNSUPPORTED when
 * it has no index, which Milvus wants before. */
MUST_CHECK int milvus_load(struct milvus_link *link, struct err *err);

/* Waits until what was written is in segments on the server's disk. */
MUST_CHECK int milvus_flush(struct milvus_link *link,
                            const struct milvus_watcher *watcher,
                            struct err *err);

/* Waits until the index has all rows that are flushed. */
MUST_CHECK int milvus_await_index(struct milvus_link *link,
                                  const struct milvus_shape *shape,
                                  const struct milvus_watcher *watcher,
                                  struct err *err);

/* Rows that are flushed but not yet in the index. */
MUST_CHECK int milvus_pending(struct milvus_link *link,
                              const struct milvus_shape *shape, int64_t *out,
                              struct err *err);

/* Has the server rewrite segments without what was removed, and waits. */
MUST_CHECK int milvus_compact(struct milvus_link *link, int64_t collection_id,
                              const struct milvus_watcher *watcher,
                              struct err *err);

/* A server that has no such call, as milvus-lite of 2.4 and 2.5, is taken for
 * healthy; its version is "unknown". */
MUST_CHECK int milvus_is_healthy(struct milvus_link *link, struct err *err);
MUST_CHECK int milvus_version(struct milvus_link *link, char out[64],
                              struct err *err);

#endif
