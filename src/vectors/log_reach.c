/* SPDX-License-Identifier: Apache-2.0 */
/* Into a log that was not read yet: a checkpoint knows what is where. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vectors/log_file.h"
#include "vectors/log_file_parts.h"

int log_file_reach(struct log_file *file, int64_t len, struct err *err)
{
    const void *mapped = NULL;
    struct stat about;

    if (fstat(file->fd, &about) != 0)
        return log_file_fail(file, "stat", err);
    if (about.st_size < len)
        return err_set(err, ERR_CORRUPT,
                       "index %s is cut: it has %lld bytes, and its checkpoint "
                       "covers %lld",
                       file->path, (long long)about.st_size, (long long)len);
    return log_map_get(&file->map, file->fd, 0, len, &mapped, err);
}

const void *log_file_find(const struct log_file *file, int64_t offset,
                          int64_t len)
{
    return log_map_find(&file->map, offset, len);
}
