/* SPDX-License-Identifier: Apache-2.0 */
/* Putting in (Malkov and Yashunin 2018, algorithm 1), by several threads. Slots
 * go in by their numbers, in rounds; after each the count moves on. A slot that
 * is higher than all before it becomes the entry, and goes in by itself before
 * the others of its round; so the entry never changes while threads walk from
 * it. A slot gets its own links on all its levels before any other leads to
 * it. */
#include <assert.h>
#include <math.h>

#include "base/mem.h"
#include "base/random.h"
#include "vectors/graph_parts.h"
#include "vectors/parallel.h"

enum {
    ROUND = 64,   /* slots of a round, for each thread */
    SHARE = 16,   /* for fewer slots another thread is not worth its while */
    MEND_PART = 4 /* a graph that grew by one part in so many is mended */
};

/* --- levels and room ------------------------------------------------------ */

/* By a hash of the slot, so that it is the same whoever draws it. */
static int draw_levels(const struct graph *graph, int64_t slot)
{
    int links = graph->options.links;
    uint64_t x =
        random_mix(graph->options.seed + ((uint64_t)slot + 1) * RANDOM_STEP);
    double chance, level;

    chance = ((double)(x >> 11) + 1) / 9007199254740993.0; /* never 0 */
    level = -log(chance) / log(links > 1 ? links : 2);
    return level < GRAPH_LEVELS_MAX - 1 ? 1 + (int)level : GRAPH_LEVELS_MAX;
}

int graph_reserve(struct graph *graph, int64_t end, struct err *err)
{
    int rc = blocks_reserve(&graph->nodes, end, err);

    return rc ? rc : blocks_reserve(&graph->ground, end, err);
}

int graph_set_node(struct graph *graph, int64_t slot, int levels,
                   struct err *err)
{
    struct graph_node *node = graph_node(graph, slot);
    int64_t upper_count = graph->upper_count + levels - 1;
    int rc = blocks_reserve(&graph->upper, upper_count, err);

    if (rc)
        return rc;
    node->levels = levels;
    node->upper = (int32_t)graph->upper_count;
    graph->upper_count = upper_count;
    if (slot >= atomic_load_explicit(&graph->extent, memory_order_relaxed))
        atomic_store_explicit(&graph->extent, slot + 1, memory_order_release);
    return 0;
}

/* --- one slot ------------------------------------------------------------- */

/* What the walk met that links may lead to; when that is nothing, all of it:
 * where all around is removed, links to that lead on. */
static void take_met(struct graph_builder *builder, int32_t slot)
{
    const struct graph_walk *walk = builder->walk;
    int i, count = 0;

    for (i = 0; i < walk->met_count && count < builder->choice_max; i++)
        if ((walk->passed_count == 0 || (walk->met[i] & GRAPH_PASSES) != 0) &&
            graph_key_slot(walk->met[i]) != slot)
            builder->choices[count++] = walk->met[i];
    builder->choice_count = count;
}

/* Where its links on the level lead. Answers where to go on below. */
static int32_t find_links(struct graph_builder *builder, int32_t slot,
                          int32_t from, int level)
{
    int max = builder->graph->options.links;
    int width = graph_width(builder->graph, level);

    max = max < width ? max : width;
    graph_widen(builder->walk, builder->self, from, level, builder->filter);
    take_met(builder, slot);
    builder->picked_counts[level] =
        graph_choose(builder, slot, max, max,
                     builder->picked +
                         (size_t)level * (size_t)builder->graph->options.links);
    return graph_key_slot(builder->walk->met[0]);
}

void graph_put_in(struct graph_builder *builder, int32_t slot)
{
    struct graph *graph = builder->graph;
    int32_t from = atomic_load_explicit(&graph->entry, memory_order_acquire);
    int top = graph_node(graph, slot)->levels - 1, level, i;

    for (level = 0; level <= top; level++)
        builder->picked_counts[level] = 0;
    if (from != SLOT_NONE) {
        int highest = graph_node(graph, from)->levels - 1;

        codes_query_move(graph->codes, builder->self, slot);
        from = graph_descend(graph, builder->self, from, top);
        for (level = top < highest ? top : highest; level >= 0; level--)
            from = find_links(builder, slot, from, level);
    }
    for (level = 0; level <= top; level++)
        graph_set_links(graph, slot, level,
                        builder->picked +
                            (size_t)level * (size_t)graph->options.links,
                        builder->picked_counts[level]);
    for (level = 0; level <= top; level++)
        for (i = 0; i < builder->picked_counts[level]; i++)
            graph_add_link(builder,
                           builder->picked[level * graph->options.links + i],
                           slot, level, false);
}

/* --- a round -------------------------------------------------------------- */

struct round {
    struct graph *graph;
    struct graph_builder *builders; /* by thread */
    const struct blocks *removed;
    int64_t begin;
    int entry_levels; /* those higher are in already */
};

static int set_nodes(struct graph *graph, int64_t begin, int64_t end,
                     const struct blocks *removed, struct err *err)
{
    int64_t slot;
    int rc = graph_reserve(graph, end, err);

    for (slot = begin; rc == 0 && slot < end; slot++)
        if (removed == NULL || !slot_is_removed(removed, slot))
            rc = graph_set_node(graph, slot, draw_levels(graph, slot), err);
        else
            graph_node(graph, slot)->levels = 0;
    return rc;
}

static int levels_of_entry(const struct graph *graph)
{
    int32_t entry = atomic_load_explicit(&graph->entry, memory_order_relaxed);

    return entry == SLOT_NONE ? 0 : graph_node(graph, entry)->levels;
}

/* Those that are higher than the entry, each of which takes its place. */
static void put_in_high(struct round *round, int64_t end)
{
    struct graph *graph = round->graph;
    int highest = round->entry_levels;
    int64_t slot;

    for (slot = round->begin; slot < end; slot++) {
        int levels = graph_node(graph, slot)->levels;

        if (levels <= round->entry_levels)
            continue;
        graph_put_in(&round->builders[0], (int32_t)slot);
        if (levels > highest) {
            highest = levels;
            atomic_store_explicit(&graph->entry, (int32_t)slot,
                                  memory_order_release);
        }
    }
}

static void put_in_some(void *user, int worker, int64_t begin, int64_t end)
{
    struct round *round = user;
    int64_t i;

    for (i = begin; i < end; i++) {
        int64_t slot = round->begin + i;
        int levels = graph_node(round->graph, slot)->levels;

        if (levels >= 1 && levels <= round->entry_levels)
            graph_put_in(&round->builders[worker], (int32_t)slot);
    }
}

static int ready_walks(struct round *round, int thread_count, struct err *err)
{
    int ef = round->graph->options.ef_construction, i, rc = 0;

    for (i = 0; rc == 0 && i < thread_count; i++)
        rc = graph_walk_begin(round->builders[i].walk, ef, err);
    return rc;
}

static int run_round(struct round *round, int64_t end, int thread_count,
                     struct err *err)
{
    struct graph *graph = round->graph;
    int rc = set_nodes(graph, round->begin, end, round->removed, err);

    if (rc == 0)
        rc = ready_walks(round, thread_count, err);
    if (rc)
        return rc;
    round->entry_levels = levels_of_entry(graph);
    put_in_high(round, end);
    parallel_run(thread_count, end - round->begin, 1, put_in_some, round);
    atomic_store_explicit(&graph->count, end, memory_order_release);
    return 0;
}

/* --- the whole ------------------------------------------------------------ */

static int run_rounds(struct round *round, int64_t end, int thread_count,
                      vec_progress_fn *progress, void *user, struct err *err)
{
    int64_t first = graph_count(round->graph);
    int rc = 0;

    while (rc == 0 && graph_count(round->graph) < end) {
        int64_t begin = graph_count(round->graph);
        int64_t len = (int64_t)ROUND * thread_count;

        if (progress != NULL && progress(user, begin - first, end - first) != 0)
            return err_set(err, ERR_UNAVAILABLE, "building was stopped");
        round->begin = begin;
        rc = run_round(round, end - begin < len ? end : begin + len,
                       thread_count, err);
    }
    if (rc == 0 && progress != NULL)
        (void)progress(user, end - first, end - first);
    return rc;
}

int graph_insert(struct graph *graph, int64_t end, const struct blocks *removed,
                 int thread_count, vec_progress_fn *progress, void *user,
                 struct err *err)
{
    const struct slot_filter filter = {.removed = removed};
    int64_t first = graph_count(graph);
    struct round round = {.graph = graph, .removed = removed};
    int i, rc = 0;

    assert(end <= codes_count(graph->codes));
    assert(thread_count >= 1 && thread_count <= VECINDEX_THREADS_MAX);
    if (end <= first)
        return 0;
    if (thread_count > (end - first + SHARE - 1) / SHARE)
        thread_count = (int)((end - first + SHARE - 1) / SHARE);
    round.builders = mem_try((size_t)thread_count, sizeof *round.builders);
    if (round.builders == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to build a graph");
    for (i = 0; rc == 0 && i < thread_count; i++)
        rc = graph_builder_init(&round.builders[i], graph,
                                removed == NULL ? NULL : &filter, err);
    if (rc == 0)
        rc = run_rounds(&round, end, thread_count, progress, user, err);
    if (rc == 0 && end - first >= end / MEND_PART)
        rc = graph_mend(&round.builders[0], err);
    for (i = 0; i < thread_count; i++)
        graph_builder_release(&round.builders[i]);
    mem_free(round.builders);
    return rc;
}
