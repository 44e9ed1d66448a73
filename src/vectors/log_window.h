/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and checks the records of a log through a window of memory.
 *
 * Records are read with pread here and only then used where they are mapped:
 * a writer that takes back a record it could not finish never pulls pages away
 * under a reader, since nobody maps what was not whole. One thread at a
 * time. */
#ifndef OLHO_VECTORS_LOG_WINDOW_H
#define OLHO_VECTORS_LOG_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/log_record.h"

struct log_window {
    int fd; /* borrowed */
    int dim;
    uint32_t seed; /* of the checksums of records */
    int64_t size;  /* of the file; nothing at or after it is looked at */
    uint8_t *data; /* owned */
    size_t len_max;
    int64_t offset; /* of data in the file */
    size_t len;     /* bytes in use */
};

/* Up to len bytes from offset; fewer only at the end of the file. ERR_IO. */
MUST_CHECK int log_window_read(int fd, int64_t offset, void *out, size_t len,
                               size_t *out_len, struct err *err);

/* Fills the window in. Fails with ERR_UNAVAILABLE. */
MUST_CHECK int log_window_init(struct log_window *window, int fd, int dim,
                               uint32_t seed, int64_t size, struct err *err);
void log_window_release(struct log_window *window);

/* Forgets what was read, so that it is read anew. */
void log_window_clear(struct log_window *window);

/* The record at offset: its state and, when it is whole, its parts, borrowed
 * until the next call, and its length. Fails with ERR_IO. */
MUST_CHECK int log_window_record(struct log_window *window, int64_t offset,
                                 enum log_state *out_state,
                                 struct log_record *out, uint32_t *out_len,
                                 struct err *err);

/* Whether a head after offset says that the bytes at offset were durable when
 * it was written: then what is wrong there is damage and no torn tail. */
MUST_CHECK int log_window_proof(struct log_window *window, int64_t offset,
                                bool *out, struct err *err);

#endif
