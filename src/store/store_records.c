/* SPDX-License-Identifier: Apache-2.0 */
/* Whole tables, out and in. Pages follow one another by id, so that rows which
 * are added meanwhile do no harm. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/store_ops.h"
#include "store/store_page.h"
#include "store/store_text.h"

enum { SQL_LEN_MAX = 1 << 16, INSERT_ROWS_MAX = 32, TIME_ZONE_FROM = 19 };
enum { VALUES_ARENA_LEN = 64 << 20 };

static int select_sql(const char *table, bool is_first, struct buf *out,
                      struct err *err)
{
    buf_clear(out);
    buf_add_text(out, "SELECT ");
    schema_list_columns(table, true, out);
    buf_printf(out, " FROM \"%s\"%s ORDER BY id LIMIT %d", table,
               is_first ? "" : " WHERE id > ?", STORE_PAGE_ROWS);
    return buf_check(out, err);
}

/* PostgreSQL writes "+00" behind a time with a zone; the session's zone is
 * UTC. */
static size_t time_len(const struct store_field *field)
{
    size_t len = 0;

    while (len < field->len &&
           (len < TIME_ZONE_FROM || strchr("+-Z", field->data[len]) == NULL))
        len++;
    return len;
}

static int give_record(const char *table, const struct store_field *row,
                       store_record_fn *fn, void *user, struct err *err)
{
    struct store_record record = {.table = table};
    int first, i;

    schema_find(table, &first, &record.cell_count);
    for (i = 0; i < record.cell_count; i++) {
        struct store_cell *cell = &record.cells[i];

        cell->column = schema_columns[first + i].name;
        store_find_column(table, cell->column, &cell->type);
        cell->data = row[i].data;
        cell->len = row[i].data != NULL && cell->type == STORE_CELL_TIME
                        ? time_len(&row[i])
                        : row[i].len;
    }
    return fn(user, &record, err);
}

static bool is_table(const char *table)
{
    int i;

    for (i = 0; store_table_name(i) != NULL; i++)
        if (strcmp(store_table_name(i), table) == 0)
            return true;
    return false;
}

static int check_table(const char *table, struct err *err)
{
    return is_table(table) ? 0
                           : err_set(err, ERR_INVALID,
                                     "there is no table \"%.60s\"", table);
}

int store_scan_table(struct store *store, const char *table,
                     store_record_fn *fn, void *user, struct err *err)
{
    struct store_value last;
    struct store_page page;
    struct buf sql;
    int rc = check_table(table, err), i;

    if (rc)
        return rc;
    store_page_init(&page);
    buf_init(&sql, SQL_LEN_MAX);
    rc = select_sql(table, true, &sql, err);
    if (rc == 0)
        rc = store_page_read(store, sql.data, NULL, 0, &page, err);
    if (rc == 0)
        rc = select_sql(table, false, &sql, err);
    while (rc == 0 && page.row_count > 0) {
        for (i = 0; rc == 0 && i < page.row_count; i++)
            rc = give_record(table, page.rows[i], fn, user, err);
        if (rc || page.row_count < STORE_PAGE_ROWS)
            break;
        last = store_integer_value(
            store_field_integer(&page.rows[page.row_count - 1][0], 0));
        rc = store_page_read(store, sql.data, &last, 1, &page, err);
    }
    buf_release(&sql);
    store_page_release(&page);
    return rc;
}

static const struct store_cell *find_cell(const struct store_record *record,
                                          const char *column)
{
    int i;

    for (i = 0; i < record->cell_count; i++)
        if (strcmp(record->cells[i].column, column) == 0)
            return &record->cells[i];
    return NULL;
}

/* The text of a number, which has a NUL behind. */
static int number_value(const struct store_cell *cell, struct store_value *out,
                        struct err *err)
{
    char *end = NULL;

    if (cell->type == STORE_CELL_INTEGER)
        *out = store_integer_value(strtoll(cell->data, &end, 10));
    else
        *out = (struct store_value){.kind = VALUE_REAL,
                                    .real = strtod(cell->data, &end)};
    if (end == cell->data || *end != '\0')
        return err_set(err, ERR_INVALID,
                       "the column %s is \"%.40s\", which is no number",
                       cell->column, cell->data);
    return 0;
}

static int cell_value(const struct store *store, const char *table,
                      const struct store_cell *cell, struct arena *arena,
                      struct store_value *out, struct err *err)
{
    *out = store_null_value();
    if (cell == NULL || cell->data == NULL)
        return 0;
    switch (cell->type) {
    case STORE_CELL_INTEGER:
    case STORE_CELL_NUMBER:
        return number_value(cell, out, err);
    case STORE_CELL_TEXT:
        return store_column_text(store, table, cell->column, cell->data, arena,
                                 out, err);
    case STORE_CELL_TIME:
        *out = (struct store_value){
            .kind = VALUE_TEXT, .data = cell->data, .len = cell->len};
        return 0;
    case STORE_CELL_BYTES:
        *out = (struct store_value){
            .kind = VALUE_BYTES, .data = cell->data, .len = cell->len};
        return 0;
    }
    return 0;
}

struct adding {
    const struct store_record *records;
    int count;
    int64_t added_count;
    struct arena *arena;
    struct store_value values[INSERT_ROWS_MAX * STORE_CELLS_MAX];
    struct buf sql;
};

static int add_some(struct store_link *link, struct adding *adding, int begin,
                    int size, struct err *err)
{
    const char *table = adding->records[begin].table;
    int64_t changed = 0;
    struct store_query query = {
        .values = adding->values,
        .out_changed = &changed,
    };
    int first, count, i, j, rc = 0;

    schema_find(table, &first, &count);
    for (i = 0; i < size; i++)
        for (j = 0; rc == 0 && j < count; j++)
            rc = cell_value(link->store, table,
                            find_cell(&adding->records[begin + i],
                                      schema_columns[first + j].name),
                            adding->arena, &adding->values[query.value_count++],
                            err);
    if (rc)
        return rc;
    buf_clear(&adding->sql);
    store_insert_sql(table, true, size, &adding->sql);
    buf_add_text(&adding->sql, link->store->ops->skip);
    rc = buf_check(&adding->sql, err);
    if (rc)
        return rc;
    query.sql = adding->sql.data;
    rc = store_query_run(link, &query, err);
    adding->added_count += changed;
    arena_reset(adding->arena);
    return rc;
}

/* PostgreSQL's sequences know nothing of ids that were given. */
static int renumber(struct store_link *link, const char *table, struct buf *sql,
                    struct err *err)
{
    int rc;

    if (link->store->ops->dialect != DIALECT_POSTGRES)
        return 0;
    buf_clear(sql);
    buf_printf(sql,
               "SELECT setval(s, GREATEST((SELECT MAX(id) FROM \"%s\"), "
               "nextval(s))) FROM (SELECT pg_get_serial_sequence('\"%s\"', "
               "'id')::regclass AS s) AS q WHERE s IS NOT NULL",
               table, table);
    rc = buf_check(sql, err);
    return rc ? rc : store_run_once(link, sql->data, NULL, NULL, err);
}

static int add_all(struct store_link *link, void *user, struct err *err)
{
    struct adding *adding = user;
    int begin = 0, rc = 0;

    while (rc == 0 && begin < adding->count) {
        const char *table = adding->records[begin].table;
        int size = 1;

        while (begin + size < adding->count && size < INSERT_ROWS_MAX &&
               strcmp(adding->records[begin + size].table, table) == 0)
            size++;
        rc = add_some(link, adding, begin, size, err);
        store_extend(link);
        begin += size;
        if (rc == 0 && (begin == adding->count ||
                        strcmp(adding->records[begin].table, table) != 0))
            rc = renumber(link, table, &adding->sql, err);
        if (rc)
            return err_wrap(err, "table %s", table);
    }
    return rc;
}

static int check_record(const struct store_record *record, struct err *err)
{
    enum store_cell_type type;
    int rc = check_table(record->table, err), i;

    if (rc)
        return rc;
    assert(record->cell_count <= STORE_CELLS_MAX);
    for (i = 0; i < record->cell_count; i++)
        if (!store_find_column(record->table, record->cells[i].column, &type) ||
            type != record->cells[i].type)
            return err_set(err, ERR_INVALID,
                           "the table %s has no column \"%.60s\" of that type",
                           record->table, record->cells[i].column);
    if (find_cell(record, "id") == NULL ||
        find_cell(record, "id")->data == NULL)
        return err_set(err, ERR_INVALID, "a row of the table %s has no id",
                       record->table);
    return 0;
}

int store_put_records(struct store *store, const struct store_record *records,
                      int count, int *out_added, struct err *err)
{
    struct adding *adding;
    int i, rc = 0;

    if (count < 1 || count > STORE_ROWS_MAX)
        return err_set(err, ERR_INVALID,
                       "%d rows were given to be added at once; it must be "
                       "1..%d",
                       count, STORE_ROWS_MAX);
    for (i = 0; rc == 0 && i < count; i++)
        rc = check_record(&records[i], err);
    if (rc)
        return rc;
    adding = mem_new(sizeof *adding);
    adding->records = records;
    adding->count = count;
    adding->arena = arena_new(VALUES_ARENA_LEN);
    buf_init(&adding->sql, SQL_LEN_MAX);
    rc = store_call(store, true, add_all, adding, err);
    if (rc == 0)
        *out_added = (int)adding->added_count;
    buf_release(&adding->sql);
    arena_free(adding->arena);
    mem_free(adding);
    return rc;
}
