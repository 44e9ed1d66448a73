/* SPDX-License-Identifier: Apache-2.0 */
/* From slots to entries as callers see them. Thread-safe, with a view. */
#ifndef OLHO_VECTORS_ENGINE_HITS_H
#define OLHO_VECTORS_ENGINE_HITS_H

#include "vectors/engine_parts.h"

/* Fills the hit of a slot with texts in the arena. ERR_CORRUPT,
 * ERR_UNAVAILABLE. */
MUST_CHECK int hit_fill(struct generation *generation, int64_t slot,
                        float distance, struct arena *arena,
                        struct vec_hit *out, struct err *err);

#endif
