/* SPDX-License-Identifier: Apache-2.0 */
/* What every kind of database must do with the rows that it is given. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store_fixture.h"

EVERY_STORE(a_prediction_is_stored_as_the_contract_says)
{
    struct store *store = store_fixture_migrated(fixture);
    const struct store_row *row = &store_fixture_prediction;
    size_t len;

    store_fixture_write(store, row);
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
        store_fixture_prediction, store_fixture_log,
        store_fixture_ab("r1", "v1", "carro", 0.5, "success"),
        store_fixture_feedback("r1", "carro"), store_fixture_prediction};
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
        rows[i] = store_fixture_prediction;
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
    struct store_row row = store_fixture_prediction;
    char sql[100];
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        row.as.prediction.image_path = texts[i];
        store_fixture_write(store, &row);
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
    struct store_row row = store_fixture_prediction;
    char name[1001] = "";
    size_t len;
    int i;

    for (i = 0; i < 250; i++)
        memcpy(name + 4 * i, "🐈", 5);
    row.as.prediction.class_name = name;
    store_fixture_write(store, &row);
    store_fixture_value(store, "SELECT classe FROM predictions", &len);
    CHECK_INT(len, 400);
    row.as.prediction.class_name = "caf\xe9 e \xff\xfe";
    store_fixture_write(store, &row);
    CHECK_TEXT(store_fixture_value(
                   store, "SELECT classe FROM predictions WHERE id = 2", NULL),
               "caf? e ??");
    store_close(store);
}

EVERY_STORE(numbers_that_do_not_fit_are_made_to)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row row = store_fixture_prediction;

    row.as.prediction.confidence = NAN;
    row.as.prediction.embedding = NULL;
    row.as.prediction.model_version = NULL;
    store_fixture_write(store, &row);
    CHECK_INT(store_fixture_number(store, "SELECT COUNT(*) FROM predictions "
                                          "WHERE confianca IS NULL AND "
                                          "embedding IS NULL AND "
                                          "model_version IS NULL"),
              1);
    row.as.prediction.confidence = 17;
    row.as.prediction.embedding = (const float[]){1};
    row.as.prediction.embedding_len = 0;
    store_fixture_write(store, &row);
    row.as.prediction.confidence = -1;
    store_fixture_write(store, &row);
    CHECK_NEAR(strtod(store_fixture_value(store,
                                          "SELECT SUM(confianca) FROM "
                                          "predictions WHERE embedding IS NOT "
                                          "NULL",
                                          NULL),
                      NULL),
               1, 1e-9);
    row = store_fixture_log;
    row.as.log.user_id = INT64_MAX;
    store_fixture_write(store, &row);
    CHECK_INT(store_fixture_number(store, "SELECT COUNT(*) FROM "
                                          "inference_logs WHERE user_id IS "
                                          "NULL"),
              1);
    store_close(store);
}

EVERY_STORE(refused_rows_leave_nothing_behind)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row rows[] = {store_fixture_prediction, store_fixture_log,
                               store_fixture_prediction};
    struct store_state state;
    struct err err = {0};

    rows[2].as.prediction.item_id = 4711; /* no such item */
    CHECK_ERR(store_write(store, rows, 3, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "refused the rows");
    rows[2] = store_fixture_prediction;
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
    struct store_row row = store_fixture_prediction;
    struct err err = {0};

    CHECK_ERR(store_write(store, &row, 0, &err), ERR_INVALID);
    row.as.prediction.embedding_len = STORE_EMBEDDING_MAX + 1;
    CHECK_ERR(store_write(store, &row, 1, &err), ERR_INVALID);
    CHECK_HAS(err.text, "65537");
    store_close(store);
}

enum { THREADS = 5, WRITES = 12 };

struct thread_of_writes {
    pthread_t thread;
    struct store *store;
    int rc;
    struct err err;
};

static void *write_and_ping(void *user)
{
    struct thread_of_writes *one = user;
    int i;

    for (i = 0; one->rc == 0 && i < WRITES; i++) {
        one->rc =
            store_write(one->store, &store_fixture_prediction, 1, &one->err);
        if (one->rc == 0)
            one->rc = store_ping(one->store, &one->err);
    }
    return NULL;
}

EVERY_STORE(five_threads_share_two_connections)
{
    struct store *store = store_fixture_migrated(fixture);
    struct thread_of_writes threads[THREADS] = {0};
    int i;

    for (i = 0; i < THREADS; i++) {
        threads[i].store = store;
        CHECK_INT(pthread_create(&threads[i].thread, NULL, write_and_ping,
                                 &threads[i]),
                  0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    for (i = 0; i < THREADS; i++)
        CHECK_OK(threads[i].rc, threads[i].err);
    CHECK_INT(store_fixture_number(store, "SELECT COUNT(*) FROM predictions"),
              THREADS * WRITES);
    store_close(store);
}
