/* SPDX-License-Identifier: Apache-2.0 */
/* Which links a slot has (Malkov and Yashunin 2018, algorithm 4). Only holders
 * of a slot's lock change its links, and nobody holds two. */
#include "base/mem.h"
#include "base/random.h"
#include "vectors/graph_parts.h"

enum { AT_ONCE = 4 };

/* --- what a thread works with --------------------------------------------- */

int graph_builder_init(struct graph_builder *builder, struct graph *graph,
                       const struct slot_filter *filter, struct err *err)
{
    int max = graph->options.ef_construction;
    int rc;

    if (max < graph->ground_width + 1)
        max = graph->ground_width + 1;
    if (max < graph->upper_width + 1)
        max = graph->upper_width + 1;
    if (max < GRAPH_CHOICES_MIN)
        max = GRAPH_CHOICES_MIN;
    *builder = (struct graph_builder){.graph = graph, .filter = filter};
    builder->choice_max = max;
    builder->choices = mem_try((size_t)max, sizeof *builder->choices);
    builder->picked =
        mem_try((size_t)GRAPH_LEVELS_MAX * (size_t)graph->options.links,
                sizeof *builder->picked);
    builder->picked_counts =
        mem_try(GRAPH_LEVELS_MAX, sizeof *builder->picked_counts);
    if (builder->choices == NULL || builder->picked == NULL ||
        builder->picked_counts == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to change a graph");
    rc = graph_walk_new(graph, &builder->walk, err);
    if (rc == 0)
        rc = graph_walk_begin(builder->walk, graph->options.ef_construction,
                              err);
    if (rc == 0)
        rc = codes_query_slot(graph->codes, 0, &builder->self, err);
    if (rc == 0)
        rc = codes_query_slot(graph->codes, 0, &builder->other, err);
    return rc;
}

void graph_builder_release(struct graph_builder *builder)
{
    mem_free(builder->choices);
    mem_free(builder->picked);
    mem_free(builder->picked_counts);
    graph_walk_free(builder->walk);
    codes_query_free(builder->self);
    codes_query_free(builder->other);
    *builder = (struct graph_builder){0};
}

/* --- the order of candidates ---------------------------------------------- */

static uint32_t scramble(int32_t self, int32_t slot)
{
    uint64_t pair = (uint64_t)self << 32 | (uint32_t)slot;

    return (uint32_t)(random_mix(pair + RANDOM_STEP) >> 32);
}

/* Among equals by chance, which is another for each slot: else all would
 * choose the same ones, and the rest could not be reached. */
static void shuffle_run(int32_t self, uint64_t *run, int count)
{
    int i, j;

    for (i = 1; i < count; i++) {
        uint64_t moved = run[i];
        uint32_t order = scramble(self, graph_key_slot(moved));

        for (j = i; j > 0 && scramble(self, graph_key_slot(run[j - 1])) > order;
             j--)
            run[j] = run[j - 1];
        run[j] = moved;
    }
}

static void shuffle_equals(int32_t self, uint64_t *keys, int count)
{
    int begin, end;

    for (begin = 0; begin < count; begin = end) {
        for (end = begin + 1;
             end < count && keys[end] >> 32 == keys[begin] >> 32; end++)
            ;
        if (end - begin > 1)
            shuffle_run(self, keys + begin, end - begin);
    }
}

static void sort(uint64_t *keys, int count)
{
    int i, j;

    for (i = 1; i < count; i++) {
        uint64_t moved = keys[i];

        for (j = i; j > 0 && keys[j - 1] > moved; j--)
            keys[j] = keys[j - 1];
        keys[j] = moved;
    }
}

void graph_set_choices(struct graph_builder *builder, const int32_t *slots,
                       int count)
{
    float distances[GRAPH_WIDTH_MAX + 1];
    int i;

    if (count > GRAPH_WIDTH_MAX + 1)
        count = GRAPH_WIDTH_MAX + 1;
    if (count > builder->choice_max)
        count = builder->choice_max;
    codes_distances(builder->graph->codes, builder->self, slots, count,
                    distances);
    for (i = 0; i < count; i++)
        builder->choices[i] = graph_key(distances[i], slots[i]);
    sort(builder->choices, count);
    builder->choice_count = count;
}

/* --- choosing ------------------------------------------------------------- */

/* Whether a candidate is nearer to one that was chosen than to the slot: then
 * the way to it leads over that one. */
static bool is_covered(struct graph_builder *builder, uint64_t candidate,
                       const int32_t *chosen, int count)
{
    const struct codes *codes = builder->graph->codes;
    float distances[AT_ONCE], limit = graph_key_distance(candidate);
    int done, part, i;

    if (count == 0)
        return false;
    codes_query_move(codes, builder->other, graph_key_slot(candidate));
    for (done = 0; done < count; done += part) {
        part = count - done < AT_ONCE ? count - done : AT_ONCE;
        codes_distances(codes, builder->other, chosen + done, part, distances);
        for (i = 0; i < part; i++)
            if (distances[i] < limit)
                return true;
    }
    return false;
}

/* Nearest first, those that no chosen one covers; then the nearest of the
 * rest, up to `fill`. Rows that are equal to the slot's own get half of the
 * links, so that they lead out of their crowd. */
int graph_choose(struct graph_builder *builder, int32_t slot, int max, int fill,
                 int32_t *out)
{
    const struct codes *codes = builder->graph->codes;
    uint64_t *keys = builder->choices;
    int32_t covered[GRAPH_WIDTH_MAX];
    int covered_count = 0, equal_count = 0, count = 0, i;

    shuffle_equals(slot, keys, builder->choice_count);
    for (i = 0; i < builder->choice_count && count < max; i++) {
        int32_t candidate = graph_key_slot(keys[i]);
        bool is_chosen;

        if (codes_is_equal(codes, slot, candidate))
            is_chosen = equal_count++ < (max + 1) / 2;
        else
            is_chosen = !is_covered(builder, keys[i], out, count);
        if (is_chosen)
            out[count++] = candidate;
        else if (covered_count < fill)
            covered[covered_count++] = candidate;
    }
    for (i = 0; i < covered_count && count < fill; i++)
        out[count++] = covered[i];
    return count;
}

/* --- lists ---------------------------------------------------------------- */

static void set_link(_Atomic int32_t *links, int i, int32_t link)
{
    atomic_store_explicit(&links[i], link, memory_order_release);
}

void graph_set_links(struct graph *graph, int32_t slot, int level,
                     const int32_t *links, int count)
{
    _Atomic int32_t *list = graph_links(graph, slot, level);
    int width = graph_width(graph, level), i;

    for (i = 0; i < width; i++)
        set_link(list, i, i < count ? links[i] : SLOT_NONE);
}

bool graph_has_link(const struct graph *graph, int32_t from, int32_t to,
                    int level)
{
    const _Atomic int32_t *links = graph_links(graph, from, level);
    int width = graph_width(graph, level), i;

    for (i = 0; i < width; i++) {
        int32_t link = graph_link(links, i);

        if (link == to)
            return true;
        if (link < 0)
            return false;
    }
    return false;
}

static bool is_among(const int32_t *slots, int count, int32_t slot)
{
    int i;

    for (i = 0; i < count; i++)
        if (slots[i] == slot)
            return true;
    return false;
}

/* A list that is full is chosen anew; three quarters of it are filled, so that
 * this is not to be done for each link that is added. */
static void choose_again(struct graph_builder *builder, int32_t from,
                         int32_t *links, int count, int level, bool is_certain)
{
    struct graph *graph = builder->graph;
    int32_t chosen[GRAPH_WIDTH_MAX], added = links[count - 1];
    int width = graph_width(graph, level), chosen_count;

    codes_query_move(graph->codes, builder->self, from);
    graph_set_choices(builder, links, count);
    chosen_count =
        graph_choose(builder, from, width, width - width / 4, chosen);
    if (is_certain && !is_among(chosen, chosen_count, added)) {
        if (chosen_count == width)
            chosen_count--;
        chosen[chosen_count++] = added;
    }
    graph_set_links(graph, from, level, chosen, chosen_count);
}

void graph_add_link(struct graph_builder *builder, int32_t from, int32_t to,
                    int level, bool is_certain)
{
    struct graph *graph = builder->graph;
    int width = graph_width(graph, level), count;
    int32_t links[GRAPH_WIDTH_MAX + 1];

    pthread_mutex_lock(graph_lock(graph, from));
    count = graph_copy_links(graph, from, level, links);
    if (!is_among(links, count, to)) {
        links[count] = to;
        if (count < width)
            set_link(graph_links(graph, from, level), count, to);
        else
            choose_again(builder, from, links, count + 1, level, is_certain);
    }
    pthread_mutex_unlock(graph_lock(graph, from));
}
