/* SPDX-License-Identifier: Apache-2.0 */
/* What every type of index does alike; the types have files of their own. */
#include "vectors/vecindex.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "vector_samples.h"
#include "vectors/npy.h"

enum { DIM = 24, COUNT = 700, QUERIES = 20 };

static const enum vecindex_type types[] = {VECINDEX_FLAT, VECINDEX_IVFFLAT,
                                           VECINDEX_HNSW};
static const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                               VECINDEX_COSINE};

static struct vecindex_hit hits[COUNT + 10];
static int hit_count;
static bool is_exact;

static int search(struct vecindex *index, const float *vector, int dim, int k,
                  struct err *err)
{
    const struct vecindex_query query = {.vector = vector, .dim = dim, .k = k};

    *err = (struct err){0};
    return vecindex_search(index, &query, hits, &hit_count, &is_exact, err);
}

static double true_distance(const float *a, const float *b, int dim,
                            enum vecindex_metric metric)
{
    double inner = 0, square = 0, a2 = 0, b2 = 0;
    int i;

    for (i = 0; i < dim; i++) {
        inner += (double)a[i] * (double)b[i];
        square += pow((double)a[i] - (double)b[i], 2);
        a2 += (double)a[i] * (double)a[i];
        b2 += (double)b[i] * (double)b[i];
    }
    return metric == VECINDEX_L2   ? square
           : metric == VECINDEX_IP ? inner
                                   : inner / sqrt(a2 * b2);
}

static void check_type(enum vecindex_type type, enum vecindex_metric metric)
{
    const struct vecindex_options options = {
        .type = type, .metric = metric, .nprobe = 30, .thread_count = 1};
    float *rows = sample_clusters(COUNT, DIM, 12, 1);
    float *queries = sample_clusters(QUERIES, DIM, 12, 2);
    struct vecindex *index;
    struct err err;
    int i, j;

    /* Lengths that differ, so that the metrics do. */
    for (i = 0; i < COUNT; i++)
        for (j = 0; j < DIM; j++)
            rows[i * DIM + j] *= 1 + (float)(i % 7) / 4;
    index = sample_build(rows, COUNT, DIM, &options);
    for (i = 0; i < QUERIES; i++) {
        CHECK_OK(search(index, queries + i * DIM, DIM, 15, &err), err);
        CHECK_INT(hit_count, 15);
        for (j = 0; j < hit_count; j++) {
            CHECK_NEAR(hits[j].distance,
                       true_distance(queries + i * DIM, rows + hits[j].id * DIM,
                                     DIM, metric),
                       1e-5);
            CHECK(j == 0 || (metric == VECINDEX_L2
                                 ? hits[j - 1].distance <= hits[j].distance
                                 : hits[j - 1].distance >= hits[j].distance));
        }
    }
    CHECK(sample_recall(index, rows, COUNT, queries, QUERIES, 10) >= 0.99);
    vecindex_free(index);
    mem_free(rows);
    mem_free(queries);
}

TEST(vecindex_finds_what_is_near_by_every_type_and_metric)
{
    size_t i, j;

    for (i = 0; i < sizeof types / sizeof types[0]; i++)
        for (j = 0; j < sizeof metrics / sizeof metrics[0]; j++)
            check_type(types[i], metrics[j]);
}

TEST(vecindex_fills_k_and_no_more_than_there_are)
{
    float *rows = sample_clusters(60, DIM, 6, 1);
    struct err err;
    size_t i;
    int j, m;

    for (i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct vecindex_options options = {
            .type = types[i], .nlist = 20, .nprobe = 1, .ef_search = 4};
        struct vecindex *index = sample_build(rows, 60, DIM, &options);

        CHECK_OK(search(index, rows, DIM, 60, &err), err);
        CHECK_INT(hit_count, 60);
        CHECK_OK(search(index, rows, DIM, COUNT, &err), err);
        CHECK_INT(hit_count, 60);
        CHECK(is_exact);
        for (j = 0; j < 60; j++)
            for (m = 0; m < j; m++)
                CHECK(hits[j].id != hits[m].id);
        vecindex_free(index);
    }
    mem_free(rows);
}

TEST(vecindex_says_whether_it_was_exact)
{
    float *rows = sample_clusters(COUNT, DIM, 12, 1);
    struct vecindex_query query = {.vector = rows, .dim = DIM, .k = 3};
    struct err err = {0};
    size_t i;

    for (i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct vecindex_options options = {.type = types[i]};
        struct vecindex *index = sample_build(rows, COUNT, DIM, &options);

        query.is_exact = false;
        CHECK_OK(
            vecindex_search(index, &query, hits, &hit_count, &is_exact, &err),
            err);
        CHECK(is_exact == (types[i] == VECINDEX_FLAT));
        query.is_exact = true;
        CHECK_OK(
            vecindex_search(index, &query, hits, &hit_count, &is_exact, &err),
            err);
        CHECK(is_exact);
        CHECK_INT(hits[0].id, 0);
        vecindex_free(index);
    }
    mem_free(rows);
}

TEST(vecindex_takes_no_rows_at_all)
{
    const float query[] = {1, 2, 3};
    struct err err;
    size_t i;

    for (i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct vecindex_options options = {.type = types[i]};
        struct vecindex *index = sample_build(NULL, 0, 3, &options);
        struct vecindex *back = NULL;
        float row[3];

        CHECK_OK(search(index, query, 3, 5, &err), err);
        CHECK_INT(hit_count, 0);
        CHECK(is_exact);
        CHECK_ERR(vecindex_row(index, 0, row, &err), ERR_NOT_FOUND);
        err = (struct err){0};
        CHECK_OK(vecindex_save_faiss(index, sample_file("none"), &err), err);
        vecindex_free(index);
        if (types[i] != VECINDEX_IVFFLAT) {
            CHECK_OK(vecindex_open(sample_file("none"), &options, &back, &err),
                     err);
            CHECK_OK(search(back, query, 3, 5, &err), err);
            CHECK_INT(hit_count, 0);
            vecindex_free(back);
        }
    }
}

TEST(vecindex_refuses_queries_by_name)
{
    const struct vecindex_options options = {.metric = VECINDEX_COSINE};
    float row[] = {1, 2, 3}, bad[] = {1, NAN, 0}, wide[] = {INFINITY, 0, 0};
    float zero[3] = {0}, long_one[] = {2e19F, 0, 0};
    struct vecindex *index = sample_build(row, 1, 3, &options);
    struct err err;

    hit_count = 77;
    CHECK_ERR(search(index, row, 4, 1, &err), ERR_INVALID);
    CHECK_HAS(err.text, "the query has 4 values; the index has 3");
    CHECK_ERR(search(index, row, 3, 0, &err), ERR_INVALID);
    CHECK_HAS(err.text, "k is 0");
    CHECK_ERR(search(index, row, 3, VECINDEX_K_MAX + 1, &err), ERR_INVALID);
    CHECK_ERR(search(index, bad, 3, 1, &err), ERR_INVALID);
    CHECK_HAS(err.text, "NaN");
    CHECK_ERR(search(index, wide, 3, 1, &err), ERR_INVALID);
    CHECK_ERR(search(index, long_one, 3, 1, &err), ERR_INVALID);
    CHECK_ERR(search(index, zero, 3, 1, &err), ERR_INVALID);
    CHECK_HAS(err.text, "all zeros");
    CHECK_INT(hit_count, 77);
    vecindex_free(index);
}

static void check_build_fails(const float *rows, const int64_t *ids, int count,
                              int dim, const struct vecindex_options *options,
                              const char *part)
{
    struct vecindex *index = NULL;
    struct err err = {0};

    CHECK_ERR(vecindex_build(rows, ids, count, dim, options, &index, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, part);
    CHECK(index == NULL);
}

TEST(vecindex_refuses_rows_and_options_by_name)
{
    struct vecindex_options options = {0};
    float rows[] = {1, 2, 3, 4}, bad[] = {1, 2, NAN, 4}, zero[4] = {1, 1};
    const int64_t ids[] = {5, -1};

    check_build_fails(rows, NULL, 1, 0, &options, "rows have 0 values");
    check_build_fails(rows, NULL, 1, VECINDEX_DIM_MAX + 1, &options, "65537");
    check_build_fails(bad, NULL, 2, 2, &options, "row 1 has NaN");
    check_build_fails(rows, ids, 2, 2, &options, "row 1 is -1");
    options.metric = VECINDEX_COSINE;
    check_build_fails(zero, NULL, 2, 2, &options, "row 1 is all zeros");
    options = (struct vecindex_options){.links = -1};
    check_build_fails(rows, NULL, 2, 2, &options, "M is -1");
    options = (struct vecindex_options){.nlist = VECINDEX_NLIST_MAX + 1};
    check_build_fails(rows, NULL, 2, 2, &options, "nlist is 1048577");
    options = (struct vecindex_options){.ef_search = VECINDEX_EF_MAX + 1};
    check_build_fails(rows, NULL, 2, 2, &options, "efSearch");
    options = (struct vecindex_options){.thread_count = 1000};
    check_build_fails(rows, NULL, 2, 2, &options, "threads is 1000");
}

TEST(vecindex_keeps_ids_through_files_and_other_types)
{
    float *rows = sample_clusters(300, DIM, 5, 3);
    int64_t *ids = mem_new(300 * sizeof *ids);
    float row[DIM];
    struct err err = {0};
    size_t i, j;
    int64_t m;

    for (m = 0; m < 300; m++)
        ids[m] = (m * 7919) % 300 * 10 - 5000;
    for (i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct vecindex_options options = {.type = types[i], .nprobe = 100};
        struct vecindex *index = NULL;

        CHECK_OK(vecindex_build(rows, ids, 300, DIM, &options, &index, &err),
                 err);
        CHECK_OK(vecindex_save_faiss(index, sample_file("ids"), &err), err);
        vecindex_free(index);
        for (j = 0; j < sizeof types / sizeof types[0]; j++) {
            options.type = types[j];
            index = NULL;
            CHECK_OK(vecindex_open(sample_file("ids"), &options, &index, &err),
                     err);
            for (m = 0; m < 300; m += 29) {
                CHECK_OK(search(index, rows + m * DIM, DIM, 1, &err), err);
                CHECK_INT(hits[0].id, ids[m]);
                CHECK_OK(vecindex_row(index, ids[m], row, &err), err);
                CHECK(memcmp(row, rows + m * DIM, sizeof row) == 0);
            }
            CHECK_ERR(vecindex_row(index, 1, row, &err), ERR_NOT_FOUND);
            err = (struct err){0};
            vecindex_free(index);
        }
    }
    mem_free(ids);
    mem_free(rows);
}

TEST(vecindex_opens_every_sample_mapped_or_not)
{
    static const char *const names[] = {
        "flat_l2.faiss",   "flat_ip.faiss",    "idmap.faiss",
        "idmap2.faiss",    "ivf_l2.faiss",     "ivf_ip.faiss",
        "hnsw_l2.faiss",   "hnsw_ip.faiss",    "flat_plain.faiss",
        "idmap_ivf.faiss", "idmap_hnsw.faiss", "f4.npy"};
    float row[SAMPLE_DIM];
    struct err err = {0};
    size_t i;
    int pass;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        for (pass = 0; pass < 2; pass++) {
            const struct vecindex_options options = {.is_mapped = pass == 1,
                                                     .nprobe = 4};
            bool is_mapped_name = strncmp(names[i], "idmap", 5) == 0;
            struct vecindex *index = NULL;

            CHECK_OK(
                vecindex_open(sample_path(names[i]), &options, &index, &err),
                err);
            sample_row(5, row);
            CHECK_OK(search(index, row, SAMPLE_DIM, 40, &err), err);
            CHECK_OK(vecindex_row(index,
                                  is_mapped_name
                                      ? SAMPLE_ID_FIRST + 5 * SAMPLE_ID_STEP
                                      : 5,
                                  row, &err),
                     err);
            vecindex_free(index);
        }
}

TEST(vecindex_takes_a_cosine_graph_back_as_it_was)
{
    float *rows = sample_clusters(COUNT, DIM, 12, 1);
    struct vecindex_options options = {
        .type = VECINDEX_HNSW, .metric = VECINDEX_COSINE, .thread_count = 1};
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
    struct vecindex_info info;
    struct err err = {0};
    uint8_t *a = NULL, *b = NULL;
    size_t len;

    CHECK_OK(vecindex_save_faiss(index, sample_file("a"), &err), err);
    vecindex_free(index);
    index = NULL;
    options.seed = 5; /* another graph, if it were built anew */
    CHECK_OK(vecindex_open(sample_file("a"), &options, &index, &err), err);
    vecindex_info(index, &info);
    CHECK_TEXT(info.metric_name, "cosine");
    CHECK_TEXT(info.type_name, "HNSW");
    CHECK_OK(vecindex_save_faiss(index, sample_file("b"), &err), err);
    len = sample_read(sample_file("a"), &a);
    CHECK_INT(sample_read(sample_file("b"), &b), len);
    CHECK(memcmp(a, b, len) == 0);
    mem_free(a);
    mem_free(b);
    vecindex_free(index);
    mem_free(rows);
}

TEST(vecindex_auto_looks_at_all_of_a_few_rows)
{
    const struct vecindex_options options = {.type = VECINDEX_AUTO};
    float *rows = sample_clusters(COUNT, DIM, 12, 1);
    struct vecindex *index = sample_build(rows, COUNT, DIM, &options);
    struct vecindex_info info;

    vecindex_info(index, &info);
    CHECK_TEXT(info.type_name, "Flat");
    CHECK(info.is_exact && !info.has_ids);
    CHECK_INT(info.count, COUNT);
    CHECK_INT(info.dim, DIM);
    CHECK(info.memory_len >= COUNT * DIM * 4);
    vecindex_free(index);
    mem_free(rows);
}

TEST(vecindex_parses_types_and_metrics_in_any_case)
{
    enum vecindex_metric metric = VECINDEX_METRIC_ANY;
    enum vecindex_type type = VECINDEX_ANY;
    struct err err = {0};

    CHECK_OK(vecindex_type_parse("ivfflat", &type, &err), err);
    CHECK_INT(type, VECINDEX_IVFFLAT);
    CHECK_OK(vecindex_type_parse("HNSW", &type, &err), err);
    CHECK_INT(type, VECINDEX_HNSW);
    CHECK_OK(vecindex_metric_parse("COSINE", &metric, &err), err);
    CHECK_INT(metric, VECINDEX_COSINE);
    CHECK_ERR(vecindex_type_parse("pq", &type, &err), ERR_INVALID);
    CHECK_HAS(err.text, "'pq'");
    err = (struct err){0};
    CHECK_ERR(vecindex_metric_parse("any", &metric, &err), ERR_INVALID);
    CHECK_INT(metric, VECINDEX_COSINE);
}

struct searcher {
    pthread_t thread;
    struct vecindex *index;
    const float *rows;
    int mistakes;
};

static void *search_some(void *argument)
{
    struct searcher *searcher = argument;
    struct vecindex_hit own[5];
    int i, count;
    bool is;

    for (i = 0; i < 200; i++) {
        const struct vecindex_query query = {
            .vector = searcher->rows + i * DIM, .dim = DIM, .k = 5};
        struct err err = {0};

        if (vecindex_search(searcher->index, &query, own, &count, &is, &err) !=
                0 ||
            own[0].id != i)
            searcher->mistakes++;
    }
    return NULL;
}

TEST(vecindex_searches_run_beside_each_other)
{
    float *rows = sample_clusters(COUNT, DIM, 12, 1);
    struct searcher searchers[4];
    size_t i;
    int j;

    for (i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct vecindex_options options = {.type = types[i],
                                                 .nprobe = 20};
        struct vecindex *index = sample_build(rows, COUNT, DIM, &options);

        for (j = 0; j < 4; j++) {
            searchers[j] = (struct searcher){.index = index, .rows = rows};
            CHECK_INT(pthread_create(&searchers[j].thread, NULL, search_some,
                                     &searchers[j]),
                      0);
        }
        for (j = 0; j < 4; j++) {
            pthread_join(searchers[j].thread, NULL);
            CHECK_INT(searchers[j].mistakes, 0);
        }
        vecindex_free(index);
    }
    mem_free(rows);
}

TEST(vecindex_torture_builds_and_finds_nothing_without_memory)
{
    float *rows = sample_clusters(90, DIM, 3, 1);
    size_t i;
    long nth;

    for (i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct vecindex_options options = {
            .type = types[i], .metric = VECINDEX_COSINE, .thread_count = 1};

        for (nth = 1; nth < 400; nth++) {
            struct vecindex *index = NULL;
            struct err err = {0};
            int rc;

            mem_fail_at(nth);
            rc = vecindex_build(rows, NULL, 90, DIM, &options, &index, &err);
            if (rc == 0)
                rc = search(index, rows, DIM, 3, &err);
            if (mem_tries() < nth) {
                mem_fail_at(0);
                CHECK_OK(rc, err);
                vecindex_free(index);
                break;
            }
            mem_fail_at(0);
            CHECK_ERR(rc, ERR_UNAVAILABLE);
            vecindex_free(index);
        }
        CHECK(nth > 3 && nth < 400);
    }
    mem_free(rows);
}
