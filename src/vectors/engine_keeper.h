/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper's parts know of each other: of engine_keeper.c,
 * engine_index.c, engine_compact.c and engine_check.c alone. All of it but
 * keeper_check is called by the thread that has the keeper's part. */
#ifndef OLHO_VECTORS_ENGINE_KEEPER_H
#define OLHO_VECTORS_ENGINE_KEEPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vectors/engine_parts.h"

/* How far work has come, and whether it is to end; any thread reads and sets
 * it (relaxed: nothing else is told by it). */
struct keeper_work {
    const _Atomic bool *is_stopping; /* the set is being closed */
    const _Atomic bool *is_wanted;   /* the keeper is, for something else */
    _Atomic bool is_cancelled;       /* by who asked for it */
    _Atomic int64_t done, total;
};

/* A vec_progress_fn whose user is a struct keeper_work. */
int keeper_report(void *work, int64_t done, int64_t total);
bool keeper_is_ended(const struct keeper_work *work);

/* --- engine_index.c --------------------------------------------------------
 */

/* Slots of the current generation that are in a graph or in lists. */
int64_t keeper_indexed(struct vecengine *engine);

/* Makes, trains or drops the index as the settings and the size want it, puts
 * some of the rows in that wait, at most up to slot `end`, and repairs around
 * removed ones. *out_done: nothing is left of it. ERR_UNAVAILABLE also when the
 * work is ended. */
MUST_CHECK int keeper_index(struct vecengine *engine, int64_t end,
                            struct keeper_work *work, bool *out_done,
                            struct err *err);

/* Looks at the graph or the lists: ERR_CORRUPT. (engine_check.c) */
MUST_CHECK int keeper_check_index(struct vecengine *engine, struct err *err);

/* The same, by any thread: where there is a keeper it puts its work aside for
 * this. (engine_keeper.c) */
MUST_CHECK int keeper_check(struct vecengine *engine, struct err *err);

/* --- engine_compact.c ------------------------------------------------------
 */

/* Puts a generation without removed rows, over a new log, in the place of the
 * current one. Writers wait while the last few changes are taken over. On
 * failure (also ERR_UNAVAILABLE when the work is ended) all is as it was. */
MUST_CHECK int keeper_compact(struct vecengine *engine,
                              struct keeper_work *work, struct err *err);

#endif
