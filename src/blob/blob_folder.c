/* SPDX-License-Identifier: Apache-2.0 */
/* A key is a path below the folder, and stays below it: openat2 with
 * RESOLVE_BENEATH follows links only while they do, and where the kernel has
 * none (before 5.6, or kept back by a sandbox) the path is walked part by part
 * and no link is followed at all. Writing always walks. The folder itself is
 * opened for each call, so that it may be exchanged under a running server. */
#include "blob/blob_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "blob/blob_ops.h"

enum { PIECE_LEN = 64 << 10, TEMPORARY_TRIES = 16, SHOWN_MAX = 100 };

struct folder {
    struct blob blob;
    char *path; /* owned */
};

static int fail(const char *what, const char *key, int number, struct err *err)
{
    switch (number) {
    case ENOENT:
        return err_set(err, ERR_NOT_FOUND, "there is no '%.*s'", SHOWN_MAX,
                       key);
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case EEXIST:
        return err_set(err, ERR_CONFLICT,
                       "cannot %s '%.*s': a file and a folder cannot have the "
                       "same name",
                       what, SHOWN_MAX, key);
    case ELOOP:
    case EXDEV:
    case EACCES:
    case EPERM:
        return err_set(err, ERR_FORBIDDEN,
                       "cannot %s '%.*s': a link leads out of the folder, or "
                       "the system forbids it",
                       what, SHOWN_MAX, key);
    case ENAMETOOLONG:
        return err_set(err, ERR_INVALID,
                       "cannot %s '%.*s': a part of the key is longer than "
                       "file names may be",
                       what, SHOWN_MAX, key);
    default:
        return err_set(err, ERR_IO, "cannot %s '%.*s': %s", what, SHOWN_MAX,
                       key, strerror(number));
    }
}

static int open_root(const struct folder *folder, int *out, struct err *err)
{
    int fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open the folder '%s': %s",
                       folder->path, strerror(errno));
    *out = fd;
    return 0;
}

/* --- staying below ------------------------------------------------------- */

/* The kernel's struct open_how and flags (openat2(2)). */
struct how {
    uint64_t flags, mode, resolve;
};
enum { NO_MAGIC_LINKS = 0x02, BENEATH = 0x08, BENEATH_TRIES = 4 };

/* An open file, or -errno. */
static int open_beneath(int root, const char *key, int flags)
{
    struct how how = {.flags = (uint64_t)flags,
                      .resolve = NO_MAGIC_LINKS | BENEATH};
    long fd = -1;
    int try;

    /* EAGAIN: a rename somewhere crossed the lookup. */
    for (try = 0; try < BENEATH_TRIES; try++) {
        fd = syscall(SYS_openat2, root, key, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN)
            break;
    }
    return -errno;
}

static bool is_link(int parent, const char *name)
{
    struct stat about;

    return fstatat(parent, name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISLNK(about.st_mode);
}

/* Opens the folder that is to hold the last part of key, and copies that part
 * to `last`. makes: folders that are missing are made. An open folder, or
 * -errno. */
static int walk_to_parent(int root, const char *key, bool makes,
                          char last[BLOB_KEY_MAX + 1])
{
    int parent = fcntl(root, F_DUPFD_CLOEXEC, 0), next, number;
    const char *slash;
    size_t len;

    if (parent < 0)
        return -errno;
    for (; (slash = strchr(key, '/')) != NULL; key = slash + 1) {
        len = (size_t)(slash - key);
        memcpy(last, key, len);
        last[len] = '\0';
        if (len == 0) {
            close(parent);
            return -ENOENT;
        }
        if (makes)
            (void)!mkdirat(parent, last, 0755);
        next = openat(parent, last,
                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        number = errno;
        if (next < 0 && number == ENOTDIR && is_link(parent, last))
            number = ELOOP;
        close(parent);
        if (next < 0)
            return -number;
        parent = next;
    }
    memcpy(last, key, strlen(key) + 1);
    return parent;
}

int blob_folder_walk_open(int root, const char *key, int flags)
{
    char last[BLOB_KEY_MAX + 1];
    int parent = walk_to_parent(root, key, false, last), fd;

    if (parent < 0)
        return parent;
    fd = openat(parent, last, flags | O_NOFOLLOW);
    if (fd < 0)
        fd = -errno;
    close(parent);
    return fd;
}

/* O_NONBLOCK: a pipe does not hold us up. */
static int open_file(int root, const char *key)
{
    enum { FLAGS = O_RDONLY | O_NONBLOCK | O_CLOEXEC };
    int fd = open_beneath(root, key, FLAGS);

    if (fd == -ENOSYS || fd == -EPERM || fd == -EAGAIN)
        fd = blob_folder_walk_open(root, key, FLAGS);
    return fd;
}

/* --- reading ------------------------------------------------------------- */

/* A regular file, open, and what the system says of it. */
static int open_key(struct blob *blob, const char *key, int *out,
                    struct stat *out_about, struct err *err)
{
    struct folder *folder = (struct folder *)blob;
    int root, fd, rc = open_root(folder, &root, err);

    if (rc)
        return rc;
    fd = open_file(root, key);
    close(root);
    /* A file where the key has a folder: S3 knows neither. */
    if (fd == -ENOTDIR)
        fd = -ENOENT;
    if (fd < 0)
        return fail("read", key, -fd, err);
    if (fstat(fd, out_about) != 0)
        rc = fail("read", key, errno, err);
    else if (!S_ISREG(out_about->st_mode))
        rc = fail("read", key, ENOENT, err);
    if (rc)
        close(fd);
    else
        *out = fd;
    return rc;
}

static int64_t modified_ms(const struct stat *about)
{
    return (int64_t)about->st_mtim.tv_sec * 1000 +
           about->st_mtim.tv_nsec / 1000000;
}

static int read_pieces(int fd, const char *key, void *piece,
                       struct blob_sink *sink, struct err *err)
{
    ssize_t got;
    int rc;

    for (;;) {
        got = read(fd, piece, PIECE_LEN);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail("read", key, errno, err);
        rc = blob_sink_take(sink, (struct bytes){piece, (size_t)got}, err);
        if (rc)
            return err_wrap(err, "'%.*s'", SHOWN_MAX, key);
    }
}

static int folder_read(struct blob *blob, const char *key,
                       struct blob_sink *sink, struct err *err)
{
    struct stat about = {0};
    void *piece = NULL;
    int fd = -1, rc;

    rc = open_key(blob, key, &fd, &about, err);
    if (rc)
        return rc;
    rc = blob_sink_expect(sink, (uint64_t)about.st_size, err);
    if (rc) {
        err_wrap(err, "'%.*s'", SHOWN_MAX, key);
        goto out;
    }
    piece = mem_try(1, PIECE_LEN);
    if (piece == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to read a file");
    else
        rc = read_pieces(fd, key, piece, sink, err);
out:
    mem_free(piece);
    close(fd);
    return rc;
}

static int folder_find(struct blob *blob, const char *key,
                       struct blob_item *out, struct err *err)
{
    struct stat about = {0};
    int fd = -1, rc = open_key(blob, key, &fd, &about, err);

    if (rc)
        return rc;
    close(fd);
    out->len = (uint64_t)about.st_size;
    out->modified_ms = modified_ms(&about);
    return 0;
}

/* --- writing ------------------------------------------------------------- */

static int make_temporary(int parent, char name[FILE_PATH_MAX])
{
    uint64_t number = 0;
    int try, fd = -1;

    for (try = 0; try < TEMPORARY_TRIES && fd < 0; try++) {
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return -errno;
        snprintf(name, FILE_PATH_MAX, BLOB_FOLDER_PART "%016llx",
                 (unsigned long long)number);
        fd =
            openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd < 0 ? -errno : fd;
}

/* Any length: what bounds it is the disk. */
static int copy_source(int fd, const char *key,
                       const struct blob_source *source, struct err *err)
{
    struct blob_sink sink = {.fd = fd, .len_max = UINT64_MAX};
    void *piece;
    int from, rc;

    if (source->path == NULL)
        return blob_sink_take(&sink, source->bytes, err);
    from = open(source->path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return err_set(err, ERR_IO, "cannot read '%s': %s", source->path,
                       strerror(errno));
    piece = mem_try(1, PIECE_LEN);
    if (piece == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to write a file");
    else
        rc = read_pieces(from, key, piece, &sink, err);
    mem_free(piece);
    close(from);
    return rc;
}

/* Writes a new file, has it on disk, and gives it the name. */
static int write_below(int parent, const char *name, const char *key,
                       const struct blob_source *source, struct err *err)
{
    char temporary[FILE_PATH_MAX];
    int fd = make_temporary(parent, temporary), rc;

    if (fd < 0)
        return fail("write", key, -fd, err);
    rc = copy_source(fd, key, source, err);
    if (rc == 0 && fsync(fd) != 0)
        rc = fail("write", key, errno, err);
    close(fd);
    if (rc == 0 &&
        (renameat(parent, temporary, parent, name) != 0 || fsync(parent) != 0))
        rc = fail("write", key, errno, err);
    if (rc)
        unlinkat(parent, temporary, 0);
    return rc;
}

static int folder_write(struct blob *blob, const char *key,
                        const struct blob_source *source, struct err *err)
{
    struct folder *folder = (struct folder *)blob;
    char last[BLOB_KEY_MAX + 1];
    int root, parent, rc = open_root(folder, &root, err);

    if (rc)
        return rc;
    parent = walk_to_parent(root, key, true, last);
    close(root);
    if (parent < 0)
        return fail("write", key, -parent, err);
    rc = write_below(parent, last, key, source, err);
    close(parent);
    return rc;
}

/* --- listing ------------------------------------------------------------- */

struct listing {
    int root;
    blob_list_fn *fn;
    void *user;
};

/* A file that vanishes meanwhile, leads out or is none is left out. */
static int list_file(void *user, const char *key, struct err *err)
{
    struct listing *listing = user;
    struct blob_item item = {.key = key};
    struct stat about;
    int fd = open_file(listing->root, key), rc = 0;

    if (fd < 0)
        return 0;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) {
        item.len = (uint64_t)about.st_size;
        item.modified_ms = modified_ms(&about);
        rc = listing->fn(listing->user, &item, err);
    }
    close(fd);
    return rc;
}

static int folder_list(struct blob *blob, const char *prefix, blob_list_fn *fn,
                       void *user, struct err *err)
{
    struct folder *folder = (struct folder *)blob;
    struct listing listing = {-1, fn, user};
    int rc = open_root(folder, &listing.root, err);

    if (rc)
        return rc;
    rc = blob_folder_scan(listing.root, prefix, list_file, &listing, err);
    close(listing.root);
    return rc;
}

/* --- opening ------------------------------------------------------------- */

static void folder_close(struct blob *blob)
{
    struct folder *folder = (struct folder *)blob;

    mem_free(folder->path);
    mem_free(folder);
}

static const struct blob_ops folder_ops = {
    .name = "folder",
    .read = folder_read,
    .write = folder_write,
    .list = folder_list,
    .find = folder_find,
    .close = folder_close,
};

int blob_folder_open(const char *path, struct blob **out, struct err *err)
{
    struct folder *folder;
    int rc = file_make_dir(path, err);

    if (rc)
        return rc;
    folder = mem_new(sizeof *folder);
    folder->blob.ops = &folder_ops;
    folder->path = mem_text(path);
    *out = &folder->blob;
    return 0;
}
