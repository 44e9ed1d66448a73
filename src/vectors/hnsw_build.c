/* SPDX-License-Identifier: Apache-2.0 */
/* Building (Malkov and Yashunin 2018, algorithms 1, 3 and 4). Entries go in
 * from the highest level down, so the one where every walk begins is the first
 * and never changes; within a level in random order, because rows come sorted
 * by class as often as not.
 *
 * Several threads put entries in at once. A lock guards the links of those
 * entries that share it, and no thread ever holds two. An entry gets its own
 * links on all its levels before any other leads to it, from the ground up;
 * so whoever comes to it can go on. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/hnsw.h"
#include "vectors/hnsw_walk.h"
#include "vectors/parallel.h"
#include "vectors/vecindex_parts.h"

enum { LOCK_COUNT = 4096, STEP = 16, AT_ONCE = 4 };

/* Levels less likely than this are not made. */
static const double chance_min = 1e-9;

struct choice {
    float distance;
    uint32_t order; /* among equals: by chance, else all would choose the same
                     * ones and the rest could not be reached */
    int32_t place;
};

/* The links of one entry on one level, while it is put in. */
struct links {
    int32_t places[FAISS_LINKS_MAX];
    int count;
};

/* What one thread works with. */
struct builder {
    struct hnsw_walk *walk; /* owned */
    struct choice *choices; /* owned; candidates for links */
    struct links *levels;   /* owned; by level */
};

struct build {
    struct hnsw_ground ground;
    struct faiss_graph *graph;
    const int32_t *order;
    int ef;
    struct builder builders[VECINDEX_THREADS_MAX];
    pthread_mutex_t locks[LOCK_COUNT];
};

/* --- which entry is on which level ---------------------------------------- */

static void set_starts(struct faiss_graph *graph, int links)
{
    double scale = 1 / log(links > 1 ? links : 2);
    int level = 0, at = 0;

    while (level < FAISS_LEVEL_MAX &&
           exp(-level / scale) * (1 - exp(-1 / scale)) >= chance_min) {
        at += level == 0 ? 2 * links : links;
        graph->starts[++level] = at;
    }
    graph->start_count = level + 1;
}

static int draw_levels(struct faiss_graph *graph, int64_t count, int links,
                       uint64_t seed, struct err *err)
{
    double scale = 1 / log(links > 1 ? links : 2);
    int64_t i;

    graph->levels = mem_try((size_t)count, sizeof *graph->levels);
    graph->offsets = mem_try((size_t)count + 1, sizeof *graph->offsets);
    if (graph->levels == NULL || graph->offsets == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a graph");
    for (i = 0; i < count; i++) {
        /* 53 bits, and never 0. */
        double chance =
            ((double)(vecindex_random(&seed) >> 11) + 1) / 9007199254740993.0;
        double level = -log(chance) * scale;

        graph->levels[i] = level < graph->start_count - 2
                               ? 1 + (int32_t)level
                               : graph->start_count - 1;
        graph->offsets[i + 1] =
            graph->offsets[i] + (uint64_t)graph->starts[graph->levels[i]];
    }
    graph->neighbours = mem_try_aligned((size_t)graph->offsets[count],
                                        sizeof *graph->neighbours);
    if (graph->neighbours == NULL)
        return err_set(err, ERR_UNAVAILABLE,
                       "no memory for the links of %lld entries",
                       (long long)count);
    memset(graph->neighbours, 0xff,
           (size_t)graph->offsets[count] * sizeof *graph->neighbours);
    return 0;
}

/* All places, from the highest level down, shuffled within a level. */
static void set_order(const struct faiss_graph *graph, int32_t count,
                      uint64_t seed, int32_t *out)
{
    int32_t begin = 0, end = 0, i, level;

    for (level = graph->start_count - 1; level >= 1; level--) {
        for (i = 0; i < count; i++)
            if (graph->levels[i] == level)
                out[end++] = i;
        for (i = end - 1; i > begin; i--) {
            int32_t j = begin + (int32_t)(vecindex_random(&seed) %
                                          (uint64_t)(i - begin + 1));
            int32_t moved = out[i];

            out[i] = out[j];
            out[j] = moved;
        }
        begin = end;
    }
}

/* --- choosing links ------------------------------------------------------- */

static const float *row_of(const struct build *build, int32_t place)
{
    return build->ground.rows + (int64_t)place * build->ground.dim;
}

/* Whether a candidate is nearer to one that was chosen than to the entry: then
 * the way to it leads over that one. */
static bool is_covered(const struct build *build,
                       const struct choice *candidate,
                       const struct links *chosen)
{
    const struct hnsw_ground *ground = &build->ground;
    const float *rows[AT_ONCE];
    float distances[AT_ONCE];
    int i, done, part;

    for (done = 0; done < chosen->count; done += part) {
        part = chosen->count - done < AT_ONCE ? chosen->count - done : AT_ONCE;
        for (i = 0; i < part; i++)
            rows[i] = row_of(build, chosen->places[done + i]);
        vecindex_distances(ground->kernels, ground->metric,
                           row_of(build, candidate->place), rows, part,
                           ground->dim, distances);
        for (i = 0; i < part; i++)
            if (distances[i] < candidate->distance)
                return true;
    }
    return false;
}

static bool is_equal(const struct build *build, int32_t a, int32_t b)
{
    return memcmp(row_of(build, a), row_of(build, b),
                  (size_t)build->ground.dim * sizeof(float)) == 0;
}

/* Algorithm 4: of candidates for the links of `place`, nearest first, those
 * that no chosen one covers, then the nearest of the rest. Rows that are equal
 * to its own get half of the links, so that they lead out of their crowd. */
static void choose(const struct build *build, int32_t place,
                   const struct choice *candidates, int count, int max,
                   struct links *out)
{
    int32_t covered[FAISS_LINKS_MAX];
    int covered_count = 0, equal_count = 0, i;
    bool is_chosen;

    out->count = 0;
    for (i = 0; i < count && out->count < max; i++) {
        if (is_equal(build, place, candidates[i].place))
            is_chosen = equal_count++ < (max + 1) / 2;
        else
            is_chosen = !is_covered(build, &candidates[i], out);
        if (is_chosen)
            out->places[out->count++] = candidates[i].place;
        else if (covered_count < max)
            covered[covered_count++] = candidates[i].place;
    }
    for (i = 0; i < covered_count && out->count < max; i++)
        out->places[out->count++] = covered[i];
}

static struct choice make_choice(int32_t self, int32_t place, float distance)
{
    uint64_t state = (uint64_t)self << 32 | (uint32_t)place;

    return (struct choice){distance, (uint32_t)vecindex_random(&state), place};
}

static int by_distance(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* --- putting an entry in -------------------------------------------------- */

static int32_t *slots_of(const struct build *build, int32_t place, int level)
{
    const struct faiss_graph *graph = build->graph;

    return graph->neighbours + graph->offsets[place] +
           (uint64_t)graph->starts[level];
}

static int slot_count(const struct build *build, int level)
{
    return build->graph->starts[level + 1] - build->graph->starts[level];
}

static pthread_mutex_t *lock_of(struct build *build, int32_t place)
{
    return &build->locks[place & (LOCK_COUNT - 1)];
}

static void set_links(struct build *build, int32_t place, int level,
                      const struct links *links)
{
    int32_t *slots = slots_of(build, place, level);
    int max = slot_count(build, level), i;

    for (i = 0; i < max; i++)
        slots[i] = i < links->count ? links->places[i] : -1;
}

/* A link from `from` to `to`; when `from` has no slot left it chooses anew
 * among its links and this one. */
static void add_link(struct build *build, struct builder *builder, int32_t from,
                     int32_t to, int level)
{
    int32_t *slots = slots_of(build, from, level);
    int max = slot_count(build, level), count = 0, i;
    struct links chosen;

    pthread_mutex_lock(lock_of(build, from));
    while (count < max && slots[count] >= 0)
        count++;
    if (count < max) {
        slots[count] = to;
    } else {
        for (i = 0; i <= count; i++) {
            int32_t place = i < count ? slots[i] : to;

            builder->choices[i] = make_choice(
                from, place,
                hnsw_distance(&build->ground, row_of(build, from), place));
        }
        qsort(builder->choices, (size_t)count + 1, sizeof *builder->choices,
              by_distance);
        choose(build, from, builder->choices, count + 1, max, &chosen);
        set_links(build, from, level, &chosen);
    }
    pthread_mutex_unlock(lock_of(build, from));
}

/* Where its links on a level lead: the walk there, and the choice. */
static int32_t find_links(struct build *build, struct builder *builder,
                          int32_t place, int32_t from, int level)
{
    struct hnsw_walk *walk = builder->walk;
    int links = build->graph->starts[1] / 2, i;

    hnsw_widen(&build->ground, walk, row_of(build, place), from, level,
               build->ef);
    for (i = 0; i < walk->met_count; i++)
        builder->choices[i] =
            make_choice(place, walk->met[i].place, walk->met[i].distance);
    qsort(builder->choices, (size_t)walk->met_count, sizeof *builder->choices,
          by_distance);
    choose(build, place, builder->choices, walk->met_count, links,
           &builder->levels[level]);
    return walk->met[0].place;
}

static void put_in(struct build *build, struct builder *builder, int32_t place)
{
    int top = build->graph->levels[place] - 1, level, i;
    int32_t from = hnsw_descend(&build->ground, row_of(build, place),
                                build->graph->entry, top);

    for (level = top; level >= 0; level--)
        from = find_links(build, builder, place, from, level);
    pthread_mutex_lock(lock_of(build, place));
    for (level = 0; level <= top; level++)
        set_links(build, place, level, &builder->levels[level]);
    pthread_mutex_unlock(lock_of(build, place));
    for (level = 0; level <= top; level++)
        for (i = 0; i < builder->levels[level].count; i++)
            add_link(build, builder, builder->levels[level].places[i], place,
                     level);
}

static void put_in_some(void *user, int worker, int64_t begin, int64_t end)
{
    struct build *build = user;
    int64_t i;

    for (i = begin; i < end; i++)
        put_in(build, &build->builders[worker], build->order[i + 1]);
}

/* --- the whole ------------------------------------------------------------ */

static void free_builders(struct build *build, int thread_count)
{
    int i;

    for (i = 0; i < thread_count; i++) {
        hnsw_walk_free(build->builders[i].walk);
        mem_free(build->builders[i].choices);
        mem_free(build->builders[i].levels);
    }
}

static int make_builders(struct build *build, int thread_count, int64_t count,
                         struct err *err)
{
    /* Candidates are those of a walk, or the links of an entry and one more. */
    size_t choice_max = (size_t)build->ef + (size_t)slot_count(build, 0) + 1;
    int i, rc = 0;

    for (i = 0; rc == 0 && i < thread_count; i++) {
        struct builder *builder = &build->builders[i];

        rc = hnsw_walk_new(count, build->ef, &builder->walk, err);
        builder->choices = mem_try(choice_max, sizeof *builder->choices);
        builder->levels =
            mem_try((size_t)build->graph->start_count, sizeof *builder->levels);
        if (rc == 0 && (builder->choices == NULL || builder->levels == NULL))
            rc = err_set(err, ERR_UNAVAILABLE, "no memory to build a graph");
    }
    return rc;
}

static int link_all(struct vecindex *index, struct faiss_graph *graph,
                    const struct vecindex_options *options, struct err *err)
{
    int32_t count = (int32_t)index->data.count;
    int32_t *order = mem_try((size_t)count, sizeof *order);
    struct build *build = mem_new(sizeof *build);
    int i, rc;

    for (i = 0; i < LOCK_COUNT; i++)
        pthread_mutex_init(&build->locks[i], NULL);
    build->ground = (struct hnsw_ground){
        index->kernels, index->data.metric, index->data.dim, index->data.rows,
        graph,          build->locks,       LOCK_COUNT};
    build->graph = graph;
    build->order = order;
    build->ef = options->ef_construction;
    rc = order == NULL
             ? err_set(err, ERR_UNAVAILABLE, "no memory to build a graph")
             : make_builders(build, options->thread_count, count, err);
    if (rc == 0) {
        set_order(graph, count, options->seed ^ 1, order);
        graph->entry = order[0];
        parallel_run(options->thread_count, count - 1, STEP, put_in_some,
                     build);
    }
    free_builders(build, options->thread_count);
    for (i = 0; i < LOCK_COUNT; i++)
        pthread_mutex_destroy(&build->locks[i]);
    mem_free(build);
    mem_free(order);
    return rc;
}

int hnsw_build(struct vecindex *index, const struct vecindex_options *options,
               struct err *err)
{
    struct faiss_graph *graph = &index->data.graph;
    int rc;

    if (index->data.count > INT32_MAX)
        return err_set(err, ERR_INVALID, "%lld rows; a graph has at most %lld",
                       (long long)index->data.count, (long long)INT32_MAX);
    graph->entry = -1;
    graph->ef_construction = options->ef_construction;
    graph->ef_search = options->ef_search;
    set_starts(graph, options->links);
    rc = draw_levels(graph, index->data.count, options->links, options->seed,
                     err);
    if (rc == 0 && index->data.count > 0)
        rc = link_all(index, graph, options, err);
    index->data.kind = FAISS_HNSW_FLAT;
    return rc;
}
