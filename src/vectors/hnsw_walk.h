/* SPDX-License-Identifier: Apache-2.0 */
/* A walk over a graph of links towards a query (Malkov and Yashunin 2018,
 * algorithm 2), and the memory that walks leave to the next ones. */
#ifndef OLHO_VECTORS_HNSW_WALK_H
#define OLHO_VECTORS_HNSW_WALK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/dot.h"
#include "vectors/faiss_file.h"

/* An entry that was met, and whether its links were followed. */
struct hnsw_met {
    float distance;
    int32_t place;
    bool is_followed;
};

/* Of one thread at a time. */
struct hnsw_walk {
    struct hnsw_met *met;   /* owned: the nearest so far, nearest first */
    int met_count, ef;      /* ef: the most that are kept */
    int met_cap;            /* room in met */
    uint16_t *visits;       /* owned; by place: the walk that came there */
    uint16_t visit;         /* this walk's number; 0 is none */
    int64_t count;          /* of visits */
    struct hnsw_walk *next; /* in a pool */
};

/* What a walk goes over. */
struct hnsw_ground {
    const struct dot_kernels *kernels;
    enum faiss_metric metric;
    int dim;
    const float *rows;
    const struct faiss_graph *graph;
    pthread_mutex_t *locks; /* while links change: lock_count of them, of which
                             * one guards an entry's links; NULL: none change */
    int lock_count;         /* a power of 2 */
};

/* Room for a walk over count entries that keeps up to ef. ERR_UNAVAILABLE. */
MUST_CHECK int hnsw_walk_new(int64_t count, int ef, struct hnsw_walk **out,
                             struct err *err);
void hnsw_walk_free(struct hnsw_walk *walk); /* NULL is allowed */

/* Goes from `place` down to `level`, to the nearest entry on each level above
 * it (greedily), and answers where it came to. */
int32_t hnsw_descend(const struct hnsw_ground *ground, const float *query,
                     int32_t place, int level);

/* The ef nearest that links of `level` lead to from place, into walk->met. */
void hnsw_widen(const struct hnsw_ground *ground, struct hnsw_walk *walk,
                const float *query, int32_t place, int level, int ef);

/* The links of an entry on a level, copied to out (FAISS_LINKS_MAX). */
int hnsw_links(const struct hnsw_ground *ground, int32_t place, int level,
               int32_t *out);

float hnsw_distance(const struct hnsw_ground *ground, const float *query,
                    int32_t place);

#endif
