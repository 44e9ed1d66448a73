/* SPDX-License-Identifier: Apache-2.0 */
/* The database of a server, opened and brought up to date when it first
 * answers: a server starts, and serves, without it. Thread-safe. */
#ifndef OLHO_APPS_DATABASE_H
#define OLHO_APPS_DATABASE_H

#include "base/config.h"
#include "base/err.h"
#include "store/store.h"

/* What the settings say of the place (store/store_url.h) and of the calls. */
MUST_CHECK int database_url(const struct config *config, char *out, size_t size,
                            struct err *err);
struct store_options database_options(const struct config *config);

struct database;

/* Takes the place from the settings (store/store_url.h) and asks nobody yet.
 * ERR_INVALID: the URL cannot be. The caller owns *out. */
MUST_CHECK int database_new(const struct config *config, struct database **out,
                            struct err *err);
void database_free(struct database *database); /* NULL is allowed */

/* The open, migrated store, borrowed until database_free. Tries to open it
 * when it is not, for as long as STORE_TIMEOUT and as bringing it up to date
 * takes; threads of the background wait for whoever tries. */
MUST_CHECK int database_reach(struct database *database, struct store **out,
                              struct err *err);

/* The same for a request, which waits for nobody: ERR_UNAVAILABLE while it is
 * not open. */
MUST_CHECK int database_get(struct database *database, struct store **out,
                            struct err *err);

/* Whether it is one file of this machine. */
bool database_is_file(const struct database *database);

/* "ok", or why it is not open, into out; for /health. Asks nobody. */
void database_state(struct database *database, char *out, size_t size);

/* A writer_write_fn whose user is a database. It opens nothing:
 * ERR_UNAVAILABLE until another thread has. */
MUST_CHECK int database_write(void *database, const struct store_row *rows,
                              int count, struct err *err);

#endif
