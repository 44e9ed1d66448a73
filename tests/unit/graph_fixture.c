/* SPDX-License-Identifier: Apache-2.0 */
#include "graph_fixture.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { RECALL_K = 10, EF = 64 };

void graph_sample_init(struct graph_sample *sample, float *rows, int64_t count,
                       int dim, enum vecindex_metric metric)
{
    const struct codes_options options = {
        .dim = dim, .metric = metric, .storage = VEC_INT8};
    const struct graph_options presets = {16, 200, 1};
    const float **places = mem_new((size_t)count * sizeof *places);
    struct err err = {0};
    int64_t i;

    *sample = (struct graph_sample){
        .rows = rows, .count = count, .dim = dim, .metric = metric};
    for (i = 0; i < count; i++)
        places[i] = rows + i * dim;
    CHECK_OK(codes_new(&options, &sample->codes, &err), err);
    CHECK_OK(codes_add(sample->codes, places, count, &err), err);
    CHECK_OK(blocks_init(&sample->removed, 1, &err), err);
    CHECK_OK(blocks_reserve(&sample->removed, count, &err), err);
    CHECK_OK(graph_new(sample->codes, &presets, &sample->graph, &err), err);
    mem_free(places);
}

void graph_sample_release(struct graph_sample *sample)
{
    graph_free(sample->graph);
    codes_free(sample->codes);
    blocks_release(&sample->removed);
    mem_free(sample->rows);
}

void graph_sample_insert(struct graph_sample *sample, int64_t end,
                         int thread_count)
{
    struct err err = {0};

    CHECK_OK(graph_insert(sample->graph, end, &sample->removed, thread_count,
                          NULL, NULL, &err),
             err);
    CHECK_INT(graph_count(sample->graph), end);
    CHECK_OK(graph_check(sample->graph, &err), err);
}

static void remove_some(struct graph_sample *sample, const int32_t *slots,
                        int count)
{
    struct err err = {0};
    int i;

    for (i = 0; i < count; i++) {
        _Atomic uint8_t *at = blocks_at(&sample->removed, slots[i]);

        atomic_store_explicit(at, 1, memory_order_relaxed);
    }
    CHECK_OK(graph_remove(sample->graph, slots, count, &sample->removed, &err),
             err);
}

void graph_sample_remove(struct graph_sample *sample, const uint8_t *is_removed,
                         int step)
{
    int32_t *slots = mem_new((size_t)step * sizeof *slots);
    struct err err = {0};
    int64_t i;
    int count = 0;

    for (i = 0; i < sample->count; i++) {
        if (is_removed[i] != 0)
            slots[count++] = (int32_t)i;
        if (count == step || i == sample->count - 1) {
            remove_some(sample, slots, count);
            count = 0;
        }
    }
    CHECK_OK(graph_check(sample->graph, &err), err);
    mem_free(slots);
}

int graph_sample_search(struct graph_sample *sample, struct graph_walk *walk,
                        const float *query, int ef,
                        const struct slot_filter *filter, int k, int64_t *out)
{
    struct near hits[GRAPH_K_MAX];
    struct nearest nearest = {hits, 0, k};
    struct codes_query *codes_query = NULL;
    const int32_t *slots = NULL;
    const float *distances = NULL;
    struct err err = {0};
    int count = 0, i;

    CHECK_OK(codes_query_new(sample->codes, query, &codes_query, &err), err);
    CHECK_OK(graph_search(sample->graph, walk, codes_query, ef, filter, &slots,
                          &distances, &count, &err),
             err);
    for (i = 1; i < count; i++)
        CHECK(distances[i - 1] <= distances[i]);
    CHECK_OK(codes_rerank(sample->codes, codes_query, slots, distances, count,
                          INFINITY, &nearest, &err),
             err);
    nearest_sort(&nearest);
    for (i = 0; i < nearest.count; i++)
        out[i] = hits[i].id;
    codes_query_free(codes_query);
    return nearest.count;
}

/* Smaller when nearer, by sums in double. */
static double true_distance(const struct graph_sample *sample, const float *a,
                            const float *b)
{
    double inner = 0, square = 0, a2 = 0, b2 = 0;
    int i;

    for (i = 0; i < sample->dim; i++) {
        double x = (double)a[i], y = (double)b[i];

        inner += x * y;
        square += (x - y) * (x - y);
        a2 += x * x;
        b2 += y * y;
    }
    if (sample->metric == VECINDEX_L2)
        return square;
    return -(sample->metric == VECINDEX_IP ? inner : inner / sqrt(a2 * b2));
}

/* The distance of the k-th nearest that passes; what is as near counts. */
static double true_limit(const struct graph_sample *sample, const float *query,
                         const struct slot_filter *filter)
{
    double best[RECALL_K] = {0};
    int64_t slot, count = graph_count(sample->graph);
    int found = 0, i;

    for (slot = 0; slot < count; slot++) {
        double distance;

        if (!slot_passes(filter, slot))
            continue;
        distance =
            true_distance(sample, query, sample->rows + slot * sample->dim);
        if (found == RECALL_K && distance >= best[RECALL_K - 1])
            continue;
        for (i = found < RECALL_K ? found++ : RECALL_K - 1;
             i > 0 && best[i - 1] > distance; i--)
            best[i] = best[i - 1];
        best[i] = distance;
    }
    CHECK_INT(found, RECALL_K);
    return best[RECALL_K - 1];
}

double graph_sample_recall(struct graph_sample *sample, const float *queries,
                           int query_count, const uint64_t *wanted)
{
    const struct slot_filter filter = {&sample->removed, wanted, sample->count};
    struct graph_walk *walk = NULL;
    int64_t found[RECALL_K];
    struct err err = {0};
    int i, j, count, right = 0;

    CHECK_OK(graph_walk_new(sample->graph, &walk, &err), err);
    for (i = 0; i < query_count; i++) {
        const float *query = queries + (int64_t)i * sample->dim;
        double limit = true_limit(sample, query, &filter);

        count = graph_sample_search(sample, walk, query, EF, &filter, RECALL_K,
                                    found);
        for (j = 0; j < count; j++) {
            CHECK(slot_passes(&filter, found[j]));
            right += true_distance(sample, query,
                                   sample->rows + found[j] * sample->dim) <=
                     limit + 1e-6 * fabs(limit);
        }
    }
    graph_walk_free(walk);
    return (double)right / RECALL_K / query_count;
}

int graph_sample_lost(struct graph_sample *sample)
{
    const struct slot_filter filter = {.removed = &sample->removed};
    int64_t slot, found, count = graph_count(sample->graph);
    struct graph_walk *walk = NULL;
    struct err err = {0};
    int lost = 0;

    CHECK_OK(graph_walk_new(sample->graph, &walk, &err), err);
    for (slot = 0; slot < count; slot++) {
        const float *row = sample->rows + slot * sample->dim;

        if (!slot_passes(&filter, slot))
            continue;
        found = -1;
        graph_sample_search(sample, walk, row, EF, &filter, 1, &found);
        lost += found < 0 || memcmp(row, sample->rows + found * sample->dim,
                                    (size_t)sample->dim * sizeof *row) != 0;
    }
    graph_walk_free(walk);
    return lost;
}

void graph_sample_save(struct graph_sample *sample, const char *path)
{
    struct checkpoint_writer *writer = NULL;
    struct err err = {0};

    CHECK_OK(checkpoint_begin(path, &writer, &err), err);
    graph_save(sample->graph, writer);
    CHECK_OK(checkpoint_commit(writer, &err), err);
}
