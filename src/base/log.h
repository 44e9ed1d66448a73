/* SPDX-License-Identifier: Apache-2.0 */
/* The log: one line per event, as `key=value` or as a JSON object per line.
 *
 *     log_write(LOG_WARN, "cache is away", log_text("url", url),
 *               log_integer("retry_ms", pause_ms));
 *
 * A line has at most 4096 bytes; long values are cut, and fields that do not
 * fit are left out. Every line carries the time (UTC), the level, the message
 * and, when the thread is serving a request, its request id. Library code does
 * not log above debug: main, worker loops and http/reply do, once per event.
 * Thread-safe: one write(2) a line. */
#ifndef OLHO_BASE_LOG_H
#define OLHO_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_kind { LOG_KIND_END, LOG_KIND_TEXT, LOG_KIND_INTEGER, LOG_KIND_REAL };

struct log_field {
    const char *key;
    enum log_kind kind;
    const char *text;
    int64_t integer;
    double real;
};

struct log_field log_text(const char *key, const char *value); /* NULL: "" */
struct log_field log_integer(const char *key, int64_t value);
struct log_field log_real(const char *key, double value);

/* Sets the level, the format and the file to append to (NULL: stderr). Fails
 * with ERR_IO when the file cannot be opened; the log then stays as it was.
 * Before threads start. */
MUST_CHECK int log_open(enum log_level level, enum log_format format,
                        const char *path, struct err *err);

/* Opens the file anew, for log rotation (SIGHUP), while others may write. */
void log_reopen(void);
void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);

/* The request id on this thread's lines; NULL for none. Borrowed until the
 * next call. */
void log_set_request(const char *request_id);

#define log_write(level, ...) \
    LOG_WRITE_(level, __VA_ARGS__, (struct log_field){.kind = LOG_KIND_END})
#define LOG_WRITE_(level, message, ...) \
    log_fields(level, message, (const struct log_field[]){__VA_ARGS__})
void log_fields(enum log_level level, const char *message,
                const struct log_field *fields);

#endif
