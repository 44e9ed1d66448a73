/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_page.h"

enum { PAGE_LEN_MAX = 64 << 20, KEYS_LEN_MAX = 1 << 20 };

struct reading {
    struct store *store;
    const char *sql;
    const struct store_value *values;
    int value_count;
    struct store_page *page;
};

void store_page_init(struct store_page *page)
{
    *page = (struct store_page){.arena = arena_new(PAGE_LEN_MAX),
                                .keys = arena_new(KEYS_LEN_MAX)};
}

void store_page_release(struct store_page *page)
{
    arena_free(page->arena);
    arena_free(page->keys);
    page->arena = NULL;
    page->keys = NULL;
}

static int copy_row(void *user, const struct store_field *fields, int count,
                    struct err *err)
{
    struct reading *reading = user;
    struct store_page *page = reading->page;
    struct store_field *row;
    int i;

    if (page->row_count == STORE_PAGE_ROWS)
        return err_set(err, ERR_TOO_LARGE,
                       "the database %s answered with more than %d rows",
                       reading->store->name, STORE_PAGE_ROWS);
    row = arena_try(page->arena, (size_t)count, sizeof *row);
    if (row == NULL)
        return store_fail_memory(reading->store, err);
    for (i = 0; i < count; i++) {
        if (fields[i].data == NULL)
            continue;
        row[i].data = arena_text(page->arena, fields[i].data, fields[i].len);
        row[i].len = fields[i].len;
        if (row[i].data == NULL)
            return store_fail_memory(reading->store, err);
    }
    page->rows[page->row_count++] = row;
    return 0;
}

static int read_rows(struct store_link *link, void *user, struct err *err)
{
    struct reading *reading = user;

    return store_run(link, reading->sql, reading->values, reading->value_count,
                     copy_row, reading, err);
}

int store_page_read(struct store *store, const char *sql,
                    const struct store_value *values, int value_count,
                    struct store_page *page, struct err *err)
{
    struct reading reading = {
        .store = store,
        .sql = sql,
        .values = values,
        .value_count = value_count,
        .page = page,
    };

    arena_reset(page->arena);
    page->row_count = 0;
    return store_call(store, false, read_rows, &reading, err);
}
