/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/flat_map.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space only; nothing is resident before it is read. */
static const int64_t part_len_min = 64 << 20;

static int add_part(struct flat_map *map, int fd, int64_t offset, int64_t len,
                    struct err *err)
{
    int64_t page_len = sysconf(_SC_PAGESIZE);
    int64_t start = offset / page_len * page_len;
    int64_t part_len = start > part_len_min ? start : part_len_min;
    void *data = NULL;

    assert(map->part_count < FLAT_MAP_PARTS_MAX);
    if (part_len < offset + len - start)
        part_len = offset + len - start;
    part_len = (part_len + page_len - 1) / page_len * page_len;
    data = mmap(NULL, (size_t)part_len, PROT_READ, MAP_SHARED, fd, start);
    if (data == MAP_FAILED)
        return err_set(err, ERR_UNAVAILABLE,
                       "cannot map %lld bytes of the index: %s",
                       (long long)part_len, strerror(errno));
    map->parts[map->part_count].data = data;
    map->parts[map->part_count].offset = start;
    map->parts[map->part_count].len = part_len;
    map->part_count++;
    return 0;
}

int flat_map_get(struct flat_map *map, int fd, int64_t offset, int64_t len,
                 const void **out, struct err *err)
{
    int last = map->part_count - 1;
    int rc;

    if (last < 0 ||
        offset + len > map->parts[last].offset + map->parts[last].len) {
        rc = add_part(map, fd, offset, len, err);
        if (rc)
            return rc;
        last++;
    }
    assert(offset >= map->parts[last].offset);
    *out = map->parts[last].data + (offset - map->parts[last].offset);
    return 0;
}

void flat_map_release(struct flat_map *map)
{
    int i;

    for (i = 0; i < map->part_count; i++)
        munmap(map->parts[i].data, (size_t)map->parts[i].len);
    map->part_count = 0;
}
