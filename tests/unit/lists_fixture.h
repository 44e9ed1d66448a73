/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of lists share: clustered rows, lists over them, searches.
 * One thread at a time, but for searches. */
#ifndef OLHO_TEST_LISTS_FIXTURE_H
#define OLHO_TEST_LISTS_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "test.h"
#include "vectors/lists.h"

enum {
    LISTS_COUNT = 3000,
    LISTS_DIM = 64,
    LISTS_CENTRES = 30,
    LISTS_QUERIES = 20,
    LISTS_K = 10,
    LISTS_NLIST = 40
};

/* Rows, what they are kept as, and which are removed. */
struct lists_set {
    float *rows;
    const float *places[LISTS_COUNT];
    struct codes *codes;
    struct blocks removed;
};

void lists_set_make(struct lists_set *set, enum vecindex_metric metric,
                    enum vec_storage storage);
void lists_set_release(struct lists_set *set);
void lists_set_remove(struct lists_set *set, int64_t slot);

/* LISTS_NLIST of them; without rows, with those below `end`, with all. */
struct lists *lists_set_train(struct lists_set *set);
void lists_set_insert(struct lists *lists, struct lists_set *set, int64_t end);
struct lists *lists_set_make_lists(struct lists_set *set);

/* What a search is asked for and what it found. */
struct lists_ask {
    int nprobe, k;
    int64_t end;
    float limit;
    struct slot_filter filter;
    struct near hits[LISTS_COUNT];
    int count;
    bool is_exact;
};

/* For LISTS_K of all; ended with mem_free. */
struct lists_ask *lists_ask_new(const struct lists_set *set, int nprobe);
int lists_ask_try(struct lists *lists, const struct lists_set *set,
                  const float *vector, struct lists_ask *ask, struct err *err);
void lists_ask_search(struct lists *lists, const struct lists_set *set,
                      const float *vector, struct lists_ask *ask);

/* How many of the true nearest a search finds, which finds as many rows as
 * there are to find; what part of them, on average over queries. */
int lists_ask_found(struct lists *lists, const struct lists_set *set,
                    const float *vector, struct lists_ask *ask);
double lists_ask_recall(struct lists *lists, const struct lists_set *set,
                        struct lists_ask *ask);

#endif
