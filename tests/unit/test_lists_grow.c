/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that are filled, beside searches and without memory. */
#include "vectors/lists.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "lists_fixture.h"

enum { FEW = 200 }; /* rows where a test takes many turns */

struct readers {
    struct lists *lists;
    struct lists_set *set;
    _Atomic bool is_over;
    _Atomic int searches;
};

/* Whatever is in is found, once, and nothing that is not. */
static void *read_on(void *argument)
{
    struct readers *readers = argument;
    struct lists_ask *ask = lists_ask_new(readers->set, LISTS_NLIST);
    int i, turn = 0;

    while (!atomic_load(&readers->is_over)) {
        int64_t slot;

        ask->end = lists_count(readers->lists);
        if (ask->end == 0)
            continue;
        slot = (int64_t)turn++ * 7919 % ask->end;
        lists_ask_search(readers->lists, readers->set,
                         readers->set->rows + slot * LISTS_DIM, ask);
        CHECK_INT(ask->hits[0].id, slot);
        for (i = 0; i < ask->count; i++) {
            CHECK(ask->hits[i].id < ask->end);
            CHECK(i == 0 || ask->hits[i].id != ask->hits[i - 1].id);
        }
        atomic_fetch_add(&readers->searches, 1);
    }
    mem_free(ask);
    return NULL;
}

TEST(lists_grow_beside_those_who_search)
{
    struct lists_set set;
    struct readers readers = {.set = &set};
    pthread_t threads[2];
    struct err err = {0};
    int64_t end;
    int i, before;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    readers.lists = lists_set_train(&set);
    for (i = 0; i < 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, read_on, &readers), 0);
    for (end = 50; end <= LISTS_COUNT; end += 50) {
        before = atomic_load(&readers.searches);
        lists_set_insert(readers.lists, &set, end);
        if (end % 500 == 0)
            while (atomic_load(&readers.searches) < before + 4)
                sched_yield();
    }
    atomic_store(&readers.is_over, true);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_OK(lists_check(readers.lists, &err), err);
    CHECK(lists_memory(readers.lists) > LISTS_COUNT * LISTS_DIM);
    lists_free(readers.lists);
    lists_set_release(&set);
}

static int stop_at(void *user, int64_t done, int64_t total)
{
    int *left = user;

    CHECK(done >= 1 && done <= total);
    return --*left < 0;
}

TEST(lists_stop_when_they_are_told_to)
{
    int left = 3;
    struct lists_options options = {.nlist = LISTS_NLIST,
                                    .thread_count = 1,
                                    .progress = stop_at,
                                    .user = &left};
    struct lists *lists = NULL;
    struct lists_set set;
    struct err err = {0};

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    CHECK_ERR(lists_train(set.codes, LISTS_COUNT, &set.removed, &options,
                          &lists, &err),
              ERR_UNAVAILABLE);
    CHECK(lists == NULL);
    lists = lists_set_train(&set);
    lists_set_insert(lists, &set, 100);
    left = 0;
    err = (struct err){0};
    CHECK_ERR(
        lists_insert(lists, LISTS_COUNT, &set.removed, 1, stop_at, &left, &err),
        ERR_UNAVAILABLE);
    CHECK_INT(lists_count(lists), 100);
    lists_set_insert(lists, &set, LISTS_COUNT);
    lists_free(lists);
    lists_set_release(&set);
}

TEST(lists_are_as_many_as_was_asked_for_and_no_more_than_rows)
{
    struct lists_options options = {.thread_count = 1};
    struct lists *lists = NULL;
    struct lists_set set;
    struct err err = {0};
    int64_t slot;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    CHECK_OK(lists_train(set.codes, LISTS_COUNT, &set.removed, &options, &lists,
                         &err),
             err);
    CHECK_INT(lists_nlist(lists), 219);
    lists_free(lists);
    options.nlist = 500;
    CHECK_OK(lists_train(set.codes, 5, &set.removed, &options, &lists, &err),
             err);
    CHECK_INT(lists_nlist(lists), 5);
    lists_free(lists);
    lists = NULL;
    for (slot = 0; slot < 5; slot++)
        lists_set_remove(&set, slot);
    CHECK_ERR(lists_train(set.codes, 5, &set.removed, &options, &lists, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "no rows");
    CHECK(lists == NULL);
    lists_set_release(&set);
}

TEST(lists_are_renumbered_when_rows_are_dropped)
{
    int32_t *to = mem_new(LISTS_COUNT * sizeof *to);
    struct lists_set set, left;
    struct lists *lists, *made = NULL;
    struct lists_ask *ask;
    struct err err = {0};
    int count = 0, i;

    lists_set_make(&set, VECINDEX_COSINE, VEC_INT8);
    lists_set_make(&left, VECINDEX_COSINE, VEC_INT8);
    lists = lists_set_make_lists(&set);
    /* `left` has the rows that are not dropped first. */
    codes_free(left.codes);
    for (i = 0; i < LISTS_COUNT; i++) {
        to[i] = i % 4 == 1 ? SLOT_NONE : count;
        if (i % 4 != 1)
            left.places[count++] = set.places[i];
    }
    CHECK_OK(codes_new(&(struct codes_options){.dim = LISTS_DIM,
                                               .metric = VECINDEX_COSINE,
                                               .storage = VEC_INT8},
                       &left.codes, &err),
             err);
    CHECK_OK(codes_add(left.codes, left.places, count, &err), err);
    CHECK_OK(lists_renumber(lists, left.codes, to, &made, &err), err);
    lists_free(lists);
    CHECK_INT(lists_count(made), count);
    CHECK_INT(lists_nlist(made), LISTS_NLIST);
    CHECK_OK(lists_check(made, &err), err);
    ask = lists_ask_new(&left, LISTS_NLIST);
    ask->end = count;
    CHECK_NEAR(lists_ask_recall(made, &left, ask), 1, 0);
    ask->k = count;
    lists_ask_search(made, &left, set.rows, ask);
    CHECK_INT(ask->count, count);
    mem_free(ask);
    mem_free(to);
    lists_free(made);
    lists_set_release(&set);
    lists_set_release(&left);
}

/* --- without memory ------------------------------------------------------- */

static int build_and_search(struct lists_set *set, struct lists_ask *ask,
                            struct err *err)
{
    const struct lists_options options = {.nlist = 4, .thread_count = 1};
    struct lists *lists = NULL;
    int rc = lists_train(set->codes, FEW, &set->removed, &options, &lists, err);

    if (rc == 0)
        rc = lists_insert(lists, 500, &set->removed, 1, NULL, NULL, err);
    if (rc == 0)
        rc =
            lists_insert(lists, LISTS_COUNT, &set->removed, 1, NULL, NULL, err);
    if (rc == 0)
        rc = lists_ask_try(lists, set, set->rows, ask, err);
    if (rc == 0)
        rc = lists_check(lists, err);
    lists_free(lists);
    return rc;
}

TEST(lists_survive_torture)
{
    struct lists_set set;
    struct lists_ask *ask;
    long nth;

    lists_set_make(&set, VECINDEX_COSINE, VEC_INT8);
    ask = lists_ask_new(&set, LISTS_NLIST);
    for (nth = 1; nth < 3000; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = build_and_search(&set, ask, &err);
        if (rc == 0)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
    }
    mem_fail_at(0);
    CHECK(nth > 30 && nth < 3000);
    CHECK_INT(ask->hits[0].id, 0);
    mem_free(ask);
    lists_set_release(&set);
}

/* Nothing is lost of what was in, and the next attempt goes on. */
TEST(lists_go_on_after_memory_ran_short)
{
    struct lists_set set;
    struct lists *lists;
    struct lists_ask *ask;
    struct err err = {0};
    long nth;
    int rc = ERR_UNAVAILABLE;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists = lists_set_train(&set);
    ask = lists_ask_new(&set, LISTS_NLIST);
    lists_set_insert(lists, &set, 1000);
    for (nth = 1; rc != 0 && nth < 500; nth++) {
        err = (struct err){0};
        mem_fail_at(nth);
        rc =
            lists_insert(lists, LISTS_COUNT, &set.removed, 1, NULL, NULL, &err);
        mem_fail_at(0);
        CHECK_INT(lists_count(lists), rc ? 1000 : LISTS_COUNT);
        ask->end = lists_count(lists);
        lists_ask_search(lists, &set, set.rows, ask);
        CHECK_INT(ask->hits[0].id, 0);
    }
    CHECK(nth > 10 && rc == 0);
    CHECK_OK(lists_check(lists, &err), err);
    CHECK_NEAR(lists_ask_recall(lists, &set, ask), 1, 0);
    mem_free(ask);
    lists_free(lists);
    lists_set_release(&set);
}
