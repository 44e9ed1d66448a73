/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vector_samples.h"
#include "vectors/faiss_file.h"

enum { DIM = 32, COUNT = 4000, QUERIES = 40 };

static const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                               VECINDEX_COSINE};

TEST(hnsw_finds_the_nearest_of_clusters_with_the_presets)
{
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    float *queries = sample_clusters(QUERIES, DIM, 40, 2);
    size_t i;
    int threads;

    for (i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        for (threads = 1; threads <= 4; threads += 3) {
            const struct vecindex_options options = {.type = VECINDEX_HNSW,
                                                     .metric = metrics[i],
                                                     .thread_count = threads};
            struct vecindex *index = sample_build(rows, COUNT, DIM, &options);

            /* The graph of several threads depends on their schedule. */
            CHECK(sample_recall(index, rows, COUNT, queries, QUERIES, 10) >=
                  (threads == 1 ? 0.99 : 0.95));
            vecindex_free(index);
        }
    mem_free(rows);
    mem_free(queries);
}

/* Rows that come cluster by cluster are the hard order: the first links would
 * all stay within one. */
TEST(hnsw_finds_the_nearest_of_rows_sorted_by_cluster)
{
    const struct vecindex_options options = {.type = VECINDEX_HNSW,
                                             .thread_count = 1};
    float *rows = mem_new((size_t)COUNT * DIM * sizeof *rows);
    float *queries = sample_clusters(QUERIES, DIM, 40, 2);
    struct vecindex *index;
    int i, j;

    for (i = 0; i < COUNT; i++) {
        const float *centre = queries + (int64_t)(i / 100) * DIM;

        for (j = 0; j < DIM; j++)
            rows[i * DIM + j] =
                centre[j] + (float)sin((double)(i * 31 + j * 17)) / 20;
    }
    index = sample_build(rows, COUNT, DIM, &options);
    CHECK(sample_recall(index, rows, COUNT, queries, QUERIES, 10) >= 0.99);
    vecindex_free(index);
    mem_free(rows);
    mem_free(queries);
}

TEST(hnsw_finds_all_of_many_equal_rows)
{
    const struct vecindex_options options = {.type = VECINDEX_HNSW,
                                             .thread_count = 1};
    float *rows = sample_clusters(600, DIM, 10, 1);
    struct vecindex_query query = {.vector = rows, .dim = DIM, .k = 300};
    struct vecindex_hit hits[300];
    struct vecindex *index;
    struct err err = {0};
    bool is_exact;
    int i, count = 0, right = 0;

    for (i = 1; i < 300; i++)
        memcpy(rows + i * DIM, rows, DIM * sizeof *rows);
    index = sample_build(rows, 600, DIM, &options);
    CHECK_OK(vecindex_search(index, &query, hits, &count, &is_exact, &err),
             err);
    CHECK_INT(count, 300);
    for (i = 0; i < 300; i++)
        right += hits[i].id < 300;
    CHECK(right >= 297);
    query.vector = rows + 450 * DIM;
    query.k = 1;
    CHECK_OK(vecindex_search(index, &query, hits, &count, &is_exact, &err),
             err);
    CHECK_INT(hits[0].id, 450);
    vecindex_free(index);
    mem_free(rows);
}

static void check_wider(double *last, struct vecindex *index, const float *rows,
                        const float *queries, int ef)
{
    struct vecindex_hit hits[10];
    int64_t wanted[10];
    int i, j, m, count = 0, found = 0;

    for (i = 0; i < QUERIES; i++) {
        const struct vecindex_query query = {
            .vector = queries + i * DIM, .dim = DIM, .k = 10, .ef_search = ef};
        struct err err = {0};
        bool is_exact;

        CHECK_OK(vecindex_search(index, &query, hits, &count, &is_exact, &err),
                 err);
        sample_nearest(rows, COUNT, DIM, VECINDEX_L2, query.vector, 10, wanted);
        for (j = 0; j < 10; j++)
            for (m = 0; m < 10; m++)
                found += hits[j].id == wanted[m];
    }
    CHECK((double)found >= *last);
    *last = found;
}

TEST(hnsw_finds_more_of_random_rows_the_wider_it_looks)
{
    const struct vecindex_options options = {.type = VECINDEX_HNSW,
                                             .thread_count = 1};
    float *rows = sample_clusters(COUNT, DIM, COUNT, 1);
    float *queries = sample_clusters(QUERIES, DIM, COUNT, 2);
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
    double found = 0;

    check_wider(&found, index, rows, queries, 10);
    check_wider(&found, index, rows, queries, 100);
    check_wider(&found, index, rows, queries, 1000);
    CHECK(found >= 0.995 * 10 * QUERIES);
    vecindex_free(index);
    mem_free(rows);
    mem_free(queries);
}

TEST(hnsw_is_the_same_every_time_on_one_thread)
{
    const struct vecindex_options options = {.type = VECINDEX_HNSW,
                                             .thread_count = 1};
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    uint8_t *files[2] = {NULL};
    size_t lens[2];
    int i;

    for (i = 0; i < 2; i++) {
        struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
        struct err err = {0};

        CHECK_OK(vecindex_save_faiss(index, sample_file("same"), &err), err);
        lens[i] = sample_read(sample_file("same"), &files[i]);
        vecindex_free(index);
    }
    CHECK_INT(lens[0], lens[1]);
    CHECK(memcmp(files[0], files[1], lens[0]) == 0);
    mem_free(files[0]);
    mem_free(files[1]);
    mem_free(rows);
}

/* Of a graph that several threads built. */
TEST(hnsw_has_links_both_ways_within_their_number)
{
    const struct vecindex_options options = {
        .type = VECINDEX_HNSW, .links = 6, .thread_count = 4};
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
    struct faiss_index file = {0};
    struct err err = {0};
    int64_t i;
    int j, m;

    CHECK_OK(vecindex_save_faiss(index, sample_file("graph"), &err), err);
    /* Reading checks that every link leads somewhere. */
    CHECK_OK(faiss_file_read(sample_file("graph"), false, &file, &err), err);
    CHECK_INT(file.graph.starts[1], 12);
    CHECK_INT(file.graph.starts[2], 18);
    for (i = 0; i < COUNT; i++) {
        const int32_t *links = file.graph.neighbours + file.graph.offsets[i];

        CHECK(links[0] >= 0);
        for (j = 0; j < 12 && links[j] >= 0; j++) {
            CHECK(links[j] != i);
            for (m = 0; m < j; m++)
                CHECK(links[j] != links[m]);
        }
    }
    faiss_index_release(&file);
    vecindex_free(index);
    mem_free(rows);
}

TEST(hnsw_looks_at_all_when_the_graph_leads_nowhere)
{
    const struct vecindex_options options = {.type = VECINDEX_HNSW, .links = 4};
    float *rows = sample_clusters(200, DIM, 5, 1);
    struct vecindex *index = sample_build(rows, 200, DIM, &options);
    struct vecindex_query query = {.vector = rows, .dim = DIM, .k = 20};
    struct vecindex_hit hits[20];
    struct faiss_index file = {0};
    struct err err = {0};
    bool is_exact = false;
    int count = 0;
    uint64_t i;

    CHECK_OK(vecindex_save_faiss(index, sample_file("whole"), &err), err);
    vecindex_free(index);
    index = NULL;
    CHECK_OK(faiss_file_read(sample_file("whole"), false, &file, &err), err);
    for (i = 0; i < file.graph.offsets[200]; i++)
        file.graph.neighbours[i] = -1;
    CHECK_OK(faiss_file_write(sample_file("loose"), &file, &err), err);
    faiss_index_release(&file);
    CHECK_OK(vecindex_open(sample_file("loose"), &(struct vecindex_options){0},
                           &index, &err),
             err);
    CHECK_OK(vecindex_search(index, &query, hits, &count, &is_exact, &err),
             err);
    CHECK_INT(count, 20);
    CHECK(is_exact);
    CHECK_INT(hits[0].id, 0);
    vecindex_free(index);
    mem_free(rows);
}
