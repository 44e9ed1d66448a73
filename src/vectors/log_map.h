/* SPDX-License-Identifier: Apache-2.0 */
/* A file that grows, mapped for reading at addresses that never move.
 *
 * Each part is mapped beyond the end of the file, which the kernel allows: the
 * pages come to life as the file grows. When it outgrows a part, another one
 * at least as large as all before it is added; so there are few.
 * One thread at a time gets, any find beside it; the mapped bytes may be read
 * by any. */
#ifndef OLHO_VECTORS_LOG_MAP_H
#define OLHO_VECTORS_LOG_MAP_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

enum { LOG_MAP_PARTS_MAX = 64 };

struct log_map {
    struct {
        uint8_t *data;  /* owned mapping */
        int64_t offset; /* in the file */
        int64_t len;
    } parts[LOG_MAP_PARTS_MAX];
    _Atomic int part_count; /* release when raised, acquire when read */
};

/* Where the `len` bytes at `offset` are mapped, in *out; mapped now when they
 * are not yet. Borrowed until log_map_release. Reading them before the file has
 * them is a fault (SIGBUS). Fails with ERR_UNAVAILABLE. */
MUST_CHECK int log_map_get(struct log_map *map, int fd, int64_t offset,
                           int64_t len, const void **out, struct err *err);

/* The same for what was mapped before; NULL when it was not. */
const void *log_map_find(const struct log_map *map, int64_t offset,
                         int64_t len);

/* Where an address of the mapped file is in it. */
int64_t log_map_offset(const struct log_map *map, const void *at);

void log_map_release(struct log_map *map);

#endif
