/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/infile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { WINDOW_LEN = 64 << 10 };

static int open_fail(const char *path, int number, struct err *err)
{
    return err_set(
        err, number == ENOENT || number == ENOTDIR ? ERR_NOT_FOUND : ERR_IO,
        "cannot read '%s': %s", path, strerror(number));
}

int infile_open(const char *path, struct infile *out, struct err *err)
{
    struct infile file = {0};
    struct stat about;
    int rc = 0;

    file.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file.fd < 0)
        return open_fail(path, errno, err);
    if (fstat(file.fd, &about) != 0)
        rc = open_fail(path, errno, err);
    else if (!S_ISREG(about.st_mode))
        rc = err_set(err, ERR_INVALID, "'%s' is no regular file", path);
    if (rc) {
        close(file.fd);
        return rc;
    }
    file.len = (uint64_t)about.st_size;
    file.window = mem_new(WINDOW_LEN);
    *out = file;
    return 0;
}

void infile_close(struct infile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    mem_free(file->window);
    *file = (struct infile){.fd = -1};
}

uint64_t infile_left(const struct infile *file)
{
    return file->len - file->at;
}

/* Reads len bytes at `at` from the file itself. */
static bool read_whole(struct infile *file, uint64_t at, void *out, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got =
            pread(file->fd, (char *)out + done, len - done, (off_t)(at + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            file->number = errno;
        if (got == 0)
            file->is_cut = true;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* The bytes of the window from `at` on, read anew when there are none. */
static size_t fill_window(struct infile *file)
{
    uint64_t offset = file->at - file->begin;
    size_t want;

    if (file->at >= file->begin && offset < file->held)
        return file->held - (size_t)offset;
    want = infile_left(file) < WINDOW_LEN ? (size_t)infile_left(file)
                                          : (size_t)WINDOW_LEN;
    file->begin = file->at;
    file->held = read_whole(file, file->at, file->window, want) ? want : 0;
    return file->held;
}

void infile_read(struct infile *file, void *out, uint64_t len)
{
    char *to = out;
    size_t part;

    if (len > infile_left(file))
        file->is_cut = true;
    while (len > 0 && !file->is_cut && file->number == 0) {
        if (len >= WINDOW_LEN) {
            part = len < 1U << 30 ? (size_t)len : (size_t)1 << 30;
            if (!read_whole(file, file->at, to, part))
                break;
        } else {
            part = fill_window(file);
            part = part < len ? part : (size_t)len;
            memcpy(to, file->window + (file->at - file->begin), part);
        }
        to += part;
        len -= part;
        file->at += part;
    }
    if (len > 0)
        memset(to, 0, (size_t)len);
}

void infile_skip(struct infile *file, uint64_t len)
{
    if (len > infile_left(file))
        file->is_cut = true;
    else
        file->at += len;
}

uint8_t infile_u8(struct infile *file)
{
    uint8_t byte = 0;

    infile_read(file, &byte, 1);
    return byte;
}

static uint64_t little(struct infile *file, int len)
{
    uint8_t bytes[8] = {0};
    uint64_t value = 0;
    int i;

    infile_read(file, bytes, (uint64_t)len);
    for (i = len - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

uint32_t infile_u32(struct infile *file)
{
    return (uint32_t)little(file, 4);
}

uint64_t infile_u64(struct infile *file)
{
    return little(file, 8);
}

int infile_check(const struct infile *file, struct err *err)
{
    if (file->number != 0)
        return err_set(err, ERR_IO, "the file cannot be read: %s",
                       strerror(file->number));
    if (file->is_cut)
        return err_set(err, ERR_CORRUPT,
                       "the file is cut: it goes on after byte %llu of %llu",
                       (unsigned long long)file->at,
                       (unsigned long long)file->len);
    return 0;
}
