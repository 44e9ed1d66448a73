/* SPDX-License-Identifier: Apache-2.0 */
/* Searches beside a thread that puts in, takes out and repairs. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "graph_fixture.h"
#include "vector_samples.h"

enum {
    DIM = 32,
    COUNT = 2400,
    CENTRES = 24,
    READERS = 3,
    QUERIES = 40,
    EF = 40
};

struct reader {
    struct graph_sample *sample;
    const float *queries;
    const atomic_bool *is_done;
    pthread_t thread;
    int64_t searches;
};

/* Each slot once, nearest first, none that is not there. */
static void check_found(const int32_t *slots, const float *distances, int count)
{
    int i, j;

    for (i = 0; i < count; i++) {
        CHECK(slots[i] >= 0 && slots[i] < COUNT);
        CHECK(i == 0 || distances[i - 1] <= distances[i]);
        for (j = 0; j < i; j++)
            CHECK(slots[i] != slots[j]);
    }
}

static void *search(void *argument)
{
    struct reader *reader = argument;
    struct graph_sample *sample = reader->sample;
    const struct slot_filter filter = {.removed = &sample->removed};
    struct graph_walk *walk = NULL;
    struct err err = {0};
    int i;

    CHECK_OK(graph_walk_new(sample->graph, &walk, &err), err);
    do {
        for (i = 0; i < QUERIES; i++) {
            struct codes_query *query = NULL;
            const int32_t *slots = NULL;
            const float *distances = NULL;
            int count = 0;

            CHECK_OK(codes_query_new(sample->codes, reader->queries + i * DIM,
                                     &query, &err),
                     err);
            CHECK_OK(graph_search(sample->graph, walk, query, EF, &filter,
                                  &slots, &distances, &count, &err),
                     err);
            check_found(slots, distances, count);
            codes_query_free(query);
            reader->searches++;
        }
    } while (!atomic_load(reader->is_done));
    graph_walk_free(walk);
    return NULL;
}

static void change(struct graph_sample *sample)
{
    uint8_t is_removed[COUNT] = {0};
    int64_t end;
    int i;

    for (end = 400; end <= COUNT; end += 400)
        graph_sample_insert(sample, end, 2);
    for (i = 0; i < 400; i++)
        is_removed[i] = 1;
    graph_sample_remove(sample, is_removed, 3);
    for (i = 0; i < COUNT; i++)
        is_removed[i] = i >= 400 && i % 3 == 0;
    graph_sample_remove(sample, is_removed, COUNT);
}

TEST(graph_is_searched_while_rows_come_and_go)
{
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    struct reader readers[READERS];
    struct graph_sample sample;
    atomic_bool is_done = false;
    int i;

    graph_sample_init(&sample, sample_clusters(COUNT, DIM, CENTRES, 1), COUNT,
                      DIM, VECINDEX_L2);
    for (i = 0; i < READERS; i++) {
        readers[i] = (struct reader){&sample, queries, &is_done, 0, 0};
        CHECK_INT(pthread_create(&readers[i].thread, NULL, search, &readers[i]),
                  0);
    }
    change(&sample);
    atomic_store(&is_done, true);
    for (i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        CHECK(readers[i].searches >= QUERIES);
    }
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.95);
    graph_sample_release(&sample);
    mem_free(queries);
}
