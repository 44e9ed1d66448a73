/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct store_options store_fixture_options(void)
{
    return (struct store_options){.connection_max = 2, .timeout_ms = 30000};
}

/* The server's URL with another database behind its last slash. */
static void name_database(const char *admin, const char *database, char *out)
{
    const char *question = strchr(admin, '?');
    const char *end = question != NULL ? question : admin + strlen(admin);
    const char *slash = memrchr(admin, '/', (size_t)(end - admin));

    snprintf(out, STORE_URL_MAX, "%.*s/%s%s", (int)(slash - admin), admin,
             database, end);
}

static struct store *open_url(const char *url)
{
    const struct store_options options = store_fixture_options();
    struct store *store = NULL;
    struct err err = {0};

    CHECK_OK(store_open(url, &options, &store, &err), err);
    return store;
}

static void run_as_admin(const struct store_fixture *fixture, const char *verb)
{
    struct store *store = open_url(fixture->admin);
    char sql[200];

    snprintf(sql, sizeof sql, "%s %s", verb, fixture->database);
    store_fixture_sql(store, sql);
    store_close(store);
}

void store_fixture_run(const char *scheme, const char *variable,
                       store_fixture_fn *fn)
{
    struct store_fixture fixture = {.scheme = scheme, .variable = variable};
    const char *admin = variable != NULL ? getenv(variable) : NULL;
    char why[100];

    if (variable == NULL) {
        snprintf(fixture.url, sizeof fixture.url, "sqlite://%s/olho.db",
                 test_dir());
        fn(&fixture);
        return;
    }
    if (admin == NULL || admin[0] == '\0') {
        snprintf(why, sizeof why, "%s names no server", variable);
        SKIP(why);
    }
    snprintf(fixture.admin, sizeof fixture.admin, "%s", admin);
    snprintf(fixture.database, sizeof fixture.database, "olho_test_%d",
             (int)getpid());
    name_database(admin, fixture.database, fixture.url);
    run_as_admin(&fixture, "DROP DATABASE IF EXISTS");
    run_as_admin(&fixture, "CREATE DATABASE");
    fn(&fixture);
    run_as_admin(&fixture, "DROP DATABASE");
}

struct store *store_fixture_open(const struct store_fixture *fixture)
{
    return open_url(fixture->url);
}

struct store *store_fixture_migrated(const struct store_fixture *fixture)
{
    struct store *store = open_url(fixture->url);
    struct err err = {0};

    CHECK_OK(store_migrate(store, NULL, &err), err);
    return store;
}

struct raw {
    const char *sql;
    char value[8192];
    size_t len;
    int row_count;
};

static int note(void *user, const struct store_field *fields, int count,
                struct err *err)
{
    struct raw *raw = user;

    (void)err;
    if (raw->row_count++ > 0 || count < 1 || fields[0].data == NULL)
        return 0;
    raw->len = fields[0].len < sizeof raw->value - 1 ? fields[0].len
                                                     : sizeof raw->value - 1;
    memcpy(raw->value, fields[0].data, raw->len);
    raw->value[raw->len] = '\0';
    return 0;
}

static int run_raw(struct store_link *link, void *user, struct err *err)
{
    struct raw *raw = user;

    return store_run_once(link, raw->sql, note, raw, err);
}

void store_fixture_sql(struct store *store, const char *sql)
{
    struct raw raw = {.sql = sql};
    struct err err = {0};

    CHECK_OK(store_call_plain(store, false, run_raw, &raw, &err), err);
}

/* The whole value, bytes included, comes by the way that values with a type
 * take. */
static int run_typed(struct store_link *link, void *user, struct err *err)
{
    struct raw *raw = user;

    return store_run(link, raw->sql, NULL, 0, note, raw, err);
}

const char *store_fixture_value(struct store *store, const char *sql,
                                size_t *out_len)
{
    static struct raw raw;
    struct err err = {0};

    memset(&raw, 0, sizeof raw);
    raw.sql = sql;
    CHECK_OK(store_call_plain(store, false, run_typed, &raw, &err), err);
    if (out_len != NULL)
        *out_len = raw.len;
    return raw.value;
}

int64_t store_fixture_number(struct store *store, const char *sql)
{
    return strtoll(store_fixture_value(store, sql, NULL), NULL, 10);
}

const struct store_row store_fixture_prediction = {
    .table = STORE_PREDICTIONS,
    .created_ms = STORE_FIXTURE_NOON_MS,
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
const struct store_row store_fixture_log = {
    .table = STORE_LOGS,
    .created_ms = STORE_FIXTURE_NOON_MS,
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

struct store_row store_fixture_ab(const char *request, const char *version,
                                  const char *class_name, double confidence,
                                  const char *status)
{
    return (struct store_row){
        .table = STORE_AB,
        .created_ms = STORE_FIXTURE_NOON_MS,
        .as.ab = {.request_id = request,
                  .model_version = version,
                  .prediction = class_name,
                  .confidence = confidence,
                  .latency_ms = 4.25,
                  .status = status},
    };
}

struct store_row store_fixture_feedback(const char *request,
                                        const char *class_name)
{
    return (struct store_row){
        .table = STORE_FEEDBACK,
        .created_ms = STORE_FIXTURE_NOON_MS,
        .as.feedback = {.request_id = request, .class_name = class_name},
    };
}

void store_fixture_write(struct store *store, const struct store_row *row)
{
    struct err err = {0};

    CHECK_OK(store_write(store, row, 1, &err), err);
}
