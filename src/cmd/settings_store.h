/* SPDX-License-Identifier: Apache-2.0 */
/* The database that the settings name (STORE_URL, or DB_HOST and the rest, or
 * olho.db in the data folder), for commands. One thread. */
#ifndef OLHO_CMD_SETTINGS_STORE_H
#define OLHO_CMD_SETTINGS_STORE_H

#include <stdbool.h>

#include "base/config.h"
#include "store/store.h"

/* Opens it, as it is: store_migrate is the caller's. The caller ends *out with
 * store_close. */
MUST_CHECK int settings_store_open(const struct config *config,
                                   bool is_read_only, struct store **out,
                                   struct err *err);

#endif
