/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of the last images, so that a near-duplicate is noticed.
 *
 * A ring in memory: when it is full, the oldest image is forgotten. It starts
 * empty with the process. Thread-safe: guarded inside. */
#ifndef OLHO_IMAGE_RECENT_H
#define OLHO_IMAGE_RECENT_H

#include <stdint.h>

#include "base/err.h"

enum { RECENT_COUNT_MAX = 65536, RECENT_NAME_LEN = 64 };

struct recent_match {
    int distance;               /* bits that differ; -1: nothing is near */
    char name[RECENT_NAME_LEN]; /* of the nearest, the newest of equals */
};

struct recent;

/* Remembers up to count_max (1..RECENT_COUNT_MAX) images. ERR_UNAVAILABLE
 * without memory. The caller owns *out and ends it with recent_close. */
MUST_CHECK int recent_open(int count_max, struct recent **out, struct err *err);
void recent_close(struct recent *recent); /* NULL is allowed */

/* The nearest within distance_max bits; those of `name` itself are passed over,
 * for one request may ask more than one network. Looks at all. */
void recent_find(struct recent *recent, uint64_t hash, const char *name,
                 int distance_max, struct recent_match *out);

/* The name is copied, and cut when it is too long. Nothing is added when the
 * newest is the same already. */
void recent_add(struct recent *recent, uint64_t hash, const char *name);

#endif
