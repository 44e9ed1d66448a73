/* SPDX-License-Identifier: Apache-2.0 */
/* The append-only file that is the data of an engine: locked, checked, mapped
 * and synced.
 *
 * One thread at a time, but that those marked "beside" may run beside
 * anything. The records that are handed out are mapped, constant, and may be
 * read by any thread until log_file_close. */
#ifndef OLHO_VECTORS_LOG_FILE_H
#define OLHO_VECTORS_LOG_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/log_record.h"

struct log_file;

/* Opens path and reads its header. With VEC_WRITE takes the lock
 * (ERR_CONFLICT) and makes the file when it is absent. ERR_NOT_FOUND with
 * VEC_READ when it is absent or still without its header. shape->dim 0 takes
 * the file's shape; else another dim, metric (ANY: the file's) or (both not "")
 * model: ERR_CONFLICT. The caller owns *out. */
MUST_CHECK int log_file_open(const char *path, enum vec_mode mode,
                             const struct log_shape *shape,
                             struct log_file **out, struct err *err);

/* Makes a new locked file at path in place of one that may be there, to be
 * written by log_file_put and renamed. */
MUST_CHECK int log_file_create(const char *path, const struct log_shape *shape,
                               struct log_file **out, struct err *err);

/* Gives the file another name, in the place of a file that has it, durably.
 * ERR_IO; it may have the name then, and takes no more records. */
MUST_CHECK int log_file_rename(struct log_file *file, const char *path,
                               struct err *err);
void log_file_close(struct log_file *file); /* NULL is allowed */

/* Beside: gives another file the log's mode and, where this process may, its
 * owner and group, so that who could not read the log cannot read what is made
 * of it either. ERR_IO. */
MUST_CHECK int log_file_share_access(const struct log_file *file, int fd,
                                     struct err *err);

/* Of a new file: as that of the one whose place it is to take. ERR_IO. */
MUST_CHECK int log_file_take_access(const struct log_file *file,
                                    const struct log_file *from,
                                    struct err *err);

/* Beside: the shape, what tells it from every other file, the bytes of header
 * and whole batches, and those after them that were cut off or left alone. */
const struct log_shape *log_file_shape(const struct log_file *file);
uint32_t log_file_seed(const struct log_file *file);
int64_t log_file_len(const struct log_file *file);
int64_t log_file_torn_len(const struct log_file *file);

/* Before log_file_load from `len` on: maps the first `len` bytes, so that
 * log_file_at finds what is in them. ERR_CORRUPT naming both lengths when the
 * file is shorter, since what a checkpoint covers was durable once. */
MUST_CHECK int log_file_reach(struct log_file *file, int64_t len,
                              struct err *err);

/* Beside: where `len` bytes are mapped, which are not looked at; NULL when they
 * are not mapped in one piece. */
const void *log_file_find(const struct log_file *file, int64_t offset,
                          int64_t len);

/* The settings that the file begins with; zeros when it begins with something
 * else. */
void log_file_first_settings(const struct log_file *file,
                             struct log_settings *out);

/* Beside: whether the file still has all that was read from it; one fstat.
 * ERR_CORRUPT: the mapped records are not to be touched. */
MUST_CHECK int log_file_check_len(const struct log_file *file, struct err *err);

/* Sees a whole batch: `count` records where they are mapped, which were
 * checked. */
typedef int log_visit_fn(void *user, const struct log_head *const *heads,
                         int count, struct err *err);

/* The first look at the file: visits every batch from `offset` on (that of the
 * first record, or an end of a batch that log_file_len once said; what is
 * before it is not read). What comes after the last whole one is cut off with
 * VEC_WRITE and left alone with VEC_READ, unless a later record proves that it
 * was durable once: ERR_CORRUPT. */
MUST_CHECK int log_file_load(struct log_file *file, int64_t offset,
                             log_visit_fn *visit, void *user, struct err *err);

/* Visits the batches that another process has added since. */
MUST_CHECK int log_file_refresh(struct log_file *file, log_visit_fn *visit,
                                void *user, struct err *err);

/* Beside: whether there may be records that were not read, and whether another
 * file has taken the name or was written over this one; two looks at it and one
 * at its header. ERR_CORRUPT when the file is shorter than what was read from
 * it: then the mapped records are not to be touched. */
MUST_CHECK int log_file_has_more(const struct log_file *file, bool *out,
                                 bool *out_is_replaced, struct err *err);

/* Beside: whether another log was written over this one, as cp does; what was
 * mapped is not what it was. One look at its header. */
bool log_file_is_overwritten(const struct log_file *file);

/* Beside, for offsets below log_file_len: where the record is mapped, and back.
 */
const struct log_head *log_file_at(const struct log_file *file, int64_t offset);
int64_t log_file_offset(const struct log_file *file,
                        const struct log_head *head);

/* Beside: verifies a record whose place is known but that was not looked at
 * yet. ERR_CORRUPT names file and byte. */
MUST_CHECK int log_file_verify(const struct log_file *file, int64_t offset,
                               struct err *err);

/* Reads and verifies every record up to log_file_len through memory of its
 * own, without touching mapped pages, on a second look at the file. */
MUST_CHECK int log_file_check(const struct log_file *file,
                              vec_progress_fn *progress, void *user,
                              struct err *err);

/* Writing goes in three steps. Put: records go behind each other into the file
 * without being there for others yet; *out (NULL: not wanted) is where the
 * record will be mapped. Flush: all that was put can be read there. Commit:
 * it is there for others, and durable on return. On failure of any of them
 * (ERR_IO, ERR_UNAVAILABLE) nothing of it is left in the file, and so with
 * log_file_cut. But what a failed sync was for may be left, and the file takes
 * no more records, because the kernel no longer tells what reached the disk. */
MUST_CHECK int log_file_put(struct log_file *file,
                            const struct log_record *record,
                            const struct log_head **out, struct err *err);
MUST_CHECK int log_file_flush(struct log_file *file, struct err *err);
MUST_CHECK int log_file_commit(struct log_file *file, struct err *err);
void log_file_cut(struct log_file *file);

/* Notes in the file that what was committed is durable, so that later damage
 * of the last batch is not taken for a torn tail. */
void log_file_note_durable(struct log_file *file);

#endif
