/* SPDX-License-Identifier: Apache-2.0 */
/* The names of one folder are sorted with a '/' behind those of folders, which
 * makes the keys of the whole walk come in byte order: "a-1", "a/2", "a0". */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "blob/blob.h"
#include "blob/blob_folder.h"

enum { DEPTH_MAX = 32 };

struct names {
    char **names; /* owned, and each of them */
    size_t count, cap;
};

struct scan {
    const char *prefix;
    blob_folder_fn *fn;
    void *user;
    char key[BLOB_KEY_MAX + 1]; /* grows and shrinks as the walk goes */
};

static void names_release(struct names *names)
{
    while (names->count > 0)
        mem_free(names->names[--names->count]);
    mem_free(names->names);
}

static int names_add(struct names *names, const char *name, bool is_folder,
                     struct err *err)
{
    size_t cap = names->cap == 0 ? 64 : 2 * names->cap, len = strlen(name);
    char **grown, *copy;

    if (names->count == names->cap) {
        grown = mem_resize(names->names, cap, sizeof *grown);
        if (grown == NULL)
            goto no_memory;
        names->names = grown;
        names->cap = cap;
    }
    copy = mem_try(len + 2, 1);
    if (copy == NULL)
        goto no_memory;
    memcpy(copy, name, len);
    copy[len] = is_folder ? '/' : '\0';
    names->names[names->count++] = copy;
    return 0;
no_memory:
    return err_set(err, ERR_UNAVAILABLE, "no memory for the names of a folder");
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One that vanishes meanwhile is left out. */
static int add_entry(struct names *names, int folder, const char *name,
                     struct err *err)
{
    struct stat about;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strncmp(name, BLOB_FOLDER_PART, strlen(BLOB_FOLDER_PART)) == 0 ||
        fstatat(folder, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    if (!S_ISDIR(about.st_mode) && !S_ISREG(about.st_mode) &&
        !S_ISLNK(about.st_mode))
        return 0;
    return names_add(names, name, S_ISDIR(about.st_mode), err);
}

/* Takes fd over. */
static int names_read(struct names *names, int fd, struct err *err)
{
    DIR *folder = fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (folder == NULL) {
        close(fd);
        return err_set(err, ERR_IO, "cannot read a folder: %s",
                       strerror(errno));
    }
    while (rc == 0) {
        errno = 0;
        entry = readdir(folder);
        if (entry == NULL) {
            if (errno != 0)
                rc = err_set(err, ERR_IO, "cannot read a folder: %s",
                             strerror(errno));
            break;
        }
        rc = add_entry(names, fd, entry->d_name, err);
    }
    closedir(folder);
    if (names->count > 1)
        qsort(names->names, names->count, sizeof names->names[0], by_bytes);
    return rc;
}

static int scan_folder(struct scan *scan, int parent, const char *name,
                       size_t key_len, int depth, struct err *err);

/* Whether keys below "key" (or the key itself) may begin with the prefix. */
static bool may_match(const struct scan *scan, size_t key_len, bool is_folder)
{
    size_t prefix_len = strlen(scan->prefix);

    if (prefix_len <= key_len)
        return memcmp(scan->key, scan->prefix, prefix_len) == 0;
    return is_folder && memcmp(scan->key, scan->prefix, key_len) == 0;
}

static int scan_entry(struct scan *scan, int folder, char *name, size_t key_len,
                      int depth, struct err *err)
{
    size_t len = strlen(name);
    bool is_folder = name[len - 1] == '/';
    int rc = 0;

    /* No key is as long as that. */
    if (key_len + len > BLOB_KEY_MAX)
        return 0;
    memcpy(scan->key + key_len, name, len + 1);
    if (may_match(scan, key_len + len, is_folder)) {
        if (!is_folder) {
            rc = scan->fn(scan->user, scan->key, err);
        } else {
            name[len - 1] = '\0';
            rc = scan_folder(scan, folder, name, key_len + len, depth + 1, err);
        }
    }
    scan->key[key_len] = '\0';
    return rc;
}

static int scan_folder(struct scan *scan, int parent, const char *name,
                       size_t key_len, int depth, struct err *err)
{
    struct names names = {0};
    int fd =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int copy = -1, rc;
    size_t i;

    if (fd < 0 && depth > 1 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd >= 0)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        rc = err_set(err, ERR_IO, "cannot read the folder '%s': %s", scan->key,
                     strerror(errno));
        goto out;
    }
    if (depth > DEPTH_MAX) {
        close(copy);
        rc =
            err_set(err, ERR_INVALID, "'%.100s' lies more than %d folders deep",
                    scan->key, DEPTH_MAX);
        goto out;
    }
    rc = names_read(&names, copy, err);
    for (i = 0; rc == 0 && i < names.count; i++)
        rc = scan_entry(scan, fd, names.names[i], key_len, depth, err);
out:
    if (fd >= 0)
        close(fd);
    names_release(&names);
    return rc;
}

int blob_folder_scan(int root, const char *prefix, blob_folder_fn *fn,
                     void *user, struct err *err)
{
    struct scan *scan = mem_new(sizeof *scan);
    int rc;

    scan->prefix = prefix;
    scan->fn = fn;
    scan->user = user;
    rc = scan_folder(scan, root, ".", 0, 1, err);
    mem_free(scan);
    return rc;
}
