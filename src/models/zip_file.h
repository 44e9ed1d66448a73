/* SPDX-License-Identifier: Apache-2.0 */
/* A zip archive, read: its entries by name, stored or deflated, neither
 * encrypted nor larger than the caller allows. One thread at a time. (The
 * names of libzip begin with zip_, so ours begin with archive_.) */
#ifndef OLHO_MODELS_ZIP_FILE_H
#define OLHO_MODELS_ZIP_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct archive;

/* Fails with ERR_UNPROCESSABLE when it is no zip archive or its lists of
 * entries contradict each other. The caller owns *out. */
MUST_CHECK int archive_open(const char *path, struct archive **out,
                            struct err *err);
void archive_close(struct archive *archive); /* NULL is allowed */

bool archive_has(struct archive *archive, const char *name);

/* The bytes of an entry, appended to out, whose len_max is the limit; or
 * written to a file descriptor, at most len_max of them. The checksum is
 * verified. ERR_NOT_FOUND when there is no such entry, ERR_TOO_LARGE over the
 * limit. */
MUST_CHECK int archive_read(struct archive *archive, const char *name,
                            struct buf *out, struct err *err);
MUST_CHECK int archive_extract(struct archive *archive, const char *name,
                               int fd, uint64_t len_max, struct err *err);

#endif
