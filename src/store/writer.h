/* SPDX-License-Identifier: Apache-2.0 */
/* Writes rows to the database behind the requests' backs: writer_add copies a
 * row into a bounded queue and returns; one thread writes batches of them with
 * store_write.
 *
 *     writer_new(store, &options, &writer, &err)
 *     writer_add(writer, &row)                    on any thread, at any rate
 *     writer_flush(writer, deadline_us)
 *     writer_free(writer)
 *
 * While the database is away rows go on to a file, and from there to the
 * database before any newer row. Rows that neither the queue nor the file has
 * room for are dropped, the newest first, and counted. Rows reach the database
 * in the order of writer_add; one that it refuses is put aside in
 * SPILL_PATH.rejected. docs/design/writer.md says more.
 *
 * Thread-safe, except that writer_free must be the last call. */
#ifndef OLHO_STORE_WRITER_H
#define OLHO_STORE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

enum {
    WRITER_QUEUE_MAX = 10000000, /* rows */
    WRITER_BATCH_MAX = 10000,
};

/* Writes rows as store_write does, whose errors it shares. */
typedef int writer_write_fn(void *user, const struct store_row *rows, int count,
                            struct err *err);

struct writer_options {
    int queue_max;          /* rows in memory, 1..WRITER_QUEUE_MAX */
    size_t queue_len_max;   /* their bytes; 0: 64 MiB */
    int batch_max;          /* rows of one transaction, 1..WRITER_BATCH_MAX */
    int flush_ms;           /* a row waits so long for others; 1..60000 */
    int stop_ms;            /* for writer_free to write what waits; 0..60000 */
    int retry_min_ms;       /* first pause when the database is away; 0: 100 */
    int retry_max_ms;       /* longest pause; 0: 10000 */
    const char *spill_path; /* copied; NULL or "": nothing is kept on disk */
    int64_t spill_len_max;  /* bytes of that file; 0: nothing is kept */

    /* Writes in the place of store_write; NULL: store_write. */
    writer_write_fn *write;
    void *write_user;
};

/* Since writer_new, unless it says otherwise. */
struct writer_stats {
    int64_t written;       /* rows in the database, of the file too */
    int64_t dropped;       /* no room in memory or in the file */
    int64_t rejected;      /* refused by the database */
    int64_t spilled;       /* put into the file */
    int64_t damaged;       /* runs of bytes of the file that were no rows */
    int waiting;           /* rows in memory now */
    size_t waiting_len;    /* their bytes */
    int64_t spill_waiting; /* rows in the file now */
    int64_t spill_len;     /* bytes of the file now; 0 when it has no rows */
    bool is_away;          /* the last attempt found no database */
};

struct writer;

/* Opens the file, whose rows of an earlier run come first, and starts the
 * thread. Borrows store, which may be NULL with options->write. The caller owns
 * *out. ERR_IO for a file that cannot be used, ERR_CONFLICT when another
 * process has it, ERR_CORRUPT when it is none of ours, ERR_UNAVAILABLE without
 * memory or thread. */
MUST_CHECK int writer_new(struct store *store,
                          const struct writer_options *options,
                          struct writer **out, struct err *err);

/* Copies the row, with its texts and its embedding. Never waits for the
 * database or a disk. False when it was dropped, which is counted. */
bool writer_add(struct writer *writer, const struct store_row *row);

/* Waits until every row that was added before is in the database (or refused
 * by it), at most until deadline_us (clock_us). True when it is so. */
bool writer_flush(struct writer *writer, int64_t deadline_us);

/* Writes what waits for at most options->stop_ms and the time of one
 * store_write, puts what is left into the file, and ends. NULL is allowed. */
void writer_free(struct writer *writer);

void writer_stats(struct writer *writer, struct writer_stats *out);

#endif
