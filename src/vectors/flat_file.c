/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/flat_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/flat_map.h"
#include "vectors/flat_window.h"

struct flat_file {
    char *path; /* owned */
    int fd;
    enum flat_mode mode;
    struct flat_shape shape;
    uint32_t crc; /* the header's */
    struct flat_map map;
    uint8_t *draft;           /* room for one record; owned, FLAT_WRITE only */
    _Atomic int64_t len;      /* of the header and the whole records */
    _Atomic int64_t torn_len; /* bytes after len, cut off or left alone */
    int64_t durable_len;      /* of len, known to be on disk */
    bool is_broken;           /* a sync or a cut failed: no more records */
};

static int fail_errno(const struct flat_file *file, const char *what,
                      struct err *err)
{
    return err_set(err, ERR_IO, "index %s: %s: %s", file->path, what,
                   strerror(errno));
}

static int file_size(const struct flat_file *file, int64_t *out,
                     struct err *err)
{
    struct stat about;

    if (fstat(file->fd, &about) != 0)
        return fail_errno(file, "stat", err);
    *out = about.st_size;
    return 0;
}

static int write_at(const struct flat_file *file, int64_t offset,
                    const void *data, size_t len, struct err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(file->fd, (const uint8_t *)data + done, len - done,
                           offset + (int64_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(file, "write", err);
        done += (size_t)n;
    }
    return 0;
}

/* --- open ------------------------------------------------------------- */

/* The name of a new file is durable when its folder is. A file system that
 * cannot sync a folder says EINVAL; it has nothing better to offer. */
static int sync_folder(const struct flat_file *file, struct err *err)
{
    char *copy = mem_text(file->path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    mem_free(copy);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        rc = fail_errno(file, "sync of its folder", err);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int open_fd(struct flat_file *file, bool may_make, struct err *err)
{
    int flags = file->mode == FLAT_WRITE ? O_RDWR : O_RDONLY;
    struct stat about;

    if (may_make)
        flags |= O_CREAT;
    /* O_NONBLOCK: a pipe of that name is refused instead of waited for. */
    file->fd = open(file->path, flags | O_CLOEXEC | O_NONBLOCK, 0666);
    if (file->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_NOT_FOUND, "index %s is not there", file->path);
    if (file->fd < 0)
        return fail_errno(file, "open", err);
    if (fstat(file->fd, &about) != 0)
        return fail_errno(file, "stat", err);
    if (!S_ISREG(about.st_mode))
        return err_set(err, ERR_INVALID, "index %s is not a file", file->path);
    return 0;
}

static int lock(const struct flat_file *file, struct err *err)
{
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(err, ERR_CONFLICT,
                       "index %s is being written by another process",
                       file->path);
    return fail_errno(file, "lock", err);
}

/* The header is synced before the first record is written, so a file without
 * a whole one has lost nothing. */
static int write_header(struct flat_file *file, const struct flat_shape *shape,
                        struct err *err)
{
    struct flat_header header;
    int rc;

    if (shape->dim == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "index %s is not there, and its dimension is not known",
                       file->path);
    rc = flat_header_write(shape, &header, err);
    if (rc)
        return rc;
    rc = write_at(file, 0, &header, sizeof header, err);
    if (rc) {
        if (ftruncate(file->fd, 0) != 0)
            file->is_broken = true;
        return rc;
    }
    if (fdatasync(file->fd) != 0)
        return fail_errno(file, "sync", err);
    file->crc = header.crc;
    file->shape = *shape;
    return 0;
}

static int check_shape(const struct flat_file *file,
                       const struct flat_shape *wanted, struct err *err)
{
    const struct flat_shape *has = &file->shape;

    if (wanted->dim == 0)
        return 0;
    if (wanted->dim != has->dim)
        return err_set(err, ERR_CONFLICT,
                       "index %s has vectors of %d floats; not %d", file->path,
                       has->dim, wanted->dim);
    if (wanted->metric != has->metric)
        return err_set(err, ERR_CONFLICT, "index %s has metric %s; not %s",
                       file->path, flat_metric_name(has->metric),
                       flat_metric_name(wanted->metric));
    if (wanted->model[0] != '\0' && has->model[0] != '\0' &&
        strcmp(wanted->model, has->model) != 0)
        return err_set(err, ERR_CONFLICT,
                       "index %s has vectors of model '%s'; not '%s'",
                       file->path, has->model, wanted->model);
    return 0;
}

/* Whether the file has only the start of a header: its maker was stopped. */
static bool is_unfinished(const struct flat_header *header, size_t len)
{
    size_t magic_len = sizeof header->magic;

    return len < sizeof *header &&
           memcmp(header->magic, FLAT_MAGIC,
                  len < magic_len ? len : magic_len) == 0;
}

static int take_header(struct flat_file *file, const struct flat_shape *shape,
                       struct err *err)
{
    struct flat_header header;
    size_t len = 0;
    int rc = flat_read_at(file->fd, 0, &header, sizeof header, &len, err);

    if (rc)
        return err_wrap(err, "index %s", file->path);
    if (is_unfinished(&header, len) && file->mode == FLAT_READ)
        return err_set(err, ERR_NOT_FOUND,
                       "index %s is not there yet: it has %zu bytes of %d of "
                       "its header",
                       file->path, len, FLAT_HEADER_LEN);
    if (is_unfinished(&header, len)) {
        file->torn_len = (int64_t)len;
        return write_header(file, shape, err);
    }
    if (len < sizeof header)
        return err_set(err, ERR_CORRUPT,
                       "index %s is no index of olho: byte 0 does not begin "
                       "\"%s\"",
                       file->path, FLAT_MAGIC);
    rc = flat_header_read(&header, &file->shape, err);
    if (rc)
        return err_wrap(err, "index %s", file->path);
    file->crc = header.crc;
    return check_shape(file, shape, err);
}

int flat_file_open(const char *path, enum flat_mode mode,
                   const struct flat_shape *shape, struct flat_file **out,
                   struct err *err)
{
    struct flat_file *file = mem_new(sizeof *file);
    int rc;

    file->path = mem_text(path);
    file->fd = -1;
    file->mode = mode;
    rc = open_fd(file, mode == FLAT_WRITE && shape->dim > 0, err);
    if (rc == 0 && mode == FLAT_WRITE)
        rc = lock(file, err);
    if (rc == 0)
        rc = take_header(file, shape, err);
    if (rc == 0 && mode == FLAT_WRITE) {
        file->draft = mem_try_aligned(flat_record_len_max(file->shape.dim), 1);
        if (file->draft == NULL)
            rc = err_set(err, ERR_UNAVAILABLE, "no memory for a record");
    }
    if (rc) {
        flat_file_close(file);
        return rc;
    }
    file->len = file->durable_len = FLAT_HEADER_LEN;
    *out = file;
    return 0;
}

void flat_file_close(struct flat_file *file)
{
    if (file == NULL)
        return;
    flat_map_release(&file->map);
    if (file->fd >= 0)
        close(file->fd);
    mem_free(file->draft);
    mem_free(file->path);
    mem_free(file);
}

const struct flat_shape *flat_file_shape(const struct flat_file *file)
{
    return &file->shape;
}

int64_t flat_file_len(const struct flat_file *file)
{
    return file->len;
}

int64_t flat_file_torn_len(const struct flat_file *file)
{
    return file->torn_len;
}

/* --- read ------------------------------------------------------------- */

static int fail_damaged(const struct flat_file *file, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "index %s is damaged at byte %lld",
                   file->path, (long long)file->len);
}

/* Visits whole records; file->len is then where they end. */
static int read_records(struct flat_file *file, struct flat_window *window,
                        flat_visit_fn *visit, void *user, struct err *err)
{
    while (file->len < window->size) {
        enum flat_state state = FLAT_TORN;
        struct flat_record seen;
        const void *mapped = NULL;
        uint32_t len = 0;
        int rc =
            flat_window_record(window, file->len, &state, &seen, &len, err);

        if (rc)
            return err_wrap(err, "index %s", file->path);
        if (state == FLAT_LYING)
            return fail_damaged(file, err);
        if (state == FLAT_TORN)
            break;
        rc = flat_map_get(&file->map, file->fd, file->len, len, &mapped, err);
        if (rc)
            return rc;
        rc = visit(user, &seen, mapped, err);
        if (rc)
            return err_wrap(err, "index %s at byte %lld", file->path,
                            (long long)file->len);
        file->len += len;
    }
    return 0;
}

static int load(struct flat_file *file, struct flat_window *window,
                flat_visit_fn *visit, void *user, struct err *err)
{
    bool is_damaged = false;
    int64_t len;
    int rc = read_records(file, window, visit, user, err);

    if (rc || file->len >= window->size)
        return rc;
    rc = flat_window_proof(window, file->len, &is_damaged, err);
    if (rc)
        return err_wrap(err, "index %s", file->path);
    if (!is_damaged)
        return 0;
    /* A record that was being written when it was looked at is whole now. */
    flat_window_clear(window);
    len = file->len;
    rc = read_records(file, window, visit, user, err);
    if (rc == 0 && file->len == len)
        rc = fail_damaged(file, err);
    return rc;
}

/* What a killed writer left may be in the file, and the file in its folder,
 * but not yet on disk; from here on they are taken for durable. */
static int settle(struct flat_file *file, struct err *err)
{
    int rc;

    if (file->torn_len > 0 && ftruncate(file->fd, file->len) != 0)
        return fail_errno(file, "cut of its torn tail", err);
    rc = flat_file_sync(file, err);
    return rc ? rc : sync_folder(file, err);
}

int flat_file_load(struct flat_file *file, flat_visit_fn *visit, void *user,
                   struct err *err)
{
    struct flat_window window;
    int64_t size = 0;
    int rc = file_size(file, &size, err);

    if (rc == 0)
        rc = flat_window_init(&window, file->fd, file->shape.dim, file->crc,
                              size, err);
    if (rc)
        return rc;
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    rc = load(file, &window, visit, user, err);
    flat_window_release(&window);
    if (rc)
        return rc;
    if (size > file->len)
        file->torn_len = size - file->len;
    return file->mode == FLAT_WRITE ? settle(file, err) : 0;
}

/* The file's size, which must not be below what was read from it. */
static int check_size(const struct flat_file *file, int64_t *out,
                      struct err *err)
{
    int64_t len = file->len;
    int rc = file_size(file, out, err);

    if (rc == 0 && *out < len)
        rc =
            err_set(err, ERR_CORRUPT, "index %s shrank from %lld to %lld bytes",
                    file->path, (long long)len, (long long)*out);
    return rc;
}

int flat_file_refresh(struct flat_file *file, flat_visit_fn *visit, void *user,
                      struct err *err)
{
    struct flat_window window;
    int64_t size = 0;
    int rc = check_size(file, &size, err);

    if (rc)
        return rc;
    file->torn_len = 0;
    if (size == file->len)
        return 0;
    rc = flat_window_init(&window, file->fd, file->shape.dim, file->crc, size,
                          err);
    if (rc)
        return rc;
    rc = read_records(file, &window, visit, user, err);
    flat_window_release(&window);
    if (size > file->len)
        file->torn_len = size - file->len;
    return rc;
}

int flat_file_has_more(const struct flat_file *file, bool *out, struct err *err)
{
    int64_t size = 0;
    int rc = check_size(file, &size, err);

    if (rc == 0)
        *out = size != file->len || file->torn_len != 0;
    return rc;
}

/* --- write ------------------------------------------------------------ */

static int fail_broken(const struct flat_file *file, struct err *err)
{
    return err_set(err, ERR_IO,
                   "index %s takes nothing after a failed sync; open it again",
                   file->path);
}

int flat_file_append(struct flat_file *file, const struct flat_record *record,
                     const struct flat_head **out, struct err *err)
{
    size_t len = flat_record_len(record, file->shape.dim);
    const void *mapped = NULL;
    int rc;

    assert(file->mode == FLAT_WRITE);
    if (file->is_broken)
        return fail_broken(file, err);
    rc = flat_map_get(&file->map, file->fd, file->len, (int64_t)len, &mapped,
                      err);
    if (rc)
        return rc;
    flat_record_write(record, file->shape.dim, file->crc, (uint64_t)file->len,
                      (uint64_t)file->durable_len, file->draft);
    rc = write_at(file, file->len, file->draft, len, err);
    if (rc) {
        if (ftruncate(file->fd, file->len) != 0)
            file->is_broken = true;
        return rc;
    }
    file->len += (int64_t)len;
    *out = mapped;
    return 0;
}

int flat_file_sync(struct flat_file *file, struct err *err)
{
    if (file->is_broken)
        return fail_broken(file, err);
    if (fdatasync(file->fd) != 0) {
        file->is_broken = true;
        return fail_errno(file, "sync", err);
    }
    file->durable_len = file->len;
    return 0;
}

void flat_file_note_durable(struct flat_file *file)
{
    const struct flat_record record = {.kind = FLAT_DONE};
    const struct flat_head *head = NULL;
    struct err err;

    /* A note that cannot be written is only a note less. */
    if (flat_file_append(file, &record, &head, &err) != 0)
        return;
}
