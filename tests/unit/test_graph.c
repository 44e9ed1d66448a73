/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "graph_fixture.h"
#include "vector_samples.h"

enum { DIM = 32, COUNT = 3000, QUERIES = 50, CENTRES = 30 };

static const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                               VECINDEX_COSINE};

static void begin(struct graph_sample *sample, int count)
{
    graph_sample_init(sample, sample_clusters(count, DIM, CENTRES, 1), count,
                      DIM, VECINDEX_L2);
}

/* What several threads build depends on which of them comes first, and is a
 * little better or worse; one builds the same graph every time, which is why
 * the other tests have one, but where it would take long. */
TEST(graph_finds_the_nearest_with_the_presets_on_one_thread_and_more)
{
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    struct graph_sample sample;
    size_t i;
    int threads;

    for (i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        for (threads = 1; threads <= 4; threads += 3) {
            graph_sample_init(&sample, sample_clusters(COUNT, DIM, CENTRES, 1),
                              COUNT, DIM, metrics[i]);
            graph_sample_insert(&sample, COUNT, threads);
            CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >=
                  (threads == 1 ? 0.99 : 0.95));
            CHECK(graph_sample_lost(&sample) <=
                  (threads == 1 ? COUNT / 1000 : COUNT / 100));
            graph_sample_release(&sample);
        }
    mem_free(queries);
}

TEST(graph_finds_the_nearest_of_rows_that_come_cluster_by_cluster)
{
    float *centres = sample_clusters(CENTRES, DIM, CENTRES, 3);
    float *rows = sample_clusters(COUNT, DIM, CENTRES, 1);
    struct graph_sample sample;
    int i, j;

    for (i = 0; i < COUNT; i++)
        for (j = 0; j < DIM; j++)
            rows[i * DIM + j] = rows[i * DIM + j] / 8 +
                                centres[i / (COUNT / CENTRES) * DIM + j];
    graph_sample_init(&sample, rows, COUNT, DIM, VECINDEX_L2);
    graph_sample_insert(&sample, COUNT, 1);
    CHECK(graph_sample_recall(&sample, centres, CENTRES, NULL) >= 0.99);
    CHECK(graph_sample_lost(&sample) <= COUNT / 1000);
    graph_sample_release(&sample);
    mem_free(centres);
}

TEST(graph_stays_as_good_when_it_grows_little_by_little)
{
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    struct graph_sample sample;
    int64_t end;

    begin(&sample, COUNT);
    for (end = 1; end < COUNT; end += end / 3 + 1)
        graph_sample_insert(&sample, end, 1);
    graph_sample_insert(&sample, COUNT, 1);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.99);
    CHECK(graph_sample_lost(&sample) <= COUNT / 1000);
    graph_sample_release(&sample);
    mem_free(queries);
}

TEST(graph_keeps_a_crowd_of_equal_rows_together_and_the_rest_within_reach)
{
    float *rows = sample_clusters(1200, DIM, CENTRES, 1);
    struct graph_sample sample;
    struct graph_walk *walk = NULL;
    int64_t found[GRAPH_K_MAX];
    struct err err = {0};
    int i;

    for (i = 1; i < 700; i++)
        memcpy(rows + i * DIM, rows, DIM * sizeof *rows);
    graph_sample_init(&sample, rows, 1200, DIM, VECINDEX_L2);
    graph_sample_insert(&sample, 1200, 1);
    CHECK_OK(graph_walk_new(sample.graph, &walk, &err), err);
    CHECK_INT(
        graph_sample_search(&sample, walk, rows, 400, NULL, GRAPH_K_MAX, found),
        GRAPH_K_MAX);
    for (i = 0; i < GRAPH_K_MAX; i++)
        CHECK(found[i] < 700);
    CHECK(graph_sample_lost(&sample) <= COUNT / 1000);
    graph_walk_free(walk);
    graph_sample_release(&sample);
}

TEST(graph_is_the_same_every_time_on_one_thread)
{
    static const char *const names[] = {"GHED", "GNOD", "GLNK", "GUPP"};
    struct checkpoint *checkpoints[2] = {NULL};
    struct graph_sample sample;
    struct err err = {0};
    int i;

    for (i = 0; i < 2; i++) {
        begin(&sample, COUNT);
        graph_sample_insert(&sample, COUNT, 1);
        graph_sample_save(&sample, sample_file("same"));
        CHECK_OK(checkpoint_open(sample_file("same"), &checkpoints[i], &err),
                 err);
        graph_sample_release(&sample);
    }
    for (i = 0; i < 4; i++) {
        void *sections[2] = {NULL};
        int64_t lens[2] = {0};
        int j;

        for (j = 0; j < 2; j++)
            CHECK_OK(checkpoint_section(checkpoints[j], names[i], 0, 0,
                                        &sections[j], &lens[j], &err),
                     err);
        CHECK_INT(lens[0], lens[1]);
        CHECK(lens[0] > 0);
        CHECK(memcmp(sections[0], sections[1], (size_t)lens[0]) == 0);
    }
    checkpoint_close(checkpoints[0]);
    checkpoint_close(checkpoints[1]);
}

TEST(graph_keeps_among_what_it_finds_only_what_is_wanted)
{
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    uint64_t *wanted = mem_new((COUNT + 63) / 64 * sizeof *wanted);
    struct graph_sample sample;
    int i;

    begin(&sample, COUNT);
    graph_sample_insert(&sample, COUNT, 1);
    for (i = 0; i < COUNT; i += 5)
        wanted[i / 64] |= UINT64_C(1) << (i % 64);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, wanted) >= 0.99);
    graph_sample_release(&sample);
    mem_free(wanted);
    mem_free(queries);
}

TEST(graph_gives_up_when_next_to_nothing_is_wanted)
{
    uint64_t *wanted = mem_new((COUNT + 63) / 64 * sizeof *wanted);
    struct graph_sample sample;
    struct graph_walk *walk = NULL;
    struct slot_filter filter;
    int64_t found[10];
    struct err err = {0};

    begin(&sample, COUNT);
    graph_sample_insert(&sample, COUNT, 1);
    wanted[0] = 1;
    filter = (struct slot_filter){&sample.removed, wanted, COUNT};
    CHECK_OK(graph_walk_new(sample.graph, &walk, &err), err);
    CHECK_INT(
        graph_sample_search(&sample, walk, sample.rows, 64, &filter, 10, found),
        1);
    CHECK_INT(found[0], 0);
    wanted[0] = 0;
    CHECK_INT(
        graph_sample_search(&sample, walk, sample.rows, 64, &filter, 10, found),
        0);
    graph_walk_free(walk);
    graph_sample_release(&sample);
    mem_free(wanted);
}

TEST(graph_of_nothing_finds_nothing)
{
    struct graph_sample sample;
    struct graph_walk *walk = NULL;
    int64_t found[10];
    struct err err = {0};

    begin(&sample, 10);
    graph_sample_insert(&sample, 0, 1);
    CHECK_OK(graph_walk_new(sample.graph, &walk, &err), err);
    CHECK_INT(
        graph_sample_search(&sample, walk, sample.rows, 64, NULL, 10, found),
        0);
    graph_sample_insert(&sample, 1, 1);
    CHECK_INT(
        graph_sample_search(&sample, walk, sample.rows, 64, NULL, 10, found),
        1);
    graph_walk_free(walk);
    graph_sample_release(&sample);
}

struct stopping {
    int64_t stop_at, last, total;
};

static int stop_there(void *user, int64_t done, int64_t total)
{
    struct stopping *stopping = user;

    CHECK(done >= stopping->last);
    stopping->last = done;
    stopping->total = total;
    return done >= stopping->stop_at;
}

TEST(graph_that_is_stopped_keeps_what_is_in_and_goes_on_later)
{
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    struct stopping stopping = {.stop_at = COUNT / 2};
    struct graph_sample sample;
    struct err err = {0};
    int64_t count;

    begin(&sample, COUNT);
    CHECK_ERR(
        graph_insert(sample.graph, COUNT, NULL, 1, stop_there, &stopping, &err),
        ERR_UNAVAILABLE);
    count = graph_count(sample.graph);
    CHECK(count >= COUNT / 2 && count < COUNT);
    CHECK_INT(stopping.last, count);
    CHECK_INT(stopping.total, COUNT);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.99);
    graph_sample_insert(&sample, COUNT, 1);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.99);
    graph_sample_release(&sample);
    mem_free(queries);
}

/* --- saved, loaded, renumbered -------------------------------------------- */

static void reload(struct graph_sample *sample, struct checkpoint **checkpoint)
{
    struct err err = {0};

    graph_sample_save(sample, sample_file("graph"));
    graph_free(sample->graph);
    sample->graph = NULL;
    CHECK_OK(checkpoint_open(sample_file("graph"), checkpoint, &err), err);
    CHECK_OK(graph_load(sample->codes, *checkpoint, &sample->graph, &err), err);
    CHECK_OK(graph_check(sample->graph, &err), err);
}

TEST(graph_is_saved_and_mapped_and_grows_on)
{
    enum { MANY = 18000 }; /* over one block */
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    struct graph_options options;
    struct checkpoint *checkpoint = NULL;
    struct graph_sample sample;
    int64_t memory;

    begin(&sample, MANY);
    graph_sample_insert(&sample, MANY - 500, 2);
    memory = graph_memory(sample.graph);
    reload(&sample, &checkpoint);
    CHECK_INT(graph_count(sample.graph), MANY - 500);
    CHECK(graph_memory(sample.graph) < memory);
    graph_options(sample.graph, &options);
    CHECK_INT(options.links, 16);
    CHECK_INT(options.ef_construction, 200);
    CHECK_INT(options.seed, 1);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.95);
    graph_sample_insert(&sample, MANY, 2);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.95);
    graph_sample_release(&sample);
    checkpoint_close(checkpoint);
    mem_free(queries);
}

/* The sample without what is removed in it, under new numbers. */
static void renumber(struct graph_sample *from, struct graph_sample *out)
{
    int32_t *to = mem_new((size_t)from->count * sizeof *to);
    size_t row_len = (size_t)from->dim * sizeof(float);
    float *rows = mem_new((size_t)from->count * row_len);
    struct graph *graph = NULL;
    struct err err = {0};
    int64_t slot;
    int count = 0;

    for (slot = 0; slot < from->count; slot++) {
        bool is_left = !slot_is_removed(&from->removed, slot);

        to[slot] = is_left ? count : SLOT_NONE;
        if (is_left)
            memcpy(rows + (int64_t)count++ * from->dim,
                   from->rows + slot * from->dim, row_len);
    }
    graph_sample_init(out, rows, count, from->dim, from->metric);
    CHECK_OK(graph_renumber(from->graph, out->codes, to, count, &graph, &err),
             err);
    CHECK_OK(graph_check(graph, &err), err);
    CHECK_OK(graph_check(from->graph, &err), err);
    graph_free(out->graph);
    out->graph = graph;
    mem_free(to);
}

TEST(graph_is_renumbered_without_what_was_removed_and_grows_on)
{
    float *queries = sample_clusters(QUERIES, DIM, CENTRES, 2);
    struct graph_sample sample, left;
    int i;

    begin(&sample, COUNT);
    for (i = 0; i < COUNT; i += 3) {
        /* Some before they are put in, some after, and none is repaired. */
        if (i == 900)
            graph_sample_insert(&sample, COUNT - 300, 1);
        *(uint8_t *)blocks_at(&sample.removed, i) = 1;
    }
    renumber(&sample, &left);
    CHECK_INT(graph_count(left.graph), left.count - 200);
    CHECK(graph_sample_recall(&left, queries, QUERIES, NULL) >= 0.99);
    CHECK(graph_sample_recall(&sample, queries, QUERIES, NULL) >= 0.99);
    graph_sample_insert(&left, left.count, 1);
    CHECK(graph_sample_recall(&left, queries, QUERIES, NULL) >= 0.99);
    CHECK(graph_sample_lost(&left) <= COUNT / 1000);
    graph_sample_release(&sample);
    graph_sample_release(&left);
    mem_free(queries);
}

TEST(graph_is_renumbered_to_nothing_and_begins_anew)
{
    struct graph_sample sample, left;
    struct graph *graph = NULL;
    struct err err = {0};
    int32_t to[200];
    int i;

    begin(&sample, 200);
    begin(&left, 200);
    graph_sample_insert(&sample, 200, 1);
    for (i = 0; i < 200; i++)
        to[i] = SLOT_NONE;
    CHECK_OK(graph_renumber(sample.graph, left.codes, to, 0, &graph, &err),
             err);
    CHECK_INT(graph_count(graph), 0);
    graph_free(left.graph);
    left.graph = graph;
    graph_sample_insert(&left, 200, 1);
    CHECK(graph_sample_lost(&left) <= COUNT / 1000);
    graph_sample_release(&sample);
    graph_sample_release(&left);
}
