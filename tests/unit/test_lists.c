/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/lists.h"

#include <math.h>

#include "base/mem.h"
#include "lists_fixture.h"

static const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                               VECINDEX_COSINE};
static const enum vec_storage storages[] = {VEC_FLOAT32, VEC_FLOAT16,
                                            VEC_BFLOAT16, VEC_INT8};

TEST(lists_find_the_nearest_whatever_the_metric_and_storage)
{
    size_t m, s;

    for (m = 0; m < sizeof metrics / sizeof metrics[0]; m++)
        for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
            struct lists_set set;
            struct lists *lists;
            struct lists_ask *ask;
            struct err err = {0};

            lists_set_make(&set, metrics[m], storages[s]);
            lists = lists_set_make_lists(&set);
            ask = lists_ask_new(&set, 8);
            CHECK(lists_ask_recall(lists, &set, ask) >= 0.97);
            CHECK(!ask->is_exact);
            ask->nprobe = LISTS_NLIST;
            CHECK_NEAR(lists_ask_recall(lists, &set, ask), 1, 0);
            CHECK(ask->is_exact);
            CHECK_OK(lists_check(lists, &err), err);
            mem_free(ask);
            lists_free(lists);
            lists_set_release(&set);
        }
}

TEST(lists_find_more_the_more_are_looked_at)
{
    struct lists_set set;
    struct lists *lists;
    struct lists_ask *ask;
    double last = 0, now = 0;
    int nprobe;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists = lists_set_make_lists(&set);
    ask = lists_ask_new(&set, 1);
    /* The nearest list holds some, but not all, of 300. */
    ask->k = 300;
    for (nprobe = 4; nprobe <= LISTS_NLIST; nprobe += 6, last = now) {
        ask->nprobe = nprobe;
        now = lists_ask_recall(lists, &set, ask);
        CHECK(now >= last);
    }
    CHECK_NEAR(now, 1, 0);
    ask->nprobe = 4;
    CHECK(lists_ask_recall(lists, &set, ask) < 0.99);
    mem_free(ask);
    lists_free(lists);
    lists_set_release(&set);
}

TEST(lists_ask_more_of_themselves_until_k_are_found)
{
    struct lists_set set;
    struct lists *lists;
    struct lists_ask *ask;

    lists_set_make(&set, VECINDEX_COSINE, VEC_INT8);
    lists = lists_set_make_lists(&set);
    ask = lists_ask_new(&set, 1);
    ask->k = LISTS_COUNT / 2;
    lists_ask_search(lists, &set, set.rows, ask);
    CHECK_INT(ask->count, LISTS_COUNT / 2);
    ask->k = LISTS_COUNT;
    CHECK_INT(lists_ask_found(lists, &set, set.rows, ask), LISTS_COUNT);
    mem_free(ask);
    lists_free(lists);
    lists_set_release(&set);
}

/* Few rows pass, far apart, so that most lists have none of them. */
TEST(lists_find_all_that_a_filter_lets_through)
{
    uint64_t wanted[(LISTS_COUNT + 63) / 64] = {0};
    struct lists_set set;
    struct lists *lists;
    struct lists_ask *ask;
    int64_t slot;
    int i;

    lists_set_make(&set, VECINDEX_IP, VEC_INT8);
    lists = lists_set_make_lists(&set);
    ask = lists_ask_new(&set, 1);
    for (slot = 0; slot < LISTS_COUNT; slot += 333)
        wanted[slot / 64] |= (uint64_t)1 << slot % 64;
    ask->filter.wanted = wanted;
    ask->filter.wanted_count = LISTS_COUNT;
    lists_ask_search(lists, &set, set.rows + LISTS_DIM, ask);
    CHECK_INT(ask->count, 10);
    for (i = 0; i < ask->count; i++)
        CHECK_INT(ask->hits[i].id % 333, 0);
    ask->filter.wanted_count = 1000;
    lists_ask_search(lists, &set, set.rows + LISTS_DIM, ask);
    CHECK_INT(ask->count, 4);
    CHECK(ask->is_exact);
    mem_free(ask);
    lists_free(lists);
    lists_set_release(&set);
}

TEST(lists_leave_out_what_was_removed)
{
    struct lists_set set;
    struct lists *lists;
    struct lists_ask *ask;
    int64_t slot;
    int i;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    for (slot = 0; slot < LISTS_COUNT; slot += 3)
        lists_set_remove(&set, slot);
    lists = lists_set_make_lists(&set);
    CHECK_INT(lists_trained_on(lists), LISTS_COUNT - LISTS_COUNT / 3);
    for (slot = 1; slot < LISTS_COUNT; slot += 3)
        lists_set_remove(&set, slot);
    ask = lists_ask_new(&set, 1);
    ask->k = LISTS_COUNT;
    lists_ask_search(lists, &set, set.rows, ask);
    CHECK_INT(ask->count, LISTS_COUNT / 3);
    for (i = 0; i < ask->count; i++)
        CHECK_INT(ask->hits[i].id % 3, 2);
    mem_free(ask);
    lists_free(lists);
    lists_set_release(&set);
}

TEST(lists_keep_to_the_limit_and_the_end)
{
    struct lists_set set;
    struct lists *lists;
    struct lists_ask *ask;
    float far;
    int i, found;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists = lists_set_make_lists(&set);
    ask = lists_ask_new(&set, LISTS_NLIST);
    ask->k = 50;
    lists_ask_search(lists, &set, set.rows, ask);
    CHECK_INT(ask->hits[0].id, 0);
    far = ask->hits[20].distance;
    ask->limit = far;
    found = lists_ask_found(lists, &set, set.rows, ask);
    CHECK_INT(found, ask->count);
    CHECK(ask->count >= 21 && ask->count < 50);
    CHECK(ask->hits[ask->count - 1].distance <= far);
    ask->limit = INFINITY;
    ask->end = LISTS_COUNT / 4;
    CHECK_INT(lists_ask_found(lists, &set, set.rows, ask), 50);
    for (i = 0; i < ask->count; i++)
        CHECK(ask->hits[i].id < LISTS_COUNT / 4);
    ask->end = 0;
    lists_ask_search(lists, &set, set.rows, ask);
    CHECK_INT(ask->count, 0);
    mem_free(ask);
    lists_free(lists);
    lists_set_release(&set);
}

/* What is there already counts: nothing that is farther is offered. */
TEST(lists_add_to_what_was_found_elsewhere)
{
    struct near hits[3] = {{-1e30F, 900000}, {-1e30F, 900001}, {1e30F, 900002}};
    struct nearest nearest = {.hits = hits, .count = 3, .k = 3};
    struct lists_set set;
    struct lists *lists;
    struct codes_query *query = NULL;
    struct lists_query asked;
    struct err err = {0};
    struct lists_ask *ask;
    bool is_exact = false;

    /* The farthest is on top. */
    hits[0] = (struct near){1e30F, 900002};
    hits[2] = (struct near){-1e30F, 900000};
    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists = lists_set_make_lists(&set);
    ask = lists_ask_new(&set, 5);
    CHECK_OK(codes_query_new(set.codes, set.rows, &query, &err), err);
    asked = (struct lists_query){.query = query,
                                 .nprobe = 5,
                                 .end = LISTS_COUNT,
                                 .filter = &ask->filter,
                                 .limit = INFINITY};
    CHECK_OK(lists_search(lists, &asked, &nearest, &is_exact, &err), err);
    nearest_sort(&nearest);
    CHECK_INT(nearest.hits[0].id, 900000);
    CHECK_INT(nearest.hits[1].id, 900001);
    CHECK_INT(nearest.hits[2].id, 0);
    codes_query_free(query);
    mem_free(ask);
    lists_free(lists);
    lists_set_release(&set);
}
