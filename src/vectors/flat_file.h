/* SPDX-License-Identifier: Apache-2.0 */
/* The append-only file of an index: locked, checked, mapped and synced.
 *
 * One thread at a time, but that those marked "beside" may run beside
 * anything. The records that are handed out are mapped, constant, and may be
 * read by any thread until flat_file_close. */
#ifndef OLHO_VECTORS_FLAT_FILE_H
#define OLHO_VECTORS_FLAT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/flat.h"
#include "vectors/flat_record.h"

struct flat_file;

/* Opens path and reads its header. With FLAT_WRITE takes the lock
 * (ERR_CONFLICT) and makes the file when it is absent. ERR_NOT_FOUND with
 * FLAT_READ when it is absent or still without its header. shape->dim 0 takes
 * the file's shape; else another dim, metric or (both not "") model:
 * ERR_CONFLICT. The caller owns *out. */
MUST_CHECK int flat_file_open(const char *path, enum flat_mode mode,
                              const struct flat_shape *shape,
                              struct flat_file **out, struct err *err);
void flat_file_close(struct flat_file *file); /* NULL is allowed */

/* Beside: the shape, the bytes of header and whole records, and those after
 * them that were cut off or left alone. */
const struct flat_shape *flat_file_shape(const struct flat_file *file);
int64_t flat_file_len(const struct flat_file *file);
int64_t flat_file_torn_len(const struct flat_file *file);

/* Sees one record: `seen` borrows bytes that were checked and go away, `head`
 * is the same record where it is mapped. */
typedef int flat_visit_fn(void *user, const struct flat_record *seen,
                          const struct flat_head *head, struct err *err);

/* The first look at the file: visits every record. What comes after the last
 * whole one is cut off with FLAT_WRITE and left alone with FLAT_READ, unless
 * a later record proves that it was durable once: ERR_CORRUPT. */
MUST_CHECK int flat_file_load(struct flat_file *file, flat_visit_fn *visit,
                              void *user, struct err *err);

/* Visits the records that another process has added since. */
MUST_CHECK int flat_file_refresh(struct flat_file *file, flat_visit_fn *visit,
                                 void *user, struct err *err);

/* Beside: whether there may be records that were not read; one fstat. Fails
 * with ERR_CORRUPT when the file is shorter than what was read from it: then
 * the mapped records are not to be touched. */
MUST_CHECK int flat_file_has_more(const struct flat_file *file, bool *out,
                                  struct err *err);

/* Writes a record after the last; *out is where it is mapped. It is durable
 * after flat_file_sync. On failure (ERR_IO, ERR_UNAVAILABLE) nothing of it is
 * left in the file. */
MUST_CHECK int flat_file_append(struct flat_file *file,
                                const struct flat_record *record,
                                const struct flat_head **out, struct err *err);

/* Makes all that was written durable. After a failure the file takes no more
 * records, because the kernel no longer tells what reached the disk. */
MUST_CHECK int flat_file_sync(struct flat_file *file, struct err *err);

/* After a sync of several records: notes in the file that they are durable, so
 * that later damage among them is not taken for a torn tail. */
void flat_file_note_durable(struct flat_file *file);

#endif
