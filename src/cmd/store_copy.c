/* SPDX-License-Identifier: Apache-2.0 */
/* `olho store export` and `olho store import`: every row as a line of JSON,
 *
 *     {"table":"items","id":1,"item_id":101,"nome":"Ferrari 250",...}
 *     {"end":true,"rows":1}
 *
 * bytes in Base64, times in UTC. The last line tells a whole file from one
 * that was cut off. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "cmd/settings_store.h"
#include "cmd/terminal.h"

enum { LINE_LEN_MAX = 8 << 20, READ_LEN = 1 << 16 };
enum { BATCH_ROWS = 256, BATCH_LEN_MAX = 16 << 20, TABLES_MAX = 16 };

/* --- export --- */

struct export
{
    FILE *file;
    const char *path; /* for errors */
    struct buf line;
    int64_t row_count, row_total, begin_us;
};

static void put_cell(struct json_writer *json, const struct store_cell *cell)
{
    struct buf encoded;

    json_key(json, cell->column);
    if (cell->data == NULL) {
        json_put_null(json);
        return;
    }
    buf_init(&encoded, LINE_LEN_MAX);
    switch (cell->type) {
    case STORE_CELL_INTEGER:
        json_put_integer(json, strtoll(cell->data, NULL, 10));
        break;
    case STORE_CELL_NUMBER:
        json_put_double(json, strtod(cell->data, NULL));
        break;
    case STORE_CELL_TEXT:
    case STORE_CELL_TIME:
        buf_add(&encoded, cell->data, cell->len);
        json_put_text(json, encoded.data != NULL ? encoded.data : "");
        break;
    case STORE_CELL_BYTES:
        base64_encode((struct bytes){(const uint8_t *)cell->data, cell->len},
                      &encoded);
        json_put_text(json, encoded.data != NULL ? encoded.data : "");
        break;
    }
    if (encoded.is_broken || encoded.is_full)
        json->out->is_broken = true;
    buf_release(&encoded);
}

static int write_line(struct export *export, struct err *err)
{
    int rc = buf_check(&export->line, err);

    if (rc)
        return rc;
    if (fwrite(export->line.data, 1, export->line.len, export->file) !=
            export->line.len ||
        fputc('\n', export->file) == EOF)
        return err_set(err, ERR_IO, "%s cannot be written: %s", export->path,
                       strerror(errno));
    return 0;
}

static int export_record(void *user, const struct store_record *record,
                         struct err *err)
{
    struct export *export = user;
    struct json_writer json;
    int i;

    buf_clear(&export->line);
    json_writer_init(&json, &export->line);
    json_object_begin(&json);
    json_key(&json, "table");
    json_put_text(&json, record->table);
    for (i = 0; i < record->cell_count; i++)
        put_cell(&json, &record->cells[i]);
    json_object_end(&json);
    terminal_progress("rows", ++export->row_count, export->row_total,
                      export->begin_us);
    return write_line(export, err);
}

static int export_all(struct store *store, struct export *export,
                      struct err *err)
{
    struct store_state state;
    int i, rc = store_state(store, &state, err);

    if (rc)
        return rc;
    if (state.version < state.version_latest)
        return err_set(err, ERR_INVALID,
                       "the database %s has version %d; `olho store migrate` "
                       "brings it to %d, which can be exported",
                       store_name(store), state.version, state.version_latest);
    export->row_total = state.items + state.metrics;
    for (i = 0; i < STORE_TABLE_COUNT; i++)
        export->row_total += state.rows[i];
    for (i = 0; rc == 0 && store_table_name(i) != NULL; i++)
        rc = store_scan_table(store, store_table_name(i), export_record, export,
                              err);
    terminal_progress_end();
    if (rc)
        return rc;
    buf_clear(&export->line);
    buf_printf(&export->line, "{\"end\":true,\"rows\":%lld}",
               (long long)export->row_count);
    rc = write_line(export, err);
    if (rc == 0 && fflush(export->file) != 0)
        rc = err_set(err, ERR_IO, "%s cannot be written: %s", export->path,
                     strerror(errno));
    return rc;
}

/* Beside the file first, so that a failed export leaves an older one whole. */
static int export_to_file(struct store *store, const char *path,
                          struct export *export, struct err *err)
{
    char part[FILE_PATH_MAX];
    int rc;

    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return err_set(err, ERR_TOO_LARGE, "the path %.60s... is too long",
                       path);
    export->file = fopen(part, "we");
    if (export->file == NULL)
        return err_set(err, ERR_IO, "%s cannot be made: %s", part,
                       strerror(errno));
    rc = export_all(store, export, err);
    if (rc == 0 && fsync(fileno(export->file)) != 0)
        rc = err_set(err, ERR_IO, "%s cannot be written: %s", part,
                     strerror(errno));
    if (fclose(export->file) != 0 && rc == 0)
        rc = err_set(err, ERR_IO, "%s cannot be written: %s", part,
                     strerror(errno));
    if (rc == 0 && rename(part, path) != 0)
        rc = err_set(err, ERR_IO, "%s cannot be renamed: %s", part,
                     strerror(errno));
    if (rc)
        unlink(part);
    return rc;
}

int command_store_export(struct arguments *arguments, struct err *err)
{
    const char *path = arguments->word_count > 0 ? arguments->words[0] : "-";
    struct export export = {.path = path, .begin_us = clock_us()};
    struct store *store = NULL;
    int rc = settings_store_open(&arguments->config, true, &store, err);

    buf_init(&export.line, LINE_LEN_MAX);
    if (rc == 0 && strcmp(path, "-") == 0) {
        export.file = stdout;
        export.path = "standard output";
        rc = export_all(store, &export, err);
    } else if (rc == 0) {
        rc = export_to_file(store, path, &export, err);
        if (rc == 0)
            printf("%lld rows of %s are in %s\n", (long long)export.row_count,
                   store_name(store), path);
    }
    buf_release(&export.line);
    store_close(store);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

/* --- import --- */

/* Rows wait until they are enough for one transaction; their cells lie in
 * `documents` and `arena`. */
struct import {
    struct store *store;
    FILE *file;
    const char *path;
    int64_t line_number, read_len, file_len, begin_us, end_rows;
    bool has_end;
    struct json_value *documents[BATCH_ROWS];
    struct store_record *records; /* BATCH_ROWS */
    int record_count;
    size_t batch_len; /* of the lines */
    struct arena *arena;
    int64_t added[TABLES_MAX], given[TABLES_MAX]; /* by table */
};

static int table_place(const char *table)
{
    int i;

    for (i = 0; store_table_name(i) != NULL; i++)
        if (strcmp(store_table_name(i), table) == 0)
            return i;
    return -1;
}

/* Rows of one table at a time, so that what is new can be counted by table. */
static int flush(struct import *import, struct err *err)
{
    int i, place, added = 0, rc;

    if (import->record_count == 0)
        return 0;
    rc = store_put_records(import->store, import->records, import->record_count,
                           &added, err);
    if (rc)
        return err_wrap(err, "%s, lines up to %lld", import->path,
                        (long long)import->line_number);
    place = table_place(import->records[0].table);
    import->given[place] += import->record_count;
    import->added[place] += added;
    for (i = 0; i < import->record_count; i++) {
        json_free(import->documents[i]);
        import->documents[i] = NULL;
    }
    import->record_count = 0;
    import->batch_len = 0;
    arena_reset(import->arena);
    return 0;
}

/* A number as the text that cells have, a Base64 text as bytes. */
static int convert(struct import *import, const struct json_value *value,
                   struct store_cell *cell, struct err *err)
{
    const char *text = json_text(value);
    int64_t whole;
    double number;
    char *copy;

    if (cell->type == STORE_CELL_INTEGER && json_whole(value, &whole))
        copy = arena_printf(import->arena, "%lld", (long long)whole);
    else if (cell->type == STORE_CELL_NUMBER && json_number(value, &number))
        copy = arena_printf(import->arena, "%.17g", number);
    else if (cell->type >= STORE_CELL_TEXT && text != NULL)
        copy = arena_text(import->arena, text, strlen(text));
    else
        return err_set(err, ERR_INVALID, "the column %s has another type",
                       cell->column);
    if (copy == NULL)
        return err_set(err, ERR_UNAVAILABLE, "memory is short for a row");
    cell->data = copy;
    cell->len = strlen(copy);
    if (cell->type == STORE_CELL_BYTES)
        return base64_decode(copy, cell->len, &cell->len, err);
    return 0;
}

struct row_reading {
    struct import *import;
    struct store_record *record;
};

static int take_member(void *user, const char *key,
                       const struct json_value *value, struct err *err)
{
    struct row_reading *reading = user;
    struct store_record *record = reading->record;
    struct store_cell *cell;

    if (strcmp(key, "table") == 0)
        return 0;
    if (record->cell_count == STORE_CELLS_MAX)
        return err_set(err, ERR_INVALID, "a row has more than %d columns",
                       STORE_CELLS_MAX);
    cell = &record->cells[record->cell_count];
    *cell = (struct store_cell){.column = key};
    if (!store_find_column(record->table, key, &cell->type))
        return err_set(err, ERR_INVALID, "the table %s has no column \"%.60s\"",
                       record->table, key);
    record->cell_count++;
    return json_type(value) == JSON_IS_NULL
               ? 0
               : convert(reading->import, value, cell, err);
}

static int take_row(struct import *import, struct json_value *document,
                    struct err *err)
{
    struct row_reading reading = {.import = import};
    const struct json_value *end = json_find(document, "end");
    const char *table = json_text(json_find(document, "table"));
    int place, rc;

    if (end != NULL) {
        import->has_end = true;
        (void)json_whole(json_find(document, "rows"), &import->end_rows);
        json_free(document);
        return 0;
    }
    place = table != NULL ? table_place(table) : -1;
    if (place < 0) {
        json_free(document);
        return err_set(err, ERR_INVALID, "a row names no table of olho's");
    }
    table = store_table_name(place);
    if (import->record_count > 0 && import->records[0].table != table) {
        rc = flush(import, err);
        if (rc) {
            json_free(document);
            return rc;
        }
    }
    import->documents[import->record_count] = document;
    reading.record = &import->records[import->record_count];
    *reading.record = (struct store_record){.table = table};
    rc = json_members(document, take_member, &reading, err);
    import->record_count++;
    return rc;
}

/* The next line without its end; *out_done at the end of the file. */
static int read_line(struct import *import, struct buf *line, bool *out_done,
                     struct err *err)
{
    char piece[READ_LEN];
    int rc;

    buf_clear(line);
    *out_done = false;
    do {
        if (fgets(piece, sizeof piece, import->file) == NULL) {
            if (ferror(import->file))
                return err_set(err, ERR_IO, "%s cannot be read: %s",
                               import->path, strerror(errno));
            *out_done = line->len == 0;
            break;
        }
        buf_add_text(line, piece);
        rc = buf_check(line, err);
        if (rc == 0 && line->len == 0)
            rc = err_set(err, ERR_INVALID, "a byte is 0, so it is no text");
        if (rc)
            return err_wrap(err, "%s, line %lld", import->path,
                            (long long)import->line_number + 1);
    } while (line->data[line->len - 1] != '\n');
    import->line_number++;
    import->read_len += (int64_t)line->len;
    return 0;
}

static int import_line(struct import *import, struct buf *line, struct err *err)
{
    struct json_value *document = NULL;
    int rc;

    if (import->has_end)
        return err_set(err, ERR_INVALID, "there is more behind the end line");
    rc = json_parse(buf_bytes(line), &document, err);
    if (rc == 0)
        rc = take_row(import, document, err);
    import->batch_len += line->len;
    if (rc == 0 && (import->record_count == BATCH_ROWS ||
                    import->batch_len > BATCH_LEN_MAX))
        rc = flush(import, err);
    return rc;
}

static int import_lines(struct import *import, struct err *err)
{
    struct buf line;
    bool is_done = false;
    int rc;

    buf_init(&line, LINE_LEN_MAX);
    for (;;) {
        rc = read_line(import, &line, &is_done, err);
        if (rc || is_done)
            break;
        rc = import_line(import, &line, err);
        if (rc) {
            err_wrap(err, "%s, line %lld", import->path,
                     (long long)import->line_number);
            break;
        }
        terminal_progress("kB", import->read_len >> 10, import->file_len >> 10,
                          import->begin_us);
    }
    if (rc == 0)
        rc = flush(import, err);
    terminal_progress_end();
    buf_release(&line);
    return rc;
}

static int64_t print_imported(const struct import *import)
{
    int64_t given = 0, there = 0;
    int i;

    for (i = 0; store_table_name(i) != NULL; i++) {
        if (import->given[i] == 0)
            continue;
        printf("%-16s %lld added, %lld there already\n", store_table_name(i),
               (long long)import->added[i],
               (long long)(import->given[i] - import->added[i]));
        given += import->given[i];
        there += import->given[i] - import->added[i];
    }
    if (there > 0)
        printf("Rows whose id was there already were left as they are.\n");
    return given;
}

static int import_all(struct import *import, struct err *err)
{
    int64_t given;
    int rc = store_migrate(import->store, NULL, err);

    if (rc == 0)
        rc = import_lines(import, err);
    given = print_imported(import);
    if (rc)
        return rc;
    if (!import->has_end)
        return err_set(err, ERR_CORRUPT,
                       "%s has no end line: it was cut off; the %lld rows "
                       "before are imported",
                       import->path, (long long)given);
    if (import->end_rows != given)
        return err_set(
            err, ERR_CORRUPT, "%s has %lld rows and says that it has %lld",
            import->path, (long long)given, (long long)import->end_rows);
    return 0;
}

static int open_input(struct import *import, struct err *err)
{
    if (strcmp(import->path, "-") == 0) {
        import->file = stdin;
        import->path = "standard input";
        return 0;
    }
    import->file = fopen(import->path, "re");
    if (import->file == NULL)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "%s cannot be opened: %s", import->path,
                       strerror(errno));
    if (fseeko(import->file, 0, SEEK_END) == 0) {
        import->file_len = ftello(import->file);
        (void)fseeko(import->file, 0, SEEK_SET);
    }
    return 0;
}

int command_store_import(struct arguments *arguments, struct err *err)
{
    enum { ARENA_LEN_MAX = 64 << 20 };
    struct import *import = mem_new(sizeof *import);
    int i, rc;

    import->path = arguments->words[0];
    import->begin_us = clock_us();
    import->records = mem_new(BATCH_ROWS * sizeof *import->records);
    import->arena = arena_new(ARENA_LEN_MAX);
    rc = open_input(import, err);
    if (rc == 0)
        rc =
            settings_store_open(&arguments->config, false, &import->store, err);
    if (rc == 0)
        rc = import_all(import, err);
    for (i = 0; i < import->record_count; i++)
        json_free(import->documents[i]);
    if (import->file != NULL && import->file != stdin)
        fclose(import->file);
    store_close(import->store);
    arena_free(import->arena);
    mem_free(import->records);
    mem_free(import);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
