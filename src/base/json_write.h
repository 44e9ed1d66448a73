/* SPDX-License-Identifier: Apache-2.0 */
/* JSON out: a streaming writer into a struct buf. Commas and quotes are its
 * business; failures stay in the buffer (buf_check).
 *
 *     json_writer_init(&json, &out);
 *     json_object_begin(&json);
 *     json_key(&json, "classe");
 *     json_put_text(&json, label);
 *     json_object_end(&json);
 *
 * Floats print as the shortest text that reads back to the same float32
 * (json_put_float) or float64 (json_put_double), a whole one with ".0" so that
 * typed clients see no integer; NaN and infinities, which JSON lacks, print as
 * null. Bytes that are not UTF-8 print as U+FFFD.
 * One thread at a time. */
#ifndef OLHO_BASE_JSON_WRITE_H
#define OLHO_BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { JSON_WRITE_DEPTH_MAX = 32 };

struct json_writer {
    struct buf *out;                          /* borrowed */
    int depth;                                /* open objects and arrays */
    bool has_items[JSON_WRITE_DEPTH_MAX + 1]; /* a comma comes next */
    bool is_after_key;                        /* a value comes next */
};

void json_writer_init(struct json_writer *json, struct buf *out);

void json_object_begin(struct json_writer *json);
void json_object_end(struct json_writer *json);
void json_array_begin(struct json_writer *json);
void json_array_end(struct json_writer *json);
void json_key(struct json_writer *json, const char *key);

void json_put_text(struct json_writer *json, const char *text); /* NULL: null */
void json_put_integer(struct json_writer *json, int64_t value);
void json_put_float(struct json_writer *json, float value);
void json_put_double(struct json_writer *json, double value);
void json_put_fixed(struct json_writer *json, double value, int decimals);
void json_put_bool(struct json_writer *json, bool value);
void json_put_null(struct json_writer *json);
void json_put_floats(struct json_writer *json, const float *values,
                     size_t count);

/* Text that already is JSON. */
void json_put_raw(struct json_writer *json, const char *text, size_t len);

/* The shortest decimal text of value, at most 16 bytes without a NUL; returns
 * its length. value must be finite. */
enum { JSON_FLOAT_LEN_MAX = 16 };
size_t json_format_float(float value, char *out);

#endif
