/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the index share: vectors that can be made again from a
 * number, and short ways to open, add and search. The texts
 * that are returned are the calling thread's; the rest is for one thread at a
 * time. */
#ifndef OLHO_TEST_FLAT_FIXTURE_H
#define OLHO_TEST_FLAT_FIXTURE_H

#include "test.h"
#include "vectors/flat.h"

enum { FIXTURE_DIM_MAX = 2048 };

/* The vector number `number`: always the same, entries in -1..1. */
void fixture_vector(uint64_t number, int dim, float *out);

/* The path and the SHA-256 that entry `number` gets. Valid until the next
 * call. */
const char *fixture_path(uint64_t number);
const char *fixture_sha256(uint64_t number);

/* A path of that name in the test's folder. Valid until the next call. */
const char *fixture_file(const char *name);

struct flat *fixture_open(const char *path, enum flat_mode mode, int dim,
                          enum flat_metric metric);

/* Adds entry `number`, with the label "label". */
void fixture_add(struct flat *index, int dim, uint64_t number);

int64_t fixture_count(struct flat *index);

/* Checks that entries 0..count-1 are there as fixture_add made them. */
void fixture_check(struct flat *index, int dim, int64_t count);

/* The whole file into `out`; returns its length, at most len_max. */
size_t fixture_read(const char *path, void *out, size_t len_max);
void fixture_write(const char *path, const void *data, size_t len);

#endif
