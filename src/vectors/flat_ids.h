/* SPDX-License-Identifier: Apache-2.0 */
/* From a SHA-256 to the id of its entry. Thread-safe. */
#ifndef OLHO_VECTORS_FLAT_IDS_H
#define OLHO_VECTORS_FLAT_IDS_H

#include <stdint.h>

#include "base/err.h"

struct flat_ids;

struct flat_ids *flat_ids_new(void) __attribute__((returns_nonnull));
void flat_ids_free(struct flat_ids *ids); /* NULL is allowed */

/* Makes room for one more, so that the next flat_ids_add cannot fail. Fails
 * with ERR_UNAVAILABLE. */
MUST_CHECK int flat_ids_reserve(struct flat_ids *ids, struct err *err);

/* Adds; sha256 (64 lower-case digits, not there yet) is borrowed until
 * flat_ids_free. */
void flat_ids_add(struct flat_ids *ids, const char *sha256, int64_t id);

/* The id, or -1 when it is not there. */
int64_t flat_ids_find(struct flat_ids *ids, const char *sha256);

#endif
