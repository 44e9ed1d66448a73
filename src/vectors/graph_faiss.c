/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/graph_faiss.h"

#include <string.h>

#include "base/mem.h"
#include "vectors/graph_parts.h"

static int clamp(int value, int max)
{
    return value < 1 ? 1 : value > max ? max : value;
}

static int width_of(const struct faiss_graph *graph, int level)
{
    return graph->starts[level + 1] - graph->starts[level];
}

/* A file may give each level its own number of links; the widest is for all
 * above the ground. */
static int make_empty(const struct codes *codes, const struct faiss_graph *from,
                      struct graph **out, struct err *err)
{
    struct graph_options options = {.seed = 1};
    int upper_width = 1, level;

    for (level = 1; level < from->start_count - 1; level++)
        if (width_of(from, level) > upper_width)
            upper_width = width_of(from, level);
    options.links =
        clamp(from->start_count > 2 ? width_of(from, 1) : width_of(from, 0) / 2,
              VECINDEX_LINKS_MAX);
    options.ef_construction = clamp(from->ef_construction, VECINDEX_EF_MAX);
    return graph_make(codes, &options,
                      clamp(width_of(from, 0), GRAPH_WIDTH_MAX), upper_width,
                      out, err);
}

static void copy_links(struct graph *graph, const struct faiss_graph *from,
                       int32_t slot, int level)
{
    const int32_t *links =
        from->neighbours + from->offsets[slot] + (uint64_t)from->starts[level];
    int width = width_of(from, level), count = 0;

    while (count < width && links[count] >= 0)
        count++;
    graph_set_links(graph, slot, level, links, count);
}

int graph_from_faiss(const struct codes *codes, const struct faiss_graph *from,
                     int64_t count, struct graph **out, struct err *err)
{
    struct graph *graph = NULL;
    int64_t slot;
    int level, rc = make_empty(codes, from, &graph, err);

    if (rc == 0)
        rc = graph_reserve(graph, count, err);
    for (slot = 0; rc == 0 && slot < count; slot++)
        rc = graph_set_node(graph, slot, from->levels[slot], err);
    if (rc) {
        graph_free(graph);
        return rc;
    }
    for (slot = 0; slot < count; slot++)
        for (level = 0; level < from->levels[slot]; level++)
            copy_links(graph, from, (int32_t)slot, level);
    atomic_store_explicit(&graph->count, count, memory_order_relaxed);
    atomic_store_explicit(&graph->entry, from->entry, memory_order_release);
    *out = graph;
    return 0;
}

static void add_levels(const struct graph *graph, struct faiss_graph *out)
{
    int64_t slot, count = graph_count(graph);
    int levels = 1;

    for (slot = 0; slot < count; slot++)
        if (graph_node(graph, slot)->levels > levels)
            levels = graph_node(graph, slot)->levels;
    for (; out->start_count <= levels; out->start_count++)
        out->starts[out->start_count] =
            out->starts[out->start_count - 1] + graph->upper_width;
}

int graph_to_faiss(const struct graph *graph, struct faiss_graph *out,
                   struct err *err)
{
    int64_t slot, count = graph_count(graph);
    int level;

    add_levels(graph, out);
    out->levels = mem_try((size_t)count, sizeof *out->levels);
    out->offsets = mem_try((size_t)count + 1, sizeof *out->offsets);
    if (out->levels == NULL || out->offsets == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to write a graph");
    for (slot = 0; slot < count; slot++) {
        out->levels[slot] = graph_node(graph, slot)->levels;
        out->offsets[slot + 1] =
            out->offsets[slot] + (uint64_t)out->starts[out->levels[slot]];
    }
    out->neighbours =
        mem_try_aligned((size_t)out->offsets[count], sizeof *out->neighbours);
    if (out->neighbours == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to write a graph");
    memset(out->neighbours, 0xff,
           (size_t)out->offsets[count] * sizeof *out->neighbours);
    for (slot = 0; slot < count; slot++)
        for (level = 0; level < out->levels[slot]; level++)
            (void)graph_copy_links(graph, slot, level,
                                   out->neighbours + out->offsets[slot] +
                                       (uint64_t)out->starts[level]);
    out->entry = atomic_load_explicit(&graph->entry, memory_order_relaxed);
    return 0;
}
