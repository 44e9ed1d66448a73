/* SPDX-License-Identifier: Apache-2.0 */
#include "lists_fixture.h"

#include <math.h>

#include "base/mem.h"
#include "vector_samples.h"

void lists_set_make(struct lists_set *set, enum vecindex_metric metric,
                    enum vec_storage storage)
{
    const struct codes_options options = {
        .dim = LISTS_DIM, .metric = metric, .storage = storage};
    struct err err = {0};
    int i;

    *set = (struct lists_set){
        .rows = sample_clusters(LISTS_COUNT, LISTS_DIM, LISTS_CENTRES, 1)};
    for (i = 0; i < LISTS_COUNT; i++)
        set->places[i] = set->rows + (int64_t)i * LISTS_DIM;
    CHECK_OK(codes_new(&options, &set->codes, &err), err);
    CHECK_OK(codes_add(set->codes, set->places, LISTS_COUNT, &err), err);
    CHECK_OK(blocks_init(&set->removed, 1, &err), err);
    CHECK_OK(blocks_reserve(&set->removed, LISTS_COUNT, &err), err);
}

void lists_set_release(struct lists_set *set)
{
    codes_free(set->codes);
    blocks_release(&set->removed);
    mem_free(set->rows);
}

void lists_set_remove(struct lists_set *set, int64_t slot)
{
    _Atomic uint8_t *at = blocks_at(&set->removed, slot);

    atomic_store_explicit(at, 1, memory_order_relaxed);
}

struct lists *lists_set_train(struct lists_set *set)
{
    const struct lists_options options = {
        .nlist = LISTS_NLIST, .thread_count = 1, .seed = 3};
    struct lists *lists = NULL;
    struct err err = {0};

    CHECK_OK(lists_train(set->codes, LISTS_COUNT, &set->removed, &options,
                         &lists, &err),
             err);
    return lists;
}

void lists_set_insert(struct lists *lists, struct lists_set *set, int64_t end)
{
    struct err err = {0};

    CHECK_OK(lists_insert(lists, end, &set->removed, 1, NULL, NULL, &err), err);
    CHECK_INT(lists_count(lists), end);
}

struct lists *lists_set_make_lists(struct lists_set *set)
{
    struct lists *lists = lists_set_train(set);

    lists_set_insert(lists, set, LISTS_COUNT);
    return lists;
}

struct lists_ask *lists_ask_new(const struct lists_set *set, int nprobe)
{
    struct lists_ask *ask = mem_new(sizeof *ask);

    *ask = (struct lists_ask){.nprobe = nprobe,
                              .k = LISTS_K,
                              .end = LISTS_COUNT,
                              .limit = INFINITY,
                              .filter.removed = &set->removed};
    return ask;
}

int lists_ask_try(struct lists *lists, const struct lists_set *set,
                  const float *vector, struct lists_ask *ask, struct err *err)
{
    struct nearest nearest = {.hits = ask->hits, .k = ask->k};
    struct codes_query *query = NULL;
    int rc = codes_query_new(set->codes, vector, &query, err);

    if (rc == 0) {
        const struct lists_query asked = {.query = query,
                                          .nprobe = ask->nprobe,
                                          .end = ask->end,
                                          .filter = &ask->filter,
                                          .limit = ask->limit};

        rc = lists_search(lists, &asked, &nearest, &ask->is_exact, err);
    }
    codes_query_free(query);
    nearest_sort(&nearest);
    ask->count = nearest.count;
    return rc;
}

void lists_ask_search(struct lists *lists, const struct lists_set *set,
                      const float *vector, struct lists_ask *ask)
{
    struct err err = {0};

    CHECK_OK(lists_ask_try(lists, set, vector, ask, &err), err);
}

/* The same by looking at every row. */
static int scan(const struct lists_set *set, const float *vector,
                const struct lists_ask *ask, struct near *out)
{
    struct nearest nearest = {.hits = out, .k = ask->k};
    struct codes_query *query = NULL;
    struct err err = {0};

    CHECK_OK(codes_query_new(set->codes, vector, &query, &err), err);
    CHECK_OK(codes_scan(set->codes, query, 0, ask->end, &ask->filter,
                        ask->limit, 1, &nearest, &err),
             err);
    codes_query_free(query);
    nearest_sort(&nearest);
    return nearest.count;
}

int lists_ask_found(struct lists *lists, const struct lists_set *set,
                    const float *vector, struct lists_ask *ask)
{
    struct near *want = mem_new(LISTS_COUNT * sizeof *want);
    int count = scan(set, vector, ask, want), found = 0, i, j;

    lists_ask_search(lists, set, vector, ask);
    CHECK_INT(ask->count, count);
    for (i = 0; i < count; i++)
        for (j = 0; j < ask->count; j++)
            found += want[i].id == ask->hits[j].id &&
                     want[i].distance == ask->hits[j].distance;
    mem_free(want);
    return found;
}

double lists_ask_recall(struct lists *lists, const struct lists_set *set,
                        struct lists_ask *ask)
{
    float *queries =
        sample_clusters(LISTS_QUERIES, LISTS_DIM, LISTS_CENTRES, 2);
    int i, found = 0;

    for (i = 0; i < LISTS_QUERIES; i++)
        found += lists_ask_found(lists, set, queries + i * LISTS_DIM, ask);
    mem_free(queries);
    return (double)found / LISTS_QUERIES / ask->k;
}
