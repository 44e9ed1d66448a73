/* SPDX-License-Identifier: Apache-2.0 */
/* `olho ab`: asks the running server how its versions compare. What it answers
 * (apps/ab_json.h) comes from outside, so that anything may be missing. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fetch.h"
#include "base/json.h"
#include "base/url.h"
#include "cmd/command.h"
#include "cmd/terminal.h"

enum {
    REPLY_LEN_MAX = 1 << 20,
    TIMEOUT_MS = 10000,
    WATCH_MS = 2000,
    CELL_MAX = 48,
    URL_MAX = 1024,
};

/* --- what a report holds --- */

static double number(const struct json_value *object, const char *key)
{
    double value = NAN;

    (void)json_number(json_find(object, key), &value);
    return value;
}

/* Without what could steer a terminal. */
static const char *text(const struct json_value *object, const char *key)
{
    const char *value = json_text(json_find(object, key));

    return value != NULL && url_is_clean_text(value, strlen(value)) ? value
                                                                    : "?";
}

static bool is_true(const struct json_value *object, const char *key)
{
    bool value = false;

    (void)json_bool(json_find(object, key), &value);
    return value;
}

static bool is_of_type(const struct json_value *value, enum json_type type)
{
    return value != NULL && json_type(value) == type;
}

/* One end of an interval. */
static double end_of(const struct json_value *object, const char *key, size_t i)
{
    const struct json_value *list = json_find(object, key);
    double value = NAN;

    if (is_of_type(list, JSON_IS_ARRAY) && json_count(list) == 2)
        (void)json_number(json_at(list, i), &value);
    return value;
}

/* --- the table --- */

/* A number with a unit, "-" when it is unknown. */
static const char *show(char *out, double value, int decimals, const char *unit)
{
    if (isfinite(value))
        snprintf(out, CELL_MAX, "%.*f%s", decimals, value, unit);
    else
        snprintf(out, CELL_MAX, "-");
    return out;
}

static void print_head(void)
{
    char line[160];

    snprintf(line, sizeof line, "%-20s %-10s %8s %9s %9s %9s %8s %10s %9s  %s",
             "version", "role", "weight", "requests", "p50 ms", "p95 ms",
             "errors", "confidence", "agreement", "accuracy (95 %)");
    terminal_bold(line);
    printf("\n");
}

static void print_arm(const struct json_value *arm)
{
    char cell[7][CELL_MAX];
    double accuracy = 100 * number(arm, "accuracy");

    printf("%-20.20s %-10.10s %8s %9s %9s %9s %8s %10s %9s",
           text(arm, "version"),
           is_true(arm, "is_stopped") ? "taken out" : text(arm, "role"),
           show(cell[0], number(arm, "weight"), 2, ""),
           show(cell[1], number(arm, "requests"), 0, ""),
           show(cell[2], number(arm, "latency_p50_ms"), 1, ""),
           show(cell[3], number(arm, "latency_p95_ms"), 1, ""),
           show(cell[4], 100 * number(arm, "error_rate"), 2, " %"),
           show(cell[5], number(arm, "mean_confidence"), 3, ""),
           show(cell[6], 100 * number(arm, "agreement"), 1, " %"));
    if (isfinite(accuracy))
        printf("  %.1f %% (%.1f .. %.1f) of %.0f\n", accuracy,
               100 * end_of(arm, "accuracy_interval", 0),
               100 * end_of(arm, "accuracy_interval", 1),
               number(arm, "feedback"));
    else
        printf("  -\n");
}

static void print_test(const struct json_value *arm, const char *what,
                       const char *key)
{
    const struct json_value *test = json_find(json_find(arm, "test"), key);

    if (!is_of_type(test, JSON_IS_OBJECT))
        return;
    printf("  %-11s", what);
    if (!is_true(test, "is_done")) {
        printf("too little is known\n");
        return;
    }
    printf("%+.2f points (%+.2f .. %+.2f), p = %.3g of %.3g\n",
           100 * number(test, "difference"), 100 * end_of(test, "interval", 0),
           100 * end_of(test, "interval", 1), number(test, "p_value"),
           number(test, "alpha"));
}

static void print_judgement(const struct json_value *arm)
{
    if (json_text(json_find(arm, "recommendation")) == NULL)
        return;
    printf("\n%s against the control: %s\n", text(arm, "version"),
           text(arm, "recommendation"));
    print_test(arm, "errors", "error_rate");
    print_test(arm, "accuracy", "accuracy");
    printf("  %s\n", text(arm, "reason"));
}

static void print_report(const struct json_value *report)
{
    const struct json_value *arms = json_find(report, "arms");
    size_t i, count = is_of_type(arms, JSON_IS_ARRAY) ? json_count(arms) : 0;

    print_head();
    for (i = 0; i < count; i++)
        print_arm(json_at(arms, i));
    for (i = 0; i < count; i++)
        print_judgement(json_at(arms, i));
    printf("\nrecommendation  %s (%s)\n", text(report, "recommendation"),
           text(report, "reason"));
    printf("test            %s; automatic rollback is %s\n",
           text(report, "test"),
           is_true(report, "is_auto_rollback") ? "on" : "off");
}

/* --- asking --- */

struct question {
    struct fetch *fetch; /* owned */
    char url[URL_MAX];
    char key[320]; /* "X-API-Key: ..."; "": none */
};

static int open_question(const struct arguments *arguments,
                         struct question *out, struct err *err)
{
    static const struct fetch_options options = {.connection_max = 1};
    const char *address = arguments_flag(arguments, "address");
    const char *key = arguments_flag(arguments, "key");
    int len;

    if (key == NULL)
        key = getenv("OLHO_KEY");
    if (address != NULL)
        len = snprintf(out->url, sizeof out->url, "%s%sapi/ab", address,
                       address[0] != '\0' && address[strlen(address) - 1] == '/'
                           ? ""
                           : "/");
    else
        len = snprintf(out->url, sizeof out->url, "http://%s:%lld/api/ab",
                       "127.0.0.1", (long long)arguments->config.port);
    if (len >= (int)sizeof out->url)
        return err_set(err, ERR_INVALID, "--address has %d bytes; at most %d",
                       len, URL_MAX - 8);
    if (key != NULL && snprintf(out->key, sizeof out->key, "X-API-Key: %s",
                                key) >= (int)sizeof out->key)
        return err_set(err, ERR_INVALID, "the key has %zu bytes; at most 256",
                       strlen(key));
    return fetch_new(&options, &out->fetch, err);
}

/* The server's own sentence, when it answers with one. */
static int refuse(const struct fetch_reply *reply, struct err *err)
{
    struct json_value *document = NULL;
    struct err ignored = {0};
    enum err_code code = reply->status == 404   ? ERR_NOT_FOUND
                         : reply->status == 401 ? ERR_UNAUTHORIZED
                         : reply->status == 403 ? ERR_FORBIDDEN
                                                : ERR_UNAVAILABLE;

    if (json_parse(buf_bytes(&reply->body), &document, &ignored) == 0)
        err_set(err, code, "the server answers %d: %s", reply->status,
                text(document, "error"));
    else
        err_set(err, code, "the server answers %d", reply->status);
    json_free(document);
    return code;
}

static int ask(const struct question *question, struct fetch_reply *out,
               struct err *err)
{
    const char *headers[] = {question->key};
    struct fetch_request request = {
        .url = question->url,
        .headers = headers,
        .header_count = question->key[0] != '\0',
        .timeout_ms = TIMEOUT_MS,
        .body_len_max = REPLY_LEN_MAX,
    };
    int rc;

    rc = fetch_run(question->fetch, &request, out, err);
    if (rc)
        return rc;
    return out->status == 200 ? 0 : refuse(out, err);
}

static int print_reply(const struct fetch_reply *reply, bool is_json,
                       struct err *err)
{
    struct json_value *document = NULL;
    int rc;

    rc = json_parse(buf_bytes(&reply->body), &document, err);
    if (rc) {
        err->code = ERR_UNAVAILABLE; /* not the user's words are wrong */
        return err_wrap(err, "the server's answer");
    }
    if (is_json)
        printf("%.*s\n", (int)reply->body.len, reply->body.data);
    else
        print_report(document);
    json_free(document);
    return 0;
}

/* Asks once, or again and again until it fails. */
static int run(const struct question *question, bool is_json, bool is_watching,
               struct err *err)
{
    bool is_screen = is_watching && !is_json && isatty(STDOUT_FILENO);
    struct fetch_reply reply = {0};
    int rc;

    for (;;) {
        rc = ask(question, &reply, err);
        if (rc == 0 && is_screen)
            printf("\033[H\033[2J");
        if (rc == 0)
            rc = print_reply(&reply, is_json, err);
        fetch_reply_release(&reply);
        if (rc || !is_watching || fflush(stdout) != 0)
            return rc;
        (void)poll(NULL, 0, WATCH_MS);
    }
}

int command_ab(struct arguments *arguments, struct err *err)
{
    struct question question = {NULL, "", ""};
    int rc;

    rc = open_question(arguments, &question, err);
    if (rc == 0)
        rc = run(&question, arguments_flag(arguments, "json") != NULL,
                 arguments_flag(arguments, "watch") != NULL, err);
    fetch_free(question.fetch);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
