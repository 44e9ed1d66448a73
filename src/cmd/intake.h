/* SPDX-License-Identifier: Apache-2.0 */
/* Entries on their way into a set of vectors, in groups: one sync, or one call
 * to a server, serves a whole group. An entry that cannot go in is told and
 * does not keep the others out; one that is there already (by its id or key)
 * is replaced. One thread. */
#ifndef OLHO_CMD_INTAKE_H
#define OLHO_CMD_INTAKE_H

#include <stdint.h>

#include "base/err.h"
#include "vectors/vecstore.h"

enum intake_outcome {
    INTAKE_ADDED,
    INTAKE_REPLACED, /* an entry that was there */
    INTAKE_WRITTEN,  /* one or the other: a server does not tell */
    INTAKE_FAILED,
    INTAKE_OUTCOMES
};

/* Gets what became of an entry, in their order; why is of INTAKE_FAILED.
 * number is what intake_add was given. */
typedef void intake_fn(void *user, const struct vec_entry *entry,
                       int64_t number, enum intake_outcome outcome,
                       const struct err *why);

struct intake;

/* Borrows store. A group has up to group_max entries, fewer when they are
 * large. The caller owns *out; what was not flushed is forgotten at the end. */
MUST_CHECK int intake_new(struct vecstore *store, int group_max, intake_fn *fn,
                          void *user, struct intake **out, struct err *err);
void intake_free(struct intake *intake); /* NULL is allowed */

/* Copies the entry (its vector of `dim` values; another dim than the set's is
 * a failure of the entry) and writes the group once it is full. Errors are
 * those that are not of one entry: a full disk, a server that is away. */
MUST_CHECK int intake_add(struct intake *intake, const struct vec_entry *entry,
                          int dim, int64_t number, struct err *err);
MUST_CHECK int intake_flush(struct intake *intake, struct err *err);

int intake_waiting(const struct intake *intake); /* entries of the group */

/* How many there were of each. */
int64_t intake_count(const struct intake *intake, enum intake_outcome outcome);

#endif
