/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/hnsw.h"

#include <pthread.h>

#include "base/mem.h"
#include "vectors/hnsw_walk.h"
#include "vectors/vecindex_parts.h"

/* Walks that no search uses now. A search takes one or makes one, and gives it
 * back, so there are as many as ever searched at once. */
struct hnsw_pool {
    pthread_mutex_t mutex;   /* guards what follows */
    struct hnsw_walk *first; /* owned, through next */
};

struct hnsw_pool *hnsw_pool_new(void)
{
    struct hnsw_pool *pool = mem_new(sizeof *pool);

    pthread_mutex_init(&pool->mutex, NULL);
    return pool;
}

void hnsw_pool_free(struct hnsw_pool *pool)
{
    struct hnsw_walk *walk, *next;

    if (pool == NULL)
        return;
    for (walk = pool->first; walk != NULL; walk = next) {
        next = walk->next;
        hnsw_walk_free(walk);
    }
    pthread_mutex_destroy(&pool->mutex);
    mem_free(pool);
}

/* One that keeps up to ef; one that keeps fewer is given up for it. */
static int take_walk(struct hnsw_pool *pool, int64_t count, int ef,
                     struct hnsw_walk **out, struct err *err)
{
    struct hnsw_walk *walk;

    pthread_mutex_lock(&pool->mutex);
    walk = pool->first;
    if (walk != NULL)
        pool->first = walk->next;
    pthread_mutex_unlock(&pool->mutex);
    if (walk != NULL && walk->met_cap >= ef) {
        *out = walk;
        return 0;
    }
    hnsw_walk_free(walk);
    return hnsw_walk_new(count, ef, out, err);
}

static void give_walk(struct hnsw_pool *pool, struct hnsw_walk *walk)
{
    pthread_mutex_lock(&pool->mutex);
    walk->next = pool->first;
    pool->first = walk;
    pthread_mutex_unlock(&pool->mutex);
}

int hnsw_search(const struct vecindex_scan *scan, int ef, int64_t *out_count,
                struct err *err)
{
    const struct vecindex *index = scan->index;
    const struct hnsw_ground ground = {
        .kernels = index->kernels,
        .metric = index->data.metric,
        .dim = index->data.dim,
        .rows = index->data.rows,
        .graph = &index->data.graph,
    };
    struct hnsw_walk *walk = NULL;
    int32_t place;
    int i, rc;

    *out_count = 0;
    if (index->data.graph.entry < 0)
        return 0;
    rc = take_walk(index->visits, index->data.count, ef, &walk, err);
    if (rc)
        return rc;
    place = hnsw_descend(&ground, scan->query, index->data.graph.entry, 0);
    hnsw_widen(&ground, walk, scan->query, place, 0, ef);
    for (i = 0; i < walk->met_count; i++) {
        struct near hit = {walk->met[i].distance, walk->met[i].place};

        if (index->data.ids != NULL)
            hit.id = index->data.ids[walk->met[i].place];
        nearest_offer(scan->nearest, &hit);
    }
    *out_count = walk->met_count;
    give_walk(index->visits, walk);
    return 0;
}
