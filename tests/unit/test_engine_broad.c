/* SPDX-License-Identifier: Apache-2.0 */
/* When a search looks at all rows although there is a graph. */
#include "vecs_fixture.h"

/* A walk as broad as a part of the rows takes longer than looking at all. */
TEST(search_looks_at_all_rows_when_a_graph_is_asked_to_look_broadly)
{
    static const struct {
        int ef_search, k;
        bool is_exact;
    } cases[] = {{0, 10, false},   {255, 10, false}, {256, 10, false},
                 {312, 10, false}, {313, 10, true},  {0, 313, true},
                 {10000, 10, true}};
    const struct vec_options options = {
        .dim = 4, .metric = VECINDEX_L2, .type = VECINDEX_HNSW, .links = 4};
    const int count = 313 * 16;
    struct vecstore *store = NULL;
    struct err err = {0};
    float vector[4];
    size_t i;

    CHECK_OK(
        vecstore_open(vecs_file("x.olho"), VEC_WRITE, &options, &store, &err),
        err);
    vecs_add(store, 4, 0, count);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    vecs_vector(77, 4, vector);
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct vec_query query = {.vector = vector,
                                        .dim = 4,
                                        .k = cases[i].k,
                                        .ef_search = cases[i].ef_search};
        struct vec_hits hits;

        CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err),
                 err);
        CHECK_INT(hits.count, cases[i].k);
        CHECK_INT(hits.list[0].id, 77);
        CHECK_INT(hits.is_exact, cases[i].is_exact);
    }
    vecstore_close(store);
}
