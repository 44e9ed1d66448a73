/* SPDX-License-Identifier: Apache-2.0 */
/* A file of named sections, written once and mapped: what a store would
 * otherwise have to compute again from its log when it is opened.
 *
 *     header 4096 | section, from a multiple of 4096 | ... | table | footer
 *
 * Versioned; every byte is under a CRC-32C, in pieces of 64 KB, so that damage
 * has a place. docs/design/engine.md has the layout. A checkpoint is never
 * changed, only replaced by renaming, so what is mapped stays as it is.
 * Thread-safe after checkpoint_open; a writer belongs to one thread. */
#ifndef OLHO_VECTORS_CHECKPOINT_H
#define OLHO_VECTORS_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CHECKPOINT_SECTIONS_MAX = 64, CHECKPOINT_ALIGNMENT = 4096 };

struct checkpoint;
struct checkpoint_writer;

/* Maps the file and verifies every checksum (on several threads when it is
 * large: 1 million rows are to open in well under a second). ERR_NOT_FOUND;
 * ERR_CORRUPT names section and byte; ERR_UNSUPPORTED names the version of one
 * that is newer than the program. The caller owns *out. */
MUST_CHECK int checkpoint_open(const char *path, struct checkpoint **out,
                               struct err *err);
void checkpoint_close(struct checkpoint *checkpoint); /* NULL is allowed */

/* The section of that name (four letters), aligned to 4096, mapped privately:
 * writing into it changes this process's copy of a page only. Borrowed until
 * checkpoint_close. ERR_CORRUPT when there is none, or when its length is not
 * count * row_len (row_len 0: any). */
MUST_CHECK int checkpoint_section(struct checkpoint *checkpoint,
                                  const char *name, int64_t count,
                                  size_t row_len, void **out, int64_t *out_len,
                                  struct err *err);
bool checkpoint_has(const struct checkpoint *checkpoint, const char *name);
int64_t checkpoint_len(const struct checkpoint *checkpoint); /* bytes */

/* Whether `path` names the file that is open here, and not one that was put in
 * its place since, or none. */
bool checkpoint_is_at(const struct checkpoint *checkpoint, const char *path);

/* Begins a file that takes the name `path` when it is committed; until then it
 * is path.new, of which there is one at a time. ERR_IO. The caller owns
 * *out. */
MUST_CHECK int checkpoint_begin(const char *path,
                                struct checkpoint_writer **out,
                                struct err *err);

/* The file that is written, for its owner and rights; the writer's. */
int checkpoint_fd(const struct checkpoint_writer *writer);

/* Starts a section, which takes what checkpoint_put is given next. Errors of
 * both are kept until checkpoint_commit (or told by checkpoint_failed). */
void checkpoint_start(struct checkpoint_writer *writer, const char *name);
void checkpoint_put(struct checkpoint_writer *writer, const void *bytes,
                    size_t len);
bool checkpoint_failed(const struct checkpoint_writer *writer);

/* Syncs, renames and syncs the folder; ends the writer either way. On failure
 * (ERR_IO: a full disk) the old file is as it was. */
MUST_CHECK int checkpoint_commit(struct checkpoint_writer *writer,
                                 struct err *err);
void checkpoint_abandon(struct checkpoint_writer *writer); /* NULL is allowed */

#endif
