/* SPDX-License-Identifier: Apache-2.0 */
/* A line is built on the stack and leaves in one write(2), so that lines of
 * several threads (and, with O_APPEND, of several processes) do not mix. A
 * file is opened anew by putting the new one under the old descriptor's
 * number, which writers never see change. */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json_write.h"
#include "base/url.h"

/* A message and a request's id fit whole even when each of their bytes needs
 * an escape of six; a field that does not fit any more is left out. */
enum {
    LINE_LEN_MAX = 4096,
    MESSAGE_LEN_MAX = 500,
    REQUEST_LEN_MAX = 128,
    VALUE_LEN_MAX = 2000
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* The file, the level and the format may change while others write; each is
 * one word and needs no order with the other two. */
static atomic_int file = STDERR_FILENO;
static atomic_int level_min = LOG_INFO;
static atomic_int line_format = LOG_FORMAT_TEXT;
static char file_path[FILE_PATH_MAX]; /* of log_open and log_reopen; or "" */

static _Thread_local const char *request;

struct log_field log_text(const char *key, const char *value)
{
    return (struct log_field){
        .key = key, .kind = LOG_KIND_TEXT, .text = value == NULL ? "" : value};
}

struct log_field log_integer(const char *key, int64_t value)
{
    return (struct log_field){
        .key = key, .kind = LOG_KIND_INTEGER, .integer = value};
}

struct log_field log_real(const char *key, double value)
{
    return (struct log_field){.key = key, .kind = LOG_KIND_REAL, .real = value};
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* Puts `opened` in the place of the file in use. */
static void use_file(int opened)
{
    int old = atomic_load(&file);

    if (old == STDERR_FILENO) {
        atomic_store(&file, opened);
    } else if (opened == STDERR_FILENO) {
        atomic_store(&file, opened);
        close(old);
    } else {
        dup3(opened, old, O_CLOEXEC);
        close(opened);
    }
}

int log_open(enum log_level level, enum log_format format, const char *path,
             struct err *err)
{
    int opened = STDERR_FILENO;

    if (path != NULL && strlen(path) >= sizeof file_path)
        return err_set(err, ERR_IO, "the log file's path is too long");
    if (path != NULL) {
        opened = open_file(path);
        if (opened < 0)
            return err_set(err, ERR_IO, "cannot open the log file '%s': %s",
                           path, strerror(errno));
    }
    snprintf(file_path, sizeof file_path, "%s", path == NULL ? "" : path);
    use_file(opened);
    atomic_store(&line_format, format);
    atomic_store(&level_min, level);
    return 0;
}

void log_reopen(void)
{
    int opened;

    if (file_path[0] == '\0')
        return;
    opened = open_file(file_path);
    if (opened < 0)
        log_write(LOG_ERROR, "cannot open the log file anew",
                  log_text("file", file_path),
                  log_text("reason", strerror(errno)));
    else
        use_file(opened);
}

void log_set_level(enum log_level level)
{
    atomic_store(&level_min, level);
}

bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&level_min, memory_order_relaxed);
}

void log_set_request(const char *request_id)
{
    request = request_id;
}

/* At most len_max bytes of text into out, not cutting a character. */
static const char *cut(const char *text, size_t len_max, char *out)
{
    size_t len = strnlen(text, len_max + 1);

    if (len <= len_max)
        return text;
    len = len_max;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    memcpy(out, text, len);
    out[len] = '\0';
    return out;
}

static void number_text(const struct log_field *field, char *out, size_t len)
{
    if (field->kind == LOG_KIND_INTEGER)
        snprintf(out, len, "%lld", (long long)field->integer);
    else
        snprintf(out, len, "%.6g", field->real);
}

/* Whether a value can stand without quotes. */
static bool is_plain(const char *text)
{
    const char *p = text;

    while (*p > ' ' && *p < 0x7f && *p != '"' && *p != '=' && *p != '\\')
        p++;
    return p > text && *p == '\0';
}

static void put_quoted(struct buf *line, const char *text)
{
    struct json_writer json;

    json_writer_init(&json, line);
    json_put_text(&json, text);
}

static void text_field(struct buf *line, const struct log_field *field)
{
    char value[VALUE_LEN_MAX + 1];
    const char *text = value;

    if (field->kind == LOG_KIND_TEXT)
        text = cut(field->text, VALUE_LEN_MAX, value);
    else
        number_text(field, value, sizeof value);
    buf_printf(line, " %s=", field->key);
    if (is_plain(text))
        buf_add_text(line, text);
    else
        put_quoted(line, text);
}

static void json_field(struct json_writer *json, const struct log_field *field)
{
    char value[VALUE_LEN_MAX + 1];

    json_key(json, field->key);
    if (field->kind == LOG_KIND_TEXT) {
        json_put_text(json, cut(field->text, VALUE_LEN_MAX, value));
    } else if (field->kind == LOG_KIND_REAL && !isfinite(field->real)) {
        json_put_null(json);
    } else {
        number_text(field, value, sizeof value);
        json_put_raw(json, value, strlen(value));
    }
}

/* Takes back what did not fit whole behind `len`. */
static bool take_back(struct buf *line, size_t len)
{
    if (!line->is_full)
        return false;
    line->is_full = false;
    line->len = len;
    return true;
}

/* What a line says before its fields. */
struct heading {
    const char *time, *level, *message;
    const char *request; /* or NULL */
};

static void write_text(struct buf *line, const struct heading *heading,
                       const struct log_field *fields)
{
    struct log_field id = log_text("request_id", heading->request);
    size_t len;

    buf_printf(line, "%s %s ", heading->time, heading->level);
    if (url_is_clean_text(heading->message, strlen(heading->message)))
        buf_add_text(line, heading->message);
    else
        put_quoted(line, heading->message);
    if (heading->request != NULL)
        text_field(line, &id);
    for (; fields->kind != LOG_KIND_END; fields++) {
        len = line->len;
        text_field(line, fields);
        if (take_back(line, len))
            break;
    }
}

static void write_json(struct buf *line, const struct heading *heading,
                       const struct log_field *fields)
{
    struct log_field id = log_text("request_id", heading->request);
    struct json_writer json;
    size_t len;

    json_writer_init(&json, line);
    json_object_begin(&json);
    json_key(&json, "time");
    json_put_text(&json, heading->time);
    json_key(&json, "level");
    json_put_text(&json, heading->level);
    json_key(&json, "message");
    json_put_text(&json, heading->message);
    if (heading->request != NULL)
        json_field(&json, &id);
    for (; fields->kind != LOG_KIND_END; fields++) {
        len = line->len;
        json_field(&json, fields);
        if (take_back(line, len))
            break;
    }
    line->len_max++; /* kept for this bracket */
    buf_add_char(line, '}');
}

static void write_line(int to, const char *line, size_t len)
{
    while (len > 0) {
        ssize_t put = write(to, line, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return;
        line += put;
        len -= (size_t)put;
    }
}

static void build_line(struct buf *line, enum log_level level,
                       const char *message, const struct log_field *fields)
{
    char time[CLOCK_TEXT_LEN], short_message[MESSAGE_LEN_MAX + 1];
    char short_request[REQUEST_LEN_MAX + 1];
    struct heading heading = {.time = time, .level = level_names[level]};

    clock_format(clock_wall_ms(), time);
    heading.message = cut(message, MESSAGE_LEN_MAX, short_message);
    if (request != NULL)
        heading.request = cut(request, REQUEST_LEN_MAX, short_request);
    if (atomic_load_explicit(&line_format, memory_order_relaxed) ==
        LOG_FORMAT_JSON)
        write_json(line, &heading, fields);
    else
        write_text(line, &heading, fields);
}

void log_fields(enum log_level level, const char *message,
                const struct log_field *fields)
{
    char room[LINE_LEN_MAX + 1];
    /* Its room is its maximum, so that it never grows. */
    struct buf line = {
        .data = room, .len_cap = sizeof room, .len_max = LINE_LEN_MAX - 2};
    int old_errno = errno;

    assert(level >= LOG_DEBUG && level < LOG_OFF);
    if (!log_is_on(level))
        return;
    build_line(&line, level, message, fields);
    room[line.len++] = '\n';
    write_line(atomic_load_explicit(&file, memory_order_relaxed), room,
               line.len);
    errno = old_errno;
}
