/* SPDX-License-Identifier: Apache-2.0 */
/* A graph out of a file of FAISS, and into one. Thread-safe: no state. */
#ifndef OLHO_VECTORS_GRAPH_FAISS_H
#define OLHO_VECTORS_GRAPH_FAISS_H

#include "base/err.h"
#include "vectors/faiss_file.h"
#include "vectors/graph.h"

/* The graph that was read, of `count` slots; places are slots. codes is
 * borrowed until graph_free; the caller owns *out. ERR_UNAVAILABLE. */
MUST_CHECK int graph_from_faiss(const struct codes *codes,
                                const struct faiss_graph *from, int64_t count,
                                struct graph **out, struct err *err);

/* Fills levels, offsets, neighbours and entry of `out`, whose starts say how
 * many links a level has (more levels are added where the graph has more).
 * Ended with faiss_graph_release. ERR_UNAVAILABLE. */
MUST_CHECK int graph_to_faiss(const struct graph *graph,
                              struct faiss_graph *out, struct err *err);

#endif
