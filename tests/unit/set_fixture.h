/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the engine's keeper share: entries that can be made again
 * from an id and a version, and what a set should have. Entry `id` has the key
 * "key-ID", the path "path-ID-VERSION" and the tags class (ID % 7) and version.
 * Any threads, but that paths are the calling thread's until its next call. */
#ifndef OLHO_TEST_SET_FIXTURE_H
#define OLHO_TEST_SET_FIXTURE_H

#include "test.h"
#include "vectors/vecstore.h"

enum { SET_DIM_MAX = 64, SET_BATCH_MAX = 256 };

/* A path of that name in the test's folder. */
const char *set_file(const char *name);

/* Changes the byte at a place of a file, which keeps its length and its
 * time. */
void set_flip(const char *path, int64_t place);

void set_vector(int64_t id, int version, int dim, float *out);

/* How many rounds a test does where `count` are wanted: fewer under a
 * sanitizer (OLHO_TEST_SLOW), at least one. */
int set_rounds(int count);

struct vecstore *set_open(const char *path, enum vec_mode mode,
                          const struct vec_options *options);

/* Upserts (add: is_new) entries first..first+count-1 in one batch. */
int set_put(struct vecstore *store, int64_t first, int count, int version,
            int dim, bool is_new, struct err *err);
int set_remove(struct vecstore *store, int64_t first, int count,
               struct err *err);

/* Adds entries first..end-1 of version 1, or removes every step-th of them one
 * by one, and notes that in `versions`. */
void set_add(struct vecstore *store, int first, int end, int dim,
             int *versions);
void set_drop(struct vecstore *store, int first, int end, int step,
              int *versions);

/* Whether the entry is there with that version, whole (version 0: it must not
 * be there); else what is wrong, in err. */
int set_look(struct vecstore *store, int64_t id, int version, int dim,
             struct err *err);

/* Every entry 0..count-1 is there as versions[id] says, there are no others,
 * and exact searches find what brute force does. */
void set_check(struct vecstore *store, const int *versions, int count, int dim);

/* What part of the true k nearest searches find that go by the index. */
double set_recall(struct vecstore *store, const int *versions, int count,
                  int dim, int k);

struct vec_info set_info(struct vecstore *store);

#endif
