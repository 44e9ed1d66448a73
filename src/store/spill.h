/* SPDX-License-Identifier: Apache-2.0 */
/* An append-only file of records that are read once, in order: rows that wait
 * for a database that is away.
 *
 *     head | record | record | ...        record = mark, length, CRC-32C, bytes
 *
 * Each record is whole or is not there: what a crash tore is cut off when the
 * file is opened, and damage further in costs only the records that it hit,
 * because each begins with a mark that reading finds again. The head says up to
 * where records are done with. A file without records is cut to its head.
 *
 * One thread at a time; one process at a time (a lock on the file). */
#ifndef OLHO_STORE_SPILL_H
#define OLHO_STORE_SPILL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    SPILL_RECORD_MAX = 1 << 20, /* bytes of one */
    SPILL_HEAD_LEN = 32,
    SPILL_RECORD_HEAD_LEN = 12,
    SPILL_LEN_MIN = 4096, /* least len_max */
};

struct spill_info {
    int64_t record_count; /* not done with */
    int64_t len;          /* bytes of the file; 0 when record_count is 0 */
    int64_t cut_len;      /* bytes of a torn end that opening cut off */
    int64_t damaged;      /* runs of bytes found that are no records */
};

struct spill;

/* Opens or makes a file of at most len_max bytes and finds its records; a file
 * that is longer already is read all the same. ERR_CONFLICT when another
 * process has it, ERR_CORRUPT when it is no such file, ERR_IO. The caller owns
 * *out. */
MUST_CHECK int spill_open(const char *path, int64_t len_max, struct spill **out,
                          struct err *err);

/* Syncs the file. NULL is allowed. */
void spill_close(struct spill *spill);

/* Appends a record of 1..SPILL_RECORD_MAX bytes, not synced. ERR_TOO_LARGE over
 * len_max, ERR_IO when the disk refuses; the file is then as before. */
MUST_CHECK int spill_add(struct spill *spill, struct bytes record,
                         struct err *err);

/* Where the first record begins that is not done with. */
int64_t spill_first(const struct spill *spill);

/* Reads the first whole record at *offset or after it into out (cleared first,
 * of len_max >= SPILL_RECORD_MAX) and moves *offset behind it; out->len is 0
 * when there is none. ERR_IO, ERR_UNAVAILABLE. */
MUST_CHECK int spill_read(struct spill *spill, int64_t *offset, struct buf *out,
                          struct err *err);

/* Forgets the count records before offset, which spill_read gave. They are
 * forgotten even when ERR_IO says that the file does not show it: a later
 * process may read them again. */
MUST_CHECK int spill_forget(struct spill *spill, int64_t offset, int64_t count,
                            struct err *err);

void spill_info(const struct spill *spill, struct spill_info *out);

#endif
