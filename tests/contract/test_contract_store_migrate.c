/* SPDX-License-Identifier: Apache-2.0 */
/* Fresh databases, those of other programs, and those of other versions. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "store_fixture.h"

enum { LATEST = 2 };

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

    store_fixture_write(store, &store_fixture_prediction);
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
    struct store_row row = store_fixture_prediction;
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
    store_fixture_write(store, &row);
    if (fixture->variable != NULL)
        CHECK_TEXT(store_fixture_value(store,
                                       "SELECT classe FROM predictions ORDER "
                                       "BY id DESC LIMIT 1",
                                       NULL),
                   "um nome co");
    row = store_fixture_ab("r1", "v1", "carro", 0.5, "success");
    store_fixture_write(store, &row);
    CHECK_OK(store_migrate(store, NULL, &err), err);
    store_close(store);
}

/* The contract's tables to the letter, but for what a dialect calls a serial
 * and bytes. */
static const char *const contract_tables[] = {
    "CREATE TABLE items (id %s, item_id int, nome varchar(200), categoria "
    "varchar(50), embedding_id int, foto_path varchar(300))",
    "CREATE TABLE predictions (id %s, image_path varchar(255) not null, classe "
    "varchar(100) not null, classe_numerica int, confianca decimal(5,4), "
    "embedding %s, inference_time_ms int, model_version varchar(50), item_id "
    "int references items(id), created_at timestamp default current_timestamp)",
    "CREATE TABLE model_metrics (id %s, model_version varchar(50) unique, "
    "accuracy decimal(5,4), \"precision\" decimal(5,4), recall decimal(5,4), "
    "f1_score decimal(5,4), total_classes int, total_training_samples int, "
    "inference_time_avg_ms decimal(6,2), faiss_index_size int, trained_at "
    "timestamp null, loaded_at timestamp null, created_at timestamp null)",
    "CREATE TABLE inference_logs (id %s, request_id varchar(36), image_hash "
    "varchar(64), predicted_class varchar(100), confidence decimal(5,4), "
    "top_k_predictions json, inference_time_ms int, model_version varchar(50), "
    "user_id int, status varchar(20), error_message text, created_at timestamp "
    "null)",
    "CREATE TABLE ab_test_results (id %s, request_id varchar(64), "
    "model_version varchar(50), prediction varchar(100), confidence float, "
    "latency_ms float, status varchar(20), created_at timestamp null, arm "
    "varchar(5))",
};

static void make_contract_tables(struct store *store, const char *scheme)
{
    const char *id = "INTEGER PRIMARY KEY", *bytes = "blob";
    char sql[1000];
    size_t i;

    if (strcmp(scheme, "postgres") == 0) {
        id = "serial PRIMARY KEY";
        bytes = "bytea";
    } else if (strcmp(scheme, "mysql") == 0) {
        id = "int AUTO_INCREMENT PRIMARY KEY";
    }
    for (i = 0; i < sizeof contract_tables / sizeof contract_tables[0]; i++) {
        const char *rest = contract_tables[i];
        const char *mark;
        size_t len = 0;
        int marks = 0;

        for (; (mark = strstr(rest, "%s")) != NULL; rest = mark + 2)
            len += (size_t)snprintf(sql + len, sizeof sql - len, "%.*s%s",
                                    (int)(mark - rest), rest,
                                    marks++ == 0 ? id : bytes);
        snprintf(sql + len, sizeof sql - len, "%s", rest);
        store_fixture_sql(store, sql);
    }
}

EVERY_STORE(the_contracts_own_tables_take_every_row)
{
    struct store *store = store_fixture_open(fixture);
    const struct store_row rows[] = {
        store_fixture_prediction, store_fixture_log,
        store_fixture_ab("r1", "v1", "carro", 0.5, "success"),
        store_fixture_feedback("r1", "carro")};
    const struct store_metrics metrics = {.model_version = "v1",
                                          .accuracy = 0.5,
                                          .trained_ms = STORE_FIXTURE_NOON_MS};
    struct store_metrics found;
    struct store_state state;
    struct err err = {0};

    make_contract_tables(store, fixture->scheme);
    CHECK_OK(store_migrate(store, NULL, &err), err);
    CHECK_OK(store_write(store, rows, 4, &err), err);
    CHECK_OK(store_put_metrics(store, &metrics, &err), err);
    CHECK_OK(store_find_metrics(store, "v1", &found, &err), err);
    CHECK_INT(found.trained_ms / 1000, STORE_FIXTURE_NOON_MS / 1000);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK(state.is_adopted);
    CHECK_INT(state.rows[STORE_PREDICTIONS] + state.rows[STORE_LOGS] +
                  state.rows[STORE_AB] + state.rows[STORE_FEEDBACK],
              4);
    CHECK_HAS(
        store_fixture_value(store, "SELECT created_at FROM predictions", NULL),
        "2025-11-21 12:00:00");
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

/* MariaDB commits each CREATE TABLE, so that a program which was killed leaves
 * some of its tables. */
EVERY_STORE(a_migration_that_was_killed_is_finished)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_state state;
    struct err err = {0};
    int applied = 0;

    store_fixture_sql(store, "DROP TABLE feedback");
    store_fixture_sql(store, "DROP TABLE predictions");
    store_fixture_sql(store, "DELETE FROM olho_migrations WHERE version > 0");
    CHECK_OK(store_migrate(store, &applied, &err), err);
    CHECK_INT(applied, LATEST);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.version, LATEST);
    CHECK(!state.is_adopted);
    store_fixture_write(store, &store_fixture_prediction);
    store_close(store);
}
