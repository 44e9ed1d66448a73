/* SPDX-License-Identifier: Apache-2.0 */
/* The items of the collection: the rows of the items table in memory, read
 * anew in the background, so that no request waits for the database. A
 * neighbour of the index is an item by its photo's path or by its place
 * (embedding_id).
 *
 * Thread-safe. Who looks things up holds one reading of the table. */
#ifndef OLHO_APPS_ITEMS_H
#define OLHO_APPS_ITEMS_H

#include <stdint.h>

#include "apps/database.h"
#include "base/err.h"
#include "models/collection.h"

enum { ITEMS_MAX = 1000000, ITEMS_TEXT_LEN_MAX = 512 << 20 };

struct item {
    int64_t id;      /* of the row */
    int64_t item_id; /* what clients see */
    int64_t embedding_id;
    const char *name, *photo; /* "" when the row has none */
};

struct items;
struct items_view; /* one reading of the table */

/* Starts a thread that opens the database (database_reach), for the writer of
 * rows too, reads the table at once and then every refresh_s seconds. database
 * is borrowed. The caller owns *out. */
MUST_CHECK int items_new(struct database *database, double refresh_s,
                         struct items **out, struct err *err);
void items_free(struct items *items); /* NULL is allowed */

/* Waits until the table was read once, or could not be, or deadline_us
 * (clock_us) is over, so that the first answers have their names. */
void items_wait(struct items *items, int64_t deadline_us);

/* The latest reading, held until items_release; NULL: none yet. */
struct items_view *items_acquire(struct items *items);
void items_release(struct items_view *view); /* NULL is allowed */

/* The item that a neighbour is, or NULL. */
const struct item *items_find(const struct items_view *view,
                              const struct neighbour *neighbour);

#endif
