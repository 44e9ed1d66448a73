/* SPDX-License-Identifier: Apache-2.0 */
/* A graph over the rows of a store that grows and shrinks while it is searched:
 * HNSW (Malkov and Yashunin 2018), built on several threads, with repair around
 * what is removed.
 *
 * One thread at a time inserts, removes or saves (and may use others to do
 * it); any number search beside it and never wait. */
#ifndef OLHO_VECTORS_GRAPH_H
#define OLHO_VECTORS_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/checkpoint.h"
#include "vectors/codes.h"
#include "vectors/slots.h"

struct graph;
struct graph_walk; /* memory of a search, of one thread at a time */

struct graph_options {
    int links; /* M on upper levels, twice as many on the ground */
    int ef_construction;
    uint64_t seed;
};

/* An empty graph. codes is borrowed until graph_free. */
MUST_CHECK int graph_new(const struct codes *codes,
                         const struct graph_options *options,
                         struct graph **out, struct err *err);
void graph_free(struct graph *graph); /* NULL is allowed */

/* The slots below this are in the graph (or were removed). */
int64_t graph_count(const struct graph *graph);
int64_t graph_memory(const struct graph *graph); /* bytes, mapped left out */
void graph_options(const struct graph *graph, struct graph_options *out);

/* Puts the slots graph_count..end-1 in, but those that are removed by then
 * (NULL: none is), on up to thread_count threads. The count moves on all the
 * time. progress (NULL: none) may stop it: ERR_UNAVAILABLE, and so without
 * memory; what went in by then stays in and is counted. */
MUST_CHECK int graph_insert(struct graph *graph, int64_t end,
                            const struct blocks *removed, int thread_count,
                            vec_progress_fn *progress, void *user,
                            struct err *err);

/* Links the neighbours of removed slots past them, so that searches meet them
 * no more. */
MUST_CHECK int graph_remove(struct graph *graph, const int32_t *slots,
                            int count, const struct blocks *removed,
                            struct err *err);

/* Walks may be kept and used again, beside each other. */
MUST_CHECK int graph_walk_new(struct graph *graph, struct graph_walk **out,
                              struct err *err);
void graph_walk_free(struct graph_walk *walk); /* NULL is allowed */

/* The ef (1..VECINDEX_EF_MAX) nearest that pass the filter (NULL: all do), by
 * approximate distance, nearest first; *slots and *distances are borrowed from
 * the walk until its next use. Fewer when links lead to no more, or when so few
 * pass (less than about one in 16) that the walk gives up: looking at all that
 * pass is quicker then. Slots that are being put in, so not yet below
 * graph_count, may be among them. */
MUST_CHECK int graph_search(struct graph *graph, struct graph_walk *walk,
                            const struct codes_query *query, int ef,
                            const struct slot_filter *filter,
                            const int32_t **slots, const float **distances,
                            int *count, struct err *err);

/* Every link leads to a slot of its level, none is doubled: ERR_CORRUPT. */
MUST_CHECK int graph_check(struct graph *graph, struct err *err);

void graph_save(struct graph *graph, struct checkpoint_writer *writer);
MUST_CHECK int graph_load(const struct codes *codes,
                          struct checkpoint *checkpoint, struct graph **out,
                          struct err *err);

/* The graph of the slots that are left when others are dropped: to[slot] is a
 * slot's new number (in the order of the old) or SLOT_NONE (all that were not
 * put in because they were removed); codes are those after it, of new_count
 * slots. Links to dropped slots are repaired first, in the old graph too. The
 * caller owns *out. */
MUST_CHECK int graph_renumber(struct graph *graph, const struct codes *codes,
                              const int32_t *to, int64_t new_count,
                              struct graph **out, struct err *err);

#endif
