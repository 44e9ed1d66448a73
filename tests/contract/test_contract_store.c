/* SPDX-License-Identifier: Apache-2.0 */
/* What every kind of database must do for store/store.h. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store_fixture.h"

enum { LATEST = 2 };
static const int64_t noon_ms = 1763726400123; /* 2025-11-21 12:00:00.123 */

static const struct store_row prediction = {
    .table = STORE_PREDICTIONS,
    .created_ms = 1763726400123,
    .as.prediction =
        {
            .image_path = "bucket/photo.jpg",
            .class_name = "carro",
            .class_id = 5,
            .confidence = 0.92345678,
            .embedding = (const float[]){0.25f, -1.5f, 3e-5f},
            .embedding_len = 3,
            .inference_ms = 4,
            .model_version = "v2_20251115",
        },
};
static const struct store_row log_row = {
    .table = STORE_LOGS,
    .created_ms = 1763726400123,
    .as.log =
        {
            .request_id = "0b5e1f1e-1111-4222-8333-444455556666",
            .image_hash = "00ff",
            .class_name = "carro",
            .confidence = 0.92,
            .top_k_json = "[{\"classe\":\"carro\",\"confianca\":0.92}]",
            .inference_ms = 4,
            .model_version = "v2",
            .user_id = 7,
            .status = "success",
        },
};

static struct store_row ab_row(const char *request, const char *version,
                               const char *class_name, double confidence,
                               const char *status)
{
    return (struct store_row){
        .table = STORE_AB,
        .created_ms = noon_ms,
        .as.ab = {.request_id = request,
                  .model_version = version,
                  .prediction = class_name,
                  .confidence = confidence,
                  .latency_ms = 4.25,
                  .status = status},
    };
}

static struct store_row feedback_row(const char *request,
                                     const char *class_name)
{
    return (struct store_row){
        .table = STORE_FEEDBACK,
        .created_ms = noon_ms,
        .as.feedback = {.request_id = request, .class_name = class_name},
    };
}

static void write_one(struct store *store, const struct store_row *row)
{
    struct err err = {0};

    CHECK_OK(store_write(store, row, 1, &err), err);
}

EVERY_STORE(a_fresh_database_gets_every_table)
{
    struct store *store = store_fixture_open(fixture);
    struct store_state state;
    struct err err = {0};
    int applied = 0;

    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.version, 0);
    CHECK_INT(state.version_latest, LATEST);
    CHECK_OK(store_migrate(store, &applied, &err), err);
    CHECK_INT(applied, LATEST);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.version, LATEST);
    CHECK(!state.is_adopted);
    CHECK_INT(state.items + state.metrics, 0);
    CHECK_OK(store_ping(store, &err), err);
    store_close(store);
}

EVERY_STORE(a_second_migration_changes_nothing)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_state state;
    struct err err = {0};
    int applied = 7;

    write_one(store, &prediction);
    CHECK_OK(store_migrate(store, &applied, &err), err);
    CHECK_INT(applied, 0);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.rows[STORE_PREDICTIONS], 1);
    CHECK(!state.is_adopted);
    store_close(store);
}

struct racer {
    const char *url;
    pthread_barrier_t *start;
    int rc, applied;
    struct err err;
};

static void *migrate_at_once(void *user)
{
    const struct store_options options = store_fixture_options();
    struct racer *racer = user;
    struct store *store = NULL;

    pthread_barrier_wait(racer->start);
    racer->rc = store_open(racer->url, &options, &store, &racer->err);
    if (racer->rc == 0)
        racer->rc = store_migrate(store, &racer->applied, &racer->err);
    store_close(store);
    return NULL;
}

EVERY_STORE(four_that_migrate_at_once_do_it_once)
{
    enum { COUNT = 4 };
    struct racer racers[COUNT] = {0};
    pthread_t threads[COUNT];
    pthread_barrier_t start;
    int i, applied = 0;

    pthread_barrier_init(&start, NULL, COUNT);
    for (i = 0; i < COUNT; i++) {
        racers[i].url = fixture->url;
        racers[i].start = &start;
        CHECK_INT(
            pthread_create(&threads[i], NULL, migrate_at_once, &racers[i]), 0);
    }
    for (i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (i = 0; i < COUNT; i++) {
        CHECK_OK(racers[i].rc, racers[i].err);
        applied += racers[i].applied;
    }
    CHECK_INT(applied, LATEST);
}

EVERY_STORE(a_newer_database_is_refused)
{
    struct store *store = store_fixture_migrated(fixture);
    struct err err = {0};

    store_fixture_sql(store, "INSERT INTO olho_migrations (version, name, "
                             "is_adopted) VALUES (99, 'of tomorrow', 0)");
    CHECK_ERR(store_migrate(store, NULL, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "99");
    store_close(store);
}

/* As the former service left it: other types, further columns, some of ours
 * missing, and rows. */
static void make_old_tables(struct store *store, const char *scheme)
{
    const bool is_mysql = strcmp(scheme, "mysql") == 0;
    const char *id = strcmp(scheme, "postgres") == 0 ? "serial PRIMARY KEY"
                     : is_mysql ? "int AUTO_INCREMENT PRIMARY KEY"
                                : "INTEGER PRIMARY KEY";
    char sql[1000];

    snprintf(sql, sizeof sql,
             "CREATE TABLE items (id %s, item_id int, nome text, categoria "
             "text, embedding_id int, foto_path text, dono varchar(20))",
             id);
    store_fixture_sql(store, sql);
    snprintf(sql, sizeof sql,
             "CREATE TABLE predictions (id %s, image_path varchar(255) NOT "
             "NULL, classe varchar(10) NOT NULL, confianca decimal(5,4), "
             "embedding %s, item_id int REFERENCES items(id), sala int, "
             "created_at timestamp DEFAULT CURRENT_TIMESTAMP)",
             id,
             is_mysql                          ? "blob"
             : strcmp(scheme, "postgres") == 0 ? "bytea"
                                               : "blob");
    store_fixture_sql(store, sql);
    snprintf(sql, sizeof sql,
             "CREATE TABLE ab_test_results (id %s, request_id text, "
             "model_version text, prediction text)",
             id);
    store_fixture_sql(store, sql);
    store_fixture_sql(store, "INSERT INTO items (item_id, nome, categoria, "
                             "embedding_id, foto_path, dono) VALUES "
                             "(101, 'Ferrari 250', 'carros', 3, 'f.jpg', 'x'), "
                             "(NULL, NULL, NULL, NULL, NULL, NULL)");
    store_fixture_sql(store,
                      "INSERT INTO predictions (image_path, classe, confianca, "
                      "item_id, sala) VALUES ('a.jpg', 'moto', 0.5, 1, 9)");
}

struct items {
    struct store_item list[8];
    char names[8][64];
    int count;
};

static int note_item(void *user, const struct store_item *item, struct err *err)
{
    struct items *items = user;

    (void)err;
    snprintf(items->names[items->count], 64, "%s|%s|%s", item->name,
             item->category, item->photo);
    items->list[items->count++] = *item;
    return 0;
}

EVERY_STORE(the_tables_of_the_former_service_are_adopted)
{
    struct store *store = store_fixture_open(fixture);
    struct store_row row = prediction;
    struct store_state state;
    struct items items = {0};
    struct err err = {0};

    make_old_tables(store, fixture->scheme);
    CHECK_OK(store_migrate(store, NULL, &err), err);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK(state.is_adopted);
    CHECK_INT(state.version, LATEST);
    CHECK_INT(state.rows[STORE_PREDICTIONS], 1);
    CHECK_INT(state.items, 2);
    CHECK_TEXT(store_fixture_value(store,
                                   "SELECT classe FROM predictions WHERE sala "
                                   "= 9 AND classe_numerica IS NULL",
                                   NULL),
               "moto");
    CHECK_OK(store_scan_items(store, note_item, &items, &err), err);
    CHECK_INT(items.count, 2);
    CHECK_TEXT(items.names[0], "Ferrari 250|carros|f.jpg");
    CHECK_INT(items.list[0].item_id, 101);
    CHECK_INT(items.list[0].embedding_id, 3);
    CHECK_TEXT(items.names[1], "||");
    CHECK_INT(items.list[1].item_id, 2);
    CHECK_INT(items.list[1].embedding_id, -1);
    /* The old column is narrower than the contract's. */
    row.as.prediction.class_name = "um nome comprido";
    row.as.prediction.item_id = 1;
    write_one(store, &row);
    if (fixture->variable != NULL)
        CHECK_TEXT(store_fixture_value(store,
                                       "SELECT classe FROM predictions ORDER "
                                       "BY id DESC LIMIT 1",
                                       NULL),
                   "um nome co");
    row = ab_row("r1", "v1", "carro", 0.5, "success");
    write_one(store, &row);
    CHECK_OK(store_migrate(store, NULL, &err), err);
    store_close(store);
}

EVERY_STORE(a_column_that_nobody_can_fill_is_named)
{
    struct store *store = store_fixture_open(fixture);
    struct err err = {0};

    store_fixture_sql(store,
                      "CREATE TABLE predictions (id int, loja int NOT NULL)");
    CHECK_ERR(store_migrate(store, NULL, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "predictions.loja");
    store_close(store);
}

EVERY_STORE(a_prediction_is_stored_as_the_contract_says)
{
    struct store *store = store_fixture_migrated(fixture);
    const struct store_row *row = &prediction;
    size_t len;

    write_one(store, row);
    CHECK_TEXT(
        store_fixture_value(store, "SELECT classe FROM predictions", NULL),
        "carro");
    CHECK_INT(store_fixture_number(store,
                                   "SELECT COUNT(*) FROM predictions WHERE "
                                   "confianca = 0.9235 AND classe_numerica = "
                                   "5 AND inference_time_ms = 4 AND item_id "
                                   "IS NULL AND model_version = "
                                   "'v2_20251115'"),
              1);
    CHECK_HAS(
        store_fixture_value(store, "SELECT created_at FROM predictions", NULL),
        "2025-11-21 12:00:00.123");
    const char *bytes =
        store_fixture_value(store, "SELECT embedding FROM predictions", &len);
    CHECK_INT(len, 3 * sizeof(float));
    CHECK_INT(memcmp(bytes, row->as.prediction.embedding, len), 0);
    store_close(store);
}

EVERY_STORE(rows_of_every_kind_are_written_in_one_call)
{
    struct store *store = store_fixture_migrated(fixture);
    const struct store_row rows[] = {
        prediction, log_row, ab_row("r1", "v1", "carro", 0.5, "success"),
        feedback_row("r1", "carro"), prediction};
    struct store_state state;
    struct err err = {0};

    CHECK_OK(store_write(store, rows, 5, &err), err);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.rows[STORE_PREDICTIONS], 2);
    CHECK_INT(state.rows[STORE_LOGS], 1);
    CHECK_INT(state.rows[STORE_AB], 1);
    CHECK_INT(state.rows[STORE_FEEDBACK], 1);
    CHECK_HAS(store_fixture_value(
                  store, "SELECT top_k_predictions FROM inference_logs", NULL),
              "\"classe\":\"carro\"");
    CHECK_INT(store_fixture_number(store,
                                   "SELECT COUNT(*) FROM inference_logs WHERE "
                                   "user_id = 7 AND error_message IS NULL AND "
                                   "status = 'success'"),
              1);
    store_close(store);
}

EVERY_STORE(hundreds_of_rows_keep_their_order)
{
    enum { COUNT = 777 };
    struct store *store = store_fixture_migrated(fixture);
    struct store_row *rows = mem_new(COUNT * sizeof *rows);
    struct err err = {0};
    int i;

    for (i = 0; i < COUNT; i++) {
        rows[i] = prediction;
        rows[i].as.prediction.class_id = i;
    }
    CHECK_OK(store_write(store, rows, COUNT, &err), err);
    mem_free(rows);
    CHECK_INT(store_fixture_number(store, "SELECT COUNT(*) FROM predictions"),
              COUNT);
    CHECK_INT(store_fixture_number(store,
                                   "SELECT COUNT(*) FROM predictions WHERE "
                                   "classe_numerica <> id - 1"),
              0);
    store_close(store);
}

EVERY_STORE(texts_come_back_as_they_were)
{
    static const char *const texts[] = {
        "aspas ' e \" e \\ e ; -- e %s e ?", "ação, 猫, 🐈",
        "'); DROP TABLE predictions; --", "", "$1"};
    struct store *store = store_fixture_migrated(fixture);
    struct store_row row = prediction;
    char sql[100];
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        row.as.prediction.image_path = texts[i];
        write_one(store, &row);
        snprintf(sql, sizeof sql,
                 "SELECT image_path FROM predictions WHERE id = %d",
                 (int)i + 1);
        CHECK_TEXT(store_fixture_value(store, sql, NULL), texts[i]);
    }
    store_close(store);
}

EVERY_STORE(long_texts_are_cut_at_a_character)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row row = prediction;
    char name[1001] = "";
    size_t len;
    int i;

    for (i = 0; i < 250; i++)
        memcpy(name + 4 * i, "🐈", 5);
    row.as.prediction.class_name = name;
    write_one(store, &row);
    store_fixture_value(store, "SELECT classe FROM predictions", &len);
    CHECK_INT(len, 400);
    row.as.prediction.class_name = "caf\xe9 e \xff\xfe";
    write_one(store, &row);
    CHECK_TEXT(store_fixture_value(
                   store, "SELECT classe FROM predictions WHERE id = 2", NULL),
               "caf? e ??");
    store_close(store);
}

EVERY_STORE(numbers_that_do_not_fit_are_made_to)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row row = prediction;

    row.as.prediction.confidence = NAN;
    row.as.prediction.embedding = NULL;
    row.as.prediction.model_version = NULL;
    write_one(store, &row);
    CHECK_INT(store_fixture_number(store, "SELECT COUNT(*) FROM predictions "
                                          "WHERE confianca IS NULL AND "
                                          "embedding IS NULL AND "
                                          "model_version IS NULL"),
              1);
    row.as.prediction.confidence = 17;
    row.as.prediction.embedding = (const float[]){1};
    row.as.prediction.embedding_len = 0;
    write_one(store, &row);
    row.as.prediction.confidence = -1;
    write_one(store, &row);
    CHECK_NEAR(strtod(store_fixture_value(store,
                                          "SELECT SUM(confianca) FROM "
                                          "predictions WHERE embedding IS NOT "
                                          "NULL",
                                          NULL),
                      NULL),
               1, 1e-9);
    row = log_row;
    row.as.log.user_id = INT64_MAX;
    write_one(store, &row);
    CHECK_INT(store_fixture_number(store, "SELECT COUNT(*) FROM "
                                          "inference_logs WHERE user_id IS "
                                          "NULL"),
              1);
    store_close(store);
}

EVERY_STORE(refused_rows_leave_nothing_behind)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row rows[] = {prediction, log_row, prediction};
    struct store_state state;
    struct err err = {0};

    rows[2].as.prediction.item_id = 4711; /* no such item */
    CHECK_ERR(store_write(store, rows, 3, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "refused the rows");
    rows[2] = prediction;
    rows[2].as.prediction.class_name = NULL;
    err = (struct err){0};
    CHECK_ERR(store_write(store, rows, 3, &err), ERR_UNPROCESSABLE);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.rows[STORE_PREDICTIONS] + state.rows[STORE_LOGS], 0);
    err = (struct err){0};
    CHECK_OK(store_write(store, rows, 2, &err), err);
    store_close(store);
}

EVERY_STORE(counts_and_lengths_are_checked)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row row = prediction;
    struct err err = {0};

    CHECK_ERR(store_write(store, &row, 0, &err), ERR_INVALID);
    row.as.prediction.embedding_len = STORE_EMBEDDING_MAX + 1;
    CHECK_ERR(store_write(store, &row, 1, &err), ERR_INVALID);
    CHECK_HAS(err.text, "65537");
    store_close(store);
}

EVERY_STORE(an_item_is_added_and_then_changed)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_item item = {.item_id = 101,
                              .embedding_id = -1,
                              .name = "Ferrari 250",
                              .category = "carros",
                              .photo = "b//f.jpg"};
    struct items items = {0};
    struct err err = {0};

    CHECK_OK(store_put_item(store, &item, &err), err);
    item.name = "Ferrari 250 GTO";
    item.embedding_id = 3;
    CHECK_OK(store_put_item(store, &item, &err), err);
    item.item_id = 5000000000;
    CHECK_OK(store_put_item(store, &item, &err), err);
    CHECK_OK(store_scan_items(store, note_item, &items, &err), err);
    CHECK_INT(items.count, 2);
    CHECK_TEXT(items.names[0], "Ferrari 250 GTO|carros|b//f.jpg");
    CHECK_INT(items.list[0].embedding_id, 3);
    CHECK_INT(items.list[1].item_id, 5000000000);
    store_close(store);
}

static int count_item(void *user, const struct store_item *item,
                      struct err *err)
{
    int64_t *count = user;

    if (item->item_id != *count)
        return err_set(err, ERR_INTERNAL, "item %lld is not in its place",
                       (long long)item->item_id);
    ++*count;
    return 0;
}

EVERY_STORE(items_of_several_pages_come_in_order)
{
    enum { COUNT = 230 };
    struct store *store = store_fixture_migrated(fixture);
    char sql[16384];
    int64_t count = 0;
    struct err err = {0};
    int i, len;

    len = snprintf(sql, sizeof sql, "INSERT INTO items (item_id) VALUES (0)");
    for (i = 1; i < COUNT; i++)
        len += snprintf(sql + len, sizeof sql - (size_t)len, ", (%d)", i);
    store_fixture_sql(store, sql);
    CHECK_OK(store_scan_items(store, count_item, &count, &err), err);
    CHECK_INT(count, COUNT);
    count = 1;
    CHECK_ERR(store_scan_items(store, count_item, &count, &err), ERR_INTERNAL);
    CHECK_TEXT(err.text, "item 0 is not in its place");
    store_close(store);
}

EVERY_STORE(an_answer_is_found_by_its_request)
{
    struct store *store = store_fixture_migrated(fixture);
    const struct store_row rows[] = {
        log_row, ab_row("only-ab", "v3", "moto", 0.75, "success"),
        ab_row("only-shadow", "v3", "moto", 0.75, "shadow")};
    struct store_answer answer;
    struct err err = {0};

    CHECK_OK(store_write(store, rows, 3, &err), err);
    CHECK_OK(store_find_answer(store, log_row.as.log.request_id, &answer, &err),
             err);
    CHECK_TEXT(answer.class_name, "carro");
    CHECK_TEXT(answer.model_version, "v2");
    CHECK_NEAR(answer.confidence, 0.92, 1e-9);
    CHECK_OK(store_find_answer(store, "only-ab", &answer, &err), err);
    CHECK_TEXT(answer.class_name, "moto");
    CHECK_NEAR(answer.confidence, 0.75, 1e-9);
    CHECK_ERR(store_find_answer(store, "only-shadow", &answer, &err),
              ERR_NOT_FOUND);
    CHECK_TEXT(answer.class_name, "moto");
    store_close(store);
}

struct totals {
    struct store_ab_total list[4];
    int count;
};

static int note_total(void *user, const struct store_ab_total *total,
                      struct err *err)
{
    struct totals *totals = user;

    (void)err;
    totals->list[totals->count++] = *total;
    return 0;
}

EVERY_STORE(versions_are_compared_with_the_last_feedback)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row rows[] = {
        ab_row("r1", "v1", "carro", 0.5, "success"),
        ab_row("r2", "v1", "moto", 0.75, "success"),
        ab_row("r3", "v1", NULL, NAN, "error"),
        ab_row("r1", "v2", "moto", 0.25, "shadow"),
        feedback_row("r1", "moto"),
        feedback_row("r1", "carro"),
        feedback_row("r2", "carro"),
        feedback_row("r3", "carro"),
        ab_row("r0", "v1", "carro", 1, "success"),
    };
    struct totals totals = {0};
    struct err err = {0};

    rows[8].created_ms = noon_ms - 1;
    CHECK_OK(store_write(store, rows, 9, &err), err);
    CHECK_OK(store_scan_ab(store, noon_ms, note_total, &totals, &err), err);
    CHECK_INT(totals.count, 2);
    CHECK_TEXT(totals.list[0].model_version, "v1");
    CHECK_INT(totals.list[0].request_count, 3);
    CHECK_INT(totals.list[0].error_count, 1);
    CHECK_NEAR(totals.list[0].confidence_sum, 1.25, 1e-9);
    CHECK_INT(totals.list[0].feedback_count, 2);
    CHECK_INT(totals.list[0].correct_count, 1);
    CHECK_TEXT(totals.list[1].model_version, "v2");
    CHECK_INT(totals.list[1].request_count, 1);
    CHECK_NEAR(totals.list[1].confidence_sum, 0.25, 1e-9);
    CHECK_INT(totals.list[1].feedback_count, 1);
    CHECK_INT(totals.list[1].correct_count, 0);
    store_close(store);
}

EVERY_STORE(metrics_replace_those_of_their_version)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_metrics metrics = {.model_version = "v2",
                                    .accuracy = 0.87654,
                                    .precision = NAN,
                                    .recall = 1,
                                    .f1_score = NAN,
                                    .class_count = 50,
                                    .training_sample_count = 12000,
                                    .index_size = 11000,
                                    .inference_avg_ms = 4.256,
                                    .trained_ms = noon_ms};
    struct store_metrics found = {.class_count = -1};
    struct store_state state;
    struct err err = {0};

    CHECK_ERR(store_find_metrics(store, "v2", &found, &err), ERR_NOT_FOUND);
    CHECK_INT(found.class_count, -1);
    err = (struct err){0};
    CHECK_OK(store_put_metrics(store, &metrics, &err), err);
    metrics.accuracy = 0.9;
    CHECK_OK(store_put_metrics(store, &metrics, &err), err);
    CHECK_OK(store_find_metrics(store, "v2", &found, &err), err);
    CHECK_NEAR(found.accuracy, 0.9, 1e-9);
    CHECK(isnan(found.precision));
    CHECK_NEAR(found.recall, 1, 1e-9);
    CHECK_INT(found.class_count, 50);
    CHECK_INT(found.training_sample_count, 12000);
    CHECK_INT(found.index_size, 11000);
    CHECK_NEAR(found.inference_avg_ms, 4.26, 1e-9);
    CHECK_INT(found.trained_ms, noon_ms);
    CHECK_INT(found.loaded_ms, 0);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.metrics, 1);
    store_close(store);
}
