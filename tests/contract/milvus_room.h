/* SPDX-License-Identifier: Apache-2.0 */
/* Collections of a Milvus server for tests; each is its test's own.
 * OLHO_TEST_MILVUS is the host:port of the server. */
#ifndef OLHO_TEST_MILVUS_ROOM_H
#define OLHO_TEST_MILVUS_ROOM_H

#include "base/mem.h"
#include "vectors/milvus_link.h"
#include "vectors/vecstore_backend.h"

enum { MILVUS_DIM = 8, MILVUS_MANY = 2500 };

struct milvus_room {
    char url[400];
    struct milvus_link link; /* for what the backend has no call for */
    void *store;
    int dim;
    enum vecindex_metric metric;
    struct arena *arena;
};

/* Where the server is; skips the test without one. */
const char *milvus_server(void);

/* Names a collection that nobody else has; opens it, or lets it fail; drops
 * it at the end of the test, or only lets go of it. */
void room_init(struct milvus_room *room, const char *address);
void room_init_at(struct milvus_room *room, int port); /* of 127.0.0.1 */
void room_open(struct milvus_room *room, int dim);
int room_try_open(struct milvus_room *room, enum vec_mode mode,
                  const struct vec_options *options, struct err *err);
void room_end(struct milvus_room *room);
void room_close(struct milvus_room *room);

/* These must succeed. */
void room_put(struct milvus_room *room, const struct vec_entry *entries,
              int count, bool is_upsert, int64_t *ids);
void room_find(struct milvus_room *room, const struct vec_query *query,
               struct vec_hits *out);
int64_t room_count(struct milvus_room *room);

/* Directions that differ from each other. */
void milvus_direction(int number, int dim, float *out);

/* Entries with the keys key0, key1, .. and the labels l0..l4 in turn. */
struct milvus_many {
    float vectors[MILVUS_MANY][MILVUS_DIM];
    char keys[MILVUS_MANY][16];
    struct vec_tag tags[MILVUS_MANY];
    struct vec_entry entries[MILVUS_MANY];
    int64_t ids[MILVUS_MANY]; /* for the test to fill */
};

struct milvus_many *milvus_many_new(void); /* ends with mem_free */
int milvus_number(const char *digits);

/* Reads all pages, which must be `want` of the entries, as they are. */
void room_read_all(struct milvus_room *room, const struct milvus_many *many,
                   int want);

#endif
