/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a graph know of each other: of graph*.c alone.
 *
 * A slot's links on a level are a list of int32 that ends at its width or at
 * the first SLOT_NONE. Readers take no lock: each link is loaded acquiring and
 * stored releasing, so whoever comes to a slot by a link sees its node, its own
 * links and its codes. A list that is rewritten may be read half old and half
 * new; every link in it leads somewhere right, so that costs nothing but,
 * perhaps, a detour. */
#ifndef OLHO_VECTORS_GRAPH_PARTS_H
#define OLHO_VECTORS_GRAPH_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "vectors/blocks.h"
#include "vectors/codes.h"
#include "vectors/graph.h"
#include "vectors/slots.h"

enum {
    GRAPH_LEVELS_MAX = 64,
    GRAPH_WIDTH_MAX = 4096, /* links of a slot on one level */
    GRAPH_LOCKS = 1024,     /* a power of 2 */
    GRAPH_CHOICES_MIN = 192 /* candidates that a repair looks at */
};

/* Of a slot; complete before a link leads to it. */
struct graph_node {
    int32_t levels; /* 1: the ground alone; 0: it is not in the graph */
    int32_t upper;  /* the row of its links on level 1; those of the levels
                     * above follow */
};

struct graph {
    const struct codes *codes; /* borrowed */
    struct graph_options options;
    int ground_width, upper_width;
    struct blocks nodes;    /* struct graph_node, by slot */
    struct blocks ground;   /* ground_width links, by slot */
    struct blocks upper;    /* upper_width links */
    int64_t upper_count;    /* rows of upper in use; of the mutator */
    _Atomic int64_t count;  /* slots below are in */
    _Atomic int64_t extent; /* no link leads to this slot or above */
    _Atomic int32_t entry;  /* where walks begin; SLOT_NONE: nothing is in */
    pthread_mutex_t *locks; /* owned; by slot: for changing its links */
};

/* Something met on a walk, as a number that is smaller when nearer: the
 * distance, the slot, and two marks. */
enum { GRAPH_FOLLOWED = 1, GRAPH_PASSES = 2, GRAPH_SLOT_SHIFT = 2 };

/* Of one thread at a time. */
struct graph_walk {
    const struct graph *graph; /* borrowed */
    uint64_t *met;             /* owned; nearest first */
    int met_count, met_max;    /* met_max: the most that are kept */
    int ef, passed_count;      /* of those that pass, ef are kept */
    int met_cap;
    uint16_t *visits; /* owned; by slot: the walk that came there */
    uint16_t visit;   /* this walk's number; 0 is none */
    int64_t visit_cap;
    int32_t *slots;   /* owned; what was found */
    float *distances; /* owned */
    int found_cap;
};

/* What one thread that changes links works with. */
struct graph_builder {
    struct graph *graph;              /* borrowed */
    const struct slot_filter *filter; /* borrowed; what links may lead to.
                                       * NULL: all */
    struct graph_walk *walk;          /* owned */
    struct codes_query *self;         /* owned; whose links are chosen */
    struct codes_query *other;        /* owned; a candidate */
    uint64_t *choices;                /* owned; candidates */
    int choice_count, choice_max;
    int32_t *picked; /* owned; links of a slot, by level */
    int *picked_counts;
};

/* As graph_new, with lists of other widths. */
MUST_CHECK int graph_make(const struct codes *codes,
                          const struct graph_options *options, int ground_width,
                          int upper_width, struct graph **out, struct err *err);

/* --- keys ----------------------------------------------------------------- */

/* Floats in the order of their bits: those of negative ones are turned. */
static inline uint64_t graph_key(float distance, int32_t slot)
{
    uint32_t bits;

    memcpy(&bits, &distance, sizeof bits);
    bits ^= bits >> 31 != 0 ? UINT32_MAX : UINT32_C(1) << 31;
    return (uint64_t)bits << 32 | (uint64_t)slot << GRAPH_SLOT_SHIFT;
}

static inline float graph_key_distance(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    float distance;

    bits ^= bits >> 31 != 0 ? UINT32_C(1) << 31 : UINT32_MAX;
    memcpy(&distance, &bits, sizeof distance);
    return distance;
}

static inline int32_t graph_key_slot(uint64_t key)
{
    return (int32_t)((uint32_t)key >> GRAPH_SLOT_SHIFT);
}

/* --- links ---------------------------------------------------------------- */

static inline struct graph_node *graph_node(const struct graph *graph,
                                            int64_t slot)
{
    return blocks_at(&graph->nodes, slot);
}

static inline int graph_width(const struct graph *graph, int level)
{
    return level == 0 ? graph->ground_width : graph->upper_width;
}

/* The list of a slot that has the level. */
static inline _Atomic int32_t *graph_links(const struct graph *graph,
                                           int64_t slot, int level)
{
    if (level == 0)
        return blocks_at(&graph->ground, slot);
    return blocks_at(&graph->upper,
                     (int64_t)graph_node(graph, slot)->upper + level - 1);
}

static inline int32_t graph_link(const _Atomic int32_t *links, int i)
{
    return atomic_load_explicit(&links[i], memory_order_acquire);
}

/* A copy of the list, GRAPH_WIDTH_MAX at most. */
int graph_copy_links(const struct graph *graph, int64_t slot, int level,
                     int32_t *out);

static inline pthread_mutex_t *graph_lock(const struct graph *graph,
                                          int64_t slot)
{
    return &graph->locks[slot & (GRAPH_LOCKS - 1)];
}

/* --- walking (graph_walk.c) ----------------------------------------------- */

/* Goes from `slot` down to `level`, to the nearest on each level above it. */
int32_t graph_descend(const struct graph *graph,
                      const struct codes_query *query, int32_t slot, int level);

/* Gets the walk ready to keep ef. ERR_UNAVAILABLE. */
MUST_CHECK int graph_walk_begin(struct graph_walk *walk, int ef,
                                struct err *err);

/* The ef nearest that pass and that links of `level` lead to from `slot`, and
 * what was met on the way and does not pass, into walk->met. The walk was got
 * ready. filter NULL: all pass. */
void graph_widen(struct graph_walk *walk, const struct codes_query *query,
                 int32_t slot, int level, const struct slot_filter *filter);

/* The number of the next walk in visits. */
void graph_walk_stamp(struct graph_walk *walk);

/* Whether this walk comes there for the first time. */
static inline bool graph_walk_visit(struct graph_walk *walk, int32_t slot)
{
    if (slot >= walk->visit_cap || walk->visits[slot] == walk->visit)
        return false;
    walk->visits[slot] = walk->visit;
    return true;
}

/* --- choosing links (graph_links.c) --------------------------------------- */

MUST_CHECK int graph_builder_init(struct graph_builder *builder,
                                  struct graph *graph,
                                  const struct slot_filter *filter,
                                  struct err *err);
void graph_builder_release(struct graph_builder *builder); /* also zeroed */

/* Of builder->choices (distances from `slot`, at which builder->self points)
 * up to `max`; when they are fewer than `fill`, more are added that the
 * heuristic leaves out. */
int graph_choose(struct graph_builder *builder, int32_t slot, int max, int fill,
                 int32_t *out);

/* Fills builder->choices with slots and their distances from builder->self,
 * nearest first; more than there is room for are left out. */
void graph_set_choices(struct graph_builder *builder, const int32_t *slots,
                       int count);

void graph_set_links(struct graph *graph, int32_t slot, int level,
                     const int32_t *links, int count);

/* A link from `from` to `to`, at which builder->self may point no longer
 * afterwards; when `from` has none to spare it chooses anew. With is_certain
 * `to` is among what it chooses. */
void graph_add_link(struct graph_builder *builder, int32_t from, int32_t to,
                    int level, bool is_certain);

bool graph_has_link(const struct graph *graph, int32_t from, int32_t to,
                    int level);

/* --- putting in (graph_insert.c) ------------------------------------------ */

/* The new links of a slot whose node is set, and links back to it. */
void graph_put_in(struct graph_builder *builder, int32_t slot);

/* Makes room for the slots below `end`. ERR_UNAVAILABLE. */
MUST_CHECK int graph_reserve(struct graph *graph, int64_t end, struct err *err);

/* Gives a slot that there is room for so many levels. ERR_UNAVAILABLE. */
MUST_CHECK int graph_set_node(struct graph *graph, int64_t slot, int levels,
                              struct err *err);

/* --- repair (graph_repair.c) ---------------------------------------------- */

/* Leads a link to every slot below the extent that passes the builder's filter
 * and that no way over the ground leads to. ERR_UNAVAILABLE. */
MUST_CHECK int graph_mend(struct graph_builder *builder, struct err *err);

#endif
