/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a checkpoint: of its reader, its writer and their tests. Numbers
 * are little-endian; docs/design/engine.md says what is where. */
#ifndef OLHO_VECTORS_CHECKPOINT_FORMAT_H
#define OLHO_VECTORS_CHECKPOINT_FORMAT_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "sections are used as they lie in the file");

enum {
    CHECKPOINT_VERSION = 1,
    CHECKPOINT_HEADER_LEN = 4096,
    CHECKPOINT_FOOTER_LEN = 64,
    CHECKPOINT_ENTRY_LEN = 32,
    CHECKPOINT_PIECE_LEN = 64 << 10, /* bytes under one checksum, at most */
};

#define CHECKPOINT_MAGIC "OLHOCKPT"
#define CHECKPOINT_END "OLHOCEND"

struct checkpoint_header {
    char magic[8]; /* CHECKPOINT_MAGIC, without the NUL */
    uint32_t version;
    uint32_t header_len;
    uint8_t file_key[16]; /* random: no piece is valid in another file */
    uint8_t zero[4060];
    uint32_t crc; /* of all before it; so in every version */
};
_Static_assert(sizeof(struct checkpoint_header) == CHECKPOINT_HEADER_LEN,
               "as written");

/* A section: from `at`, `len` bytes and then zeros to a multiple of 4096. The
 * first lies behind the header, each other behind the one before. */
struct checkpoint_entry {
    char name[4];
    uint32_t zero;
    uint64_t at, len;
    uint64_t first_piece; /* number of its first checksum */
};
_Static_assert(sizeof(struct checkpoint_entry) == CHECKPOINT_ENTRY_LEN,
               "as written");

/* The table, behind the last section, is its entries and then the checksums
 * (uint32_t) of all pieces. A piece is 64 KB of a section, the last of one what
 * is left, its zeros included. These checksums, the table's and the footer's
 * start from the header's, and a piece's then takes in its own offset. */
struct checkpoint_footer {
    char magic[8]; /* CHECKPOINT_END, without the NUL */
    uint64_t table_at, table_len;
    uint64_t file_len;
    uint32_t section_count;
    uint32_t table_crc;
    uint8_t zero[20];
    uint32_t crc; /* of all before it */
};
_Static_assert(sizeof(struct checkpoint_footer) == CHECKPOINT_FOOTER_LEN,
               "as written");

/* Up to the next multiple of 4096, and the number of pieces of a length. */
static inline uint64_t checkpoint_aligned(uint64_t len)
{
    return (len + 4095) / 4096 * 4096;
}

static inline uint64_t checkpoint_pieces(uint64_t len)
{
    return (checkpoint_aligned(len) + CHECKPOINT_PIECE_LEN - 1) /
           CHECKPOINT_PIECE_LEN;
}

#endif
