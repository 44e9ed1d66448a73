/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, making and naming a log file. The lock (flock) is on the file, not
 * on its name, so whoever has it looks whether the name still leads there:
 * compaction gives the name to another file, which it has locked before. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/log_file.h"
#include "vectors/log_file_parts.h"

enum { TRY_MAX = 16 };

static const size_t draft_len_min = 1 << 20;

/* A file system that cannot sync a folder says EINVAL; it has nothing better
 * to offer. */
int log_file_sync_folder(const struct log_file *file, struct err *err)
{
    char *copy = mem_text(file->path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    mem_free(copy);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        rc = log_file_fail(file, "sync of its folder", err);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int open_fd(struct log_file *file, int more_flags, struct err *err)
{
    int flags = file->mode == VEC_WRITE ? O_RDWR : O_RDONLY;
    struct stat about;

    /* O_NONBLOCK: a pipe of that name is refused instead of waited for. */
    file->fd =
        open(file->path, flags | more_flags | O_CLOEXEC | O_NONBLOCK, 0666);
    if (file->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_NOT_FOUND, "index %s is not there", file->path);
    if (file->fd < 0)
        return log_file_fail(file, "open", err);
    if (fstat(file->fd, &about) != 0)
        return log_file_fail(file, "stat", err);
    if (!S_ISREG(about.st_mode))
        return err_set(err, ERR_INVALID, "index %s is not a file", file->path);
    return 0;
}

static int lock(const struct log_file *file, struct err *err)
{
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(err, ERR_CONFLICT,
                       "index %s is being written by another process",
                       file->path);
    return log_file_fail(file, "lock", err);
}

static bool is_named(const struct log_file *file)
{
    struct stat mine, named;

    assert(file->fd >= 0);
    return fstat(file->fd, &mine) == 0 && stat(file->path, &named) == 0 &&
           mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

/* Opens and locks what the name leads to. */
static int open_locked(struct log_file *file, int more_flags, struct err *err)
{
    int i, rc;

    for (i = 0; i < TRY_MAX; i++) {
        rc = open_fd(file, more_flags, err);
        if (rc == 0)
            rc = lock(file, err);
        if (rc || is_named(file))
            return rc;
        close(file->fd);
        file->fd = -1;
    }
    return err_set(err, ERR_CONFLICT,
                   "index %s was replaced %d times while it was opened",
                   file->path, TRY_MAX);
}

/* --- the header ------------------------------------------------------- */

/* The header is synced before the first record is written, so a file without
 * a whole one has lost nothing. */
static int write_header(struct log_file *file, const struct log_shape *shape,
                        struct err *err)
{
    struct log_header header;
    int rc;

    file->shape = *shape;
    if (shape->metric == VECINDEX_METRIC_ANY)
        file->shape.metric = VECINDEX_L2;
    if (shape->dim == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "index %s is not there, and its dimension is not known",
                       file->path);
    rc = log_header_write(&file->shape, &header, err);
    if (rc)
        return rc;
    rc = log_file_write_at(file, 0, &header, sizeof header, err);
    if (rc) {
        if (ftruncate(file->fd, 0) != 0)
            file->is_broken = true;
        return rc;
    }
    if (fdatasync(file->fd) != 0)
        return log_file_fail(file, "sync", err);
    file->seed = header.seed;
    return 0;
}

static int check_shape(const struct log_file *file,
                       const struct log_shape *wanted, struct err *err)
{
    const struct log_shape *has = &file->shape;

    if (wanted->dim != 0 && wanted->dim != has->dim)
        return err_set(err, ERR_CONFLICT,
                       "index %s has vectors of %d floats; not %d", file->path,
                       has->dim, wanted->dim);
    if (wanted->metric != VECINDEX_METRIC_ANY && wanted->metric != has->metric)
        return err_set(err, ERR_CONFLICT, "index %s has metric %s; not %s",
                       file->path, vecindex_metric_name(has->metric),
                       vecindex_metric_name(wanted->metric));
    if (wanted->model[0] != '\0' && has->model[0] != '\0' &&
        strcmp(wanted->model, has->model) != 0)
        return err_set(err, ERR_CONFLICT,
                       "index %s has vectors of model '%s'; not '%s'",
                       file->path, has->model, wanted->model);
    return 0;
}

/* Whether the file has only the start of a header: its maker was stopped. */
static bool is_unfinished(const struct log_header *header, size_t len)
{
    size_t magic_len = sizeof header->magic;

    return len < sizeof *header &&
           memcmp(header->magic, LOG_MAGIC,
                  len < magic_len ? len : magic_len) == 0;
}

/* From here on there are records that version 1 does not know. All of a header
 * lies in one sector, which a disk writes whole or not at all. */
static int upgrade(const struct log_file *file, struct log_header *header,
                   struct err *err)
{
    int rc;

    log_header_upgrade(header);
    rc = log_file_write_at(file, 0, header, sizeof *header, err);
    if (rc == 0 && fdatasync(file->fd) != 0)
        rc = log_file_fail(file, "sync", err);
    return rc;
}

static int take_header(struct log_file *file, const struct log_shape *shape,
                       struct err *err)
{
    struct log_header header;
    size_t len = 0;
    int rc = log_window_read(file->fd, 0, &header, sizeof header, &len, err);

    if (rc)
        return err_wrap(err, "index %s", file->path);
    if (is_unfinished(&header, len) && file->mode == VEC_READ)
        return err_set(err, ERR_NOT_FOUND,
                       "index %s is not there yet: it has %zu bytes of %d of "
                       "its header",
                       file->path, len, LOG_HEADER_LEN);
    if (is_unfinished(&header, len)) {
        file->torn_len = (int64_t)len;
        return write_header(file, shape, err);
    }
    if (len < sizeof header)
        return err_set(err, ERR_CORRUPT,
                       "index %s is no index of olho: byte 0 does not begin "
                       "\"%s\"",
                       file->path, LOG_MAGIC);
    rc = log_header_read(&header, &file->shape, &file->seed, err);
    if (rc)
        return err_wrap(err, "index %s", file->path);
    rc = check_shape(file, shape, err);
    if (rc == 0 && file->mode == VEC_WRITE && header.version == 1)
        rc = upgrade(file, &header, err);
    return rc;
}

/* --- the file --------------------------------------------------------- */

static struct log_file *file_new(const char *path, enum vec_mode mode)
{
    struct log_file *file = mem_new(sizeof *file);

    file->path = mem_text(path);
    file->fd = -1;
    file->mode = mode;
    file->len = file->durable_len = file->pending_len = LOG_HEADER_LEN;
    return file;
}

static int make_draft(struct log_file *file, struct err *err)
{
    size_t len = log_record_len_max(file->shape.dim);

    file->draft_cap = len > draft_len_min ? len : draft_len_min;
    file->draft = mem_try_aligned(file->draft_cap, 1);
    if (file->draft == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for records");
    return 0;
}

int log_file_open(const char *path, enum vec_mode mode,
                  const struct log_shape *shape, struct log_file **out,
                  struct err *err)
{
    struct log_file *file = file_new(path, mode);
    int rc;

    if (mode == VEC_WRITE)
        rc = open_locked(file, shape->dim > 0 ? O_CREAT : 0, err);
    else
        rc = open_fd(file, 0, err);
    if (rc == 0)
        rc = take_header(file, shape, err);
    if (rc == 0 && mode == VEC_WRITE)
        rc = make_draft(file, err);
    if (rc) {
        log_file_close(file);
        return rc;
    }
    *out = file;
    return 0;
}

int log_file_create(const char *path, const struct log_shape *shape,
                    struct log_file **out, struct err *err)
{
    struct log_file *file = file_new(path, VEC_WRITE);
    int rc = open_locked(file, O_CREAT | O_TRUNC, err);

    if (rc == 0)
        rc = write_header(file, shape, err);
    if (rc == 0)
        rc = make_draft(file, err);
    if (rc) {
        log_file_close(file);
        return rc;
    }
    *out = file;
    return 0;
}

void log_file_first_settings(const struct log_file *file,
                             struct log_settings *out)
{
    struct {
        struct log_head head;
        struct log_settings settings;
    } first;
    struct log_record record = {0};
    struct err why = {0};
    size_t len = 0;

    *out = (struct log_settings){0};
    if (log_window_read(file->fd, LOG_HEADER_LEN, &first, sizeof first, &len,
                        &why) != 0 ||
        len != sizeof first || first.head.kind != LOG_SETTINGS ||
        log_head_check(&first.head, file->shape.dim, file->seed, LOG_HEADER_LEN,
                       len) != LOG_WHOLE ||
        log_record_read(&first.head, file->shape.dim, file->seed,
                        LOG_HEADER_LEN, &record) != LOG_WHOLE)
        return;
    *out = record.settings;
}

int log_file_share_access(const struct log_file *file, int fd, struct err *err)
{
    const mode_t rights = S_IRWXU | S_IRWXG | S_IRWXO;
    struct stat has, made;

    if (fstat(file->fd, &has) != 0 || fstat(fd, &made) != 0)
        return log_file_fail(file, "stat", err);
    /* Only root may give a file away; its group, who is in it. */
    if ((made.st_uid != has.st_uid || made.st_gid != has.st_gid) &&
        fchown(fd, has.st_uid, has.st_gid) != 0)
        (void)!fchown(fd, (uid_t)-1, has.st_gid);
    if ((made.st_mode & rights) != (has.st_mode & rights) &&
        fchmod(fd, has.st_mode & rights) != 0)
        return log_file_fail(file, "its rights for another file", err);
    return 0;
}

int log_file_take_access(const struct log_file *file,
                         const struct log_file *from, struct err *err)
{
    return log_file_share_access(from, file->fd, err);
}

int log_file_rename(struct log_file *file, const char *path, struct err *err)
{
    char *name = mem_text(path);
    int rc;

    if (rename(file->path, path) != 0) {
        mem_free(name);
        return log_file_fail(file, "rename", err);
    }
    mem_free(file->path);
    file->path = name;
    rc = log_file_sync_folder(file, err);
    /* After a loss of power the name may lead to the old file again, without
     * what would be written from here on. */
    if (rc)
        file->is_broken = true;
    return rc;
}

void log_file_close(struct log_file *file)
{
    if (file == NULL)
        return;
    log_map_release(&file->map);
    if (file->fd >= 0)
        close(file->fd);
    mem_free(file->draft);
    mem_free(file->path);
    mem_free(file);
}
