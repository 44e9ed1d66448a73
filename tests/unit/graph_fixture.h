/* SPDX-License-Identifier: Apache-2.0 */
/* Rows, their codes in int8 and a graph over them, and what a search of it
 * ought to find. One thread at a time, but for searches with walks of their
 * own. */
#ifndef OLHO_TEST_GRAPH_FIXTURE_H
#define OLHO_TEST_GRAPH_FIXTURE_H

#include <stdint.h>

#include "test.h"
#include "vectors/graph.h"

enum { GRAPH_K_MAX = 100 };

struct graph_sample {
    float *rows; /* owned */
    int64_t count;
    int dim;
    enum vecindex_metric metric;
    struct codes *codes;
    struct blocks removed;
    struct graph *graph;
};

/* Takes the rows over; codes of all of them, an empty graph with the presets.
 */
void graph_sample_init(struct graph_sample *sample, float *rows, int64_t count,
                       int dim, enum vecindex_metric metric);
void graph_sample_release(struct graph_sample *sample);

void graph_sample_insert(struct graph_sample *sample, int64_t end,
                         int thread_count);

/* Marks the slots whose `is_removed` is not 0, and repairs around them,
 * `step` at a time. */
void graph_sample_remove(struct graph_sample *sample, const uint8_t *is_removed,
                         int step);

/* The k nearest that pass, of the ef that a walk finds, ranked by their
 * float32 rows. Answers how many. */
int graph_sample_search(struct graph_sample *sample, struct graph_walk *walk,
                        const float *query, int ef,
                        const struct slot_filter *filter, int k, int64_t *out);

/* What part of the 10 nearest that are wanted (NULL: all), not removed and
 * below graph_count a search with ef 64 finds, on average over queries. */
double graph_sample_recall(struct graph_sample *sample, const float *queries,
                           int query_count, const uint64_t *wanted);

/* How many of the rows that are left a search for them does not find. */
int graph_sample_lost(struct graph_sample *sample);

/* Writes the graph alone into a checkpoint at path. */
void graph_sample_save(struct graph_sample *sample, const char *path);

#endif
