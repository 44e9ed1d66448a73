/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "vectors/checkpoint_format.h"

/* Bytes after which the kernel is asked to begin writing them out, so that the
 * sync at the end, which a sync of the log may have to wait for, is short. */
enum { HURRY_LEN = 8 << 20 };

struct checkpoint_writer {
    int fd;
    int number;    /* errno of the first failure; 0 */
    bool is_short; /* memory ran out, or there are too many sections */
    uint64_t at;   /* bytes that were written to the file */
    uint64_t hurried;
    uint32_t header_crc;
    struct checkpoint_entry entries[CHECKPOINT_SECTIONS_MAX];
    uint32_t entry_count;
    uint32_t *crcs; /* owned */
    uint64_t crc_count, crc_cap;
    size_t held;               /* bytes in piece */
    char path[FILE_PATH_MAX];  /* in the end */
    char fresh[FILE_PATH_MAX]; /* meanwhile */
    uint8_t piece[CHECKPOINT_PIECE_LEN];
};

bool checkpoint_failed(const struct checkpoint_writer *writer)
{
    return writer->number != 0 || writer->is_short;
}

static int fail(const struct checkpoint_writer *writer, struct err *err)
{
    if (writer->number == 0)
        return err_set(err, ERR_UNAVAILABLE, "no memory for checkpoint %s",
                       writer->path);
    return err_set(err, ERR_IO, "cannot write checkpoint %s: %s", writer->path,
                   strerror(writer->number));
}

static void write_whole(struct checkpoint_writer *writer, const void *bytes,
                        size_t len)
{
    const uint8_t *from = bytes;

    while (len > 0 && !checkpoint_failed(writer)) {
        ssize_t put = write(writer->fd, from, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            writer->number = errno;
            return;
        }
        from += put;
        len -= (size_t)put;
        writer->at += (uint64_t)put;
    }
    if (writer->at - writer->hurried >= HURRY_LEN) {
        /* Only a hint: where it fails, the sync at the end does it all. */
        (void)sync_file_range(writer->fd, (off_t)writer->hurried,
                              (off_t)(writer->at - writer->hurried),
                              SYNC_FILE_RANGE_WRITE);
        writer->hurried = writer->at;
    }
}

/* Room for one more checksum. */
static bool reserve_crc(struct checkpoint_writer *writer)
{
    uint64_t cap = writer->crc_cap == 0 ? 64 : writer->crc_cap * 2;
    uint32_t *more;

    if (writer->crc_count < writer->crc_cap)
        return true;
    more = mem_resize(writer->crcs, cap, sizeof *more);
    if (more == NULL) {
        writer->is_short = true;
        return false;
    }
    writer->crcs = more;
    writer->crc_cap = cap;
    return true;
}

/* Writes the piece that is held, filled up with zeros. */
static void flush_piece(struct checkpoint_writer *writer)
{
    size_t len = (size_t)checkpoint_aligned(writer->held);
    uint64_t at = writer->at;

    if (len == 0 || checkpoint_failed(writer) || !reserve_crc(writer))
        return;
    memset(writer->piece + writer->held, 0, len - writer->held);
    writer->crcs[writer->crc_count++] = hash_crc32c(
        hash_crc32c(writer->header_crc, &at, sizeof at), writer->piece, len);
    write_whole(writer, writer->piece, len);
    writer->held = 0;
}

static void write_header(struct checkpoint_writer *writer)
{
    struct checkpoint_header *header = mem_new(sizeof *header);

    memcpy(header->magic, CHECKPOINT_MAGIC, sizeof header->magic);
    header->version = CHECKPOINT_VERSION;
    header->header_len = CHECKPOINT_HEADER_LEN;
    if (getrandom(header->file_key, sizeof header->file_key, 0) !=
        (ssize_t)sizeof header->file_key)
        writer->number = errno;
    header->crc =
        hash_crc32c(0, header, offsetof(struct checkpoint_header, crc));
    writer->header_crc = header->crc;
    write_whole(writer, header, sizeof *header);
    mem_free(header);
}

int checkpoint_begin(const char *path, struct checkpoint_writer **out,
                     struct err *err)
{
    struct checkpoint_writer *writer = mem_try(1, sizeof *writer);
    int len, rc;

    if (writer == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for checkpoint %s",
                       path);
    writer->fd = -1;
    snprintf(writer->path, sizeof writer->path, "%s", path);
    len = snprintf(writer->fresh, sizeof writer->fresh, "%s.new", path);
    if (len < 0 || len >= FILE_PATH_MAX) {
        writer->number = ENAMETOOLONG;
    } else {
        writer->fd =
            open(writer->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        writer->number = writer->fd < 0 ? errno : 0;
    }
    if (writer->number != 0) {
        rc = fail(writer, err);
        mem_free(writer);
        return rc;
    }
    write_header(writer);
    *out = writer;
    return 0;
}

int checkpoint_fd(const struct checkpoint_writer *writer)
{
    return writer->fd;
}

/* The section that is under way is whole. */
static void end_section(struct checkpoint_writer *writer)
{
    if (writer->entry_count > 0)
        flush_piece(writer);
}

void checkpoint_start(struct checkpoint_writer *writer, const char *name)
{
    struct checkpoint_entry *entry;

    assert(strlen(name) == sizeof entry->name);
    end_section(writer);
    if (writer->entry_count == CHECKPOINT_SECTIONS_MAX) {
        writer->is_short = true;
        return;
    }
    entry = &writer->entries[writer->entry_count++];
    memcpy(entry->name, name, sizeof entry->name);
    entry->at = writer->at;
    entry->first_piece = writer->crc_count;
}

void checkpoint_put(struct checkpoint_writer *writer, const void *bytes,
                    size_t len)
{
    const uint8_t *from = bytes;

    assert(writer->entry_count > 0);
    writer->entries[writer->entry_count - 1].len += len;
    while (len > 0 && !checkpoint_failed(writer)) {
        size_t room = CHECKPOINT_PIECE_LEN - writer->held;
        size_t part = len < room ? len : room;

        memcpy(writer->piece + writer->held, from, part);
        writer->held += part;
        from += part;
        len -= part;
        if (writer->held == CHECKPOINT_PIECE_LEN)
            flush_piece(writer);
    }
}

static void write_table(struct checkpoint_writer *writer)
{
    size_t entries_len = writer->entry_count * sizeof *writer->entries;
    size_t crcs_len = (size_t)writer->crc_count * sizeof *writer->crcs;
    struct checkpoint_footer footer = {
        .table_at = writer->at,
        .table_len = entries_len + crcs_len,
        .section_count = writer->entry_count,
    };

    memcpy(footer.magic, CHECKPOINT_END, sizeof footer.magic);
    footer.file_len = footer.table_at + footer.table_len + sizeof footer;
    footer.table_crc =
        hash_crc32c(writer->header_crc, writer->entries, entries_len);
    footer.table_crc = hash_crc32c(footer.table_crc, writer->crcs, crcs_len);
    footer.crc = hash_crc32c(writer->header_crc, &footer,
                             offsetof(struct checkpoint_footer, crc));
    write_whole(writer, writer->entries, entries_len);
    write_whole(writer, writer->crcs, crcs_len);
    write_whole(writer, &footer, sizeof footer);
}

static void release(struct checkpoint_writer *writer)
{
    mem_free(writer->crcs);
    mem_free(writer);
}

int checkpoint_commit(struct checkpoint_writer *writer, struct err *err)
{
    int rc = 0;

    end_section(writer);
    write_table(writer);
    if (!checkpoint_failed(writer) && fsync(writer->fd) != 0)
        writer->number = errno;
    if (close(writer->fd) != 0 && writer->number == 0)
        writer->number = errno;
    if (!checkpoint_failed(writer) && rename(writer->fresh, writer->path) != 0)
        writer->number = errno;
    if (checkpoint_failed(writer)) {
        unlink(writer->fresh);
        rc = fail(writer, err);
    } else {
        rc = file_sync_name(writer->path, err);
    }
    release(writer);
    return rc;
}

void checkpoint_abandon(struct checkpoint_writer *writer)
{
    if (writer == NULL)
        return;
    close(writer->fd);
    unlink(writer->fresh);
    release(writer);
}
