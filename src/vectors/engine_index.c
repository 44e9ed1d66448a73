/* SPDX-License-Identifier: Apache-2.0 */
/* From the rows of a generation to its graph or its lists. */
#include "base/mem.h"
#include "vectors/engine_keeper.h"

enum {
    PART_MIN = 20000, /* slots that go in between two looks at what else there
                       * is to do: so many, or half of those that are in */
    REPAIR_MAX = 65536,
    TRAIN_MIN = 256, /* rows that lists are trained on, at least */
    /* Lists are trained anew when there are so many times the rows. */
    TRAIN_AGAIN = 4,
};

static _Atomic uint8_t *removed_byte(const struct generation *generation,
                                     int64_t slot)
{
    return blocks_at(&generation->removed, slot);
}

static bool is_gone(const struct generation *generation, int64_t slot)
{
    return atomic_load_explicit(removed_byte(generation, slot),
                                memory_order_relaxed) == SLOT_GONE;
}

/* Nobody else changes a byte that is not 0. */
static void mark_repaired(const struct generation *generation, int64_t slot)
{
    atomic_store_explicit(removed_byte(generation, slot), SLOT_REPAIRED,
                          memory_order_relaxed);
}

int64_t keeper_indexed(struct vecengine *engine)
{
    struct engine_view view;
    int64_t count;

    vecengine_take(engine, &view);
    count = view.index->graph != NULL   ? graph_count(view.index->graph)
            : view.index->lists != NULL ? lists_count(view.index->lists)
                                        : 0;
    vecengine_give(engine, &view);
    return count;
}

/* What a search can find, more or less: writers are at work. */
static int64_t live_count(const struct engine_view *view)
{
    return view->count - view->generation->removed_count;
}

static bool wants_graph(const struct vecengine *engine,
                        const struct engine_view *view)
{
    switch (engine->settings.type) {
    case VECINDEX_HNSW:
        return view->count > 0;
    case VECINDEX_AUTO:
        return view->index->graph != NULL ||
               live_count(view) > VECINDEX_FLAT_MAX;
    default:
        return false;
    }
}

static bool wants_lists(const struct vecengine *engine,
                        const struct engine_view *view)
{
    int64_t least =
        engine->settings.nlist > TRAIN_MIN ? engine->settings.nlist : TRAIN_MIN;

    return engine->settings.type == VECINDEX_IVFFLAT &&
           (view->index->lists != NULL || live_count(view) >= least);
}

/* --- the graph -------------------------------------------------------------
 */

static int make_graph(struct vecengine *engine, const struct codes *codes,
                      struct err *err)
{
    const struct graph_options options = {
        .links = engine->settings.links,
        .ef_construction = engine->settings.ef_construction,
        .seed = 1,
    };
    struct graph *graph = NULL;
    int rc = graph_new(codes, &options, &graph, err);

    if (rc == 0)
        vecengine_set_index(engine, engine_index_new(graph, NULL));
    return rc;
}

static int insert_some(const struct vecengine *engine,
                       const struct engine_view *view, int64_t end,
                       struct keeper_work *work, struct err *err)
{
    struct graph *graph = view->index->graph;
    int64_t count = graph_count(graph), part = count / 2, slot;

    if (part < PART_MIN)
        part = PART_MIN;
    if (end > count + part)
        end = count + part;
    /* These are not put in, so no link will lead to them. */
    for (slot = count; slot < end; slot++)
        if (is_gone(view->generation, slot))
            mark_repaired(view->generation, slot);
    return graph_insert(graph, end, &view->generation->removed,
                        engine->thread_count, keeper_report, work, err);
}

/* Slots of the graph that were removed and are still led to, REPAIR_MAX at
 * most. */
static int find_gone(const struct engine_view *view, int32_t *out)
{
    int64_t end = graph_count(view->index->graph), slot;
    int count = 0;

    for (slot = 0; slot < end && count < REPAIR_MAX; slot++)
        if (is_gone(view->generation, slot))
            out[count++] = (int32_t)slot;
    return count;
}

/* *out_done: none were left over. */
static int repair_some(const struct engine_view *view, bool *out_done,
                       struct err *err)
{
    int32_t *slots = NULL;
    int count, i, rc;

    *out_done = true;
    if (view->generation->removed_count == 0)
        return 0;
    slots = mem_try(REPAIR_MAX, sizeof *slots);
    if (slots == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to repair a graph");
    count = find_gone(view, slots);
    *out_done = count < REPAIR_MAX;
    rc = graph_remove(view->index->graph, slots, count,
                      &view->generation->removed, err);
    for (i = 0; rc == 0 && i < count; i++)
        mark_repaired(view->generation, slots[i]);
    mem_free(slots);
    return rc;
}

static int keep_graph(struct vecengine *engine, const struct engine_view *view,
                      int64_t end, struct keeper_work *work, bool *out_done,
                      struct err *err)
{
    bool is_repaired = false;
    int rc;

    if (view->index->graph == NULL) {
        *out_done = false;
        return make_graph(engine, view->generation->codes, err);
    }
    rc = insert_some(engine, view, end, work, err);
    if (rc == 0)
        rc = repair_some(view, &is_repaired, err);
    *out_done = is_repaired && graph_count(view->index->graph) >= end;
    return rc;
}

/* --- the lists -------------------------------------------------------------
 */

static int make_lists(struct vecengine *engine, const struct engine_view *view,
                      struct keeper_work *work, struct err *err)
{
    const struct blocks *removed = &view->generation->removed;
    const struct lists_options options = {
        .nlist = engine->settings.nlist,
        .thread_count = engine->thread_count,
        .seed = 1,
        .progress = keeper_report,
        .user = work,
    };
    struct lists *lists = NULL;
    int rc = lists_train(view->generation->codes, view->count, removed,
                         &options, &lists, err);

    if (rc)
        return rc;
    /* Searches go by the old lists, if there are any, until all rows are in. */
    rc = lists_insert(lists, view->count, removed, engine->thread_count,
                      keeper_report, work, err);
    if (rc) {
        lists_free(lists);
        return rc;
    }
    vecengine_set_index(engine, engine_index_new(NULL, lists));
    return 0;
}

static int keep_lists(struct vecengine *engine, const struct engine_view *view,
                      int64_t end, struct keeper_work *work, bool *out_done,
                      struct err *err)
{
    struct lists *lists = view->index->lists;

    *out_done = false;
    if (lists == NULL ||
        (engine->settings.nlist == 0 &&
         live_count(view) / TRAIN_AGAIN > lists_trained_on(lists)))
        return make_lists(engine, view, work, err);
    *out_done = true;
    return lists_insert(lists, end, &view->generation->removed,
                        engine->thread_count, keeper_report, work, err);
}

int keeper_index(struct vecengine *engine, int64_t end,
                 struct keeper_work *work, bool *out_done, struct err *err)
{
    struct engine_view view;
    int rc = 0;

    vecengine_take(engine, &view);
    if (end > view.count)
        end = view.count;
    *out_done = true;
    if (wants_graph(engine, &view))
        rc = keep_graph(engine, &view, end, work, out_done, err);
    else if (wants_lists(engine, &view))
        rc = keep_lists(engine, &view, end, work, out_done, err);
    vecengine_give(engine, &view);
    return rc;
}
