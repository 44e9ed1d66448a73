/* SPDX-License-Identifier: Apache-2.0 */
/* A file that grows, mapped for reading at addresses that never move.
 *
 * Each part is mapped beyond the end of the file, which the kernel allows: the
 * pages come to life as the file grows. When it outgrows a part, another one
 * at least as large as all before it is added; so there are few.
 * One thread at a time; the mapped bytes may be read by any. */
#ifndef OLHO_VECTORS_FLAT_MAP_H
#define OLHO_VECTORS_FLAT_MAP_H

#include <stdint.h>

#include "base/err.h"

enum { FLAT_MAP_PARTS_MAX = 48 };

struct flat_map {
    struct {
        uint8_t *data;  /* owned mapping */
        int64_t offset; /* in the file */
        int64_t len;
    } parts[FLAT_MAP_PARTS_MAX];
    int part_count;
};

/* Where the `len` bytes at `offset` are mapped, in *out; offset never goes
 * down from one call to the next. Borrowed until flat_map_release. Reading
 * them before the file has them is a fault (SIGBUS). Fails with
 * ERR_UNAVAILABLE. */
MUST_CHECK int flat_map_get(struct flat_map *map, int fd, int64_t offset,
                            int64_t len, const void **out, struct err *err);

void flat_map_release(struct flat_map *map);

#endif
