/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/log_map.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space only; nothing is resident before it is read. */
static const int64_t part_len_min = 64 << 20;

static int add_part(struct log_map *map, int fd, int64_t offset, int64_t len,
                    struct err *err)
{
    int count = atomic_load_explicit(&map->part_count, memory_order_relaxed);
    int64_t page_len = sysconf(_SC_PAGESIZE);
    int64_t start = offset / page_len * page_len;
    int64_t part_len = start > part_len_min ? start : part_len_min;
    void *data = NULL;

    if (count == LOG_MAP_PARTS_MAX)
        return err_set(err, ERR_UNAVAILABLE,
                       "the log was mapped in %d parts already; open it again",
                       LOG_MAP_PARTS_MAX);
    if (part_len < offset + len - start)
        part_len = offset + len - start;
    part_len = (part_len + page_len - 1) / page_len * page_len;
    data = mmap(NULL, (size_t)part_len, PROT_READ, MAP_SHARED, fd, start);
    if (data == MAP_FAILED)
        return err_set(err, ERR_UNAVAILABLE,
                       "cannot map %lld bytes of the log: %s",
                       (long long)part_len, strerror(errno));
    map->parts[count].data = data;
    map->parts[count].offset = start;
    map->parts[count].len = part_len;
    atomic_store_explicit(&map->part_count, count + 1, memory_order_release);
    return 0;
}

const void *log_map_find(const struct log_map *map, int64_t offset, int64_t len)
{
    int i = atomic_load_explicit(&map->part_count, memory_order_acquire);

    while (--i >= 0) {
        int64_t inside = offset - map->parts[i].offset;

        if (inside >= 0 && inside <= map->parts[i].len - len)
            return map->parts[i].data + inside;
    }
    return NULL;
}

int log_map_get(struct log_map *map, int fd, int64_t offset, int64_t len,
                const void **out, struct err *err)
{
    const void *found = log_map_find(map, offset, len);
    int rc;

    if (found == NULL) {
        rc = add_part(map, fd, offset, len, err);
        if (rc)
            return rc;
        found = log_map_find(map, offset, len);
    }
    *out = found;
    return 0;
}

int64_t log_map_offset(const struct log_map *map, const void *at)
{
    int i = atomic_load_explicit(&map->part_count, memory_order_acquire);

    while (--i >= 0) {
        uintptr_t begin = (uintptr_t)map->parts[i].data;

        if ((uintptr_t)at >= begin &&
            (uintptr_t)at - begin < (uintptr_t)map->parts[i].len)
            return map->parts[i].offset + (int64_t)((uintptr_t)at - begin);
    }
    assert(i >= 0);
    return -1;
}

void log_map_release(struct log_map *map)
{
    int i;

    for (i = 0; i < map->part_count; i++)
        munmap(map->parts[i].data, (size_t)map->parts[i].len);
    map->part_count = 0;
}
