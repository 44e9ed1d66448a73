/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "vectors/infile.h"

enum { WINDOW_LEN = 64 << 10, TRIES_MAX = 100 };

struct outfile {
    int fd;
    int number; /* errno of the first failure; 0 */
    size_t held;
    char path[FILE_PATH_MAX];  /* in the end */
    char fresh[FILE_PATH_MAX]; /* meanwhile */
    char window[WINDOW_LEN];
};

static int fail(const char *path, int number, struct err *err)
{
    return err_set(
        err, number == ENOENT || number == ENOTDIR ? ERR_NOT_FOUND : ERR_IO,
        "cannot write '%s': %s", path, strerror(number));
}

int outfile_open(const char *path, struct outfile **out, struct err *err)
{
    struct outfile *file = mem_new(sizeof *file);
    int i, len, number = 0;

    file->fd = -1;
    snprintf(file->path, sizeof file->path, "%s", path);
    for (i = 0; i < TRIES_MAX && file->fd < 0; i++) {
        len = snprintf(file->fresh, sizeof file->fresh, "%s.%ld-%d.new", path,
                       (long)getpid(), i);
        if (len < 0 || len >= FILE_PATH_MAX) {
            number = ENAMETOOLONG;
            break;
        }
        file->fd =
            open(file->fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        number = file->fd < 0 ? errno : 0;
        if (number != 0 && number != EEXIST)
            break;
    }
    if (file->fd < 0) {
        mem_free(file);
        return fail(path, number, err);
    }
    *out = file;
    return 0;
}

static void write_whole(struct outfile *file, const char *data, uint64_t len)
{
    while (len > 0 && file->number == 0) {
        ssize_t put = write(file->fd, data,
                            len < 1U << 30 ? (size_t)len : (size_t)1 << 30);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            file->number = errno;
            return;
        }
        data += put;
        len -= (uint64_t)put;
    }
}

static void flush(struct outfile *file)
{
    write_whole(file, file->window, file->held);
    file->held = 0;
}

void outfile_write(struct outfile *file, const void *data, uint64_t len)
{
    if (len > WINDOW_LEN - file->held)
        flush(file);
    if (len >= WINDOW_LEN) {
        write_whole(file, data, len);
    } else if (len > 0) {
        memcpy(file->window + file->held, data, (size_t)len);
        file->held += (size_t)len;
    }
}

void outfile_u8(struct outfile *file, uint8_t value)
{
    outfile_write(file, &value, 1);
}

static void put_little(struct outfile *file, uint64_t value, int len)
{
    uint8_t bytes[8];
    int i;

    for (i = 0; i < len; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    outfile_write(file, bytes, (uint64_t)len);
}

void outfile_u32(struct outfile *file, uint32_t value)
{
    put_little(file, value, 4);
}

void outfile_u64(struct outfile *file, uint64_t value)
{
    put_little(file, value, 8);
}

/* The name is durable once its folder is. Some file systems cannot sync a
 * folder and say EINVAL. */
static int sync_folder(const char *path)
{
    char folder[FILE_PATH_MAX];
    char *slash;
    int fd, number = 0;

    snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash == NULL)
        snprintf(folder, sizeof folder, ".");
    else
        slash[slash == folder ? 1 : 0] = '\0';
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (fsync(fd) != 0 && errno != EINVAL)
        number = errno;
    close(fd);
    return number;
}

int outfile_commit(struct outfile *file, struct err *err)
{
    int number, rc = 0;

    flush(file);
    if (file->number == 0 && fsync(file->fd) != 0)
        file->number = errno;
    if (close(file->fd) != 0 && file->number == 0)
        file->number = errno;
    file->fd = -1;
    if (file->number == 0 && rename(file->fresh, file->path) != 0)
        file->number = errno;
    if (file->number != 0)
        unlink(file->fresh);
    number = file->number != 0 ? file->number : sync_folder(file->path);
    if (number != 0)
        rc = fail(file->path, number, err);
    mem_free(file);
    return rc;
}
