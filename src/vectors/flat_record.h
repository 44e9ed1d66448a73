/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an index file: a header, then records one behind the other.
 *
 *     header 256 | ENTR head 64, vector, path, label, sha256, zeros | UPDT ...
 *
 * Every record begins at a multiple of 64, so vectors can be used where the
 * file is mapped. Numbers are little-endian. docs/design/index.md has the
 * table and says why a cut or damaged file is always noticed.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_FLAT_RECORD_H
#define OLHO_VECTORS_FLAT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/flat.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "vectors are used as they lie in the file");

enum {
    FLAT_VERSION = 1,
    FLAT_HEADER_LEN = 256,
    FLAT_HEAD_LEN = 64,
    FLAT_ALIGNMENT = 64,
    FLAT_MODEL_LEN = 128, /* with the NUL */
};

/* What the file is: the same for all its records. */
struct flat_shape {
    int dim;
    enum flat_metric metric;
    char model[FLAT_MODEL_LEN];
};

struct flat_header {
    char magic[8]; /* FLAT_MAGIC, without the NUL */
    uint32_t version;
    uint32_t header_len;
    uint32_t dim;
    uint32_t metric;
    char model[FLAT_MODEL_LEN];
    uint8_t file_key[16]; /* random: no record is valid in another file */
    uint8_t zero[84];
    uint32_t crc; /* CRC-32C of all before it; so in every version */
};
_Static_assert(sizeof(struct flat_header) == FLAT_HEADER_LEN, "as written");

#define FLAT_MAGIC "OLHOFLAT"

enum flat_kind {
    FLAT_ENTRY = 0x52544e45,  /* "ENTR": a new entry */
    FLAT_UPDATE = 0x54445055, /* "UPDT": another path and label for one */
    FLAT_DONE = 0x454e4f44,   /* "DONE": what is before it is durable */
};

/* The start of a record. The checksums begin with the header's crc and the
 * record's offset, so that a record is valid at its own place only. */
struct flat_head {
    uint32_t kind;        /* enum flat_kind */
    uint32_t len;         /* of the whole record, a multiple of 64 */
    uint64_t durable_len; /* bytes of the file known to be durable before */
    uint64_t id;          /* of the entry; 0 in FLAT_DONE */
    uint32_t path_len;    /* these three without the NUL that follows each */
    uint32_t label_len;
    uint32_t sha256_len; /* 0 or 64; 0 in an update */
    uint32_t zero[5];
    uint32_t body_crc; /* of what follows the head, zeros included */
    uint32_t head_crc; /* of the head before it */
};
_Static_assert(sizeof(struct flat_head) == FLAT_HEAD_LEN, "as written");

/* A record to be written, or as read: then it borrows from where the bytes
 * lie. */
struct flat_record {
    enum flat_kind kind;
    int64_t id;
    const float *vector; /* dim floats; NULL but in an entry */
    const char *path, *label, *sha256;
};

enum flat_state {
    FLAT_WHOLE, /* as it was written */
    FLAT_TORN,  /* too few bytes, or a checksum is wrong */
    FLAT_LYING, /* right checksums around what nobody writes */
};

/* Fills the header, its random key included. Fails with ERR_IO. */
MUST_CHECK int flat_header_write(const struct flat_shape *shape,
                                 struct flat_header *out, struct err *err);

/* ERR_CORRUPT; ERR_UNSUPPORTED for a newer version. */
MUST_CHECK int flat_header_read(const struct flat_header *header,
                                struct flat_shape *out, struct err *err);

/* Bytes of the record; never more than flat_record_len_max(dim). */
size_t flat_record_len(const struct flat_record *record, int dim);
size_t flat_record_len_max(int dim);

/* Writes flat_record_len bytes to out, for the offset in the file whose
 * header has `file_crc`. */
void flat_record_write(const struct flat_record *record, int dim,
                       uint32_t file_crc, uint64_t offset, uint64_t durable_len,
                       uint8_t *out);

/* Whether the head's own checksum is right. */
bool flat_head_is_whole(const struct flat_head *head, uint32_t file_crc,
                        uint64_t offset);

/* What the head says, before the body is looked at; `left` is how many bytes
 * the file has from the head on. */
enum flat_state flat_head_check(const struct flat_head *head, int dim,
                                uint32_t file_crc, uint64_t offset,
                                uint64_t left);

/* Reads the record whose head was FLAT_WHOLE and whose bytes lie behind it. */
enum flat_state flat_record_read(const struct flat_head *head, int dim,
                                 uint32_t file_crc, uint64_t offset,
                                 struct flat_record *out);

/* The parts of a record that was found to be whole. */
void flat_record_parts(const struct flat_head *head, int dim,
                       struct flat_record *out);

#endif
