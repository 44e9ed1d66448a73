/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "apps/ab.h"
#include "apps/ab_json.h"
#include "apps/app.h"
#include "apps/database.h"
#include "base/clock.h"
#include "base/json.h"
#include "http/reply.h"
#include "models/rollout.h"
#include "store/writer.h"
#include "test.h"

/* An app with two arms, whose feedback rows end here. */
struct fixture {
    struct app app;
    struct http_reply reply;
    struct err err;
    pthread_mutex_t mutex; /* guards what follows */
    int row_count;
    char last_row[200];
};

static int take_rows(void *user, const struct store_row *rows, int count,
                     struct err *err)
{
    struct fixture *fixture = user;
    int i;

    (void)err;
    pthread_mutex_lock(&fixture->mutex);
    for (i = 0; i < count; i++) {
        CHECK_INT(rows[i].table, STORE_FEEDBACK);
        fixture->row_count++;
        snprintf(fixture->last_row, sizeof fixture->last_row, "%s %s",
                 rows[i].as.feedback.request_id,
                 rows[i].as.feedback.class_name);
    }
    pthread_mutex_unlock(&fixture->mutex);
    return 0;
}

static void open_fixture(struct fixture *fixture)
{
    struct rollout_options options = {
        .arms = {{"v1", 1, true, false}, {"v2", 1, false, false}},
        .arm_count = 2,
        .sample_min = 2,
        .alpha = 0.05,
        .margin = 0.01,
        .recent_max = 10,
    };
    struct writer_options writer_options = {
        .queue_max = 10,
        .batch_max = 10,
        .flush_ms = 1,
        .stop_ms = 1000,
        .write = take_rows,
        .write_user = fixture,
    };

    *fixture = (struct fixture){0};
    pthread_mutex_init(&fixture->mutex, NULL);
    CHECK_OK(rollout_new(&options, &fixture->app.rollout, &fixture->err),
             fixture->err);
    CHECK_OK(
        writer_new(NULL, &writer_options, &fixture->app.writer, &fixture->err),
        fixture->err);
    reply_init(&fixture->reply);
}

static void close_fixture(struct fixture *fixture)
{
    writer_free(fixture->app.writer);
    rollout_free(fixture->app.rollout);
    buf_release(&fixture->reply.body);
    pthread_mutex_destroy(&fixture->mutex);
}

/* Runs the handler of a route; body NULL: none. */
static int call(struct fixture *fixture, const char *path, const char *body)
{
    struct http_request request = {
        .path = path,
        .id = "own-id",
        .content_type = "application/json",
        .body = body != NULL ? bytes_of_text(body) : (struct bytes){NULL, 0},
    };
    int i, rc;

    buf_clear(&fixture->reply.body);
    fixture->err = (struct err){0};
    for (i = 0; i < ab_api.route_count; i++)
        if (strcmp(ab_api.routes[i].path, path) == 0) {
            rc = ab_api.routes[i].handler(&fixture->app, &request,
                                          &fixture->reply, &fixture->err);
            CHECK_INT(rc, fixture->err.code);
            return rc;
        }
    test_fail(__FILE__, __LINE__, "no route %s", path);
}

static int give(struct fixture *fixture, const char *body)
{
    return call(fixture, "/api/feedback", body);
}

TEST(ab_feedback_says_what_was_predicted_and_keeps_a_row)
{
    struct fixture fixture;

    open_fixture(&fixture);
    rollout_remember(fixture.app.rollout, "r1", 1, "moeda");
    CHECK_OK(give(&fixture, "{\"request_id\":\"r1\",\"classe\":\"selo\"}"),
             fixture.err);
    CHECK_TEXT(fixture.reply.body.data,
               "{\"status\":\"ok\",\"request_id\":\"r1\",\"classe\":\"selo\","
               "\"predicted\":\"moeda\",\"correct\":false}");
    CHECK(writer_flush(fixture.app.writer, clock_us() + 60000000));
    CHECK_INT(fixture.row_count, 1);
    CHECK_TEXT(fixture.last_row, "r1 selo");
    close_fixture(&fixture);
}

TEST(ab_feedback_to_an_unknown_request_is_not_found_and_kept_nowhere)
{
    struct fixture fixture;

    open_fixture(&fixture);
    CHECK_ERR(give(&fixture, "{\"request_id\":\"r9\",\"classe\":\"selo\"}"),
              ERR_NOT_FOUND);
    CHECK_HAS(fixture.err.text, "\"r9\"");
    CHECK(writer_flush(fixture.app.writer, clock_us() + 60000000));
    CHECK_INT(fixture.row_count, 0);
    close_fixture(&fixture);
}

/* A database in the test's folder that knows request r5: v2 said moeda. */
static void open_store(struct fixture *fixture)
{
    struct store_row row = {
        .table = STORE_LOGS,
        .created_ms = 1,
        .as.log = {.request_id = "r5",
                   .class_name = "moeda",
                   .model_version = "v2",
                   .status = "success"},
    };
    struct config config = {0};
    struct store *store = NULL;
    char path[4096];

    snprintf(path, sizeof path, "%s/olho.db", test_dir());
    option_preset(config_options, config_option_count, &config);
    CHECK_OK(option_set(
                 option_find(config_options, config_option_count, "STORE_URL"),
                 &config, path, &fixture->err),
             fixture->err);
    CHECK_OK(database_new(&config, &fixture->app.database, &fixture->err),
             fixture->err);
    config_release(&config);
    CHECK_OK(database_reach(fixture->app.database, &store, &fixture->err),
             fixture->err);
    CHECK_OK(store_write(store, &row, 1, &fixture->err), fixture->err);
}

TEST(ab_feedback_finds_older_answers_in_the_database)
{
    static const char right[] = "{\"request_id\":\"r5\",\"classe\":\"moeda\"}";
    static const char wrong[] = "{\"request_id\":\"r5\",\"classe\":\"selo\"}";
    struct fixture fixture;
    struct rollout_report report;

    open_fixture(&fixture);
    open_store(&fixture);
    CHECK_OK(give(&fixture, right), fixture.err);
    CHECK_HAS(fixture.reply.body.data,
              "\"predicted\":\"moeda\",\"correct\":true");
    CHECK_OK(give(&fixture, wrong), fixture.err);
    CHECK_HAS(fixture.reply.body.data, "\"correct\":false");
    rollout_report(fixture.app.rollout, &report);
    CHECK_INT(report.arms[1].feedback_count, 1);
    CHECK_INT(report.arms[1].correct_count, 0);
    CHECK_ERR(give(&fixture, "{\"request_id\":\"r6\",\"classe\":\"selo\"}"),
              ERR_NOT_FOUND);
    database_free(fixture.app.database);
    close_fixture(&fixture);
}

TEST(ab_feedback_works_with_a_database_and_no_comparison)
{
    struct fixture fixture;
    struct rollout *rollout;

    open_fixture(&fixture);
    open_store(&fixture);
    rollout = fixture.app.rollout;
    fixture.app.rollout = NULL;
    CHECK_OK(give(&fixture, "{\"request_id\":\"r5\",\"classe\":\"moeda\"}"),
             fixture.err);
    CHECK_HAS(fixture.reply.body.data, "\"correct\":true");
    fixture.app.rollout = rollout;
    database_free(fixture.app.database);
    close_fixture(&fixture);
}

static int find_no_database(void *user, const struct store_row *rows, int count,
                            struct err *err)
{
    (void)user;
    (void)rows;
    (void)count;
    return err_set(err, ERR_UNAVAILABLE, "the database is away");
}

TEST(ab_feedback_that_cannot_be_kept_is_not_confirmed)
{
    struct writer_options options = {
        .queue_max = 1,
        .batch_max = 1,
        .flush_ms = 1,
        .write = find_no_database,
    };
    struct fixture fixture;
    int i, rc = 0;

    open_fixture(&fixture);
    writer_free(fixture.app.writer);
    CHECK_OK(writer_new(NULL, &options, &fixture.app.writer, &fixture.err),
             fixture.err);
    rollout_remember(fixture.app.rollout, "r1", 0, "selo");
    /* One row may be with the writer's thread, one in its queue. */
    for (i = 0; i < 4 && rc == 0; i++) {
        rc = give(&fixture, "{\"request_id\":\"r1\",\"classe\":\"selo\"}");
        CHECK(rc != 0 || fixture.reply.status == 202);
    }
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    CHECK_HAS(fixture.err.text, "cannot be kept now");
    close_fixture(&fixture);
}

TEST(ab_feedback_that_is_malformed_is_refused)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "\"r1\"",
        "{}",
        "{\"request_id\":\"r1\"}",
        "{\"classe\":\"selo\"}",
        "{\"request_id\":1,\"classe\":\"selo\"}",
        "{\"request_id\":\"r1\",\"classe\":null}",
        "{\"request_id\":\"r1\",\"classe\":\"\"}",
        "{\"request_id\":\"r1\",\"classe\":\"a\\nb\"}",
        "{\"request_id\":\"r1 with far more bytes than any request id that this"
        " server would give or take\",\"classe\":\"selo\"}",
    };
    struct fixture fixture;
    struct rollout_report report;
    size_t i;

    open_fixture(&fixture);
    rollout_remember(fixture.app.rollout, "r1", 0, "selo");
    for (i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        CHECK_ERR(give(&fixture, bodies[i]), ERR_INVALID);
        CHECK_INT(fixture.reply.body.len, 0);
    }
    rollout_report(fixture.app.rollout, &report);
    CHECK_INT(report.arms[0].feedback_count, 0);
    close_fixture(&fixture);
}

/* A member of an object inside the reply's document. */
static const struct json_value *find(const struct json_value *document,
                                     size_t arm, const char *key)
{
    return json_find(json_at(json_find(document, "arms"), arm), key);
}

TEST(ab_reports_every_arm_as_json)
{
    struct rollout_outcome outcome = {5000, false, 0.75, 1};
    struct json_value *document = NULL;
    const struct json_value *test;
    struct fixture fixture;
    double number = -1;
    int64_t whole = -1;
    bool claim = true;

    open_fixture(&fixture);
    rollout_record(fixture.app.rollout, 1, &outcome);
    rollout_record(fixture.app.rollout, 1, &outcome);
    rollout_record(fixture.app.rollout, 0, &outcome);
    rollout_record(fixture.app.rollout, 0, &outcome);
    rollout_feedback(fixture.app.rollout, 1, true);
    CHECK_OK(call(&fixture, "/api/ab", NULL), fixture.err);
    CHECK_OK(
        json_parse(buf_bytes(&fixture.reply.body), &document, &fixture.err),
        fixture.err);
    CHECK_INT(json_count(json_find(document, "arms")), 2);
    CHECK_TEXT(json_text(find(document, 0, "role")), "control");
    CHECK(json_type(find(document, 0, "test")) == JSON_IS_NULL);
    CHECK(json_type(find(document, 0, "accuracy")) == JSON_IS_NULL);
    CHECK(json_type(find(document, 0, "recommendation")) == JSON_IS_NULL);
    CHECK_TEXT(json_text(find(document, 1, "version")), "v2");
    CHECK(json_whole(find(document, 1, "requests"), &whole) && whole == 2);
    CHECK(json_number(find(document, 1, "latency_p95_ms"), &number));
    CHECK_NEAR(number, 5, 0.05);
    CHECK(json_number(find(document, 1, "accuracy"), &number) && number == 1);
    CHECK_INT(json_count(find(document, 1, "accuracy_interval")), 2);
    test = json_find(find(document, 1, "test"), "error_rate");
    CHECK(json_bool(json_find(test, "is_done"), &claim) && claim);
    CHECK(json_number(json_find(test, "p_value"), &number) && number == 1);
    test = json_find(find(document, 1, "test"), "accuracy");
    CHECK(json_bool(json_find(test, "is_done"), &claim) && !claim);
    CHECK_TEXT(json_text(json_find(document, "recommendation")), "wait");
    CHECK_TEXT(json_text(json_find(document, "recommendation_version")), "v2");
    json_free(document);
    close_fixture(&fixture);
}

TEST(ab_of_one_version_has_no_arms)
{
    struct fixture fixture;
    struct rollout *rollout;

    open_fixture(&fixture);
    rollout = fixture.app.rollout;
    fixture.app.rollout = NULL;
    CHECK_OK(call(&fixture, "/api/ab", NULL), fixture.err);
    CHECK_HAS(fixture.reply.body.data, "\"arms\":[],");
    CHECK_HAS(fixture.reply.body.data, "\"recommendation\":\"keep\"");
    CHECK_ERR(give(&fixture, "{\"request_id\":\"r1\",\"classe\":\"selo\"}"),
              ERR_NOT_FOUND);
    fixture.app.rollout = rollout;
    close_fixture(&fixture);
}
