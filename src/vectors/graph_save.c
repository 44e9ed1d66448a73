/* SPDX-License-Identifier: Apache-2.0 */
/* A graph in a checkpoint: its head, nodes, and links as they lie in memory.
 * Every checksum is verified before this; what is checked here is that no
 * number leads outside, so that a walk over a file that lies ends somewhere
 * too. */
#include "base/mem.h"
#include "vectors/graph_parts.h"

enum { VERSION = 1 };

/* Little-endian, as the rest. */
struct head {
    int32_t version, links, ef_construction, ground_width, upper_width, entry;
    uint64_t seed;
    int64_t count, upper_count;
};

static void put_blocks(struct checkpoint_writer *writer, const char *name,
                       const struct blocks *blocks, int64_t count)
{
    int64_t row, len;

    checkpoint_start(writer, name);
    for (row = 0; row < count; row += len) {
        len = blocks_run(row) < count - row ? blocks_run(row) : count - row;
        checkpoint_put(writer, blocks_at(blocks, row),
                       (size_t)len * blocks->row_len);
    }
}

void graph_save(struct graph *graph, struct checkpoint_writer *writer)
{
    const struct head head = {
        .version = VERSION,
        .links = graph->options.links,
        .ef_construction = graph->options.ef_construction,
        .ground_width = graph->ground_width,
        .upper_width = graph->upper_width,
        .entry = atomic_load_explicit(&graph->entry, memory_order_relaxed),
        .seed = graph->options.seed,
        .count = graph_count(graph),
        .upper_count = graph->upper_count,
    };

    checkpoint_start(writer, "GHED");
    checkpoint_put(writer, &head, sizeof head);
    put_blocks(writer, "GNOD", &graph->nodes, head.count);
    put_blocks(writer, "GLNK", &graph->ground, head.count);
    put_blocks(writer, "GUPP", &graph->upper, head.upper_count);
}

/* --- and back ------------------------------------------------------------- */

static int is_wrong(const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the graph has %s", what);
}

static int check_head(const struct head *head, const struct codes *codes,
                      struct err *err)
{
    if (head->version != VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "the graph has version %d; this program reads %d",
                       (int)head->version, VERSION);
    if (head->links < 1 || head->links > VECINDEX_LINKS_MAX ||
        head->ef_construction < 1 || head->ef_construction > VECINDEX_EF_MAX)
        return is_wrong("wrong options", err);
    if (head->ground_width != 2 * head->links ||
        head->upper_width != head->links)
        return is_wrong("lists of a wrong width", err);
    if (head->count < 0 || head->count > codes_count(codes) ||
        head->upper_count < 0 || head->upper_count > BLOCKS_ROWS_MAX)
        return is_wrong("a wrong count", err);
    if (head->entry < SLOT_NONE || head->entry >= head->count)
        return is_wrong("an entry that is not there", err);
    return 0;
}

/* Rows of upper lists are given out in the order of the slots, so no two slots
 * share one: a link of another level could come into it. */
static int check_nodes(const struct graph *graph, const struct head *head,
                       struct err *err)
{
    int64_t slot, upper_count = 0;

    for (slot = 0; slot < head->count; slot++) {
        const struct graph_node *node = graph_node(graph, slot);

        if (node->levels == 0)
            continue;
        if (node->levels < 0 || node->levels > GRAPH_LEVELS_MAX ||
            node->upper < upper_count)
            return is_wrong("a slot with wrong levels", err);
        upper_count = (int64_t)node->upper + node->levels - 1;
        if (head->entry == SLOT_NONE)
            return is_wrong("slots and no entry", err);
    }
    if (upper_count > head->upper_count)
        return is_wrong("more levels than lists", err);
    if (head->entry != SLOT_NONE && graph_node(graph, head->entry)->levels < 1)
        return is_wrong("an entry that is not in it", err);
    return 0;
}

/* Also of slots that are not in the graph, whose lists are zero. */
static int check_ground(const struct graph *graph, int64_t count,
                        struct err *err)
{
    int64_t slot;
    int i;

    for (slot = 0; slot < count; slot++) {
        const int32_t *links = blocks_at(&graph->ground, slot);
        unsigned bad = 0;

        for (i = 0; i < graph->ground_width; i++)
            bad |= (uint32_t)links[i] + 1 > (uint32_t)count;
        if (bad != 0)
            return is_wrong("a link that leads nowhere", err);
    }
    return 0;
}

static int check_upper(const struct graph *graph, int64_t count,
                       struct err *err)
{
    int64_t slot;
    int level, i;

    for (slot = 0; slot < count; slot++)
        for (level = 1; level < graph_node(graph, slot)->levels; level++) {
            const _Atomic int32_t *links = graph_links(graph, slot, level);

            for (i = 0; i < graph->upper_width; i++) {
                int32_t link = graph_link(links, i);

                if (link == SLOT_NONE)
                    break;
                if (link < 0 || link >= count ||
                    graph_node(graph, link)->levels <= level)
                    return is_wrong("a link to a slot without its level", err);
            }
        }
    return 0;
}

static int map_blocks(struct checkpoint *checkpoint, const char *name,
                      struct blocks *blocks, int64_t count, struct err *err)
{
    void *rows = NULL;
    int64_t len = 0;
    int rc = checkpoint_section(checkpoint, name, count, blocks->row_len, &rows,
                                &len, err);

    return rc ? rc : blocks_map(blocks, rows, count, err);
}

static int load_parts(struct graph *graph, const struct head *head,
                      struct checkpoint *checkpoint, struct err *err)
{
    int rc = map_blocks(checkpoint, "GNOD", &graph->nodes, head->count, err);

    if (rc == 0)
        rc = map_blocks(checkpoint, "GLNK", &graph->ground, head->count, err);
    if (rc == 0)
        rc = map_blocks(checkpoint, "GUPP", &graph->upper, head->upper_count,
                        err);
    if (rc == 0)
        rc = check_nodes(graph, head, err);
    if (rc == 0)
        rc = check_ground(graph, head->count, err);
    if (rc == 0)
        rc = check_upper(graph, head->count, err);
    return rc;
}

int graph_load(const struct codes *codes, struct checkpoint *checkpoint,
               struct graph **out, struct err *err)
{
    struct graph_options options = {0};
    struct graph *graph = NULL;
    struct head *head = NULL;
    int64_t len = 0;
    int rc = checkpoint_section(checkpoint, "GHED", 1, sizeof *head,
                                (void **)&head, &len, err);

    if (rc == 0)
        rc = check_head(head, codes, err);
    if (rc)
        return rc;
    options.links = head->links;
    options.ef_construction = head->ef_construction;
    options.seed = head->seed;
    rc = graph_new(codes, &options, &graph, err);
    if (rc)
        return rc;
    rc = load_parts(graph, head, checkpoint, err);
    if (rc) {
        graph_free(graph);
        return rc;
    }
    graph->upper_count = head->upper_count;
    atomic_store_explicit(&graph->count, head->count, memory_order_relaxed);
    atomic_store_explicit(&graph->extent, head->count, memory_order_relaxed);
    atomic_store_explicit(&graph->entry, head->entry, memory_order_release);
    *out = graph;
    return 0;
}
