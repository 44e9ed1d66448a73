/* SPDX-License-Identifier: Apache-2.0 */
/* The entries that were met are one sorted list, instead of the paper's two
 * queues: what falls off its end would be in neither. Insertion moves the
 * rest, which for the few hundred that a walk keeps is cheaper than a heap. */
#include "vectors/hnsw_walk.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/vecindex_parts.h"

int hnsw_walk_new(int64_t count, int ef, struct hnsw_walk **out,
                  struct err *err)
{
    struct hnsw_walk *walk = mem_new(sizeof *walk);

    walk->met = mem_try((size_t)ef + 1, sizeof *walk->met);
    walk->visits = mem_try((size_t)count, sizeof *walk->visits);
    walk->met_cap = ef;
    walk->count = count;
    if (walk->met == NULL || walk->visits == NULL) {
        hnsw_walk_free(walk);
        return err_set(err, ERR_UNAVAILABLE,
                       "no memory for a walk over %lld entries",
                       (long long)count);
    }
    *out = walk;
    return 0;
}

void hnsw_walk_free(struct hnsw_walk *walk)
{
    if (walk == NULL)
        return;
    mem_free(walk->met);
    mem_free(walk->visits);
    mem_free(walk);
}

static void begin(struct hnsw_walk *walk, int ef)
{
    assert(ef >= 1 && ef <= walk->met_cap);
    walk->ef = ef;
    walk->met_count = 0;
    if (++walk->visit == 0) {
        memset(walk->visits, 0, (size_t)walk->count * sizeof *walk->visits);
        walk->visit = 1;
    }
}

int hnsw_links(const struct hnsw_ground *ground, int32_t place, int level,
               int32_t *out)
{
    const struct faiss_graph *graph = ground->graph;
    const int32_t *links = graph->neighbours + graph->offsets[place] +
                           (uint64_t)graph->starts[level];
    int max = graph->starts[level + 1] - graph->starts[level], count = 0;
    pthread_mutex_t *lock = NULL;

    if (ground->locks != NULL) {
        lock = &ground->locks[place & (ground->lock_count - 1)];
        pthread_mutex_lock(lock);
    }
    while (count < max && links[count] >= 0) {
        out[count] = links[count];
        count++;
    }
    if (lock != NULL)
        pthread_mutex_unlock(lock);
    return count;
}

static const float *row_of(const struct hnsw_ground *ground, int32_t place)
{
    return ground->rows + (int64_t)place * ground->dim;
}

float hnsw_distance(const struct hnsw_ground *ground, const float *query,
                    int32_t place)
{
    const float *row = row_of(ground, place);
    float distance;

    vecindex_distances(ground->kernels, ground->metric, query, &row, 1,
                       ground->dim, &distance);
    return distance;
}

/* Distances to places, in out. */
static void measure(const struct hnsw_ground *ground, const float *query,
                    const int32_t *places, int count, float *out)
{
    const float *rows[VECINDEX_RUN_LEN];
    int i, done, part;

    for (done = 0; done < count; done += part) {
        part =
            count - done < VECINDEX_RUN_LEN ? count - done : VECINDEX_RUN_LEN;
        for (i = 0; i < part; i++) {
            rows[i] = row_of(ground, places[done + i]);
            __builtin_prefetch(rows[i]);
        }
        vecindex_distances(ground->kernels, ground->metric, query, rows, part,
                           ground->dim, out + done);
    }
}

int32_t hnsw_descend(const struct hnsw_ground *ground, const float *query,
                     int32_t place, int level)
{
    int32_t links[FAISS_LINKS_MAX];
    float distances[FAISS_LINKS_MAX];
    float best = hnsw_distance(ground, query, place);
    int top = ground->graph->levels[place] - 1, i, count;
    bool is_moved;

    for (; top > level; top--) {
        do {
            is_moved = false;
            count = hnsw_links(ground, place, top, links);
            measure(ground, query, links, count, distances);
            for (i = 0; i < count; i++)
                if (distances[i] < best) {
                    best = distances[i];
                    place = links[i];
                    is_moved = true;
                }
        } while (is_moved);
    }
    return place;
}

static bool is_before(const struct hnsw_met *met, float distance, int32_t place)
{
    return met->distance < distance ||
           (met->distance == distance && met->place < place);
}

/* Puts an entry at its place in the list when it is among the ef nearest.
 * Answers where; ef when nowhere. */
static int insert(struct hnsw_walk *walk, float distance, int32_t place)
{
    struct hnsw_met *met = walk->met;
    int low = 0, high = walk->met_count;

    if (walk->met_count == walk->ef &&
        !(distance < met[walk->met_count - 1].distance))
        return walk->ef;
    while (low < high) {
        int middle = (low + high) / 2;

        if (is_before(&met[middle], distance, place))
            low = middle + 1;
        else
            high = middle;
    }
    if (walk->met_count < walk->ef)
        walk->met_count++;
    memmove(met + low + 1, met + low,
            (size_t)(walk->met_count - 1 - low) * sizeof *met);
    met[low] = (struct hnsw_met){distance, place, false};
    return low;
}

/* Follows the links of one entry; answers the nearest place of the list that
 * changed. */
static int follow(const struct hnsw_ground *ground, struct hnsw_walk *walk,
                  const float *query, int32_t place, int level)
{
    int32_t links[FAISS_LINKS_MAX];
    float distances[FAISS_LINKS_MAX];
    int count = hnsw_links(ground, place, level, links);
    int fresh = 0, first = walk->ef, i, at;

    for (i = 0; i < count; i++) {
        if (walk->visits[links[i]] == walk->visit)
            continue;
        walk->visits[links[i]] = walk->visit;
        links[fresh++] = links[i];
    }
    measure(ground, query, links, fresh, distances);
    for (i = 0; i < fresh; i++) {
        at = insert(walk, distances[i], links[i]);
        first = at < first ? at : first;
    }
    return first;
}

void hnsw_widen(const struct hnsw_ground *ground, struct hnsw_walk *walk,
                const float *query, int32_t place, int level, int ef)
{
    int i = 0, first;

    begin(walk, ef);
    walk->visits[place] = walk->visit;
    insert(walk, hnsw_distance(ground, query, place), place);
    while (i < walk->met_count) {
        if (walk->met[i].is_followed) {
            i++;
            continue;
        }
        walk->met[i].is_followed = true;
        first = follow(ground, walk, query, walk->met[i].place, level);
        i = first <= i ? first : i + 1;
    }
}
