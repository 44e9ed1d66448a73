/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a collection: searches and queries. Each sees what was written
 * before link->seen_time, and has a collection that is not in the server's
 * memory loaded first. Of the backend's files alone; thread-safe. */
#ifndef OLHO_VECTORS_MILVUS_FIND_H
#define OLHO_VECTORS_MILVUS_FIND_H

#include "base/mem.h"
#include "vectors/milvus_shape.h"

enum {
    MILVUS_QUERY_MAX = 10000, /* rows of one query; servers give 16384 */
    MILVUS_EF_MAX = 32768,
};

/* The k nearest among those that `expr` lets through ("": all), nearest first
 * and ties by id. breadth is efSearch or nprobe, as the index takes it. */
MUST_CHECK int milvus_search(struct milvus_link *link,
                             const struct milvus_shape *shape, const char *expr,
                             const struct vec_query *query, int breadth,
                             struct arena *arena, struct vec_hits *out,
                             struct err *err);

/* The first `max` (up to MILVUS_QUERY_MAX) by id, with texts in the arena and
 * vectors in out_vectors (max * dim; NULL: not wanted). */
MUST_CHECK int milvus_query_rows(struct milvus_link *link,
                                 const struct milvus_shape *shape,
                                 const char *expr, int max, struct arena *arena,
                                 struct vec_hits *out, float *out_vectors,
                                 struct err *err);

/* Their ids alone, into out_ids (max), in order. */
MUST_CHECK int milvus_query_ids(struct milvus_link *link,
                                const struct milvus_shape *shape,
                                const char *expr, int max, int64_t *out_ids,
                                int *out_count, struct err *err);

MUST_CHECK int milvus_count(struct milvus_link *link, const char *expr,
                            int64_t *out, struct err *err);

#endif
