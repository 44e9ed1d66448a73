/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a log file, of log_file.c and log_open.c alone. */
#ifndef OLHO_VECTORS_LOG_FILE_PARTS_H
#define OLHO_VECTORS_LOG_FILE_PARTS_H

#include <stdatomic.h>

#include "vectors/log_file.h"
#include "vectors/log_map.h"
#include "vectors/log_window.h"

struct log_file {
    char *path; /* owned */
    int fd;
    enum vec_mode mode;
    struct log_shape shape;
    uint32_t seed;
    struct log_map map;
    _Atomic int64_t len;      /* of the header and the whole batches */
    _Atomic int64_t torn_len; /* bytes after len, cut off or left alone */
    int64_t durable_len;      /* of len, known to be on disk */
    bool is_broken;           /* a sync or a cut failed: no more records */

    /* What was put and not committed: VEC_WRITE only. */
    int64_t pending_len; /* len and all that was put behind it */
    uint8_t *draft;      /* owned; the last of it, not written yet */
    size_t draft_cap, draft_len;
    struct log_head first_head; /* of what was put; zeros stand for it */
};

/* ERR_IO with the file's name, what was tried and the system's reason. */
int log_file_fail(const struct log_file *file, const char *what,
                  struct err *err);
MUST_CHECK int log_file_write_at(const struct log_file *file, int64_t offset,
                                 const void *data, size_t len, struct err *err);
MUST_CHECK int log_file_sync(struct log_file *file, struct err *err);

/* The name of a new file is durable when its folder is. */
MUST_CHECK int log_file_sync_folder(const struct log_file *file,
                                    struct err *err);

#endif
