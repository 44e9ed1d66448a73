/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/faiss_source.h"

enum {
    EF_MAX = 1 << 20,
    GRAPH_COUNT_MAX = INT32_MAX, /* links are int32 */
};

static int read_starts(struct faiss_source *source, struct faiss_graph *graph,
                       struct err *err)
{
    int64_t count = 0, i;
    int rc = faiss_read_count(source, 8, "probabilities", &count, err);

    if (rc)
        return rc;
    infile_skip(&source->file, (uint64_t)count * 8);
    rc = faiss_read_count(source, 4, "level sizes", &count, err);
    if (rc)
        return rc;
    if (count < 2 || count > FAISS_LEVEL_MAX + 1)
        return faiss_corrupt(source, "a wrong number of levels", err);
    for (i = 0; i < count; i++)
        graph->starts[i] = (int32_t)infile_u32(&source->file);
    graph->start_count = (int)count;
    if (graph->starts[0] != 0)
        return faiss_corrupt(source, "wrong level sizes", err);
    for (i = 1; i < count; i++)
        if (graph->starts[i] < graph->starts[i - 1] ||
            graph->starts[i] - graph->starts[i - 1] > FAISS_LINKS_MAX)
            return faiss_corrupt(source, "wrong level sizes", err);
    return 0;
}

static int read_levels(struct faiss_source *source, int64_t count,
                       struct faiss_graph *graph, struct err *err)
{
    int64_t i;
    int rc = faiss_expect_count(source, 4, "levels", count, err);

    if (rc)
        return rc;
    graph->levels = mem_try((size_t)count, sizeof *graph->levels);
    graph->offsets = mem_try((size_t)count + 1, sizeof *graph->offsets);
    if (graph->levels == NULL || graph->offsets == NULL)
        return faiss_no_memory(count, "levels", err);
    for (i = 0; i < count; i++) {
        graph->levels[i] = (int32_t)infile_u32(&source->file);
        if (graph->levels[i] < 1 || graph->levels[i] >= graph->start_count)
            return faiss_corrupt(source, "a wrong level", err);
    }
    rc = faiss_expect_count(source, 8, "offsets", count + 1, err);
    for (i = 0; rc == 0 && i <= count; i++) {
        uint64_t wanted =
            i == 0 ? 0
                   : graph->offsets[i - 1] +
                         (uint64_t)graph->starts[graph->levels[i - 1]];

        graph->offsets[i] = infile_u64(&source->file);
        if (graph->offsets[i] != wanted)
            return faiss_corrupt(source, "a wrong offset", err);
    }
    return rc;
}

/* Every link leads to an entry that has the link's level. */
static bool are_links_right(const struct faiss_graph *graph, int64_t count)
{
    int64_t i;
    int level;
    int32_t j;

    for (i = 0; i < count; i++)
        for (level = 0; level < graph->levels[i]; level++)
            for (j = graph->starts[level]; j < graph->starts[level + 1]; j++) {
                int32_t to = graph->neighbours[graph->offsets[i] + (uint64_t)j];

                if (to != -1 &&
                    (to < 0 || to >= count || graph->levels[to] <= level))
                    return false;
            }
    return true;
}

static int read_links(struct faiss_source *source, int64_t count,
                      struct faiss_graph *graph, struct err *err)
{
    int64_t total = (int64_t)graph->offsets[count];
    int rc = faiss_expect_count(source, 4, "links", total, err);

    if (rc)
        return rc;
    graph->neighbours = mem_try((size_t)total, sizeof *graph->neighbours);
    if (graph->neighbours == NULL)
        return faiss_no_memory(total, "links", err);
    infile_read(&source->file, graph->neighbours, (uint64_t)total * 4);
    if (infile_check(&source->file, err) || !are_links_right(graph, count))
        return faiss_corrupt(source, "a wrong link", err);
    return 0;
}

static int read_graph_end(struct faiss_source *source, int64_t count,
                          struct faiss_graph *graph, struct err *err)
{
    int32_t entry = (int32_t)infile_u32(&source->file);
    int32_t level_max = (int32_t)infile_u32(&source->file);
    int32_t ef_construction = (int32_t)infile_u32(&source->file);
    int32_t ef_search = (int32_t)infile_u32(&source->file);

    infile_skip(&source->file, 4); /* no longer used by FAISS */
    if (count == 0 ? entry != -1
                   : entry < 0 || entry >= count ||
                         graph->levels[entry] != level_max + 1)
        return faiss_corrupt(source, "a wrong entry point", err);
    if (ef_construction < 1 || ef_construction > EF_MAX || ef_search < 1 ||
        ef_search > EF_MAX)
        return faiss_corrupt(source, "a wrong breadth of search", err);
    graph->entry = entry;
    graph->ef_construction = ef_construction;
    graph->ef_search = ef_search;
    return infile_check(&source->file, err);
}

int faiss_read_hnsw(struct faiss_source *source, const struct faiss_head *head,
                    struct faiss_index *index, struct err *err)
{
    struct faiss_graph *graph = &index->graph;
    struct faiss_head storage = {0};
    int rc;

    if (head->count > GRAPH_COUNT_MAX)
        return faiss_corrupt(source, "more entries than a graph can have", err);
    rc = read_starts(source, graph, err);
    if (rc == 0)
        rc = read_levels(source, head->count, graph, err);
    if (rc == 0)
        rc = read_links(source, head->count, graph, err);
    if (rc == 0)
        rc = read_graph_end(source, head->count, graph, err);
    if (rc == 0)
        rc = faiss_read_head(source, &storage, err);
    if (rc)
        return rc;
    if (!faiss_is_flat(storage.code))
        return faiss_refuse_code(storage.code, err);
    if (storage.dim != head->dim || storage.count != head->count ||
        storage.metric != head->metric)
        return faiss_corrupt(source, "a graph that does not fit its rows", err);
    rc = faiss_read_flat(source, &storage, index, err);
    index->kind = FAISS_HNSW_FLAT;
    return rc;
}
