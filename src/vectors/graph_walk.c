/* SPDX-License-Identifier: Apache-2.0 */
/* A walk over links towards a query (Malkov and Yashunin 2018, algorithm 2).
 *
 * What was met is one sorted list instead of the paper's two queues: what falls
 * off its end would be in neither. Insertion moves the rest, which for the few
 * hundred that a walk keeps is cheaper than a heap. What does not pass the
 * filter is in the list too, so that its links are followed, and does not count
 * among the ef; the list ends with the ef-th that passes. How much it may hold
 * in all is bounded, so that a filter that lets little through does not send
 * the walk over the whole graph. */
#include <assert.h>

#include "base/mem.h"
#include "vectors/graph_parts.h"

/* The list holds up to SPREAD times ef, but no more than SPREAD_MAX above. */
enum { SPREAD = 16, SPREAD_MAX = 4096 };

int graph_copy_links(const struct graph *graph, int64_t slot, int level,
                     int32_t *out)
{
    const _Atomic int32_t *links = graph_links(graph, slot, level);
    int width = graph_width(graph, level), count = 0;

    while (count < width) {
        int32_t link = graph_link(links, count);

        if (link < 0)
            break;
        out[count++] = link;
    }
    return count;
}

int graph_walk_new(struct graph *graph, struct graph_walk **out,
                   struct err *err)
{
    struct graph_walk *walk = mem_try(1, sizeof *walk);

    if (walk == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a walk");
    walk->graph = graph;
    *out = walk;
    return 0;
}

void graph_walk_free(struct graph_walk *walk)
{
    if (walk == NULL)
        return;
    mem_free(walk->met);
    mem_free(walk->visits);
    mem_free(walk->slots);
    mem_free(walk->distances);
    mem_free(walk);
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for a walk over a graph");
}

/* The visits grow with the graph, by blocks, as it does. */
static int grow_visits(struct graph_walk *walk, struct err *err)
{
    int64_t extent =
        atomic_load_explicit(&walk->graph->extent, memory_order_acquire);
    int64_t cap = (extent + BLOCK_ROWS) & ~(int64_t)(BLOCK_ROWS - 1);
    uint16_t *visits;

    if (walk->visit_cap >= extent && walk->visits != NULL)
        return 0;
    visits = mem_try((size_t)cap, sizeof *visits);
    if (visits == NULL)
        return no_memory(err);
    mem_free(walk->visits);
    walk->visits = visits;
    walk->visit_cap = cap;
    walk->visit = 0;
    return 0;
}

int graph_walk_begin(struct graph_walk *walk, int ef, struct err *err)
{
    int more = ef * (SPREAD - 1) < SPREAD_MAX ? ef * (SPREAD - 1) : SPREAD_MAX;

    assert(ef >= 1 && ef <= VECINDEX_EF_MAX);
    if (walk->met_cap < ef + more) {
        mem_free(walk->met);
        walk->met_cap = 0;
        walk->met = mem_try((size_t)(ef + more) + 1, sizeof *walk->met);
        if (walk->met == NULL)
            return no_memory(err);
        walk->met_cap = ef + more;
    }
    walk->ef = ef;
    walk->met_max = ef + more;
    return grow_visits(walk, err);
}

void graph_walk_stamp(struct graph_walk *walk)
{
    if (++walk->visit == 0) {
        memset(walk->visits, 0, (size_t)walk->visit_cap * sizeof *walk->visits);
        walk->visit = 1;
    }
}

int32_t graph_descend(const struct graph *graph,
                      const struct codes_query *query, int32_t slot, int level)
{
    int32_t links[GRAPH_WIDTH_MAX];
    float distances[GRAPH_WIDTH_MAX], best;
    int top = graph_node(graph, slot)->levels - 1, count, i;
    bool is_moved;

    if (top <= level)
        return slot;
    codes_distances(graph->codes, query, &slot, 1, &best);
    for (; top > level; top--) {
        do {
            is_moved = false;
            count = graph_copy_links(graph, slot, top, links);
            codes_distances(graph->codes, query, links, count, distances);
            for (i = 0; i < count; i++)
                if (distances[i] < best) {
                    best = distances[i];
                    slot = links[i];
                    is_moved = true;
                }
        } while (is_moved);
    }
    return slot;
}

/* --- the list ------------------------------------------------------------- */

static bool is_full(const struct graph_walk *walk)
{
    return walk->passed_count == walk->ef || walk->met_count == walk->met_max;
}

/* Whether something at this distance can still come into the list. What is as
 * far as the last one cannot: in a crowd of equal rows the first that were met
 * stay. */
static bool is_near(const struct graph_walk *walk, uint64_t key)
{
    return !is_full(walk) || key >> 32 < walk->met[walk->met_count - 1] >> 32;
}

static void drop_last(struct graph_walk *walk)
{
    walk->met_count--;
    walk->passed_count -= (walk->met[walk->met_count] & GRAPH_PASSES) != 0;
}

/* Answers where it is in the list. */
static int keep(struct graph_walk *walk, uint64_t key)
{
    uint64_t *met = walk->met;
    int low = 0, high = walk->met_count;

    while (low < high) {
        int middle = (low + high) / 2;

        if (met[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(met + low + 1, met + low,
            (size_t)(walk->met_count - low) * sizeof *met);
    met[low] = key;
    walk->met_count++;
    walk->passed_count += (key & GRAPH_PASSES) != 0;
    while (walk->passed_count > walk->ef || walk->met_count > walk->met_max)
        drop_last(walk);
    while (walk->passed_count == walk->ef &&
           (met[walk->met_count - 1] & GRAPH_PASSES) == 0)
        drop_last(walk);
    return low;
}

static int offer(struct graph_walk *walk, float distance, int32_t slot,
                 const struct slot_filter *filter)
{
    uint64_t key = graph_key(distance, slot);

    if (!is_near(walk, key))
        return walk->met_max;
    if (filter == NULL || slot_passes(filter, slot))
        key |= GRAPH_PASSES;
    return keep(walk, key);
}

/* Follows the links of one slot; answers the nearest place in the list that
 * changed. */
static int follow(struct graph_walk *walk, const struct codes_query *query,
                  int32_t slot, int level, const struct slot_filter *filter)
{
    const struct graph *graph = walk->graph;
    const _Atomic int32_t *links = graph_links(graph, slot, level);
    int32_t fresh[GRAPH_WIDTH_MAX];
    float distances[GRAPH_WIDTH_MAX];
    int width = graph_width(graph, level), count = 0, first, i, at;

    for (i = 0; i < width; i++) {
        int32_t link = graph_link(links, i);

        if (link < 0)
            break;
        if (graph_walk_visit(walk, link))
            fresh[count++] = link;
    }
    if (count == 0)
        return walk->met_max;
    codes_distances(graph->codes, query, fresh, count, distances);
    first = walk->met_max;
    for (i = 0; i < count; i++) {
        at = offer(walk, distances[i], fresh[i], filter);
        first = at < first ? at : first;
    }
    return first;
}

/* The next that will be followed, most likely: its links can be on their way
 * meanwhile. */
static void fetch_next(const struct graph_walk *walk, int i, int level)
{
    const char *links;

    if (i >= walk->met_count || level > 0)
        return;
    links = blocks_at(&walk->graph->ground, graph_key_slot(walk->met[i]));
    __builtin_prefetch(links);
    __builtin_prefetch(links + 64);
}

void graph_widen(struct graph_walk *walk, const struct codes_query *query,
                 int32_t slot, int level, const struct slot_filter *filter)
{
    float distance;
    int i = 0, first;

    graph_walk_stamp(walk);
    walk->met_count = walk->passed_count = 0;
    if (!graph_walk_visit(walk, slot))
        return;
    codes_distances(walk->graph->codes, query, &slot, 1, &distance);
    offer(walk, distance, slot, filter);
    while (i < walk->met_count) {
        if ((walk->met[i] & GRAPH_FOLLOWED) != 0) {
            i++;
            continue;
        }
        walk->met[i] |= GRAPH_FOLLOWED;
        fetch_next(walk, i + 1, level);
        first =
            follow(walk, query, graph_key_slot(walk->met[i]), level, filter);
        i = first <= i ? first : i + 1;
    }
}

/* --- a search ------------------------------------------------------------- */

static int make_room(struct graph_walk *walk, int ef, struct err *err)
{
    if (walk->found_cap >= ef)
        return 0;
    mem_free(walk->slots);
    mem_free(walk->distances);
    walk->found_cap = 0;
    walk->slots = mem_try((size_t)ef, sizeof *walk->slots);
    walk->distances = mem_try((size_t)ef, sizeof *walk->distances);
    if (walk->slots == NULL || walk->distances == NULL)
        return no_memory(err);
    walk->found_cap = ef;
    return 0;
}

int graph_search(struct graph *graph, struct graph_walk *walk,
                 const struct codes_query *query, int ef,
                 const struct slot_filter *filter, const int32_t **slots,
                 const float **distances, int *count, struct err *err)
{
    int32_t entry = atomic_load_explicit(&graph->entry, memory_order_acquire);
    int rc = make_room(walk, ef, err), found = 0, i;

    assert(walk->graph == graph);
    if (rc == 0)
        rc = graph_walk_begin(walk, ef, err);
    if (rc)
        return rc;
    walk->met_count = 0;
    if (entry != SLOT_NONE)
        graph_widen(walk, query, graph_descend(graph, query, entry, 0), 0,
                    filter);
    for (i = 0; i < walk->met_count; i++)
        if ((walk->met[i] & GRAPH_PASSES) != 0) {
            walk->slots[found] = graph_key_slot(walk->met[i]);
            walk->distances[found++] = graph_key_distance(walk->met[i]);
        }
    *slots = walk->slots;
    *distances = walk->distances;
    *count = found;
    return 0;
}
