/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    DEPTH_MAX = 32,
    TRIES_MAX = 100,      /* names for a new file beside the old one */
    ENTRIES_MAX = 1 << 22 /* of one folder */
};

static int fail(const char *what, const char *path, int number, struct err *err)
{
    enum err_code code =
        number == ENOENT || number == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;

    return err_set(err, code, "cannot %s '%s': %s", what, path,
                   strerror(number));
}

/* Reads to the end. When the room that is taken is full, one byte is read
 * beside it, so that a file of known length takes no more room than that, and
 * one that is too long is told from one that just fits. */
static int read_all(int file, const char *path, struct buf *out,
                    struct err *err)
{
    for (;;) {
        size_t room = out->len_cap > out->len ? out->len_cap - out->len - 1 : 0;
        char spare, *to = room > 0 ? out->data + out->len : &spare;
        ssize_t got = read(file, to, room > 0 ? room : 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail("read", path, errno, err);
        if (got == 0)
            break;
        if (room > 0) {
            out->len += (size_t)got;
            continue;
        }
        if (out->len == out->len_max)
            return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes",
                           path, out->len_max);
        buf_add_char(out, spare);
        if (out->is_broken)
            return buf_check(out, err);
    }
    buf_add(out, "", 0);
    return buf_check(out, err);
}

/* Takes the room for a file of known length in one piece. */
static int prepare(int file, const char *path, struct buf *out, struct err *err)
{
    struct stat about;

    if (fstat(file, &about) != 0)
        return fail("read", path, errno, err);
    if (S_ISDIR(about.st_mode))
        return fail("read", path, EISDIR, err);
    if (!S_ISREG(about.st_mode))
        return 0;
    if ((uint64_t)about.st_size > out->len_max - out->len)
        return err_set(err, ERR_TOO_LARGE,
                       "'%s' has %lld bytes; at most %zu are read", path,
                       (long long)about.st_size, out->len_max);
    if (buf_reserve(out, (size_t)about.st_size) == NULL)
        return buf_check(out, err);
    return 0;
}

int file_read(const char *path, struct buf *out, struct err *err)
{
    int file, rc;

    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", out, err);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fail("read", path, errno, err);
    rc = prepare(file, path, out, err);
    if (rc == 0)
        rc = read_all(file, path, out, err);
    close(file);
    return rc;
}

/* The folder that path lies in: "." for a bare name. */
static int folder_of(const char *path, char *out, struct err *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    if (len >= FILE_PATH_MAX)
        return err_set(err, ERR_TOO_LARGE, "a path is longer than %d bytes",
                       FILE_PATH_MAX - 1);
    if (slash == NULL) {
        memcpy(out, ".", 2);
    } else if (len == 0) {
        memcpy(out, "/", 2);
    } else {
        memcpy(out, path, len);
        out[len] = '\0';
    }
    return 0;
}

static int sync_folder(const char *path, struct err *err)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (folder < 0)
        return fail("open folder", path, errno, err);
    /* Some file systems cannot sync a folder and say EINVAL. */
    if (fsync(folder) != 0 && errno != EINVAL)
        rc = fail("sync folder", path, errno, err);
    close(folder);
    return rc;
}

int file_sync_name(const char *path, struct err *err)
{
    char folder[FILE_PATH_MAX];
    int rc = folder_of(path, folder, err);

    return rc ? rc : sync_folder(folder, err);
}

static int write_all(int file, const char *path, struct bytes data,
                     struct err *err)
{
    size_t done = 0;

    while (done < data.len) {
        ssize_t put = write(file, data.data + done, data.len - done);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail("write", path, errno, err);
        done += (size_t)put;
    }
    return 0;
}

/* Opens a file that was not there, "path.N.new", for writing. */
static int open_beside(const char *path, char *out, int *file, struct err *err)
{
    int i, len;

    for (i = 0; i < TRIES_MAX; i++) {
        len = snprintf(out, FILE_PATH_MAX, "%s.%ld-%d.new", path,
                       (long)getpid(), i);
        if (len < 0 || len >= FILE_PATH_MAX)
            return err_set(err, ERR_TOO_LARGE, "a path is longer than %d bytes",
                           FILE_PATH_MAX - 1);
        *file = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (*file >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return fail("write", path, errno, err);
}

int file_write(const char *path, struct bytes data, struct err *err)
{
    char folder[FILE_PATH_MAX], fresh[FILE_PATH_MAX];
    int file = -1, rc;

    rc = folder_of(path, folder, err);
    if (rc)
        return rc;
    rc = open_beside(path, fresh, &file, err);
    if (rc)
        return rc;
    rc = write_all(file, path, data, err);
    if (rc == 0 && fsync(file) != 0)
        rc = fail("sync", path, errno, err);
    if (close(file) != 0 && rc == 0)
        rc = fail("write", path, errno, err);
    if (rc == 0 && rename(fresh, path) != 0)
        rc = fail("write", path, errno, err);
    if (rc) {
        unlink(fresh);
        return rc;
    }
    return sync_folder(folder, err);
}

int file_make_dir(const char *path, struct err *err)
{
    char part[FILE_PATH_MAX];
    size_t len = strlen(path), i;

    if (len == 0 || len >= sizeof part)
        return err_set(err, ERR_INVALID,
                       "a folder's path has %zu bytes; it must have 1..%d", len,
                       FILE_PATH_MAX - 1);
    memcpy(part, path, len + 1);
    for (i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return fail("make folder", part, errno, err);
        part[i] = path[i];
    }
    return file_is_dir(path) ? 0 : fail("make folder", path, EEXIST, err);
}

bool file_exists(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

int file_join(const char *dir, const char *name, char *out, struct err *err)
{
    size_t dir_len = strlen(dir), name_len = strlen(name);
    size_t slash = dir_len > 0 && dir[dir_len - 1] != '/' ? 1 : 0;

    if (dir_len + slash + name_len >= FILE_PATH_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "a path has %zu bytes; it may have at most %d",
                       dir_len + slash + name_len, FILE_PATH_MAX - 1);
    memcpy(out, dir, dir_len);
    out[dir_len] = '/';
    memcpy(out + dir_len + slash, name, name_len + 1);
    return 0;
}

/* The names in a folder, sorted. */
struct names {
    char **names; /* owned, each of them too */
    size_t count, cap;
};

static void names_release(struct names *names)
{
    size_t i;

    for (i = 0; i < names->count; i++)
        mem_free(names->names[i]);
    mem_free(names->names);
}

static int names_add(struct names *names, const char *name, struct err *err)
{
    if (names->count == names->cap) {
        size_t cap = names->cap == 0 ? 64 : names->cap * 2;
        char **grown = cap > ENTRIES_MAX
                           ? NULL
                           : mem_resize(names->names, cap, sizeof *grown);

        if (grown == NULL)
            return err_set(err, ERR_UNAVAILABLE,
                           "no memory for the names of a folder");
        names->names = grown;
        names->cap = cap;
    }
    names->names[names->count++] = mem_text(name);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_read(struct names *names, const char *path, struct err *err)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int rc = 0;

    if (folder == NULL)
        return fail("read folder", path, errno, err);
    while (rc == 0) {
        errno = 0;
        entry = readdir(folder);
        if (entry == NULL) {
            if (errno != 0)
                rc = fail("read folder", path, errno, err);
            break;
        }
        if (entry->d_name[0] != '.')
            rc = names_add(names, entry->d_name, err);
    }
    closedir(folder);
    if (names->count > 1)
        qsort(names->names, names->count, sizeof names->names[0], by_name);
    return rc;
}

struct walk {
    file_walk_fn *fn;
    void *user;
    char path[FILE_PATH_MAX]; /* grows and shrinks as the walk goes down */
};

static int walk_folder(struct walk *walk, int depth, struct err *err);

/* A file or folder that vanishes meanwhile is left out. */
static int walk_entry(struct walk *walk, int depth, struct err *err)
{
    struct stat about;

    if (lstat(walk->path, &about) != 0)
        return 0;
    if (S_ISDIR(about.st_mode))
        return walk_folder(walk, depth + 1, err);
    if (S_ISLNK(about.st_mode) && stat(walk->path, &about) != 0)
        return 0;
    return S_ISREG(about.st_mode) ? walk->fn(walk->user, walk->path, err) : 0;
}

static int walk_folder(struct walk *walk, int depth, struct err *err)
{
    struct names names = {0};
    size_t len = strlen(walk->path), i;
    char path[FILE_PATH_MAX];
    int rc;

    if (depth > DEPTH_MAX)
        return err_set(err, ERR_INVALID, "'%s' lies more than %d folders deep",
                       walk->path, DEPTH_MAX);
    rc = names_read(&names, walk->path, err);
    for (i = 0; rc == 0 && i < names.count; i++) {
        rc = file_join(walk->path, names.names[i], path, err);
        if (rc)
            break;
        memcpy(walk->path, path, strlen(path) + 1);
        rc = walk_entry(walk, depth, err);
        walk->path[len] = '\0';
    }
    names_release(&names);
    return rc;
}

int file_walk(const char *dir, file_walk_fn *fn, void *user, struct err *err)
{
    struct walk *walk;
    size_t len = strlen(dir);
    int rc;

    if (len >= FILE_PATH_MAX)
        return err_set(err, ERR_TOO_LARGE, "a path is longer than %d bytes",
                       FILE_PATH_MAX - 1);
    walk = mem_new(sizeof *walk);
    walk->fn = fn;
    walk->user = user;
    memcpy(walk->path, dir, len + 1);
    rc = walk_folder(walk, 1, err);
    mem_free(walk);
    return rc;
}
