/* SPDX-License-Identifier: Apache-2.0 */
/* A graph without what was removed. The links to dropped slots are repaired in
 * the graph that there is, which searches need no less; then its lists are
 * copied under the new numbers. */
#include <assert.h>

#include "base/mem.h"
#include "vectors/graph_parts.h"

/* The slots that are dropped, as a list and as blocks. */
struct dropped {
    struct blocks is_dropped; /* owned */
    int32_t *slots;           /* owned */
    int count;
};

static int find_dropped(const struct graph *graph, const int32_t *to,
                        struct dropped *out, struct err *err)
{
    int64_t slot, count = graph_count(graph);
    int rc = blocks_init(&out->is_dropped, 1, err);

    if (rc == 0)
        rc = blocks_reserve(&out->is_dropped, count, err);
    if (rc)
        return rc;
    out->slots = mem_try((size_t)count, sizeof *out->slots);
    if (out->slots == NULL && count > 0)
        return err_set(err, ERR_UNAVAILABLE, "no memory to renumber a graph");
    for (slot = 0; slot < count; slot++)
        if (to[slot] == SLOT_NONE) {
            *(uint8_t *)blocks_at(&out->is_dropped, slot) = 1;
            out->slots[out->count++] = (int32_t)slot;
        }
    return 0;
}

static int repair(struct graph *graph, const int32_t *to, struct err *err)
{
    struct dropped dropped = {0};
    int rc = find_dropped(graph, to, &dropped, err);

    if (rc == 0)
        rc = graph_remove(graph, dropped.slots, dropped.count,
                          &dropped.is_dropped, err);
    blocks_release(&dropped.is_dropped);
    mem_free(dropped.slots);
    return rc;
}

static void copy_list(const struct graph *from, struct graph *graph,
                      const int32_t *to, int32_t slot, int level)
{
    int32_t links[GRAPH_WIDTH_MAX];
    int count = graph_copy_links(from, slot, level, links), kept = 0, i;

    for (i = 0; i < count; i++)
        if (to[links[i]] != SLOT_NONE)
            links[kept++] = to[links[i]];
    graph_set_links(graph, to[slot], level, links, kept);
}

static int copy(const struct graph *from, struct graph *graph,
                const int32_t *to, struct err *err)
{
    int64_t slot, count = graph_count(from), kept = 0;
    int level, rc = 0;

    for (slot = 0; rc == 0 && slot < count; slot++) {
        int levels = graph_node(from, slot)->levels;

        if (to[slot] == SLOT_NONE)
            continue;
        assert(to[slot] == kept);
        rc = graph_reserve(graph, ++kept, err);
        if (rc == 0 && levels > 0)
            rc = graph_set_node(graph, to[slot], levels, err);
        for (level = 0; rc == 0 && level < levels; level++)
            copy_list(from, graph, to, (int32_t)slot, level);
    }
    if (rc)
        return rc;
    atomic_store_explicit(&graph->extent, kept, memory_order_relaxed);
    atomic_store_explicit(&graph->count, kept, memory_order_release);
    return 0;
}

int graph_renumber(struct graph *graph, const struct codes *codes,
                   const int32_t *to, int64_t new_count, struct graph **out,
                   struct err *err)
{
    struct graph *made = NULL;
    int32_t entry;
    int rc = repair(graph, to, err);

    if (rc == 0)
        rc = graph_make(codes, &graph->options, graph->ground_width,
                        graph->upper_width, &made, err);
    if (rc)
        return rc;
    rc = copy(graph, made, to, err);
    if (rc) {
        graph_free(made);
        return rc;
    }
    assert(graph_count(made) <= new_count);
    entry = atomic_load_explicit(&graph->entry, memory_order_relaxed);
    atomic_store_explicit(&made->entry,
                          entry == SLOT_NONE ? SLOT_NONE : to[entry],
                          memory_order_release);
    *out = made;
    return 0;
}
