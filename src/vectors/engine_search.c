/* SPDX-License-Identifier: Apache-2.0 */
/* A search takes a view of the engine and waits for nobody. It is exact when
 * that is asked for, when there is no index, or when looking at all rows that
 * can match is quicker; else the index finds candidates among the
 * rows that it covers, and the rest is scanned. The radius cuts what was
 * found. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "vectors/engine_hits.h"
#include "vectors/engine_parts.h"

enum {
    TRIES_MAX = 8,
    MORE_MAX = 8,     /* looks at what came meanwhile */
    TIE_STEP = 16,    /* times the room when a tie goes on */
    GATHER_LEN = 512, /* rows whose distances are taken at once */
    /* A walk as broad as this looks, for each of its breadth, at more rows than
     * that, one here and one there: looking at as many beside each other takes
     * less time. Measured at 512 values: 2.9 us against 0.4. */
    BROAD_MIN = 256,
    BROAD_ROWS = 16,
};

struct search {
    struct engine_view view;
    struct vecengine *engine;
    const struct vec_query *query;
    struct codes_query *codes; /* owned; the query as the codes want it */
    uint64_t *wanted;          /* owned; NULL: all */
    struct slot_filter filter;
    int64_t match_count; /* rows that can be found */
    int64_t excluded;    /* an id, or VEC_ID_NEW: replacing keeps it */
    int64_t enough;      /* hits to be found, with the excluded one */
    int try_number;      /* from 0; there is twice the room in each */
    float limit;         /* inside, what is farther is not wanted */
    struct nearest nearest;
    bool is_exact;
};

static void search_release(struct search *search)
{
    codes_query_free(search->codes);
    mem_free(search->wanted);
    mem_free(search->nearest.hits);
}

static float inner_limit(enum vecindex_metric metric,
                         const struct vec_query *query)
{
    if (!query->has_radius)
        return INFINITY;
    return metric == VECINDEX_L2 ? query->radius : -query->radius;
}

static float outer_distance(enum vecindex_metric metric, float distance)
{
    if (metric == VECINDEX_L2)
        return distance;
    if (metric == VECINDEX_IP)
        return -distance;
    /* Rounding may take the cosine of a vector with itself past 1. */
    return fmaxf(-1, fminf(1, -distance));
}

/* --- preparing -------------------------------------------------------- */

static int prepare_filter(struct search *search, struct err *err)
{
    struct generation *generation = search->view.generation;
    const struct vec_filter *filter = search->query->filter;
    int64_t count = search->view.count;
    int rc;

    mem_free(search->wanted);
    search->wanted = NULL;
    search->filter = (struct slot_filter){.removed = &generation->removed,
                                          .wanted_count = count};
    search->match_count = count - generation->removed_count;
    if (filter == NULL || filter->term_count == 0)
        return 0;
    rc = slot_tags_filter(generation->tags, filter, count, &generation->removed,
                          &search->wanted, &search->match_count, err);
    search->filter.wanted = search->wanted;
    return rc;
}

static int find_excluded(struct search *search, struct err *err)
{
    struct generation *generation = search->view.generation;
    const char *key = search->query->exclude_key;
    int64_t slot = SLOT_NONE;
    int rc;

    search->excluded = VEC_ID_NEW;
    if (key == NULL || key[0] == '\0')
        return 0;
    rc = generation_find_key(generation, key, INT64_MAX, &slot, err);
    if (rc == 0 && slot != SLOT_NONE)
        search->excluded = generation_slot(generation, slot)->id;
    return rc;
}

static int make_room(struct search *search, int64_t k, struct err *err)
{
    search->nearest.hits = mem_try((size_t)k, sizeof *search->nearest.hits);
    if (search->nearest.hits == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld hits",
                       (long long)k);
    search->nearest.k = (int)k;
    return 0;
}

static int64_t at_most(int64_t k, int64_t max)
{
    return k < max ? k : max;
}

static int prepare(struct search *search, struct err *err)
{
    int64_t k = search->query->k;
    int rc = prepare_filter(search, err);

    if (rc == 0)
        rc = find_excluded(search, err);
    if (rc == 0)
        rc = codes_query_new(search->view.generation->codes,
                             search->query->vector, &search->codes, err);
    if (rc)
        return rc;
    search->enough = k + (search->excluded != VEC_ID_NEW);
    search->limit = inner_limit(search->engine->shape.metric, search->query);
    /* One more shows whether the last is as near as others, see below. */
    k = search->enough + !search->view.generation->is_ordered;
    return make_room(search, k << search->try_number, err);
}

/* --- exact ------------------------------------------------------------ */

static int scan(struct search *search, int64_t begin, float limit,
                struct err *err)
{
    return codes_scan(search->view.generation->codes, search->codes, begin,
                      search->view.count, &search->filter, limit,
                      search->engine->thread_count, &search->nearest, err);
}

/* Offers the exact nearest of the rows that are wanted, when these are few. */
static int look_at_wanted(struct search *search, struct err *err)
{
    const struct codes *codes = search->view.generation->codes;
    int64_t words = (search->view.count + 63) / 64, word = 0;
    int32_t slots[GATHER_LEN + 64];
    float approx[GATHER_LEN + 64];
    int rc = 0;

    while (rc == 0 && word < words) {
        int count = 0;

        for (; word < words && count < GATHER_LEN; word++) {
            uint64_t left = search->wanted[word];

            for (; left != 0; left &= left - 1) {
                int64_t slot = 64 * word + __builtin_ctzll(left);

                if (!slot_is_removed(search->filter.removed, slot))
                    slots[count++] = (int32_t)slot;
            }
        }
        if (count == 0)
            continue;
        codes_distances(codes, search->codes, slots, count, approx);
        rc = codes_rerank(codes, search->codes, slots, approx, count,
                          search->limit, &search->nearest, err);
    }
    return rc;
}

static int search_exactly(struct search *search, struct err *err)
{
    search->is_exact = true;
    search->nearest.count = 0;
    if (search->wanted != NULL && search->match_count < search->view.count / 16)
        return look_at_wanted(search, err);
    return scan(search, 0, search->limit, err);
}

/* --- by the index ----------------------------------------------------- */

static int take_walk(struct vecengine *engine, struct engine_index *index,
                     struct graph_walk **out, struct err *err)
{
    struct graph_walk *walk = NULL;

    pthread_mutex_lock(&engine->taking);
    if (index->walk_count > 0)
        walk = index->walks[--index->walk_count];
    pthread_mutex_unlock(&engine->taking);
    *out = walk;
    return walk != NULL ? 0 : graph_walk_new(index->graph, out, err);
}

static void give_walk(struct vecengine *engine, struct engine_index *index,
                      struct graph_walk *walk)
{
    pthread_mutex_lock(&engine->taking);
    if (walk != NULL && index->walk_count < ENGINE_WALKS_MAX) {
        index->walks[index->walk_count++] = walk;
        walk = NULL;
    }
    pthread_mutex_unlock(&engine->taking);
    graph_walk_free(walk);
}

static int breadth(const struct search *search)
{
    int ef = search->query->ef_search;

    if (ef == 0)
        ef = search->engine->settings.ef_search;
    if (ef < search->nearest.k)
        ef = search->nearest.k;
    return ef < VECINDEX_EF_MAX ? ef : VECINDEX_EF_MAX;
}

/* Ranks what the graph has found below `covered`: those above were put in since
 * that was read, and are scanned. *out_count: how many there are. */
static int rank(struct search *search, const int32_t *slots,
                const float *approx, int count, int64_t covered, int *out_count,
                struct err *err)
{
    const struct codes *codes = search->view.generation->codes;
    int32_t kept[GATHER_LEN];
    float distances[GATHER_LEN];
    int i = 0, rc = 0;

    *out_count = 0;
    while (rc == 0 && i < count) {
        int kept_count = 0;

        for (; i < count && kept_count < GATHER_LEN; i++) {
            if (slots[i] >= covered)
                continue;
            kept[kept_count] = slots[i];
            distances[kept_count++] = approx[i];
        }
        *out_count += kept_count;
        rc = codes_rerank(codes, search->codes, kept, distances, kept_count,
                          INFINITY, &search->nearest, err);
    }
    return rc;
}

static int search_graph(struct search *search, struct err *err)
{
    struct engine_index *index = search->view.index;
    int64_t covered = graph_count(index->graph);
    struct graph_walk *walk = NULL;
    const int32_t *slots = NULL;
    const float *approx = NULL;
    int count = 0, rc = take_walk(search->engine, index, &walk, err);

    if (rc)
        return rc;
    if (covered > search->view.count)
        covered = search->view.count;
    rc = graph_search(index->graph, walk, search->codes, breadth(search),
                      &search->filter, &slots, &approx, &count, err);
    if (rc == 0)
        rc = rank(search, slots, approx, count, covered, &count, err);
    give_walk(search->engine, index, walk);
    if (rc == 0)
        rc = scan(search, covered, INFINITY, err);
    search->is_exact = covered == 0;
    return rc;
}

static int search_lists(struct search *search, struct err *err)
{
    struct engine_index *index = search->view.index;
    int nprobe = search->query->nprobe;
    struct lists_query query = {.query = search->codes,
                                .filter = &search->filter,
                                .limit = search->limit,
                                .end = lists_count(index->lists)};
    int rc;

    if (query.end > search->view.count)
        query.end = search->view.count;
    query.nprobe = nprobe > 0 ? nprobe : search->engine->settings.nprobe;
    rc = lists_search(index->lists, &query, &search->nearest, &search->is_exact,
                      err);
    return rc ? rc : scan(search, query.end, search->limit, err);
}

static bool is_walk_broad(const struct search *search)
{
    int ef = breadth(search);

    return ef >= BROAD_MIN && search->match_count <= (int64_t)BROAD_ROWS * ef;
}

/* Whether looking at all rows that match is the thing to do. */
static bool is_scan_best(const struct search *search)
{
    const struct engine_index *index = search->view.index;

    return search->query->is_exact ||
           (index->graph == NULL && index->lists == NULL) ||
           (index->graph != NULL && is_walk_broad(search)) ||
           (search->wanted != NULL && search->match_count <= VECINDEX_FLAT_MAX);
}

static int look(struct search *search, struct err *err)
{
    int rc;

    if (search->match_count <= 0) {
        search->is_exact = true;
        return 0;
    }
    if (is_scan_best(search))
        return search_exactly(search, err);
    if (search->view.index->lists != NULL)
        return search_lists(search, err);
    rc = search_graph(search, err);
    /* A walk that gave up, or a graph that fell apart. */
    if (rc == 0 &&
        search->nearest.count < at_most(search->enough, search->match_count))
        rc = search_exactly(search, err);
    return rc;
}

/* Rows that came meanwhile may have replaced rows that were not found because
 * of that: so they are looked at until no more come. */
static int look_at_more(struct search *search, struct err *err)
{
    const struct generation *generation = search->view.generation;
    int i, rc = 0;

    for (i = 0; rc == 0 && i < MORE_MAX; i++) {
        int64_t begin = search->view.count;

        search->view.count =
            atomic_load_explicit(&generation->count, memory_order_acquire);
        if (search->view.count == begin)
            break;
        rc = prepare_filter(search, err);
        if (rc == 0)
            rc = scan(search, begin, search->limit, err);
    }
    return rc;
}

/* Inside, ties go to the lower slot; for callers, to the lower id. Where these
 * may differ (entries that were replaced, ids that callers chose) and others
 * are as near as the last hit, more are taken until one is farther. */
static int resolve_ties(struct search *search, struct err *err)
{
    int64_t k = search->nearest.k, enough = search->enough;
    int rc = 0;

    while (rc == 0 && search->is_exact && search->nearest.count > enough &&
           k < search->match_count) {
        const struct near *hits = search->nearest.hits;

        if (hits[search->nearest.count - 1].distance >
            hits[enough - 1].distance)
            break;
        k = at_most(TIE_STEP * k, search->match_count);
        mem_free(search->nearest.hits);
        search->nearest.hits = NULL;
        rc = make_room(search, k, err);
        if (rc == 0)
            rc = search_exactly(search, err);
        if (rc == 0)
            nearest_sort(&search->nearest);
    }
    return rc;
}

/* --- what was found --------------------------------------------------- */

struct found {
    float distance;
    int64_t id, slot;
};

static int compare(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int compare_ids(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->slot > y->slot ? -1 : x->slot < y->slot;
}

/* While an entry is being replaced, its old row and its new one may be found:
 * the new one counts. */
static int drop_replaced(struct found *found, int count)
{
    int kept = 0, i;

    qsort(found, (size_t)count, sizeof *found, compare_ids);
    for (i = 0; i < count; i++) {
        if (kept == 0 || found[kept - 1].id != found[i].id)
            found[kept++] = found[i];
    }
    return kept;
}

/* Puts what counts of the hits into `out` (room for them all), in their order;
 * returns how many. *out_is_whole: there was room for all that count. */
static int pick(const struct search *search, struct found *out,
                bool *out_is_whole)
{
    int i, k = search->query->k, count = 0, kept;

    for (i = 0; i < search->nearest.count; i++) {
        int64_t slot = search->nearest.hits[i].id;
        float distance = search->nearest.hits[i].distance;
        int64_t id = generation_slot(search->view.generation, slot)->id;

        if (id != search->excluded && distance <= search->limit)
            out[count++] = (struct found){distance, id, slot};
    }
    kept = count;
    if (!search->view.generation->is_ordered)
        kept = drop_replaced(out, count);
    *out_is_whole =
        kept == count || kept >= k || search->nearest.count < search->nearest.k;
    qsort(out, (size_t)kept, sizeof *out, compare);
    return kept < k ? kept : k;
}

static int fill(const struct search *search, const struct found *found,
                int count, struct arena *arena, struct vec_hits *out,
                struct err *err)
{
    enum vecindex_metric metric = search->engine->shape.metric;
    struct vec_hit *hits = arena_try(arena, (size_t)count + 1, sizeof *hits);
    int i, rc = 0;

    if (hits == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d hits", count);
    for (i = 0; rc == 0 && i < count; i++)
        rc = hit_fill(search->view.generation, found[i].slot,
                      outer_distance(metric, found[i].distance), arena,
                      &hits[i], err);
    if (rc == 0)
        *out = (struct vec_hits){hits, count, search->is_exact};
    return rc;
}

static int search_once(struct search *search, struct arena *arena,
                       struct vec_hits *out, bool *out_is_whole,
                       struct err *err)
{
    struct found *found = NULL;
    int count, rc = prepare(search, err);

    if (rc == 0)
        rc = look(search, err);
    if (rc == 0)
        rc = look_at_more(search, err);
    if (rc)
        return rc;
    nearest_sort(&search->nearest);
    rc = resolve_ties(search, err);
    if (rc)
        return rc;
    found = mem_try((size_t)search->nearest.count + 1, sizeof *found);
    if (found == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d hits",
                       search->nearest.count);
    count = pick(search, found, out_is_whole);
    rc = fill(search, found, count, arena, out, err);
    mem_free(found);
    return rc;
}

int vecengine_search(void *self, const struct vec_query *query,
                     struct arena *arena, struct vec_hits *out, struct err *err)
{
    struct vecengine *engine = self;
    bool is_whole = false;
    int rc = 0, i;

    /* Entries that were found twice take the place of others. */
    for (i = 0; rc == 0 && !is_whole && i < TRIES_MAX; i++) {
        struct search search = {
            .engine = engine, .query = query, .try_number = i};

        vecengine_take(engine, &search.view);
        rc = log_file_check_len(search.view.generation->log, err);
        if (rc == 0)
            rc = search_once(&search, arena, out, &is_whole, err);
        search_release(&search);
        vecengine_give(engine, &search.view);
    }
    return rc;
}
