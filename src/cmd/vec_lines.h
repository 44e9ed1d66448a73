/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors as lines of JSON, to be read and written:
 *
 *     {"id": 7, "vector": [0.1, 0.2], "key": "9f86...", "path": "a.jpg",
 *      "tags": {"label": "cat", "colour": ["red", "blue"]}}
 *
 * Only "vector" must be there. A line of a file is all on one line.
 * One thread at a time. */
#ifndef OLHO_CMD_VEC_LINES_H
#define OLHO_CMD_VEC_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "vectors/vecstore.h"

enum { VEC_LINE_LEN_MAX = 8 << 20 };

struct vec_line {
    struct vec_entry entry; /* in the arena; path and key NULL when absent */
    int dim;
};

/* ERR_INVALID names the member that is wrong, also an unknown one. */
MUST_CHECK int vec_line_parse(struct bytes text, struct arena *arena,
                              struct vec_line *out, struct err *err);

/* Appends the line of an entry, with its end. Failures stay in out. */
void vec_line_write(const struct vec_hit *entry, const float *vector, int dim,
                    struct buf *out);

/* {"label": "cat", "colour": ["red", "blue"]} */
void vec_tags_write(struct json_writer *json, const struct vec_hit *entry);

/* Whether a path names such lines: "-", or by its ending .jsonl, .ndjson or
 * .json. */
bool path_is_lines(const char *path);

/* Lines of a file, or with "-" of standard input. */
struct line_reader;
MUST_CHECK int line_reader_open(const char *path, struct line_reader **out,
                                struct err *err);
void line_reader_close(struct line_reader *reader); /* NULL is allowed */

/* The next line that is not blank, without its end, borrowed until the next
 * call; *out_number counts from 1 and is 0 at the end of the file. A line over
 * VEC_LINE_LEN_MAX is ERR_TOO_LARGE and is passed over: the next call goes on
 * behind it. ERR_IO. */
MUST_CHECK int line_reader_next(struct line_reader *reader, struct bytes *out,
                                int64_t *out_number, struct err *err);

/* How far it has come, in bytes, of how many (0: unknown). */
void line_reader_place(const struct line_reader *reader, int64_t *out_done,
                       int64_t *out_total);

#endif
