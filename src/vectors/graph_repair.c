/* SPDX-License-Identifier: Apache-2.0 */
/* Taking slots out. A slot that leads to a removed one chooses anew among the
 * links that it has left and those of the removed ones, which keep theirs: so
 * walks that stand on them go on, and repair finds its way through a whole
 * region that was removed. What it chooses leads back to it, as when it was put
 * in.
 *
 * No list says who leads to a slot. Those who do are mostly among its own links
 * and theirs; when many are removed at once, every list is looked at instead,
 * which then costs less, and the ways from the entry to every slot are counted
 * over afterwards. */
#include <stdlib.h>

#include "base/mem.h"
#include "vectors/graph_parts.h"

enum {
    SCAN_PART = 512, /* one removed in so many: every list is looked at */
    DEAD_MAX = 64,   /* removed slots that one repair goes through */
    FRESH_MIN = 8, /* of what is met through them: the nearest are candidates */
    ADOPT_COUNT = 2, /* links to a slot that had none */
    MEND_ROUNDS = 4,
};

struct repair {
    struct graph *graph;
    const struct blocks *removed;
    struct graph_builder builder; /* its filter lets pass what is left */
    uint64_t *marked;             /* owned; bit by slot: to be looked at */
    int64_t count;
};

static bool is_set(const uint64_t *bits, int64_t i)
{
    return (bits[i >> 6] >> (i & 63) & 1) != 0;
}

static void set_bit(uint64_t *bits, int64_t i)
{
    bits[i >> 6] |= UINT64_C(1) << (i & 63);
}

static bool is_left(const struct repair *repair, int32_t slot)
{
    return !slot_is_removed(repair->removed, slot);
}

/* --- whose links are to be looked at -------------------------------------- */

static bool leads_to_removed(const struct repair *repair, int32_t slot,
                             int level)
{
    const _Atomic int32_t *list = graph_links(repair->graph, slot, level);
    int width = graph_width(repair->graph, level), i;

    for (i = 0; i < width; i++) {
        int32_t link = graph_link(list, i);

        if (link < 0)
            return false;
        if (!is_left(repair, link))
            return true;
    }
    return false;
}

static void mark_links(struct repair *repair, int32_t slot, int level)
{
    int32_t links[GRAPH_WIDTH_MAX];
    int count = graph_copy_links(repair->graph, slot, level, links), i;

    for (i = 0; i < count; i++)
        if (is_left(repair, links[i]))
            set_bit(repair->marked, links[i]);
}

/* The links of a removed slot, and of theirs those that lead to a removed
 * one. */
static void mark_around(struct repair *repair, int32_t slot, int level)
{
    int32_t links[GRAPH_WIDTH_MAX], theirs[GRAPH_WIDTH_MAX];
    int count = graph_copy_links(repair->graph, slot, level, links), i, j;

    mark_links(repair, slot, level);
    for (i = 0; i < count; i++) {
        int their_count =
            graph_copy_links(repair->graph, links[i], level, theirs);

        for (j = 0; j < their_count; j++)
            if (is_left(repair, theirs[j]) &&
                !is_set(repair->marked, theirs[j]) &&
                leads_to_removed(repair, theirs[j], level))
                set_bit(repair->marked, theirs[j]);
    }
}

static void mark_leading(struct repair *repair)
{
    int64_t slot;
    int level;

    for (slot = 0; slot < repair->count; slot++) {
        int levels = graph_node(repair->graph, slot)->levels;

        if (!is_left(repair, (int32_t)slot))
            continue;
        for (level = 0; level < levels; level++)
            if (leads_to_removed(repair, (int32_t)slot, level))
                set_bit(repair->marked, slot);
    }
}

static void mark(struct repair *repair, const int32_t *slots, int count,
                 bool is_scan)
{
    int i, level;

    for (i = 0; i < count; i++) {
        int levels = slots[i] < repair->count
                         ? graph_node(repair->graph, slots[i])->levels
                         : 0;

        for (level = 0; level < levels; level++)
            if (is_scan)
                mark_links(repair, slots[i], level);
            else
                mark_around(repair, slots[i], level);
    }
    if (is_scan)
        mark_leading(repair);
}

/* --- one slot ------------------------------------------------------------- */

/* What is left of a slot's links, and what is met through removed ones. */
struct gathered {
    int32_t slots[GRAPH_WIDTH_MAX + GRAPH_CHOICES_MIN];
    int count, kept_count, old_count; /* the first kept_count were its links */
    int32_t dead[DEAD_MAX];
    int dead_count;
};

static void gather_one(const struct repair *repair, struct gathered *gathered,
                       int32_t slot, int max)
{
    if (is_left(repair, slot)) {
        if (gathered->count < max)
            gathered->slots[gathered->count++] = slot;
    } else if (gathered->dead_count < DEAD_MAX) {
        gathered->dead[gathered->dead_count++] = slot;
    }
}

static void gather(struct repair *repair, int32_t slot, int level,
                   struct gathered *out)
{
    struct graph_walk *walk = repair->builder.walk;
    int32_t links[GRAPH_WIDTH_MAX];
    int count = graph_copy_links(repair->graph, slot, level, links), i, j;

    out->count = out->dead_count = 0;
    out->old_count = count;
    graph_walk_stamp(walk);
    (void)graph_walk_visit(walk, slot);
    for (i = 0; i < count; i++)
        if (graph_walk_visit(walk, links[i]))
            gather_one(repair, out, links[i], GRAPH_WIDTH_MAX);
    out->kept_count = out->count;
    for (i = 0; i < out->dead_count; i++) {
        count = graph_copy_links(repair->graph, out->dead[i], level, links);
        for (j = 0; j < count; j++)
            if (graph_walk_visit(walk, links[j]))
                gather_one(repair, out, links[j],
                           out->kept_count + GRAPH_CHOICES_MIN / 2);
    }
}

static bool is_gathered(const struct gathered *gathered, int count,
                        int32_t slot)
{
    int i;

    for (i = 0; i < count; i++)
        if (gathered->slots[i] == slot)
            return true;
    return false;
}

/* Where little was met through the removed ones, a walk looks for more. */
static void gather_far(struct repair *repair, int32_t slot, int level,
                       struct gathered *out)
{
    const struct graph *graph = repair->graph;
    struct graph_builder *builder = &repair->builder;
    struct graph_walk *walk = builder->walk;
    int32_t entry = atomic_load_explicit(&graph->entry, memory_order_relaxed);
    int max = out->count + GRAPH_CHOICES_MIN / 2, i;

    if (graph_node(graph, entry)->levels <= level)
        return;
    entry = graph_descend(graph, builder->self, entry, level);
    graph_widen(walk, builder->self, entry, level, builder->filter);
    for (i = 0; i < walk->met_count && out->count < max; i++) {
        int32_t met = graph_key_slot(walk->met[i]);

        if ((walk->met[i] & GRAPH_PASSES) != 0 && met != slot &&
            !is_gathered(out, out->count, met))
            out->slots[out->count++] = met;
    }
}

/* Of what was met, the nearest: some for each link that is to be replaced. */
static void keep_nearest(struct graph_builder *builder, struct gathered *out)
{
    int max = FRESH_MIN + 2 * (out->old_count - out->kept_count), i;
    int count = out->count - out->kept_count;

    if (count <= max)
        return;
    graph_set_choices(builder, out->slots + out->kept_count, count);
    for (i = 0; i < max; i++)
        out->slots[out->kept_count + i] = graph_key_slot(builder->choices[i]);
    out->count = out->kept_count + max;
}

static void relink(struct repair *repair, int32_t slot, int level)
{
    struct graph *graph = repair->graph;
    struct graph_builder *builder = &repair->builder;
    int width = graph_width(graph, level), count, i;
    int32_t chosen[GRAPH_WIDTH_MAX];
    struct gathered gathered;

    gather(repair, slot, level, &gathered);
    if (gathered.kept_count == gathered.old_count)
        return;
    codes_query_move(graph->codes, builder->self, slot);
    if (gathered.count < width / 2)
        gather_far(repair, slot, level, &gathered);
    keep_nearest(builder, &gathered);
    graph_set_choices(builder, gathered.slots, gathered.count);
    count = graph_choose(builder, slot, width, gathered.old_count, chosen);
    graph_set_links(graph, slot, level, chosen, count);
    for (i = 0; i < count; i++)
        if (!is_gathered(&gathered, gathered.kept_count, chosen[i]))
            graph_add_link(builder, chosen[i], slot, level, false);
}

/* When none of those that it leads to leads back, some do from now on. */
static void be_found(struct repair *repair, int32_t slot, int level)
{
    int32_t links[GRAPH_WIDTH_MAX];
    int count = graph_copy_links(repair->graph, slot, level, links), i;

    for (i = 0; i < count; i++)
        if (graph_has_link(repair->graph, links[i], slot, level))
            return;
    for (i = 0; i < count && i < ADOPT_COUNT; i++)
        graph_add_link(&repair->builder, links[i], slot, level, true);
}

static void mend_marked(struct repair *repair)
{
    int64_t slot;
    int level;

    for (slot = 0; slot < repair->count; slot++) {
        if (!is_set(repair->marked, slot))
            continue;
        for (level = 0; level < graph_node(repair->graph, slot)->levels;
             level++) {
            relink(repair, (int32_t)slot, level);
            be_found(repair, (int32_t)slot, level);
        }
    }
}

/* The highest that is left; when none is, what was the entry stays it. */
static void move_entry(struct repair *repair)
{
    struct graph *graph = repair->graph;
    int32_t entry = atomic_load_explicit(&graph->entry, memory_order_relaxed);
    int64_t slot;
    int highest = 0;

    if (entry == SLOT_NONE || is_left(repair, entry))
        return;
    for (slot = 0; slot < repair->count; slot++)
        if (graph_node(graph, slot)->levels > highest &&
            is_left(repair, (int32_t)slot)) {
            highest = graph_node(graph, slot)->levels;
            entry = (int32_t)slot;
        }
    atomic_store_explicit(&graph->entry, entry, memory_order_release);
}

int graph_remove(struct graph *graph, const int32_t *slots, int count,
                 const struct blocks *removed, struct err *err)
{
    const struct slot_filter filter = {.removed = removed};
    struct repair repair = {
        .graph = graph, .removed = removed, .count = graph_count(graph)};
    bool is_scan = count > repair.count / SCAN_PART;
    int rc;

    if (count == 0 || repair.count == 0)
        return 0;
    rc = graph_builder_init(&repair.builder, graph, &filter, err);
    if (rc)
        goto out;
    repair.marked =
        mem_try((size_t)(repair.count + 63) / 64, sizeof *repair.marked);
    if (repair.marked == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to repair a graph");
        goto out;
    }
    move_entry(&repair);
    mark(&repair, slots, count, is_scan);
    mend_marked(&repair);
    if (is_scan)
        rc = graph_mend(&repair.builder, err);
out:
    graph_builder_release(&repair.builder);
    mem_free(repair.marked);
    return rc;
}

/* --- ways to every slot --------------------------------------------------- */

struct reach {
    struct graph_builder *builder;
    uint64_t *reached; /* owned; bit by slot */
    int32_t *queue;    /* owned */
    int64_t begin, end;
};

static void reach_one(struct reach *reach, int32_t slot)
{
    if (is_set(reach->reached, slot))
        return;
    set_bit(reach->reached, slot);
    reach->queue[reach->end++] = slot;
}

static void spread(struct reach *reach)
{
    const struct graph *graph = reach->builder->graph;
    int32_t links[GRAPH_WIDTH_MAX];
    int count, i;

    while (reach->begin < reach->end) {
        count = graph_copy_links(graph, reach->queue[reach->begin++], 0, links);
        for (i = 0; i < count; i++)
            reach_one(reach, links[i]);
    }
}

/* The nearest that are reached lead to it from now on. */
static void adopt(struct reach *reach, int32_t entry, int32_t slot)
{
    struct graph_builder *builder = reach->builder;
    const struct graph *graph = builder->graph;
    struct graph_walk *walk = builder->walk;
    int i, done = 0;

    codes_query_move(graph->codes, builder->self, slot);
    graph_widen(walk, builder->self,
                graph_descend(graph, builder->self, entry, 0), 0,
                builder->filter);
    for (i = 0; i < walk->met_count && done < ADOPT_COUNT; i++) {
        int32_t from = graph_key_slot(walk->met[i]);

        if (is_set(reach->reached, from)) {
            graph_add_link(builder, from, slot, 0, true);
            done++;
        }
    }
    if (done == 0)
        graph_add_link(builder, entry, slot, 0, true);
    reach_one(reach, slot);
    spread(reach);
}

/* How many could not be reached. */
static int64_t adopt_all(struct reach *reach, int32_t entry, int64_t count)
{
    const struct graph *graph = reach->builder->graph;
    const struct slot_filter *filter = reach->builder->filter;
    int64_t slot, lost = 0;

    memset(reach->reached, 0,
           (size_t)(count + 63) / 64 * sizeof *reach->reached);
    reach->begin = reach->end = 0;
    reach_one(reach, entry);
    spread(reach);
    for (slot = 0; slot < count; slot++) {
        if (is_set(reach->reached, slot) ||
            graph_node(graph, slot)->levels == 0 ||
            (filter != NULL && !slot_passes(filter, slot)))
            continue;
        adopt(reach, entry, (int32_t)slot);
        lost++;
    }
    return lost;
}

int graph_mend(struct graph_builder *builder, struct err *err)
{
    struct graph *graph = builder->graph;
    int32_t entry = atomic_load_explicit(&graph->entry, memory_order_relaxed);
    struct reach reach = {.builder = builder};
    int64_t count = graph_count(graph);
    int round, rc = 0;

    if (entry == SLOT_NONE)
        return 0;
    reach.reached = mem_try((size_t)(count + 63) / 64, sizeof *reach.reached);
    reach.queue = mem_try((size_t)count, sizeof *reach.queue);
    if (reach.reached == NULL || reach.queue == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to repair a graph");
    else
        for (round = 0; round < MEND_ROUNDS; round++)
            if (adopt_all(&reach, entry, count) == 0)
                break;
    mem_free(reach.reached);
    mem_free(reach.queue);
    return rc;
}
