/* SPDX-License-Identifier: Apache-2.0 */
/* The graph over embeddings of real photographs (tests/data/vectors): recall
 * after insertions, after removals, and after reopening. */
#include <string.h>

#include "base/mem.h"
#include "graph_fixture.h"
#include "vector_samples.h"

enum { HEAD_LEN = 12, QUERY_STEP = 20 };

/* tools/make_embeddings.py has the layout. */
static float *read_photos(int *out_count, int *out_dim)
{
    uint8_t *bytes = NULL;
    size_t len = sample_read(sample_path("embeddings.u8"), &bytes);
    uint32_t dim, count;
    float *rows;
    size_t i, j;

    CHECK(len > HEAD_LEN && memcmp(bytes, "EMB1", 4) == 0);
    memcpy(&dim, bytes + 4, sizeof dim);
    memcpy(&count, bytes + 8, sizeof count);
    CHECK_INT(len, HEAD_LEN + (size_t)count * (sizeof(float) + dim));
    rows = mem_new((size_t)count * dim * sizeof *rows);
    for (i = 0; i < count; i++) {
        const uint8_t *at = bytes + HEAD_LEN + i * (sizeof(float) + dim);
        float scale;

        memcpy(&scale, at, sizeof scale);
        for (j = 0; j < dim; j++)
            rows[i * dim + j] = scale * at[sizeof scale + j];
    }
    mem_free(bytes);
    *out_count = (int)count;
    *out_dim = (int)dim;
    return rows;
}

static void check_photos(enum vecindex_metric metric)
{
    struct checkpoint *checkpoint = NULL;
    struct graph_sample sample;
    struct err err = {0};
    uint8_t *is_removed;
    float *rows, *queries;
    int count, dim, query_count = 0, i;

    rows = read_photos(&count, &dim);
    queries = mem_new((size_t)count * (size_t)dim * sizeof *queries);
    is_removed = mem_new((size_t)count);
    for (i = 0; i < count; i += QUERY_STEP)
        memcpy(queries + (size_t)query_count++ * (size_t)dim,
               rows + (size_t)i * (size_t)dim, (size_t)dim * sizeof *rows);
    graph_sample_init(&sample, rows, count, dim, metric);
    graph_sample_insert(&sample, count / 2, 1);
    graph_sample_insert(&sample, count, 1);
    CHECK(graph_sample_recall(&sample, queries, query_count, NULL) >= 0.99);
    for (i = 0; i < count; i++)
        is_removed[i] = i % 3 == 1;
    graph_sample_remove(&sample, is_removed, 50);
    CHECK(graph_sample_recall(&sample, queries, query_count, NULL) >= 0.99);
    graph_sample_save(&sample, sample_file("photos"));
    graph_free(sample.graph);
    CHECK_OK(checkpoint_open(sample_file("photos"), &checkpoint, &err), err);
    CHECK_OK(graph_load(sample.codes, checkpoint, &sample.graph, &err), err);
    CHECK(graph_sample_recall(&sample, queries, query_count, NULL) >= 0.99);
    graph_sample_release(&sample);
    checkpoint_close(checkpoint);
    mem_free(queries);
    mem_free(is_removed);
}

TEST(graph_finds_the_nearest_photographs_by_cosine)
{
    check_photos(VECINDEX_COSINE);
}

TEST(graph_finds_the_nearest_photographs_by_distance)
{
    check_photos(VECINDEX_L2);
}
