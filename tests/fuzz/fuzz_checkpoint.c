/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a checkpoint. The first byte is no part of it: bit 0 puts right
 * checksums on header, table and footer, bit 1 on all pieces, so that what lies
 * behind the checksums is reached, and bit 2 the file's length. */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "vectors/checkpoint.h"
#include "vectors/checkpoint_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { SIGN = 1, SIGN_PIECES = 2, SET_LEN = 4 };

/* Checksums of the pieces of a section, as far as there is room for them. */
static void sign_section(uint8_t *file, size_t len, uint32_t seed,
                         const struct checkpoint_entry *entry, uint8_t *crcs,
                         uint64_t crc_count)
{
    uint64_t i, count = checkpoint_pieces(entry->len);

    for (i = 0; i < count && entry->first_piece + i < crc_count; i++) {
        uint64_t at = entry->at + i * CHECKPOINT_PIECE_LEN;
        uint64_t piece =
            checkpoint_aligned(entry->len) - i * CHECKPOINT_PIECE_LEN;
        uint32_t crc;

        if (piece > CHECKPOINT_PIECE_LEN)
            piece = CHECKPOINT_PIECE_LEN;
        if (at > len || piece > len - at)
            return;
        crc = hash_crc32c(hash_crc32c(seed, &at, sizeof at), file + at,
                          (size_t)piece);
        memcpy(crcs + (entry->first_piece + i) * sizeof crc, &crc, sizeof crc);
    }
}

static void sign_pieces(uint8_t *file, size_t len, uint32_t seed,
                        const struct checkpoint_footer *footer)
{
    uint64_t entries_len =
        (uint64_t)footer->section_count * CHECKPOINT_ENTRY_LEN;
    uint32_t i;

    if (footer->section_count > CHECKPOINT_SECTIONS_MAX ||
        footer->table_len < entries_len)
        return;
    for (i = 0; i < footer->section_count; i++) {
        struct checkpoint_entry entry;

        memcpy(&entry, file + footer->table_at + i * sizeof entry,
               sizeof entry);
        if (entry.len <= len)
            sign_section(file, len, seed, &entry,
                         file + footer->table_at + entries_len,
                         (footer->table_len - entries_len) / sizeof(uint32_t));
    }
}

static void sign(uint8_t *file, size_t len, int how)
{
    struct checkpoint_header header;
    struct checkpoint_footer footer;

    if (len < sizeof header + sizeof footer)
        return;
    memcpy(&header, file, sizeof header);
    header.crc =
        hash_crc32c(0, &header, offsetof(struct checkpoint_header, crc));
    memcpy(file, &header, sizeof header);
    memcpy(&footer, file + len - sizeof footer, sizeof footer);
    if (how & SET_LEN)
        footer.file_len = len;
    if (footer.table_at <= len && footer.table_len <= len - footer.table_at) {
        if (how & SIGN_PIECES)
            sign_pieces(file, len, header.crc, &footer);
        footer.table_crc = hash_crc32c(header.crc, file + footer.table_at,
                                       (size_t)footer.table_len);
    }
    footer.crc = hash_crc32c(header.crc, &footer,
                             offsetof(struct checkpoint_footer, crc));
    memcpy(file + len - sizeof footer, &footer, sizeof footer);
}

/* Every section lies in the file, where it can be read and written. */
static void use(struct checkpoint *checkpoint, size_t len)
{
    static const char *const names[] = {"NONE", "ONE_", "PAGE", "LONG", "ROWS"};
    struct err err = {0};
    size_t i;

    assert(checkpoint_len(checkpoint) == (int64_t)len);
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t section_len = -1;
        void *bytes = NULL;

        if (checkpoint_section(checkpoint, names[i], 0, 0, &bytes, &section_len,
                               &err) != 0) {
            assert(!checkpoint_has(checkpoint, names[i]));
            continue;
        }
        assert(section_len >= 0 && section_len <= (int64_t)len);
        assert((uintptr_t)bytes % CHECKPOINT_ALIGNMENT == 0);
        if (section_len > 0) {
            ((uint8_t *)bytes)[section_len - 1] ^= 1;
            ((uint8_t *)bytes)[0] ^= 1;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};
    uint8_t *file = NULL;
    char path[64];
    int fd;

    if (len < 1)
        return 0;
    file = mem_new(len);
    memcpy(file, data + 1, len - 1);
    if (data[0] & SIGN)
        sign(file, len - 1, data[0]);
    fd = memfd_create("checkpoint", MFD_CLOEXEC);
    assert(fd >= 0);
    assert(write(fd, file, len - 1) == (ssize_t)(len - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (checkpoint_open(path, &checkpoint, &err) == 0)
        use(checkpoint, len - 1);
    else
        assert(err.text[0] != '\0');
    checkpoint_close(checkpoint);
    close(fd);
    mem_free(file);
    return 0;
}
