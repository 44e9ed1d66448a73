/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "vectors/checkpoint_format.h"
#include "vectors/parallel.h"

enum {
    THREADS_MAX = 8,
    LARGE_LEN = 8 << 20, /* from which on several threads verify */
    STEP = 16,           /* pieces that a thread takes at a time: 1 MB */
};

struct checkpoint {
    char *path; /* owned */
    dev_t device;
    ino_t inode;
    uint8_t *data; /* mapped */
    uint64_t len;
    uint32_t header_crc;
    const struct checkpoint_entry *entries; /* in data, not aligned to 8 */
    const uint8_t *crcs;                    /* in data */
    uint32_t entry_count;
    uint64_t piece_count;
};

static int fail_corrupt(const struct checkpoint *checkpoint, uint64_t at,
                        const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT,
                   "checkpoint %s is damaged at byte %llu: %s",
                   checkpoint->path, (unsigned long long)at, what);
}

static struct checkpoint_entry entry_get(const struct checkpoint *checkpoint,
                                         uint32_t number)
{
    struct checkpoint_entry entry;

    memcpy(&entry, checkpoint->entries + number, sizeof entry);
    return entry;
}

/* --- open ------------------------------------------------------------------
 */

static int map_file(struct checkpoint *checkpoint, struct err *err)
{
    const char *path = checkpoint->path;
    struct stat about;
    int fd, rc = 0;

    /* O_NONBLOCK: a pipe of that name is refused instead of waited for. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(
            err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO,
            "cannot read checkpoint %s: %s", path, strerror(errno));
    if (fstat(fd, &about) != 0) {
        rc = err_set(err, ERR_IO, "cannot read checkpoint %s: %s", path,
                     strerror(errno));
    } else if (!S_ISREG(about.st_mode)) {
        rc = err_set(err, ERR_INVALID, "checkpoint %s is not a file", path);
    } else if (about.st_size < CHECKPOINT_HEADER_LEN + CHECKPOINT_FOOTER_LEN) {
        rc = err_set(err, ERR_CORRUPT,
                     "checkpoint %s is cut: it has %lld bytes; the shortest "
                     "has %d",
                     path, (long long)about.st_size,
                     CHECKPOINT_HEADER_LEN + CHECKPOINT_FOOTER_LEN);
    } else {
        checkpoint->device = about.st_dev;
        checkpoint->inode = about.st_ino;
        checkpoint->len = (uint64_t)about.st_size;
        checkpoint->data =
            mmap(NULL, (size_t)checkpoint->len, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_NORESERVE, fd, 0);
        if (checkpoint->data == MAP_FAILED) {
            checkpoint->data = NULL;
            rc = err_set(err, ERR_UNAVAILABLE,
                         "cannot map %lld bytes of checkpoint %s: %s",
                         (long long)about.st_size, path, strerror(errno));
        }
    }
    close(fd);
    return rc;
}

static int read_header(struct checkpoint *checkpoint, struct err *err)
{
    /* A mapping begins at a page. */
    const struct checkpoint_header *header =
        (const struct checkpoint_header *)(const void *)checkpoint->data;

    assert(header != NULL);
    if (memcmp(header->magic, CHECKPOINT_MAGIC, sizeof header->magic) != 0)
        return fail_corrupt(checkpoint, 0,
                            "it does not begin \"" CHECKPOINT_MAGIC "\"", err);
    if (header->crc !=
        hash_crc32c(0, header, offsetof(struct checkpoint_header, crc)))
        return fail_corrupt(checkpoint, 0, "the header's checksum is wrong",
                            err);
    if (header->version > CHECKPOINT_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "checkpoint %s has version %u; this program reads up to "
                       "%d",
                       checkpoint->path, header->version, CHECKPOINT_VERSION);
    if (header->version == 0 || header->header_len != CHECKPOINT_HEADER_LEN)
        return fail_corrupt(checkpoint, 0, "the header makes no sense", err);
    checkpoint->header_crc = header->crc;
    return 0;
}

/* The footer, and whether the table lies where it can. */
static int read_footer(struct checkpoint *checkpoint, struct err *err)
{
    uint64_t at = checkpoint->len - CHECKPOINT_FOOTER_LEN, entries_len;
    struct checkpoint_footer footer;

    memcpy(&footer, checkpoint->data + at, sizeof footer);
    if (memcmp(footer.magic, CHECKPOINT_END, sizeof footer.magic) != 0 ||
        footer.crc != hash_crc32c(checkpoint->header_crc, &footer,
                                  offsetof(struct checkpoint_footer, crc)))
        return fail_corrupt(checkpoint, at,
                            "the footer is wrong, or the file is cut", err);
    entries_len = (uint64_t)footer.section_count * CHECKPOINT_ENTRY_LEN;
    if (footer.file_len != checkpoint->len ||
        footer.section_count > CHECKPOINT_SECTIONS_MAX ||
        footer.table_at < CHECKPOINT_HEADER_LEN || footer.table_at > at ||
        footer.table_len != at - footer.table_at ||
        footer.table_len < entries_len ||
        (footer.table_len - entries_len) % sizeof(uint32_t) != 0)
        return fail_corrupt(checkpoint, at, "the footer makes no sense", err);
    if (footer.table_crc != hash_crc32c(checkpoint->header_crc,
                                        checkpoint->data + footer.table_at,
                                        (size_t)footer.table_len))
        return fail_corrupt(checkpoint, footer.table_at,
                            "the checksum of the table of sections is wrong",
                            err);
    checkpoint->entry_count = footer.section_count;
    checkpoint->entries =
        (const struct checkpoint_entry *)(const void *)(checkpoint->data +
                                                        footer.table_at);
    checkpoint->crcs = checkpoint->data + footer.table_at + entries_len;
    checkpoint->piece_count =
        (footer.table_len - entries_len) / sizeof(uint32_t);
    return 0;
}

/* Sections lie one behind the other up to the table, and each has as many
 * checksums as it has pieces. */
static int read_table(struct checkpoint *checkpoint, struct err *err)
{
    uint64_t table_at =
        (uint64_t)((const uint8_t *)checkpoint->entries - checkpoint->data);
    uint64_t at = CHECKPOINT_HEADER_LEN, pieces = 0;
    uint32_t i;

    for (i = 0; i < checkpoint->entry_count; i++) {
        struct checkpoint_entry entry = entry_get(checkpoint, i);

        if (entry.at != at || entry.zero != 0 || entry.first_piece != pieces ||
            entry.len > table_at - at ||
            checkpoint_aligned(entry.len) > table_at - at)
            return fail_corrupt(checkpoint, table_at + i * sizeof entry,
                                "an entry of the table makes no sense", err);
        at += checkpoint_aligned(entry.len);
        pieces += checkpoint_pieces(entry.len);
    }
    if (at != table_at || pieces != checkpoint->piece_count)
        return fail_corrupt(checkpoint, table_at,
                            "the table of sections makes no sense", err);
    return 0;
}

/* --- checksums -------------------------------------------------------------
 */

struct verifying {
    const struct checkpoint *checkpoint;
    _Atomic uint64_t bad; /* the lowest wrong piece; relaxed, since the threads
                           * are joined before it is read */
};

/* The section that a piece is of; every piece is of one. */
static uint32_t section_of(const struct checkpoint *checkpoint, uint64_t piece)
{
    uint32_t i = checkpoint->entry_count - 1;

    while (entry_get(checkpoint, i).first_piece > piece)
        i--;
    return i;
}

/* Where a piece lies: its offset and its length. */
static uint64_t piece_at(const struct checkpoint *checkpoint, uint64_t piece,
                         size_t *out_len)
{
    struct checkpoint_entry entry =
        entry_get(checkpoint, section_of(checkpoint, piece));
    uint64_t from = (piece - entry.first_piece) * CHECKPOINT_PIECE_LEN;
    uint64_t left = checkpoint_aligned(entry.len) - from;

    *out_len = left < CHECKPOINT_PIECE_LEN ? (size_t)left
                                           : (size_t)CHECKPOINT_PIECE_LEN;
    return entry.at + from;
}

static bool is_right(const struct checkpoint *checkpoint, uint64_t piece)
{
    uint64_t at;
    uint32_t crc;
    size_t len = 0;

    at = piece_at(checkpoint, piece, &len);
    memcpy(&crc, checkpoint->crcs + piece * sizeof crc, sizeof crc);
    return crc ==
           hash_crc32c(hash_crc32c(checkpoint->header_crc, &at, sizeof at),
                       checkpoint->data + at, len);
}

static void verify_some(void *user, int worker, int64_t begin, int64_t end)
{
    struct verifying *verifying = user;
    uint64_t piece = (uint64_t)begin;
    uint64_t bad = atomic_load_explicit(&verifying->bad, memory_order_relaxed);

    (void)worker;
    while (piece < (uint64_t)end && piece < bad &&
           is_right(verifying->checkpoint, piece))
        piece++;
    if (piece == (uint64_t)end)
        return;
    while (piece < bad && !atomic_compare_exchange_weak_explicit(
                              &verifying->bad, &bad, piece,
                              memory_order_relaxed, memory_order_relaxed))
        continue;
}

static int fail_piece(const struct checkpoint *checkpoint, uint64_t piece,
                      struct err *err)
{
    struct checkpoint_entry entry =
        entry_get(checkpoint, section_of(checkpoint, piece));
    size_t len = 0;
    uint64_t at = piece_at(checkpoint, piece, &len);

    return err_set(err, ERR_CORRUPT,
                   "checkpoint %s is damaged: section %.4s has a wrong "
                   "checksum between bytes %llu and %llu",
                   checkpoint->path, entry.name, (unsigned long long)at,
                   (unsigned long long)(at + len));
}

static int verify(const struct checkpoint *checkpoint, struct err *err)
{
    struct verifying verifying = {checkpoint, UINT64_MAX};
    int threads = checkpoint->len < LARGE_LEN ? 1 : parallel_threads(0);

    parallel_run(threads < THREADS_MAX ? threads : THREADS_MAX,
                 (int64_t)checkpoint->piece_count, STEP, verify_some,
                 &verifying);
    if (verifying.bad != UINT64_MAX)
        return fail_piece(checkpoint, verifying.bad, err);
    return 0;
}

int checkpoint_open(const char *path, struct checkpoint **out, struct err *err)
{
    struct checkpoint *checkpoint = mem_new(sizeof *checkpoint);
    int rc;

    checkpoint->path = mem_text(path);
    rc = map_file(checkpoint, err);
    if (rc == 0)
        rc = read_header(checkpoint, err);
    if (rc == 0)
        rc = read_footer(checkpoint, err);
    if (rc == 0)
        rc = read_table(checkpoint, err);
    if (rc == 0)
        rc = verify(checkpoint, err);
    if (rc) {
        checkpoint_close(checkpoint);
        return rc;
    }
    *out = checkpoint;
    return 0;
}

void checkpoint_close(struct checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    if (checkpoint->data != NULL)
        munmap(checkpoint->data, (size_t)checkpoint->len);
    mem_free(checkpoint->path);
    mem_free(checkpoint);
}

/* --- sections --------------------------------------------------------------
 */

static bool find(const struct checkpoint *checkpoint, const char *name,
                 struct checkpoint_entry *out)
{
    uint32_t i;

    assert(strlen(name) == sizeof out->name);
    for (i = 0; i < checkpoint->entry_count; i++) {
        *out = entry_get(checkpoint, i);
        if (memcmp(out->name, name, sizeof out->name) == 0)
            return true;
    }
    return false;
}

bool checkpoint_has(const struct checkpoint *checkpoint, const char *name)
{
    struct checkpoint_entry entry;

    return find(checkpoint, name, &entry);
}

int checkpoint_section(struct checkpoint *checkpoint, const char *name,
                       int64_t count, size_t row_len, void **out,
                       int64_t *out_len, struct err *err)
{
    struct checkpoint_entry entry;
    uint64_t wanted = 0;

    if (!find(checkpoint, name, &entry))
        return err_set(err, ERR_CORRUPT, "checkpoint %s has no section %s",
                       checkpoint->path, name);
    if (row_len != 0 &&
        (count < 0 ||
         __builtin_mul_overflow((uint64_t)count, row_len, &wanted) ||
         wanted != entry.len))
        return err_set(err, ERR_CORRUPT,
                       "checkpoint %s: section %s has %llu bytes; not %lld "
                       "times %zu",
                       checkpoint->path, name, (unsigned long long)entry.len,
                       (long long)count, row_len);
    *out = checkpoint->data + entry.at;
    if (out_len != NULL)
        *out_len = (int64_t)entry.len;
    return 0;
}

int64_t checkpoint_len(const struct checkpoint *checkpoint)
{
    return (int64_t)checkpoint->len;
}

bool checkpoint_is_at(const struct checkpoint *checkpoint, const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 && about.st_dev == checkpoint->device &&
           about.st_ino == checkpoint->inode;
}
