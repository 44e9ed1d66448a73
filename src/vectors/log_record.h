/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a log: a header, then records one behind the other.
 *
 *     header 256 | ITEM head 64, vector, key, path, tags, zeros | GONE ...
 *
 * Every record begins at a multiple of 64, so vectors can be used where the
 * file is mapped. Numbers are little-endian. docs/design/engine.md has the
 * tables, of version 1 too, and says why a cut or damaged file is noticed.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_LOG_RECORD_H
#define OLHO_VECTORS_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/vecstore.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "vectors are used as they lie in the file");

enum {
    LOG_VERSION = 2,
    LOG_HEADER_LEN = 256,
    LOG_HEAD_LEN = 64,
    LOG_ALIGNMENT = 64,
    LOG_MODEL_LEN = 128, /* with the NUL */
    LOG_IDS_MAX = 8192,  /* of one LOG_GONE */
};

/* What the file is: the same for all its records. */
struct log_shape {
    int dim;
    enum vecindex_metric metric; /* not ANY */
    char model[LOG_MODEL_LEN];
};

struct log_header {
    char magic[8]; /* LOG_MAGIC, without the NUL */
    uint32_t version;
    uint32_t header_len;
    uint32_t dim;
    uint32_t metric; /* 0 L2, 1 inner product, 2 cosine */
    char model[LOG_MODEL_LEN];
    uint8_t file_key[16]; /* random: no record is valid in another file */
    uint32_t seed;        /* of the records' checksums; in version 1 the crc
                           * below is it, and this is 0 */
    uint8_t zero[80];
    uint32_t crc; /* CRC-32C of all before it; so in every version */
};
_Static_assert(sizeof(struct log_header) == LOG_HEADER_LEN, "as written");

#define LOG_MAGIC "OLHOFLAT"

enum log_record_kind {
    LOG_OLD_ENTRY = 0x52544e45,  /* "ENTR", version 1: path, label, SHA-256 */
    LOG_OLD_UPDATE = 0x54445055, /* "UPDT", version 1: another path and label */
    LOG_DONE = 0x454e4f44,       /* "DONE": what is before it is durable */
    LOG_ITEM = 0x4d455449,       /* "ITEM": an entry */
    LOG_GONE = 0x454e4f47,       /* "GONE": ids that are removed */
    LOG_SETTINGS = 0x54544553,   /* "SETT": options that the file keeps */
};

enum {
    LOG_HAS_MORE = 1, /* the batch goes on with the next record: all of them
                       * count or none */
    LOG_REPLACES = 2, /* an item may take the place of one with its id */
};

/* The start of a record. The checksums begin with the file's seed and the
 * record's offset, so that a record is valid at its own place only. */
struct log_head {
    uint32_t kind;        /* enum log_record_kind */
    uint32_t len;         /* of the whole record, a multiple of 64 */
    uint64_t durable_len; /* bytes of the file known to be durable before */
    int64_t id;           /* ITEM, ENTR, UPDT: of the entry; else 0 */
    uint32_t path_len;    /* texts are counted without the NUL behind each */
    uint32_t tags_len;    /* ITEM: bytes of all names and values with their
                           * NULs. ENTR, UPDT: length of the label */
    uint32_t key_len;     /* ENTR: 0 or 64, of the SHA-256 */
    uint32_t count;       /* ITEM: tags. GONE: ids */
    uint32_t flags;
    uint32_t zero[3];
    uint32_t body_crc; /* of what follows the head, zeros included */
    uint32_t head_crc; /* of the head before it */
};
_Static_assert(sizeof(struct log_head) == LOG_HEAD_LEN, "as written");

/* The body of LOG_SETTINGS; 0 where nothing was chosen. */
struct log_settings {
    int64_t next_id; /* no id from here on was ever given */
    uint32_t type;   /* enum vecindex_type */
    uint32_t storage;
    uint32_t links, ef_construction, ef_search, nlist, nprobe;
    uint32_t zero[7];
};
_Static_assert(sizeof(struct log_settings) == 64, "as written");

/* A record to be written, or as read: then it borrows from where the bytes
 * lie, and texts that it has not are "". */
struct log_record {
    enum log_record_kind kind;
    uint32_t flags;
    int64_t id;
    const float *vector; /* dim floats; NULL but in ITEM and ENTR */
    const char *key, *path;
    const struct vec_tag *tags; /* ITEM, to be written */
    const char *tags_text;      /* ITEM and ENTR, as read: name, NUL, value,
                                 * NUL, and so on; ENTR: the label alone */
    uint32_t tags_len;          /* ITEM, as read: bytes of them */
    int count;                  /* of tags, or of ids */
    const int64_t *ids;         /* GONE */
    struct log_settings settings;
};

enum log_state {
    LOG_WHOLE, /* as it was written */
    LOG_TORN,  /* too few bytes, or a checksum is wrong */
    LOG_LYING, /* right checksums around what nobody writes */
};

/* Fills the header, its random key included. Fails with ERR_IO. */
MUST_CHECK int log_header_write(const struct log_shape *shape,
                                struct log_header *out, struct err *err);

/* Makes one of version 1 into one of version 2 for the same records. */
void log_header_upgrade(struct log_header *header);

/* *out_seed is what the records' checksums start from. ERR_CORRUPT;
 * ERR_UNSUPPORTED for a newer version. */
MUST_CHECK int log_header_read(const struct log_header *header,
                               struct log_shape *out, uint32_t *out_seed,
                               struct err *err);

/* Bytes of the record; never more than log_record_len_max(dim). */
size_t log_record_len(const struct log_record *record, int dim);
size_t log_record_len_max(int dim);

/* Writes log_record_len bytes to out, for the offset in a file. */
void log_record_write(const struct log_record *record, int dim, uint32_t seed,
                      uint64_t offset, uint64_t durable_len, uint8_t *out);

/* Whether the head's own checksum is right. */
bool log_head_is_whole(const struct log_head *head, uint32_t seed,
                       uint64_t offset);

/* What the head says, before the body is looked at; `left` is how many bytes
 * the file has from the head on. */
enum log_state log_head_check(const struct log_head *head, int dim,
                              uint32_t seed, uint64_t offset, uint64_t left);

/* Whether the bytes behind a head that was LOG_WHOLE are as its checksum
 * says. */
bool log_body_is_whole(const struct log_head *head, uint32_t seed,
                       uint64_t offset);

/* Reads the record whose head was LOG_WHOLE and whose bytes lie behind it. */
enum log_state log_record_read(const struct log_head *head, int dim,
                               uint32_t seed, uint64_t offset,
                               struct log_record *out);

/* The parts of a record that was found to be whole. */
void log_record_parts(const struct log_head *head, int dim,
                      struct log_record *out);

/* Steps through the tags of a record as read: *at begins as NULL. false past
 * the last. */
bool log_record_tag(const struct log_record *record, const char **at,
                    struct vec_tag *out);

#endif
