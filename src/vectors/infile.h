/* SPDX-License-Identifier: Apache-2.0 */
/* A file of known length read from front to back, and a file written so that
 * it is there whole or not at all.
 *
 * Both remember their first failure, so that a reader or writer goes on and
 * asks once: infile_check, outfile_commit. What is read after a failure is
 * zeros. One thread at a time. */
#ifndef OLHO_VECTORS_INFILE_H
#define OLHO_VECTORS_INFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct infile {
    int fd;         /* owned */
    uint64_t len;   /* of the file */
    uint64_t at;    /* offset of the next byte */
    char *window;   /* owned: bytes read ahead */
    uint64_t begin; /* offset of window */
    size_t held;    /* bytes in window */
    bool is_cut;    /* more was asked for than there is */
    int number;     /* errno of a failed read; 0 */
};

/* ERR_NOT_FOUND, ERR_IO; what is no regular file is ERR_INVALID. Ended with
 * infile_close. */
MUST_CHECK int infile_open(const char *path, struct infile *out,
                           struct err *err);
void infile_close(struct infile *file); /* also of a zeroed one with fd -1 */

uint64_t infile_left(const struct infile *file); /* bytes from `at` on */
void infile_read(struct infile *file, void *out, uint64_t len);
void infile_skip(struct infile *file, uint64_t len);
uint8_t infile_u8(struct infile *file);
uint32_t infile_u32(struct infile *file); /* these little-endian */
uint64_t infile_u64(struct infile *file);

/* ERR_CORRUPT when the file ended too early, ERR_IO when it could not be
 * read. */
MUST_CHECK int infile_check(const struct infile *file, struct err *err);

struct outfile;

/* Begins a new file beside path. ERR_IO, ERR_NOT_FOUND (the folder). */
MUST_CHECK int outfile_open(const char *path, struct outfile **out,
                            struct err *err);
void outfile_write(struct outfile *file, const void *data, uint64_t len);
void outfile_u8(struct outfile *file, uint8_t value);
void outfile_u32(struct outfile *file, uint32_t value); /* little-endian */
void outfile_u64(struct outfile *file, uint64_t value);

/* Syncs the file and renames it over path, unless something failed before:
 * ERR_IO, and path is as it was. Ends the file either way. */
MUST_CHECK int outfile_commit(struct outfile *file, struct err *err);

#endif
