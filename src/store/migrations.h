/* SPDX-License-Identifier: Apache-2.0 */
/* From any database to ours: looks at the tables that are there and adds what
 * schema.h lists and they lack. store_migrate and store_state are implemented
 * here. Thread-safe. */
#ifndef OLHO_STORE_MIGRATIONS_H
#define OLHO_STORE_MIGRATIONS_H

#include "store/store_ops.h"

/* Learns how many characters each column has room for: an adopted table may
 * be narrower than ours. */
MUST_CHECK int migrations_learn(struct store *store, struct err *err);

#endif
