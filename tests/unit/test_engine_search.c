/* SPDX-License-Identifier: Apache-2.0 */
/* What searches find, held to looking at every vector in double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "vecs_fixture.h"

enum { DIM = 24, COUNT = 900, QUERY_COUNT = 12 };

static const enum vecindex_metric metrics[] = {VECINDEX_L2, VECINDEX_IP,
                                               VECINDEX_COSINE};

/* --- brute force ------------------------------------------------------ */

/* Which entries are there: number i has id i unless it was removed. */
static bool is_gone[COUNT];
static float vectors[COUNT][DIM];

struct expected {
    int64_t id;
    double distance; /* smaller is nearer */
};

static double distance_of(enum vecindex_metric metric, const float *a,
                          const float *b)
{
    double inner = 0, square = 0, a_square = 0, b_square = 0;
    int i;

    for (i = 0; i < DIM; i++) {
        inner += (double)a[i] * (double)b[i];
        a_square += (double)a[i] * (double)a[i];
        b_square += (double)b[i] * (double)b[i];
        square += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    }
    if (metric == VECINDEX_L2)
        return square;
    return metric == VECINDEX_IP ? -inner : -inner / sqrt(a_square * b_square);
}

static int compare(const void *a, const void *b)
{
    const struct expected *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool has_value(const struct vec_term *term, int64_t id)
{
    int i;

    for (i = 0; i < term->value_count; i++) {
        if (strcmp(term->name, "kind") == 0 &&
            strcmp(term->values[i], vecs_kind((uint64_t)id)) == 0)
            return true;
        if (strcmp(term->name, "third") == 0 && id % 3 == 0 &&
            (strcmp(term->values[i], "yes") == 0 ||
             strcmp(term->values[i], "no doubt") == 0))
            return true;
    }
    return false;
}

static bool passes(const struct vec_filter *filter, int64_t id)
{
    int i;

    for (i = 0; filter != NULL && i < filter->term_count; i++) {
        if (has_value(&filter->terms[i], id) == filter->terms[i].is_not)
            return false;
    }
    return true;
}

/* All entries that the query may find, nearest first; how many. */
static int expect(enum vecindex_metric metric, const struct vec_query *query,
                  struct expected *out)
{
    int64_t id;
    int count = 0;

    for (id = 0; id < COUNT; id++) {
        double distance = distance_of(metric, query->vector, vectors[id]);
        double radius = metric == VECINDEX_L2 ? (double)query->radius
                                              : -(double)query->radius;

        if (is_gone[id] || !passes(query->filter, id) ||
            (query->has_radius && distance > radius) ||
            (query->exclude_key != NULL &&
             strcmp(query->exclude_key, vecs_key((uint64_t)id)) == 0))
            continue;
        out[count++] = (struct expected){id, distance};
    }
    qsort(out, (size_t)count, sizeof *out, compare);
    return count;
}

static double outer(enum vecindex_metric metric, double distance)
{
    return metric == VECINDEX_L2 ? distance : -distance;
}

static void check_query(struct vecstore *store, enum vecindex_metric metric,
                        const struct vec_query *query)
{
    static struct expected wanted[COUNT];
    int i, count = expect(metric, query, wanted);
    struct vec_hits hits = {0};
    struct err err = {0};

    CHECK_OK(vecstore_search(store, query, vecs_arena(), &hits, &err), err);
    CHECK_INT(hits.count, count < query->k ? count : query->k);
    CHECK(hits.is_exact);
    for (i = 0; i < hits.count; i++) {
        int64_t id = hits.list[i].id;

        CHECK(id >= 0 && id < COUNT && !is_gone[id]);
        CHECK(passes(query->filter, id));
        CHECK_TEXT(hits.list[i].key, vecs_key((uint64_t)id));
        /* In float, two that are as near may change places. */
        CHECK_NEAR(distance_of(metric, query->vector, vectors[id]),
                   wanted[i].distance, 1e-6);
        CHECK_NEAR(hits.list[i].distance, outer(metric, wanted[i].distance),
                   1e-5);
    }
}

/* Queries of many kinds; what they have in common is in `query`. */
static void check_queries(struct vecstore *store, enum vecindex_metric metric,
                          struct vec_query query)
{
    static const int ks[] = {1, 10, 100, COUNT + 100};
    float vector[DIM];
    size_t i;
    int number;

    query.vector = vector;
    query.dim = DIM;
    for (number = 0; number < QUERY_COUNT; number++) {
        vecs_vector((uint64_t)(5000 + number), DIM, vector);
        for (i = 0; i < sizeof ks / sizeof ks[0]; i++) {
            query.k = ks[i];
            check_query(store, metric, &query);
        }
    }
}

static struct vecstore *open_filled(const struct vec_options *options)
{
    struct vecstore *store = NULL;
    struct err err = {0};
    int i;

    CHECK_OK(
        vecstore_open(vecs_file("x.olho"), VEC_WRITE, options, &store, &err),
        err);
    memset(is_gone, 0, sizeof is_gone);
    for (i = 0; i < COUNT; i++)
        vecs_vector((uint64_t)i, DIM, vectors[i]);
    vecs_add(store, DIM, 0, COUNT);
    return store;
}

static void close_and_drop(struct vecstore *store)
{
    const struct vec_options options = {0};
    struct err err = {0};

    vecstore_close(store);
    CHECK_OK(vecstore_drop(vecs_file("x.olho"), &options, &err), err);
}

/* --- exact ------------------------------------------------------------ */

TEST(search_finds_the_nearest_in_every_storage_and_metric)
{
    enum vec_storage storage;
    size_t i;

    for (storage = VEC_FLOAT32; storage <= VEC_INT8; storage++) {
        for (i = 0; i < 3; i++) {
            const struct vec_options options = {
                .dim = DIM, .metric = metrics[i], .storage = storage};
            struct vecstore *store = open_filled(&options);

            check_queries(store, metrics[i], (struct vec_query){0});
            close_and_drop(store);
        }
    }
}

TEST(search_finds_the_same_with_filters_radius_and_exclusion)
{
    const char *const cats[] = {"cat", "fish"};
    const char *const yes[] = {"yes"}, *const nobody[] = {"nobody"};
    const struct vec_term terms[] = {{"kind", cats, 2, false},
                                     {"third", yes, 1, true},
                                     {"kind", nobody, 1, false}};
    const struct vec_filter filters[] = {
        {terms, 1}, {terms + 1, 1}, {terms, 2}, {terms, 3}};
    static const float radius[] = {6, 1, 0.2F};
    size_t i, j;

    for (i = 0; i < 3; i++) {
        const struct vec_options options = {.dim = DIM, .metric = metrics[i]};
        struct vecstore *store = open_filled(&options);

        for (j = 0; j < 4; j++) {
            check_queries(store, metrics[i],
                          (struct vec_query){.filter = &filters[j]});
            check_queries(store, metrics[i],
                          (struct vec_query){.filter = &filters[j],
                                             .has_radius = true,
                                             .radius = radius[i]});
        }
        check_queries(
            store, metrics[i],
            (struct vec_query){.has_radius = true, .radius = radius[i]});
        check_queries(store, metrics[i],
                      (struct vec_query){.exclude_key = "no such key"});
        close_and_drop(store);
    }
}

TEST(search_leaves_out_the_entry_with_the_excluded_key)
{
    const struct vec_options options = {.dim = DIM, .metric = VECINDEX_COSINE};
    struct vecstore *store = open_filled(&options);
    char key[64];
    struct vec_query query = {.dim = DIM, .exclude_key = key};
    int i;

    for (i = 0; i < COUNT; i += 97) {
        query.vector = vectors[i];
        snprintf(key, sizeof key, "%s", vecs_key((uint64_t)i));
        query.k = 7;
        check_query(store, VECINDEX_COSINE, &query);
        query.k = COUNT;
        check_query(store, VECINDEX_COSINE, &query);
    }
    close_and_drop(store);
}

/* Removes and replaces by a rule. */
static void change(struct vecstore *store)
{
    struct err err = {0};
    int64_t i;

    for (i = 0; i < COUNT; i++) {
        if (i % 7 == 3) {
            CHECK_OK(vecstore_remove(store, &i, 1, NULL, &err), err);
            is_gone[i] = true;
        } else if (i % 11 == 5) {
            /* Under the same key and tags, with another vector. */
            struct vec_entry entry = {.id = i, .vector = vectors[i]};
            struct vec_tag tags[] = {{"kind", vecs_kind((uint64_t)i)},
                                     {"third", "yes"}};

            vecs_vector((uint64_t)(i + 70000), DIM, vectors[i]);
            entry.key = vecs_key((uint64_t)i);
            entry.tags = tags;
            entry.tag_count = i % 3 == 0 ? 2 : 1;
            CHECK_OK(vecstore_upsert(store, &entry, 1, NULL, &err), err);
        }
    }
}

TEST(search_finds_the_same_after_changes_reopening_and_compaction)
{
    const char *const cats[] = {"cat", "fish"};
    const struct vec_term term = {"kind", cats, 2, false};
    const struct vec_filter filter = {&term, 1};
    const struct vec_options options = {.dim = DIM, .metric = VECINDEX_L2};
    struct vecstore *store = open_filled(&options);
    struct err err = {0};
    int turn;

    change(store);
    for (turn = 0; turn < 4; turn++) {
        check_queries(store, VECINDEX_L2, (struct vec_query){0});
        check_queries(store, VECINDEX_L2,
                      (struct vec_query){.filter = &filter});
        if (turn == 1)
            CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
        if (turn == 2)
            CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
        vecstore_close(store);
        store = vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    }
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    close_and_drop(store);
}

/* --- ties ------------------------------------------------------------- */

TEST(search_gives_ties_to_the_lower_id_in_whatever_order_they_came)
{
    enum { SAME = 60 };
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    float vector[DIM] = {1, 2, 3}, other[DIM] = {9};
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 7};
    struct vec_hits hits;
    struct err err = {0};
    int i;

    for (i = 0; i < SAME; i++) {
        const struct vec_entry entries[] = {
            {.id = i * 37 % SAME, .vector = vector},
            {.id = 1000 + i, .vector = other}};

        CHECK_OK(vecstore_add(store, entries, 2, NULL, &err), err);
    }
    for (query.k = 1; query.k <= 2 * SAME; query.k += 7) {
        CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err),
                 err);
        CHECK_INT(hits.count, query.k);
        for (i = 0; i < hits.count; i++)
            CHECK_INT(hits.list[i].id, i < SAME ? i : 1000 + i - SAME);
    }
    vecstore_close(store);
}

/* --- by an index ------------------------------------------------------ */

/* How many of the k nearest were found, of all queries; each must be filled
 * and in order. */
static double recall(struct vecstore *store, enum vecindex_metric metric,
                     const struct vec_filter *filter, bool *out_is_exact)
{
    static struct expected wanted[COUNT];
    float vector[DIM];
    struct vec_query query = {
        .vector = vector, .dim = DIM, .k = 10, .filter = filter};
    struct vec_hits hits;
    struct err err = {0};
    int number, i, found = 0, all = 0;

    for (number = 0; number < 40; number++) {
        int count, k;

        vecs_vector((uint64_t)(9000 + number), DIM, vector);
        count = expect(metric, &query, wanted);
        k = count < query.k ? count : query.k;
        CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err),
                 err);
        CHECK_INT(hits.count, k);
        for (i = 0; i < k; i++) {
            CHECK(!is_gone[hits.list[i].id]);
            CHECK(passes(filter, hits.list[i].id));
            CHECK(i == 0 || outer(metric, hits.list[i - 1].distance) <=
                                outer(metric, hits.list[i].distance));
            found += outer(metric, hits.list[i].distance) <=
                     wanted[k - 1].distance + 1e-5;
        }
        all += k;
        *out_is_exact = hits.is_exact;
    }
    return (double)found / all;
}

static void check_index(enum vecindex_type type, enum vecindex_metric metric)
{
    const char *const cats[] = {"cat"};
    const struct vec_term term = {"kind", cats, 1, false};
    const struct vec_filter filter = {&term, 1};
    const struct vec_options options = {
        .dim = DIM, .metric = metric, .type = type, .nlist = 16, .nprobe = 12};
    struct vecstore *store = open_filled(&options);
    struct err err = {0};
    bool is_exact = false;
    int turn;

    for (turn = 0; turn < 4; turn++) {
        CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
        CHECK_INT(vecs_info(store).type, type);
        CHECK_INT(vecs_info(store).pending, 0);
        CHECK(recall(store, metric, NULL, &is_exact) >= 0.9);
        CHECK(!is_exact);
        CHECK(recall(store, metric, &filter, &is_exact) >= 0.9);
        check_queries(store, metric, (struct vec_query){.is_exact = true});
        if (turn == 0)
            change(store);
        CHECK(recall(store, metric, NULL, &is_exact) >= 0.9);
        if (turn == 1)
            CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
        if (turn == 2) {
            vecstore_close(store);
            store = vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, metric);
        }
    }
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    close_and_drop(store);
}

TEST(search_by_a_graph_fills_k_and_says_that_it_is_not_exact)
{
    size_t i;

    for (i = 0; i < 3; i++)
        check_index(VECINDEX_HNSW, metrics[i]);
}

TEST(search_by_lists_fills_k_and_says_that_it_is_not_exact)
{
    size_t i;

    for (i = 0; i < 3; i++)
        check_index(VECINDEX_IVFFLAT, metrics[i]);
}

/* --- pages ------------------------------------------------------------ */

TEST(list_copies_a_store_page_by_page_in_the_order_of_ids)
{
    const struct vec_options options = {.dim = DIM, .metric = VECINDEX_L2};
    struct vecstore *store = open_filled(&options);
    float page[13][DIM];
    struct vec_hits hits;
    struct err err = {0};
    int64_t after = -1, next = 0;
    int i;

    change(store);
    do {
        CHECK_OK(
            vecstore_list(store, after, 13, vecs_arena(), &hits, page[0], &err),
            err);
        for (i = 0; i < hits.count; i++) {
            while (is_gone[next])
                next++;
            CHECK_INT(hits.list[i].id, next);
            CHECK_TEXT(hits.list[i].key, vecs_key((uint64_t)next));
            CHECK(memcmp(page[i], vectors[next], sizeof page[i]) == 0);
            after = next++;
        }
    } while (hits.count == 13);
    while (next < COUNT && is_gone[next])
        next++;
    CHECK_INT(next, COUNT);
    CHECK_ERR(vecstore_list(store, -1, 0, vecs_arena(), &hits, NULL, &err),
              ERR_INVALID);
    close_and_drop(store);
}

/* --- beside FAISS, and at the limits ---------------------------------- */

/* The file has, little-endian: "FLATREF1", int32 n, d, queries, k, then n x d
 * and queries x d numbers as int8 (to be divided by 64), then for L2 and for
 * IP queries x k ids as int32 and distances as float32: Euclidean ones, and 1 -
 * the inner product. */
struct reference {
    char magic[8];
    int32_t n, d, query_count, k;
    int8_t numbers[];
};

static void read_row(const struct reference *reference, int number, float *out)
{
    int i;

    for (i = 0; i < reference->d; i++)
        out[i] = (float)reference->numbers[number * reference->d + i] / 64.0F;
}

static void check_reference(const struct reference *reference,
                            enum vecindex_metric metric, const int32_t *ids,
                            const float *distances)
{
    struct vecstore *store =
        vecs_open(vecs_file(metric == VECINDEX_L2 ? "l2" : "ip"), VEC_WRITE,
                  reference->d, metric);
    float *rows =
        mem_new(sizeof *rows * (size_t)reference->n * (size_t)reference->d);
    struct vec_entry *entries = mem_new(sizeof *entries * (size_t)reference->n);
    float vector[VECS_DIM_MAX];
    struct vec_query query = {
        .vector = vector, .dim = reference->d, .k = reference->k};
    struct vec_hits hits;
    struct err err = {0};
    int i, j;

    for (i = 0; i < reference->n; i++) {
        entries[i] = (struct vec_entry){.id = VEC_ID_NEW,
                                        .vector = rows + i * reference->d};
        read_row(reference, i, rows + i * reference->d);
    }
    CHECK_OK(vecstore_add(store, entries, reference->n, NULL, &err), err);
    for (i = 0; i < reference->query_count; i++) {
        read_row(reference, reference->n + i, vector);
        CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err),
                 err);
        CHECK_INT(hits.count, reference->k);
        for (j = 0; j < hits.count; j++, distances++) {
            double distance = (double)hits.list[j].distance;

            CHECK_INT(hits.list[j].id, *ids++);
            CHECK_NEAR(metric == VECINDEX_L2 ? sqrt(distance) : 1 - distance,
                       *distances, 1e-5 * (1 + fabs((double)*distances)));
        }
    }
    mem_free(entries);
    mem_free(rows);
    vecstore_close(store);
}

TEST(search_answers_as_faiss_does)
{
    static _Alignas(8) uint8_t bytes[1 << 17];
    const struct reference *reference = (const void *)bytes;
    size_t len =
        vecs_read(test_data("flat_reference.bin"), bytes, sizeof bytes);
    size_t number_count, hit_count;
    const uint8_t *place = (const uint8_t *)reference->numbers;

    CHECK(len > sizeof *reference);
    CHECK(memcmp(reference->magic, "FLATREF1", 8) == 0);
    CHECK(reference->d <= VECS_DIM_MAX && reference->n <= VEC_BATCH_MAX);
    number_count =
        (size_t)(reference->n + reference->query_count) * (size_t)reference->d;
    hit_count = (size_t)(reference->query_count * reference->k);
    CHECK_INT(len, sizeof *reference + number_count + 16 * hit_count);
    CHECK_INT(number_count % 4, 0);
    place += number_count;
    check_reference(reference, VECINDEX_L2,
                    (const int32_t *)(const void *)place,
                    (const float *)(const void *)(place + 4 * hit_count));
    place += 8 * hit_count;
    check_reference(reference, VECINDEX_IP,
                    (const int32_t *)(const void *)place,
                    (const float *)(const void *)(place + 4 * hit_count));
}

TEST(search_keeps_huge_vectors_apart_without_overflow)
{
    static const float up[] = {2e18F, 2e18F}, down[] = {-2e18F, -2e18F};
    static const struct vec_entry entries[] = {{.id = 1, .vector = down},
                                               {.id = 2, .vector = up}};
    const struct vec_query query = {.vector = up, .dim = 2, .k = 2};
    enum vec_storage storage;

    for (storage = VEC_FLOAT32; storage <= VEC_INT8; storage++) {
        const struct vec_options options = {
            .dim = 2, .metric = VECINDEX_L2, .storage = storage};
        struct vecstore *store = NULL;
        struct vec_hits hits;
        struct err err = {0};

        CHECK_OK(vecstore_open(vecs_file("x.olho"), VEC_WRITE, &options, &store,
                               &err),
                 err);
        CHECK_OK(vecstore_add(store, entries, 2, NULL, &err), err);
        CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err),
                 err);
        CHECK_INT(hits.count, 2);
        CHECK_INT(hits.list[0].id, 2);
        CHECK_NEAR(hits.list[0].distance, 0, 1e31);
        CHECK_NEAR(hits.list[1].distance, 3.2e37, 1e33);
        close_and_drop(store);
    }
}

TEST(search_takes_the_longest_vectors_there_may_be)
{
    static float vector[VEC_DIM_MAX], other[VEC_DIM_MAX];
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, VEC_DIM_MAX, VECINDEX_COSINE);
    const struct vec_entry entries[] = {{.id = 1, .vector = other},
                                        {.id = 2, .vector = vector}};
    const struct vec_query query = {
        .vector = vector, .dim = VEC_DIM_MAX, .k = 2};
    struct vec_hits hits;
    struct err err = {0};
    int i;

    for (i = 0; i < VEC_DIM_MAX; i++) {
        vector[i] = (float)(i % 17) - 8;
        other[i] = (float)(i % 23) - 11;
    }
    CHECK_OK(vecstore_add(store, entries, 2, NULL, &err), err);
    vecstore_close(store);
    store = vecs_open(vecs_file("x.olho"), VEC_READ, 0, VECINDEX_METRIC_ANY);
    CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err), err);
    CHECK_INT(hits.count, 2);
    CHECK_INT(hits.list[0].id, 2);
    CHECK_NEAR(hits.list[0].distance, 1, 1e-5);
    CHECK_NEAR(hits.list[1].distance, 0, 0.05);
    vecstore_close(store);
}
