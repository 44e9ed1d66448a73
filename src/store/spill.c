/* SPDX-License-Identifier: Apache-2.0 */
/* `done` <= `end`; records are between them. All reading is by position, and
 * all writing at `end`, so that what a failed write left behind `end` is
 * written over by the next. Numbers are in this machine's byte order, which
 * the head tells. */
#include "store/spill.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

enum { SEARCH_LEN = 1 << 16 };

static const char magic[8] = "olhoSPL1";
static const uint32_t order_mark = 0x01020304;
static const uint32_t record_mark = 0x52a7f06d;

struct head {
    char magic[8];
    uint32_t order;
    uint32_t spare; /* 0 */
    int64_t done;   /* offset of the first record that still counts */
    uint32_t spare2;
    uint32_t crc; /* of all before it */
};
static_assert(sizeof(struct head) == SPILL_HEAD_LEN, "no padding is written");

struct record_head {
    uint32_t mark;
    uint32_t len;
    uint32_t crc; /* of len and the bytes */
};
static_assert(sizeof(struct record_head) == SPILL_RECORD_HEAD_LEN,
              "no padding is written");

struct spill {
    char *path; /* owned */
    int file;
    int64_t len_max;
    int64_t done, end;
    int64_t seen;           /* damage before this offset is counted already */
    struct spill_info info; /* but len */
    char *window;           /* SEARCH_LEN bytes to look for marks in */
};

static int fail(const struct spill *spill, const char *what, int number,
                struct err *err)
{
    return err_set(err, ERR_IO, "cannot %s '%s': %s", what, spill->path,
                   strerror(number));
}

/* --- files ---------------------------------------------------------------- */

/* Reads len bytes at offset, or what there is; *out_len tells. */
static int read_at(const struct spill *spill, void *out, size_t len,
                   int64_t offset, size_t *out_len, struct err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = pread(spill->file, (char *)out + done, len - done,
                            offset + (int64_t)done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(spill, "read", errno, err);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *out_len = done;
    return 0;
}

static int cut(struct spill *spill, int64_t len, struct err *err)
{
    while (ftruncate(spill->file, len) != 0)
        if (errno != EINTR)
            return fail(spill, "cut", errno, err);
    return 0;
}

static int write_head(struct spill *spill, struct err *err)
{
    struct head head = {.order = order_mark, .done = spill->done};
    ssize_t done;

    memcpy(head.magic, magic, sizeof magic);
    head.crc = hash_crc32c(0, &head, offsetof(struct head, crc));
    do
        done = pwrite(spill->file, &head, sizeof head, 0);
    while (done < 0 && errno == EINTR);
    if (done == (ssize_t)sizeof head)
        return 0;
    return fail(spill, "write", done < 0 ? errno : ENOSPC, err);
}

/* --- records -------------------------------------------------------------- */

static uint32_t crc_of(uint32_t len, const void *data)
{
    return hash_crc32c(hash_crc32c(0, &len, sizeof len), data, len);
}

/* Reads the record at offset into out; out->len is 0 when there is no whole
 * one. */
static int read_record(const struct spill *spill, int64_t offset,
                       struct buf *out, struct err *err)
{
    struct record_head head;
    size_t len = 0;
    char *to;
    int rc;

    buf_clear(out);
    if (spill->end - offset <= (int64_t)sizeof head)
        return 0;
    rc = read_at(spill, &head, sizeof head, offset, &len, err);
    if (rc)
        return rc;
    if (len < sizeof head || head.mark != record_mark || head.len == 0 ||
        head.len > SPILL_RECORD_MAX ||
        head.len > spill->end - offset - (int64_t)sizeof head)
        return 0;
    to = buf_reserve(out, head.len);
    if (to == NULL)
        return buf_check(out, err);
    rc = read_at(spill, to, head.len, offset + (int64_t)sizeof head, &len, err);
    if (rc)
        return rc;
    if (len == head.len && crc_of(head.len, to) == head.crc)
        out->len = head.len;
    return 0;
}

/* The offset of the next mark after `offset`, or spill->end. */
static int find_mark(const struct spill *spill, int64_t offset,
                     int64_t *out_offset, struct err *err)
{
    size_t len = 0;
    char *at;
    int rc;

    for (offset++; offset < spill->end; offset += SEARCH_LEN - 3) {
        rc = read_at(spill, spill->window, SEARCH_LEN, offset, &len, err);
        if (rc)
            return rc;
        at = memmem(spill->window, len, &record_mark, sizeof record_mark);
        if (at != NULL) {
            *out_offset = offset + (at - spill->window);
            return 0;
        }
    }
    *out_offset = spill->end;
    return 0;
}

/* Damage that ends at `at`; that of an earlier reading is counted already. */
static void count_damage(struct spill *spill, int64_t from, int64_t at)
{
    if (from >= spill->seen)
        spill->info.damaged++;
    if (at > spill->seen)
        spill->seen = at;
}

int spill_read(struct spill *spill, int64_t *offset, struct buf *out,
               struct err *err)
{
    int64_t from = *offset, at = from;
    int rc;

    assert(from >= SPILL_HEAD_LEN);
    assert(out->len_max >= SPILL_RECORD_MAX);
    for (;;) {
        rc = read_record(spill, at, out, err);
        if (rc)
            return rc;
        if (out->len > 0 || at >= spill->end)
            break;
        rc = find_mark(spill, at, &at, err);
        if (rc)
            return rc;
    }
    if (at > from)
        count_damage(spill, from, at);
    *offset = at;
    if (out->len > 0)
        *offset += SPILL_RECORD_HEAD_LEN + (int64_t)out->len;
    return 0;
}

int spill_add(struct spill *spill, struct bytes record, struct err *err)
{
    struct record_head head = {
        .mark = record_mark,
        .len = (uint32_t)record.len,
        .crc = crc_of((uint32_t)record.len, record.data),
    };
    struct iovec parts[] = {{&head, sizeof head},
                            {(void *)(uintptr_t)record.data, record.len}};
    int64_t len = (int64_t)(sizeof head + record.len);
    struct err ignored = {0};
    ssize_t done;

    assert(record.len > 0 && record.len <= SPILL_RECORD_MAX);
    if (len > spill->len_max - spill->end)
        return err_set(err, ERR_TOO_LARGE,
                       "'%s' has %lld bytes and may have %lld", spill->path,
                       (long long)spill->end, (long long)spill->len_max);
    do
        done = pwritev(spill->file, parts, 2, spill->end);
    while (done < 0 && errno == EINTR);
    if (done == len) {
        spill->end += len;
        spill->info.record_count++;
        return 0;
    }
    (void)fail(spill, "write", done < 0 ? errno : ENOSPC, err);
    /* What stays behind the end, should this fail too, is written over by the
     * next record, or is a torn end to the next process. */
    (void)cut(spill, spill->end, &ignored);
    return err->code;
}

int64_t spill_first(const struct spill *spill)
{
    return spill->done;
}

/* Cuts first: a head that points behind the end of the file means that nothing
 * is left, as it does after a kill between the two. */
static int make_empty(struct spill *spill, struct err *err)
{
    int rc;

    spill->done = spill->end = spill->seen = SPILL_HEAD_LEN;
    spill->info.record_count = 0;
    rc = cut(spill, spill->end, err);
    return rc ? rc : write_head(spill, err);
}

int spill_forget(struct spill *spill, int64_t offset, int64_t count,
                 struct err *err)
{
    assert(offset >= spill->done && offset <= spill->end);
    if (offset == spill->end)
        return make_empty(spill, err);
    spill->done = offset;
    spill->info.record_count -= count;
    return write_head(spill, err);
}

void spill_info(const struct spill *spill, struct spill_info *out)
{
    *out = spill->info;
    out->len = spill->info.record_count > 0 ? spill->end : 0;
}

/* --- opening -------------------------------------------------------------- */

/* Reads the head of a file that has one; a damaged one is made anew, and then
 * every record counts again. */
static int read_head(struct spill *spill, struct err *err)
{
    struct head head;
    size_t len = 0;
    int rc = read_at(spill, &head, sizeof head, 0, &len, err);

    if (rc)
        return rc;
    if (memcmp(&head, magic, len < sizeof magic ? len : sizeof magic) != 0)
        return err_set(err, ERR_CORRUPT, "'%s' is no spill file of olho",
                       spill->path);
    spill->done = SPILL_HEAD_LEN;
    if (len < sizeof head ||
        head.crc != hash_crc32c(0, &head, offsetof(struct head, crc))) {
        spill->info.damaged++;
        return write_head(spill, err);
    }
    if (head.order != order_mark)
        return err_set(err, ERR_CORRUPT,
                       "'%s' is from a machine of another byte order",
                       spill->path);
    /* A file that ends before it was cut when all of it was done with. */
    if (head.done > spill->end)
        spill->done = spill->end;
    else if (head.done > SPILL_HEAD_LEN)
        spill->done = head.done;
    return 0;
}

/* Counts the records and finds where the last whole one ends. */
static int find_records(struct spill *spill, struct err *err)
{
    int64_t damaged = spill->info.damaged;
    int64_t at = spill->done, good = spill->done;
    struct buf record;
    int rc;

    buf_init(&record, SPILL_RECORD_MAX + 1);
    while ((rc = spill_read(spill, &at, &record, err)) == 0 && record.len > 0) {
        spill->info.record_count++;
        damaged = spill->info.damaged;
        good = at;
    }
    buf_release(&record);
    if (rc)
        return rc;
    spill->info.damaged = damaged; /* a torn end is no damage */
    spill->info.cut_len = spill->end - good;
    spill->end = spill->seen = good;
    if (spill->info.record_count == 0)
        return make_empty(spill, err);
    return spill->info.cut_len > 0 ? cut(spill, good, err) : 0;
}

static int begin(struct spill *spill, struct err *err)
{
    struct stat st;
    int rc;

    if (flock(spill->file, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return fail(spill, "lock", errno, err);
        return err_set(err, ERR_CONFLICT, "another process has '%s' open",
                       spill->path);
    }
    if (fstat(spill->file, &st) != 0)
        return fail(spill, "look at", errno, err);
    spill->end = st.st_size;
    if (st.st_size == 0)
        return make_empty(spill, err);
    rc = read_head(spill, err);
    if (rc)
        return rc;
    if (spill->end < spill->done)
        spill->end = spill->done;
    return find_records(spill, err);
}

int spill_open(const char *path, int64_t len_max, struct spill **out,
               struct err *err)
{
    struct spill *spill = mem_new(sizeof *spill);
    int rc;

    assert(len_max >= SPILL_LEN_MIN);
    spill->path = mem_text(path);
    spill->len_max = len_max;
    spill->window = mem_new(SEARCH_LEN);
    do
        spill->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (spill->file < 0 && errno == EINTR);
    if (spill->file < 0)
        rc = fail(spill, "open", errno, err);
    else
        rc = begin(spill, err);
    if (rc)
        spill_close(spill);
    else
        *out = spill;
    return rc;
}

void spill_close(struct spill *spill)
{
    if (spill == NULL)
        return;
    if (spill->file >= 0) {
        (void)fdatasync(spill->file);
        close(spill->file);
    }
    mem_free(spill->window);
    mem_free(spill->path);
    mem_free(spill);
}
