/* SPDX-License-Identifier: Apache-2.0 */
/* A group of records appears to other processes at once: its first head is
 * zeros, which no record begins with, until all behind it is in the file, and
 * is written last. So what a full disk makes us take back was never whole. */
#include "vectors/log_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/log_file_parts.h"

int log_file_fail(const struct log_file *file, const char *what,
                  struct err *err)
{
    return err_set(err, ERR_IO, "index %s: %s: %s", file->path, what,
                   strerror(errno));
}

static int file_size(const struct log_file *file, int64_t *out, struct err *err)
{
    struct stat about;

    if (fstat(file->fd, &about) != 0)
        return log_file_fail(file, "stat", err);
    *out = about.st_size;
    return 0;
}

const struct log_shape *log_file_shape(const struct log_file *file)
{
    return &file->shape;
}

uint32_t log_file_seed(const struct log_file *file)
{
    return file->seed;
}

int64_t log_file_len(const struct log_file *file)
{
    return file->len;
}

int64_t log_file_torn_len(const struct log_file *file)
{
    return file->torn_len;
}

const struct log_head *log_file_at(const struct log_file *file, int64_t offset)
{
    const struct log_head *head =
        log_map_find(&file->map, offset, LOG_HEAD_LEN);
    const struct log_head *whole = NULL;

    /* A record over the end of one part was mapped by the next. */
    if (head != NULL && head->len >= LOG_HEAD_LEN)
        whole = log_map_find(&file->map, offset, head->len);
    return whole != NULL ? whole : head;
}

int64_t log_file_offset(const struct log_file *file,
                        const struct log_head *head)
{
    return log_map_offset(&file->map, head);
}

/* --- read ------------------------------------------------------------- */

static int fail_damaged(const struct log_file *file, int64_t offset,
                        struct err *err)
{
    return err_set(err, ERR_CORRUPT, "index %s is damaged at byte %lld",
                   file->path, (long long)offset);
}

/* Records of a batch that is not complete yet. */
struct batch {
    const struct log_head **heads; /* owned */
    int count, cap;
};

static int batch_put(struct batch *batch, const struct log_head *head,
                     struct err *err)
{
    const struct log_head **heads = NULL;
    int cap = batch->cap > 0 ? 2 * batch->cap : 16;

    if (batch->count == batch->cap) {
        heads = mem_resize(batch->heads, (size_t)cap, sizeof *heads);
        if (heads == NULL)
            return err_set(err, ERR_UNAVAILABLE,
                           "no memory for a batch of %d records", cap);
        batch->heads = heads;
        batch->cap = cap;
    }
    batch->heads[batch->count++] = head;
    return 0;
}

/* Only entries and removals come in batches. */
static bool may_go_on(const struct log_record *record)
{
    return record->kind == LOG_ITEM || record->kind == LOG_GONE;
}

/* Takes the record at *place into the batch and goes past it; *is_torn when
 * there is none. */
static int read_record(struct log_file *file, struct log_window *window,
                       struct batch *batch, int64_t *place, bool *is_last,
                       bool *is_torn, struct err *err)
{
    enum log_state state = LOG_TORN;
    struct log_record seen;
    const void *mapped = NULL;
    uint32_t len = 0;
    int rc = log_window_record(window, *place, &state, &seen, &len, err);

    if (rc)
        return err_wrap(err, "index %s", file->path);
    *is_torn = state == LOG_TORN;
    if (*is_torn)
        return 0;
    if (state == LOG_LYING || (batch->count > 0 && !may_go_on(&seen)))
        return fail_damaged(file, *place, err);
    rc = log_map_get(&file->map, file->fd, *place, len, &mapped, err);
    if (rc == 0)
        rc = batch_put(batch, mapped, err);
    *is_last = (seen.flags & LOG_HAS_MORE) == 0;
    *place += len;
    return rc;
}

/* What a record says of those before it. */
static void note_proof(struct log_file *file, const struct log_head *head)
{
    if ((int64_t)head->durable_len > file->durable_len)
        file->durable_len = (int64_t)head->durable_len;
}

/* Visits whole batches; file->len is then where they end, and *out_end where
 * whole records do. */
static int read_batches(struct log_file *file, struct log_window *window,
                        log_visit_fn *visit, void *user, int64_t *out_end,
                        struct err *err)
{
    struct batch batch = {0};
    int64_t place = file->len;
    bool is_torn = false, is_last = false;
    int rc = 0;

    while (rc == 0 && place < window->size) {
        rc = read_record(file, window, &batch, &place, &is_last, &is_torn, err);
        if (rc || is_torn)
            break;
        if (!is_last)
            continue;
        assert(batch.heads != NULL);
        note_proof(file, batch.heads[0]);
        if (batch.heads[0]->kind != LOG_DONE)
            rc = visit(user, batch.heads, batch.count, err);
        if (rc)
            rc = err_wrap(err, "index %s at byte %lld", file->path,
                          (long long)file->len);
        else
            file->len = place;
        batch.count = 0;
    }
    mem_free(batch.heads);
    *out_end = place;
    return rc;
}

static int load(struct log_file *file, struct log_window *window,
                log_visit_fn *visit, void *user, struct err *err)
{
    bool is_damaged = false;
    int64_t end, was_end;
    int rc = read_batches(file, window, visit, user, &end, err);

    if (rc || end >= window->size)
        return rc;
    rc = log_window_proof(window, end, &is_damaged, err);
    if (rc)
        return err_wrap(err, "index %s", file->path);
    if (!is_damaged)
        return 0;
    /* A record that was being written when it was looked at is whole now. */
    log_window_clear(window);
    was_end = end;
    rc = read_batches(file, window, visit, user, &end, err);
    if (rc == 0 && end == was_end)
        rc = fail_damaged(file, end, err);
    return rc;
}

/* Writes the bytes from `place` on once more, as they are. */
static int write_again(struct log_file *file, int64_t place, struct err *err)
{
    size_t len = 0;
    int rc = 0;

    for (; rc == 0 && place < file->len; place += (int64_t)len) {
        int64_t left = file->len - place, cap = (int64_t)file->draft_cap;

        rc = log_window_read(file->fd, place, file->draft,
                             (size_t)(left < cap ? left : cap), &len, err);
        if (rc)
            return err_wrap(err, "index %s", file->path);
        if (len == 0)
            return fail_damaged(file, place, err);
        rc = log_file_write_at(file, place, file->draft, len, err);
    }
    return rc;
}

/* What a killed writer left may be in the file, and the file in its folder,
 * but not yet on disk; from here on they are taken for durable. After a sync
 * that failed the kernel takes what it could not write for clean, and would
 * not write it in another one; so what no record proves is written again. */
static int settle(struct log_file *file, struct err *err)
{
    int rc;

    if (file->torn_len > 0 && ftruncate(file->fd, file->len) != 0)
        return log_file_fail(file, "cut of its torn tail", err);
    rc = write_again(file, file->durable_len, err);
    if (rc == 0)
        rc = log_file_sync(file, err);
    return rc ? rc : log_file_sync_folder(file, err);
}

int log_file_load(struct log_file *file, int64_t offset, log_visit_fn *visit,
                  void *user, struct err *err)
{
    const void *mapped = NULL;
    struct log_window window;
    int64_t size = 0;
    int rc = file_size(file, &size, err);

    if (rc)
        return rc;
    if (offset > size)
        return err_set(err, ERR_CORRUPT,
                       "index %s has %lld bytes; its checkpoint covers %lld",
                       file->path, (long long)size, (long long)offset);
    rc = log_map_get(&file->map, file->fd, 0, size, &mapped, err);
    if (rc == 0)
        rc = log_window_init(&window, file->fd, file->shape.dim, file->seed,
                             size, err);
    if (rc)
        return rc;
    file->len = offset;
    /* A checkpoint proves what it covers, and the first record the header. */
    file->durable_len = offset > LOG_HEADER_LEN ? offset : 0;
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    rc = load(file, &window, visit, user, err);
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_NORMAL);
    log_window_release(&window);
    if (rc)
        return rc;
    file->torn_len = size > file->len ? size - file->len : file->torn_len;
    rc = file->mode == VEC_WRITE ? settle(file, err) : 0;
    file->pending_len = file->len;
    return rc;
}

/* The file's size, which must not be below what was read from it. */
static int check_size(const struct log_file *file, int64_t *out,
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

int log_file_refresh(struct log_file *file, log_visit_fn *visit, void *user,
                     struct err *err)
{
    struct log_window window;
    int64_t size = 0, end = 0;
    int rc = check_size(file, &size, err);

    if (rc)
        return rc;
    file->torn_len = 0;
    if (size == file->len)
        return 0;
    rc = log_window_init(&window, file->fd, file->shape.dim, file->seed, size,
                         err);
    if (rc)
        return rc;
    rc = read_batches(file, &window, visit, user, &end, err);
    log_window_release(&window);
    if (size > file->len)
        file->torn_len = size - file->len;
    return rc;
}

bool log_file_is_overwritten(const struct log_file *file)
{
    struct log_header header;
    struct log_shape shape;
    struct err why = {0};
    uint32_t seed = 0;
    size_t len = 0;

    return log_window_read(file->fd, 0, &header, sizeof header, &len, &why) ==
               0 &&
           len == sizeof header &&
           log_header_read(&header, &shape, &seed, &why) == 0 &&
           seed != file->seed;
}

int log_file_has_more(const struct log_file *file, bool *out,
                      bool *out_is_replaced, struct err *err)
{
    struct stat mine, named;
    int64_t size = 0;
    int rc;

    if (log_file_is_overwritten(file)) {
        *out = *out_is_replaced = true;
        return 0;
    }
    rc = check_size(file, &size, err);
    if (rc)
        return rc;
    *out = size != file->len || file->torn_len != 0;
    *out_is_replaced =
        fstat(file->fd, &mine) == 0 && stat(file->path, &named) == 0 &&
        (mine.st_ino != named.st_ino || mine.st_dev != named.st_dev);
    return 0;
}

int log_file_check_len(const struct log_file *file, struct err *err)
{
    int64_t size = 0;

    return check_size(file, &size, err);
}

/* --- check ------------------------------------------------------------ */

int log_file_verify(const struct log_file *file, int64_t offset,
                    struct err *err)
{
    const struct log_head *head = log_file_at(file, offset);
    uint64_t left = (uint64_t)(file->len - offset);
    struct log_record record;

    if (head == NULL || offset % LOG_ALIGNMENT != 0 ||
        log_head_check(head, file->shape.dim, file->seed, (uint64_t)offset,
                       left) != LOG_WHOLE ||
        log_map_find(&file->map, offset, head->len) == NULL ||
        log_record_read(head, file->shape.dim, file->seed, (uint64_t)offset,
                        &record) != LOG_WHOLE)
        return fail_damaged(file, offset, err);
    return 0;
}

int log_file_check(const struct log_file *file, vec_progress_fn *progress,
                   void *user, struct err *err)
{
    struct log_window window;
    int64_t len = file->len, place = LOG_HEADER_LEN;
    int rc = log_window_init(&window, file->fd, file->shape.dim, file->seed,
                             len, err);

    if (rc)
        return rc;
    while (rc == 0 && place < len) {
        enum log_state state = LOG_TORN;
        struct log_record record;
        uint32_t record_len = 0;

        rc = log_window_record(&window, place, &state, &record, &record_len,
                               err);
        if (rc)
            rc = err_wrap(err, "index %s", file->path);
        else if (state != LOG_WHOLE)
            rc = fail_damaged(file, place, err);
        else if (progress != NULL && progress(user, place, len) != 0)
            rc = err_set(err, ERR_UNAVAILABLE, "the check was stopped");
        place += record_len;
    }
    log_window_release(&window);
    return rc;
}

/* --- write ------------------------------------------------------------ */

static int fail_broken(const struct log_file *file, struct err *err)
{
    return err_set(err, ERR_IO,
                   "index %s takes nothing after a failed sync; open it again",
                   file->path);
}

int log_file_write_at(const struct log_file *file, int64_t offset,
                      const void *data, size_t len, struct err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(file->fd, (const uint8_t *)data + done, len - done,
                           offset + (int64_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return log_file_fail(file, "write", err);
        done += (size_t)n;
    }
    return 0;
}

void log_file_cut(struct log_file *file)
{
    if (file->pending_len > file->len && ftruncate(file->fd, file->len) != 0)
        file->is_broken = true;
    file->pending_len = file->len;
    file->draft_len = 0;
}

int log_file_flush(struct log_file *file, struct err *err)
{
    int64_t offset = file->pending_len - (int64_t)file->draft_len;
    int rc = 0;

    if (file->draft_len > 0)
        rc = log_file_write_at(file, offset, file->draft, file->draft_len, err);
    file->draft_len = 0;
    if (rc)
        log_file_cut(file);
    return rc;
}

int log_file_put(struct log_file *file, const struct log_record *record,
                 const struct log_head **out, struct err *err)
{
    size_t len = log_record_len(record, file->shape.dim);
    const void *mapped = NULL;
    uint8_t *draft = NULL;
    int rc = 0;

    assert(file->mode == VEC_WRITE);
    if (file->is_broken)
        return fail_broken(file, err);
    if (len > file->draft_cap - file->draft_len)
        rc = log_file_flush(file, err);
    if (rc == 0)
        rc = log_map_get(&file->map, file->fd, file->pending_len, (int64_t)len,
                         &mapped, err);
    if (rc) {
        log_file_cut(file);
        return rc;
    }
    draft = file->draft + file->draft_len;
    log_record_write(record, file->shape.dim, file->seed,
                     (uint64_t)file->pending_len, (uint64_t)file->durable_len,
                     draft);
    if (file->pending_len == file->len) {
        memcpy(&file->first_head, draft, sizeof file->first_head);
        memset(draft, 0, sizeof file->first_head);
    }
    file->draft_len += len;
    file->pending_len += (int64_t)len;
    if (out != NULL)
        *out = mapped;
    return 0;
}

int log_file_sync(struct log_file *file, struct err *err)
{
    if (file->is_broken)
        return fail_broken(file, err);
    if (fdatasync(file->fd) != 0) {
        file->is_broken = true;
        return log_file_fail(file, "sync", err);
    }
    file->durable_len = file->len;
    return 0;
}

/* The first head, after everything behind it. */
static int show(struct log_file *file, struct err *err)
{
    int rc = log_file_flush(file, err);

    if (rc || file->pending_len == file->len)
        return rc;
    rc = log_file_write_at(file, file->len, &file->first_head,
                           sizeof file->first_head, err);
    if (rc) {
        /* It takes room that the zeros had; so this is no full disk. */
        log_file_cut(file);
        file->is_broken = true;
        return rc;
    }
    file->len = file->pending_len;
    return 0;
}

int log_file_commit(struct log_file *file, struct err *err)
{
    int rc = show(file, err);

    return rc ? rc : log_file_sync(file, err);
}

void log_file_note_durable(struct log_file *file)
{
    const struct log_record record = {.kind = LOG_DONE};
    struct err err;

    /* A note that cannot be written is only a note less. */
    if (file->is_broken || file->durable_len != file->len ||
        log_file_put(file, &record, NULL, &err) != 0 || show(file, &err) != 0)
        return;
}
