/* SPDX-License-Identifier: Apache-2.0 */
/* The database that the settings name (STORE_URL, or DB_HOST and the rest, or
 * olho.db in the data folder). One thread. */
#ifndef OLHO_CMD_DATABASE_H
#define OLHO_CMD_DATABASE_H

#include <stdbool.h>

#include "base/config.h"
#include "store/store.h"

struct database_use {
    bool is_read_only, is_lazy; /* as in struct store_options */
};

/* Opens it. The caller ends *out with store_close. */
MUST_CHECK int database_open(const struct config *config,
                             struct database_use use, struct store **out,
                             struct err *err);

#endif
