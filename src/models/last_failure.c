/* SPDX-License-Identifier: Apache-2.0 */
#include "models/last_failure.h"

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"

enum { RETRY_US = 1000000 };

struct file_state file_state_get(const char *path)
{
    struct stat about;

    if (stat(path, &about) != 0)
        return (struct file_state){0};
    return (struct file_state){about.st_dev, about.st_ino, about.st_size,
                               about.st_mtim.tv_sec, about.st_mtim.tv_nsec};
}

int last_failure_tell(struct last_failure *failure,
                      const struct file_state *state, struct err *err)
{
    int64_t now_us = clock_us();

    if (memcmp(state, &failure->state, sizeof *state) != 0)
        failure->failed_us = 0;
    if (failure->failed_us == 0)
        return 0;
    if (now_us - failure->failed_us < RETRY_US) {
        *err = failure->err;
        return err->code;
    }
    failure->failed_us = now_us;
    return 0;
}

void last_failure_set(struct last_failure *failure,
                      const struct file_state *state, const struct err *err)
{
    *failure = (struct last_failure){*err, clock_us(), *state};
}
