/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the folder backend. Only its two files and their tests include
 * this. Thread-safe. */
#ifndef OLHO_BLOB_BLOB_FOLDER_H
#define OLHO_BLOB_BLOB_FOLDER_H

#include "base/err.h"

/* How the names of half-written files begin; lists leave them out. */
#define BLOB_FOLDER_PART ".olho-part-"

/* Opens what key names below the open folder root, following no link: an open
 * file, or -errno (ELOOP for a link). What is used where openat2 is not. */
int blob_folder_walk_open(int root, const char *key, int flags);

/* Calls fn with the key of each file, or link, below root whose key begins with
 * prefix, in byte order; links to folders are not entered. ERR_INVALID for
 * folders more than 32 deep. */
typedef int blob_folder_fn(void *user, const char *key, struct err *err);
MUST_CHECK int blob_folder_scan(int root, const char *prefix,
                                blob_folder_fn *fn, void *user,
                                struct err *err);

#endif
