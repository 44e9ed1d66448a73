/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and checks the records of an index file through a window of memory.
 *
 * Records are read with pread here and only then used where they are mapped:
 * a writer that takes back a record it could not finish never pulls pages away
 * under a reader, since nobody maps what was not whole. One thread at a
 * time. */
#ifndef OLHO_VECTORS_FLAT_WINDOW_H
#define OLHO_VECTORS_FLAT_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/flat_record.h"

struct flat_window {
    int fd; /* borrowed */
    int dim;
    uint32_t crc;  /* of the file's header */
    int64_t size;  /* of the file; nothing at or after it is looked at */
    uint8_t *data; /* owned */
    size_t len_max;
    int64_t offset; /* of data in the file */
    size_t len;     /* bytes in use */
};

/* Up to len bytes from offset; fewer only at the end of the file. ERR_IO. */
MUST_CHECK int flat_read_at(int fd, int64_t offset, void *out, size_t len,
                            size_t *out_len, struct err *err);

/* Fills the window in. Fails with ERR_UNAVAILABLE. */
MUST_CHECK int flat_window_init(struct flat_window *window, int fd, int dim,
                                uint32_t crc, int64_t size, struct err *err);
void flat_window_release(struct flat_window *window);

/* Forgets what was read, so that it is read anew. */
void flat_window_clear(struct flat_window *window);

/* The record at offset: its state and, when it is whole, its parts, borrowed
 * until the next call, and its length. Fails with ERR_IO. */
MUST_CHECK int flat_window_record(struct flat_window *window, int64_t offset,
                                  enum flat_state *out_state,
                                  struct flat_record *out, uint32_t *out_len,
                                  struct err *err);

/* Whether a head after offset says that the bytes at offset were durable when
 * it was written: then what is wrong there is damage and no torn tail. */
MUST_CHECK int flat_window_proof(struct flat_window *window, int64_t offset,
                                 bool *out, struct err *err);

#endif
