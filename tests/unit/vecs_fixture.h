/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the vector store share: entries that can be made again from
 * a number, and short ways to open, add, look and compare. Texts that are
 * returned are the calling thread's, valid until the test ends or, where that
 * is said, until the next call. */
#ifndef OLHO_TEST_VECS_FIXTURE_H
#define OLHO_TEST_VECS_FIXTURE_H

#include "test.h"
#include "vectors/vecstore.h"

enum { VECS_DIM_MAX = 1024 };

/* The vector number `number`: always the same, entries in -1..1. */
void vecs_vector(uint64_t number, int dim, float *out);

/* The key and the path that entry `number` gets, of unlike lengths; and what
 * its tag "kind" says, one of vecs_kinds. Until the next call. */
const char *vecs_key(uint64_t number);
const char *vecs_path(uint64_t number);
const char *vecs_kind(uint64_t number);
extern const char *const vecs_kinds[5];

/* A path of that name in the test's folder. Until the next call. */
const char *vecs_file(const char *name);

/* With the presets; model "model-1". */
struct vecstore *vecs_open(const char *path, enum vec_mode mode, int dim,
                           enum vecindex_metric metric);

/* Entries `first` up to `count` of them, in one call each or all in one. Their
 * tags are "kind" and, for every third, "third" twice. */
int vecs_try_add(struct vecstore *store, int dim, uint64_t first, int count,
                 bool is_upsert, int64_t *out_ids, struct err *err);
void vecs_add(struct vecstore *store, int dim, uint64_t first, int count);
void vecs_add_each(struct vecstore *store, int dim, uint64_t first, int count);

struct vec_info vecs_info(struct vecstore *store);

/* Checks that the entry is there, whole, as entry `number`. */
void vecs_check_entry(struct vecstore *store, int dim, int64_t id,
                      uint64_t number);

/* Checks that entries 0..count-1 are there as ids 0..count-1, by searching and
 * by getting them. */
void vecs_check(struct vecstore *store, int dim, int64_t count);

/* An arena of this thread, empty again. */
struct arena *vecs_arena(void);

/* The whole file into `out`; returns its length, below len_max. */
size_t vecs_read(const char *path, void *out, size_t len_max);
void vecs_write(const char *path, const void *data, size_t len);

#endif
