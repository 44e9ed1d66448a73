/* SPDX-License-Identifier: Apache-2.0 */
/* An index in memory of type HNSW: a graph (graph.h) over codes of its rows,
 * and the memory of searches, which is kept for the next. Of vecindex*.c alone.
 * Thread-safe once it is made. */
#ifndef OLHO_VECTORS_HNSW_H
#define OLHO_VECTORS_HNSW_H

#include <stdint.h>

#include "base/err.h"
#include "vectors/codes.h"
#include "vectors/faiss_file.h"
#include "vectors/nearest.h"
#include "vectors/vecindex.h"

struct hnsw;

/* What a file says of a graph that is to be built: its levels' links and
 * breadths. options are complete. */
void hnsw_describe(const struct vecindex_options *options,
                   struct faiss_graph *out);

/* Over all of the codes (borrowed until hnsw_free): the graph that was read, or
 * when `file` has no levels one that is built, on options->thread_count
 * threads. The caller owns *out. ERR_UNAVAILABLE. */
MUST_CHECK int hnsw_new(const struct codes *codes,
                        const struct faiss_graph *file,
                        const struct vecindex_options *options,
                        struct hnsw **out, struct err *err);
void hnsw_free(struct hnsw *hnsw); /* NULL is allowed */

int64_t hnsw_memory(const struct hnsw *hnsw); /* bytes */

/* Offers the ef nearest that the graph leads to, by their float32 rows;
 * *out_count of them. ERR_UNAVAILABLE. */
MUST_CHECK int hnsw_search(struct hnsw *hnsw, const float *query, int ef,
                           struct nearest *nearest, int64_t *out_count,
                           struct err *err);

/* Writes a file of FAISS; `index` is all of it but its graph's links. */
MUST_CHECK int hnsw_write(const struct hnsw *hnsw, const char *path,
                          const struct faiss_index *index, struct err *err);

#endif
