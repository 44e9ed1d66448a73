/* SPDX-License-Identifier: Apache-2.0 */
/* A set of vectors (vectors/vecstore.h) that is searched while other processes
 * change it, rewrite it, remove it and make it anew, maybe otherwise: opened
 * when it appears, kept up with what they do, opened anew when it is another.
 *
 * Thread-safe. One thread opens; who comes meanwhile goes on with what is
 * there, and waits only when there is nothing. What failed is not tried again
 * by each who comes. */
#ifndef OLHO_MODELS_LIVE_SET_H
#define OLHO_MODELS_LIVE_SET_H

#include <stdbool.h>

#include "base/err.h"
#include "vectors/vecstore.h"

struct live_set;

/* The set as it was opened once, counted. */
struct live_store {
    struct vecstore *store; /* owned; the same until live_set_release */
    int ref_count;          /* guarded by the live set */
};

/* Of what `where` names, as vecstore_open takes it; opens nothing. `where` and
 * options->model are borrowed until live_set_free. The caller owns the
 * result. */
struct live_set *live_set_new(const char *where,
                              const struct vec_options *options)
    __attribute__((returns_nonnull));
void live_set_free(struct live_set *set); /* NULL is allowed */

/* The set, up to date, for as long as the caller needs it (live_set_release);
 * NULL in *out when there is none yet. Fails as vecstore_open and
 * vecstore_refresh do; the same again, without trying, for a second in which
 * the file did not change. */
MUST_CHECK int live_set_acquire(struct live_set *set, struct live_store **out,
                                struct err *err);
void live_set_release(struct live_set *set, struct live_store *live);

#endif
