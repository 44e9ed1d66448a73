/* SPDX-License-Identifier: Apache-2.0 */
/* What is left is found as well as ever, whatever is taken out. */
#include <string.h>

#include "base/mem.h"
#include "graph_fixture.h"
#include "vector_samples.h"

enum { DIM = 32, COUNT = 3000, QUERIES = 50, CENTRES = 30, CLUSTER = 100 };

typedef bool pattern_fn(int slot);

static bool is_by_chance(int slot)
{
    uint64_t x = (uint64_t)slot * UINT64_C(0x9e3779b97f4a7c15);

    return (x >> 40) % 2 == 0;
}

static bool is_old(int slot)
{
    return slot < COUNT / 2;
}

static bool is_new(int slot)
{
    return slot >= COUNT / 2;
}

/* Rows of cluster c have the slots c * CLUSTER up to the next. */
static bool is_of_some_clusters(int slot)
{
    return slot / CLUSTER % 3 == 0;
}

static bool is_nearly_any(int slot)
{
    return slot % 20 != 7;
}

static bool is_any(int slot)
{
    return slot >= 0;
}

static void begin(struct graph_sample *sample, const float *centres)
{
    float *rows = sample_clusters(COUNT, DIM, COUNT, 1);
    int i, j;

    for (i = 0; i < COUNT; i++)
        for (j = 0; j < DIM; j++)
            rows[i * DIM + j] =
                rows[i * DIM + j] / 3 + centres[i / CLUSTER * DIM + j];
    graph_sample_init(sample, rows, COUNT, DIM, VECINDEX_L2);
    graph_sample_insert(sample, COUNT, 1);
}

/* Queries are rows: of removed ones too. */
static void check_after(pattern_fn *pattern, int step)
{
    float *centres = sample_clusters(CENTRES, DIM, CENTRES, 3);
    uint8_t *is_removed = mem_new(COUNT);
    float *queries = mem_new((size_t)QUERIES * DIM * sizeof *queries);
    struct graph_sample sample;
    int i;

    begin(&sample, centres);
    for (i = 0; i < COUNT; i++)
        is_removed[i] = pattern(i);
    for (i = 0; i < QUERIES; i++)
        memcpy(queries + i * DIM, sample.rows + i * 59 * DIM,
               DIM * sizeof *queries);
    graph_sample_remove(&sample, is_removed, step);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.99);
    CHECK(graph_sample_lost(&sample) <= COUNT / 1000);
    graph_sample_release(&sample);
    mem_free(centres);
    mem_free(is_removed);
    mem_free(queries);
}

TEST(graph_finds_what_is_left_of_every_second_row)
{
    check_after(is_by_chance, COUNT);
}

TEST(graph_finds_what_is_left_when_rows_go_one_by_one)
{
    check_after(is_by_chance, 1);
}

TEST(graph_finds_what_is_left_when_rows_go_by_threes)
{
    check_after(is_by_chance, 3);
}

TEST(graph_finds_what_is_left_without_the_oldest_half)
{
    check_after(is_old, COUNT);
    check_after(is_old, 5);
}

TEST(graph_finds_what_is_left_without_the_newest_half)
{
    check_after(is_new, COUNT);
}

TEST(graph_finds_what_is_left_without_whole_clusters)
{
    check_after(is_of_some_clusters, COUNT);
    check_after(is_of_some_clusters, 5);
}

TEST(graph_finds_the_few_that_are_left)
{
    check_after(is_nearly_any, COUNT);
    check_after(is_nearly_any, 100);
}

TEST(graph_leads_to_no_removed_row_after_a_repair_of_all)
{
    float *centres = sample_clusters(CENTRES, DIM, CENTRES, 3);
    uint8_t *is_removed = mem_new(COUNT);
    struct graph_walk *walk = NULL;
    int64_t found[GRAPH_K_MAX];
    struct graph_sample sample;
    struct err err = {0};
    int i, j, count;

    begin(&sample, centres);
    for (i = 0; i < COUNT; i++)
        is_removed[i] = is_by_chance(i);
    graph_sample_remove(&sample, is_removed, COUNT);
    CHECK_OK(graph_walk_new(sample.graph, &walk, &err), err);
    for (i = 0; i < CENTRES; i++) {
        count = graph_sample_search(&sample, walk, centres + i * DIM, 200, NULL,
                                    GRAPH_K_MAX, found);
        CHECK_INT(count, GRAPH_K_MAX);
        for (j = 0; j < count; j++)
            CHECK(!is_by_chance((int)found[j]));
    }
    graph_walk_free(walk);
    graph_sample_release(&sample);
    mem_free(centres);
    mem_free(is_removed);
}

TEST(graph_whose_rows_were_all_removed_takes_new_ones)
{
    enum { OLD = 400, ALL = 800 };
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    uint8_t is_removed[ALL];
    struct graph_sample sample;
    int i;

    for (i = 0; i < ALL; i++)
        is_removed[i] = is_any(i) && i < OLD;
    graph_sample_init(&sample, sample_clusters(ALL, DIM, CENTRES, 1), ALL, DIM,
                      VECINDEX_L2);
    graph_sample_insert(&sample, OLD, 1);
    graph_sample_remove(&sample, is_removed, OLD);
    graph_sample_insert(&sample, ALL, 1);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.99);
    CHECK(graph_sample_lost(&sample) <= COUNT / 1000);
    graph_sample_release(&sample);
    mem_free(queries);
}

TEST(graph_stays_as_good_when_rows_come_and_go_for_long)
{
    enum { STEP = 100 };
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    struct graph_sample sample;
    struct err err = {0};
    int32_t slots[STEP];
    int begin_at, i;

    graph_sample_init(&sample, sample_clusters(COUNT, DIM, CENTRES, 1), COUNT,
                      DIM, VECINDEX_COSINE);
    graph_sample_insert(&sample, 500, 1);
    for (begin_at = 0; begin_at < COUNT - 500; begin_at += STEP) {
        for (i = 0; i < STEP; i++) {
            slots[i] = begin_at + i;
            *(uint8_t *)blocks_at(&sample.removed, slots[i]) = 1;
        }
        CHECK_OK(graph_remove(sample.graph, slots, STEP, &sample.removed, &err),
                 err);
        graph_sample_insert(&sample, begin_at + 500 + STEP, 1);
    }
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.99);
    CHECK(graph_sample_lost(&sample) <= COUNT / 1000);
    graph_sample_release(&sample);
    mem_free(queries);
}
