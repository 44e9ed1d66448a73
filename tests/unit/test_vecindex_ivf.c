/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "vector_samples.h"
#include "vectors/faiss_file.h"

enum { DIM = 32, COUNT = 4000, QUERIES = 40 };

static void search(struct vecindex *index, const float *vector, int k,
                   int nprobe, struct vecindex_hit *hits, int *count,
                   bool *is_exact)
{
    const struct vecindex_query query = {
        .vector = vector, .dim = DIM, .k = k, .nprobe = nprobe};
    struct err err = {0};

    CHECK_OK(vecindex_search(index, &query, hits, count, is_exact, &err), err);
}

TEST(ivf_finds_the_nearest_of_clusters_with_the_presets)
{
    const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                            VECINDEX_COSINE};
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    float *queries = sample_clusters(QUERIES, DIM, 40, 2);
    size_t i;

    for (i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        const struct vecindex_options options = {.type = VECINDEX_IVFFLAT,
                                                 .metric = metrics[i]};
        struct vecindex *index = sample_build(rows, COUNT, DIM, &options);

        CHECK(sample_recall(index, rows, COUNT, queries, QUERIES, 10) >= 0.97);
        vecindex_free(index);
    }
    mem_free(rows);
    mem_free(queries);
}

TEST(ivf_with_all_lists_is_exact)
{
    const struct vecindex_options options = {
        .type = VECINDEX_IVFFLAT, .nlist = 50, .nprobe = 50};
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    float *queries = sample_clusters(QUERIES, DIM, 40, 2);
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
    struct vecindex_hit hits[10];
    bool is_exact = false;
    int count = 0;

    CHECK_NEAR(sample_recall(index, rows, COUNT, queries, QUERIES, 10), 1, 0);
    search(index, queries, 10, 0, hits, &count, &is_exact);
    CHECK(is_exact);
    search(index, queries, 10, 3, hits, &count, &is_exact);
    CHECK(!is_exact);
    vecindex_free(index);
    mem_free(rows);
    mem_free(queries);
}

TEST(ivf_asks_more_lists_until_k_are_found)
{
    const struct vecindex_options options = {
        .type = VECINDEX_IVFFLAT, .nlist = 200, .nprobe = 1};
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
    struct vecindex_hit *hits = mem_new(COUNT * sizeof *hits);
    bool is_exact = false;
    int count = 0;

    search(index, rows, 1000, 0, hits, &count, &is_exact);
    CHECK_INT(count, 1000);
    CHECK(!is_exact);
    search(index, rows, COUNT, 0, hits, &count, &is_exact);
    CHECK_INT(count, COUNT);
    CHECK(is_exact);
    mem_free(hits);
    vecindex_free(index);
    mem_free(rows);
}

TEST(ivf_has_lists_of_clusters_and_no_empty_one)
{
    const struct vecindex_options options = {
        .type = VECINDEX_IVFFLAT, .nlist = 40, .thread_count = 2};
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
    struct faiss_index file = {0};
    struct err err = {0};
    int64_t i, empty_count = 0;

    CHECK_OK(vecindex_save_faiss(index, sample_file("lists"), &err), err);
    CHECK_OK(faiss_file_read(sample_file("lists"), false, &file, &err), err);
    CHECK_INT(file.ivf.list_count, 40);
    for (i = 0; i < 40; i++)
        empty_count += file.ivf.lists[i].count == 0;
    CHECK_INT(empty_count, 0);
    faiss_index_release(&file);
    vecindex_free(index);
    mem_free(rows);
}

TEST(ivf_of_equal_rows_finds_them_all)
{
    const struct vecindex_options options = {
        .type = VECINDEX_IVFFLAT, .nlist = 8, .nprobe = 2};
    float *rows = mem_new(100 * DIM * sizeof *rows);
    struct vecindex_hit hits[100];
    struct vecindex *index;
    bool is_exact = false;
    int i, count = 0;

    for (i = 0; i < 100 * DIM; i++)
        rows[i] = (float)(i % DIM);
    index = sample_build(rows, 100, DIM, &options);
    search(index, rows, 100, 0, hits, &count, &is_exact);
    CHECK_INT(count, 100);
    for (i = 0; i < 100; i++) {
        CHECK_INT(hits[i].id, i);
        CHECK_NEAR(hits[i].distance, 0, 0);
    }
    vecindex_free(index);
    mem_free(rows);
}

/* The same on any number of threads: rows are assigned alike and summed up by
 * one. */
TEST(ivf_is_the_same_every_time)
{
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    uint8_t *first = NULL, *again = NULL;
    size_t len = 0;
    int threads;

    for (threads = 1; threads <= 3; threads++) {
        const struct vecindex_options options = {.type = VECINDEX_IVFFLAT,
                                                 .thread_count = threads};
        struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
        struct err err = {0};

        CHECK_OK(vecindex_save_faiss(index, sample_file("same"), &err), err);
        vecindex_free(index);
        if (threads == 1) {
            len = sample_read(sample_file("same"), &first);
            continue;
        }
        CHECK_INT(sample_read(sample_file("same"), &again), len);
        CHECK(memcmp(first, again, len) == 0);
        mem_free(again);
    }
    mem_free(first);
    mem_free(rows);
}

/* With a copy of the rows in int8 and without: the same ids, and distances to
 * the last bit. */
TEST(ivf_finds_the_same_whether_it_is_lean_or_not)
{
    struct vecindex_options options = {
        .type = VECINDEX_IVFFLAT, .nlist = 30, .nprobe = 4};
    float *rows = sample_clusters(COUNT, DIM, 40, 1);
    float *queries = sample_clusters(QUERIES, DIM, 40, 2);
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options), *lean;
    struct vecindex_hit hits[20], lean_hits[20];
    struct vecindex_info info, lean_info;
    bool is_exact = false;
    int count = 0, lean_count = 0, i, j;

    options.is_lean = true;
    lean = sample_build(rows, COUNT, DIM, &options);
    vecindex_info(index, &info);
    vecindex_info(lean, &lean_info);
    CHECK(lean_info.memory_len < info.memory_len);
    for (i = 0; i < QUERIES; i++) {
        search(index, queries + i * DIM, 20, 0, hits, &count, &is_exact);
        CHECK(!is_exact);
        search(lean, queries + i * DIM, 20, 0, lean_hits, &lean_count,
               &is_exact);
        CHECK_INT(count, 20);
        CHECK_INT(lean_count, 20);
        for (j = 0; j < 20; j++) {
            CHECK_INT(hits[j].id, lean_hits[j].id);
            CHECK_NEAR(hits[j].distance, lean_hits[j].distance, 0);
        }
    }
    vecindex_free(index);
    vecindex_free(lean);
    mem_free(rows);
    mem_free(queries);
}
