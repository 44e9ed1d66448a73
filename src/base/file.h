/* SPDX-License-Identifier: Apache-2.0 */
/* Files and paths. Thread-safe. Failures are ERR_IO (ERR_NOT_FOUND when the
 * path is not there, ERR_TOO_LARGE over len_max) and name the path. */
#ifndef OLHO_BASE_FILE_H
#define OLHO_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { FILE_PATH_MAX = 4096 };

/* The whole file into out, which the caller has initialised; out->len_max is
 * the limit. path "-" reads standard input. */
MUST_CHECK int file_read(const char *path, struct buf *out, struct err *err);

/* Writes a new file beside path, syncs it and renames it over path, so that
 * after a crash either the old or the new one is there, whole. */
MUST_CHECK int file_write(const char *path, struct bytes data, struct err *err);

/* Makes the name durable that a file was given or lost (by renaming, say):
 * syncs the folder that path lies in. */
MUST_CHECK int file_sync_name(const char *path, struct err *err);

/* Makes a folder and those above it; one that is there already is fine. */
MUST_CHECK int file_make_dir(const char *path, struct err *err);

bool file_exists(const char *path);
bool file_is_dir(const char *path);

/* "dir/name" into out (FILE_PATH_MAX bytes). ERR_TOO_LARGE when longer. */
MUST_CHECK int file_join(const char *dir, const char *name, char *out,
                         struct err *err);

/* Calls fn for each regular file below dir in name order, hidden ones and
 * links to folders left out; stops at the first non-zero answer and returns
 * it. A folder deeper than 32 levels fails with ERR_INVALID. */
typedef int file_walk_fn(void *user, const char *path, struct err *err);
MUST_CHECK int file_walk(const char *dir, file_walk_fn *fn, void *user,
                         struct err *err);

#endif
