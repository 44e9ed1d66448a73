/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/graph.h"

#include <assert.h>

#include "base/mem.h"
#include "vectors/graph_parts.h"

static int make_parts(struct graph *graph, struct err *err)
{
    int i, rc = blocks_init(&graph->nodes, sizeof(struct graph_node), err);

    if (rc == 0)
        rc = blocks_init(&graph->ground,
                         (size_t)graph->ground_width * sizeof(int32_t), err);
    if (rc == 0)
        rc = blocks_init(&graph->upper,
                         (size_t)graph->upper_width * sizeof(int32_t), err);
    if (rc)
        return rc;
    graph->locks = mem_try(GRAPH_LOCKS, sizeof *graph->locks);
    if (graph->locks == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a graph");
    for (i = 0; i < GRAPH_LOCKS; i++)
        pthread_mutex_init(&graph->locks[i], NULL);
    return 0;
}

int graph_make(const struct codes *codes, const struct graph_options *options,
               int ground_width, int upper_width, struct graph **out,
               struct err *err)
{
    struct graph *graph = mem_new(sizeof *graph);
    int rc;

    assert(options->links >= 1 && options->links <= VECINDEX_LINKS_MAX);
    assert(options->ef_construction >= 1);
    assert(options->ef_construction <= VECINDEX_EF_MAX);
    graph->codes = codes;
    graph->options = *options;
    graph->ground_width = ground_width;
    graph->upper_width = upper_width;
    atomic_init(&graph->entry, SLOT_NONE);
    rc = make_parts(graph, err);
    if (rc) {
        graph_free(graph);
        return rc;
    }
    *out = graph;
    return 0;
}

int graph_new(const struct codes *codes, const struct graph_options *options,
              struct graph **out, struct err *err)
{
    return graph_make(codes, options, 2 * options->links, options->links, out,
                      err);
}

void graph_free(struct graph *graph)
{
    int i;

    if (graph == NULL)
        return;
    for (i = 0; graph->locks != NULL && i < GRAPH_LOCKS; i++)
        pthread_mutex_destroy(&graph->locks[i]);
    mem_free(graph->locks);
    blocks_release(&graph->nodes);
    blocks_release(&graph->ground);
    blocks_release(&graph->upper);
    mem_free(graph);
}

int64_t graph_count(const struct graph *graph)
{
    return atomic_load_explicit(&graph->count, memory_order_acquire);
}

int64_t graph_memory(const struct graph *graph)
{
    return (int64_t)sizeof *graph +
           GRAPH_LOCKS * (int64_t)sizeof *graph->locks +
           blocks_memory(&graph->nodes) + blocks_memory(&graph->ground) +
           blocks_memory(&graph->upper);
}

void graph_options(const struct graph *graph, struct graph_options *out)
{
    *out = graph->options;
}

/* --- checking ------------------------------------------------------------- */

static int check_list(const struct graph *graph, int32_t slot, int level,
                      struct err *err)
{
    const _Atomic int32_t *list = graph_links(graph, slot, level);
    int64_t end = graph_count(graph);
    int width = graph_width(graph, level), i, j;

    for (i = 0; i < width; i++) {
        int32_t link = graph_link(list, i);

        if (link == SLOT_NONE)
            break;
        if (link < 0 || link >= end || link == slot ||
            graph_node(graph, link)->levels <= level)
            return err_set(err, ERR_CORRUPT,
                           "the graph has a link from %d to %d on level %d, "
                           "which is not there",
                           (int)slot, (int)link, level);
        for (j = 0; j < i; j++)
            if (graph_link(list, j) == link)
                return err_set(err, ERR_CORRUPT,
                               "the graph has a link from %d to %d twice",
                               (int)slot, (int)link);
    }
    for (; i < width; i++)
        if (graph_link(list, i) != SLOT_NONE)
            return err_set(err, ERR_CORRUPT,
                           "the graph has a link behind the last of %d",
                           (int)slot);
    return 0;
}

int graph_check(struct graph *graph, struct err *err)
{
    int64_t slot, end = graph_count(graph);
    int level, rc = 0;

    for (slot = 0; rc == 0 && slot < end; slot++)
        for (level = 0; rc == 0 && level < graph_node(graph, slot)->levels;
             level++)
            rc = check_list(graph, (int32_t)slot, level, err);
    return rc;
}
