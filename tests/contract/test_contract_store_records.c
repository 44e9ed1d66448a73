/* SPDX-License-Identifier: Apache-2.0 */
/* Whole tables out of one database and into another. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store_fixture.h"

enum { RECORDS_MAX = 300, DATA_LEN = 64 };

/* Records outlive the call that brought them. */
struct records {
    struct store_record *list; /* RECORDS_MAX */
    char (*data)[STORE_CELLS_MAX][DATA_LEN];
    int count;
};

static void records_init(struct records *records)
{
    records->list = mem_new(RECORDS_MAX * sizeof *records->list);
    records->data = mem_new(RECORDS_MAX * sizeof *records->data);
    records->count = 0;
}

static void records_release(struct records *records)
{
    mem_free(records->list);
    mem_free(records->data);
}

static int keep(void *user, const struct store_record *record, struct err *err)
{
    struct records *records = user;
    struct store_record *kept = &records->list[records->count];
    int i;

    if (records->count == RECORDS_MAX)
        return err_set(err, ERR_TOO_LARGE, "too many records");
    *kept = *record;
    for (i = 0; i < record->cell_count; i++) {
        char *data = records->data[records->count][i];

        if (record->cells[i].data == NULL)
            continue;
        memcpy(data, record->cells[i].data, record->cells[i].len);
        data[record->cells[i].len] = '\0';
        kept->cells[i].data = data;
    }
    records->count++;
    return 0;
}

static const struct store_cell *cell_of(const struct store_record *record,
                                        const char *column)
{
    int i;

    for (i = 0; i < record->cell_count; i++)
        if (strcmp(record->cells[i].column, column) == 0)
            return &record->cells[i];
    test_fail(__FILE__, __LINE__, "no column %s", column);
}

static void fill(struct store *store)
{
    static const float values[] = {0.0f, -1.0f, 3e-5f};
    struct store_row rows[230];
    struct err err = {0};
    int i;

    for (i = 0; i < 230; i++)
        rows[i] = (struct store_row){
            .table = STORE_PREDICTIONS,
            .created_ms = 1763726400123 + i,
            .as.prediction = {.image_path = "ação 'x' \"y\"",
                              .class_name = "carro",
                              .class_id = i,
                              .confidence = 0.9235,
                              .embedding = i % 2 ? values : NULL,
                              .embedding_len = 3},
        };
    CHECK_OK(store_write(store, rows, 230, &err), err);
}

EVERY_STORE(tables_are_read_whole_and_put_back)
{
    struct store *store = store_fixture_migrated(fixture);
    struct records before, after;
    struct err err = {0};
    int added = -1;

    fill(store);
    records_init(&before);
    records_init(&after);
    CHECK_OK(store_scan_table(store, "predictions", keep, &before, &err), err);
    CHECK_INT(before.count, 230);
    CHECK_TEXT(cell_of(&before.list[1], "id")->data, "2");
    CHECK_TEXT(cell_of(&before.list[1], "image_path")->data, "ação 'x' \"y\"");
    CHECK_HAS(cell_of(&before.list[1], "created_at")->data,
              "2025-11-21 12:00:00.124");
    CHECK_INT(cell_of(&before.list[1], "embedding")->len, 12);
    CHECK(cell_of(&before.list[0], "embedding")->data == NULL);
    store_fixture_sql(store, "DELETE FROM predictions WHERE id > 10");
    CHECK_OK(store_put_records(store, before.list, before.count, &added, &err),
             err);
    CHECK_INT(added, 220);
    CHECK_OK(store_put_records(store, before.list, before.count, &added, &err),
             err);
    CHECK_INT(added, 0);
    CHECK_OK(store_scan_table(store, "predictions", keep, &after, &err), err);
    CHECK_INT(after.count, before.count);
    CHECK_INT(memcmp(before.data, after.data,
                     (size_t)before.count * sizeof *before.data),
              0);
    records_release(&before);
    records_release(&after);
    store_close(store);
}

EVERY_STORE(rows_that_follow_an_import_get_new_ids)
{
    struct store *store = store_fixture_migrated(fixture);
    const struct store_record record = {
        .table = "feedback",
        .cell_count = 3,
        .cells = {{"id", STORE_CELL_INTEGER, "41", 2},
                  {"request_id", STORE_CELL_TEXT, "r", 1},
                  {"classe", STORE_CELL_TEXT, "carro", 5}},
    };
    const struct store_row row = {
        .table = STORE_FEEDBACK,
        .as.feedback = {.request_id = "s", .class_name = "moto"},
    };
    struct err err = {0};
    int added;

    CHECK_OK(store_put_records(store, &record, 1, &added, &err), err);
    CHECK_INT(added, 1);
    CHECK_OK(store_write(store, &row, 1, &err), err);
    CHECK(store_fixture_number(
              store, "SELECT id FROM feedback WHERE request_id = 's'") > 41);
    store_close(store);
}

EVERY_STORE(records_that_are_none_are_refused)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_record record = {
        .table = "feedback",
        .cell_count = 2,
        .cells = {{"id", STORE_CELL_INTEGER, "1", 1},
                  {"classe", STORE_CELL_TEXT, "carro", 5}},
    };
    struct err err = {0};
    int added = -1;

    CHECK_ERR(store_put_records(store, &record, 1, &added, &err),
              ERR_UNPROCESSABLE); /* no request_id */
    CHECK_HAS(err.text, "feedback");
    record.cells[1].column = "cor";
    CHECK_ERR(store_put_records(store, &record, 1, &added, &err), ERR_INVALID);
    record.cell_count = 1;
    record.cells[0].data = "1x";
    CHECK_ERR(store_put_records(store, &record, 1, &added, &err), ERR_INVALID);
    record.cells[0].data = NULL;
    CHECK_ERR(store_put_records(store, &record, 1, &added, &err), ERR_INVALID);
    record.table = "pg_user";
    CHECK_ERR(store_put_records(store, &record, 1, &added, &err), ERR_INVALID);
    CHECK_ERR(store_scan_table(store, "pg_user", keep, NULL, &err),
              ERR_INVALID);
    CHECK_INT(added, -1);
    store_close(store);
}

/* A column with a time zone, which another program may have made, is written
 * by PostgreSQL with one. */
EVERY_STORE(times_are_exported_in_one_form)
{
    struct store *store = store_fixture_migrated(fixture);
    const struct store_row row = store_fixture_feedback("r", "carro");
    struct records records;
    struct err err = {0};

    if (strcmp(fixture->scheme, "postgres") == 0)
        store_fixture_sql(store, "ALTER TABLE feedback ALTER created_at TYPE "
                                 "timestamptz");
    store_fixture_write(store, &row);
    records_init(&records);
    CHECK_OK(store_scan_table(store, "feedback", keep, &records, &err), err);
    CHECK_INT(records.count, 1);
    CHECK_TEXT(cell_of(&records.list[0], "created_at")->data,
               "2025-11-21 12:00:00.123");
    records_release(&records);
    store_close(store);
}
