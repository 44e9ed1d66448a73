/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

static char path[FILE_PATH_MAX];
static struct buf text;

static void start(enum log_level level, enum log_format format)
{
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), "log", path, &err), err);
    CHECK_OK(log_open(level, format, path, &err), err);
}

/* All that was logged. */
static const char *logged(void)
{
    struct err err = {0};

    buf_release(&text);
    buf_init(&text, 8 << 20);
    CHECK_OK(file_read(path, &text, &err), err);
    return text.data;
}

/* Back to standard error, for the tests that follow. */
static void finish(void)
{
    struct err err = {0};

    log_set_request(NULL);
    CHECK_OK(log_open(LOG_INFO, LOG_FORMAT_TEXT, NULL, &err), err);
    buf_release(&text);
}

TEST(log_text_has_time_level_message_and_fields)
{
    start(LOG_DEBUG, LOG_FORMAT_TEXT);
    log_write(LOG_WARN, "cache is away", log_text("url", "http://x/?a"),
              log_integer("retry_ms", -5), log_real("load", 0.25));
    logged();
    CHECK_INT(text.data[4], '-');
    CHECK_TEXT(text.data + 23,
               "Z warn cache is away url=http://x/?a retry_ms=-5 load=0.25\n");
    finish();
}

TEST(log_text_quotes_what_would_be_read_wrongly)
{
    start(LOG_INFO, LOG_FORMAT_TEXT);
    log_write(LOG_INFO, "m", log_text("a", "two words"), log_text("b", ""),
              log_text("c", "x=y"), log_text("d", "say \"hi\"\n"),
              log_text("e", NULL), log_text("f", "\xff"));
    CHECK_HAS(logged(), " info m a=\"two words\" b=\"\" c=\"x=y\" "
                        "d=\"say \\\"hi\\\"\\n\" e=\"\" f=\"\xef\xbf\xbd\"\n");
    finish();
}

TEST(log_cannot_be_made_to_start_a_line)
{
    start(LOG_INFO, LOG_FORMAT_TEXT);
    log_set_request("id\nfake");
    log_write(LOG_INFO, "message\nfake", log_text("k", "v\nfake"));
    logged();
    CHECK_INT(strchr(text.data, '\n') - text.data, text.len - 1);
    finish();
}

TEST(log_json_lines_are_json)
{
    struct json_value *line = NULL;
    struct err err = {0};
    double real = 0;

    start(LOG_INFO, LOG_FORMAT_JSON);
    log_set_request("req-1");
    log_write(LOG_ERROR, "it \"broke\"", log_text("why", "a\nb\xff"),
              log_integer("n", 7), log_real("x", 1.5),
              log_real("bad", (double)INFINITY));
    logged();
    CHECK_OK(json_parse(buf_bytes(&text), &line, &err), err);
    CHECK_TEXT(json_text(json_find(line, "level")), "error");
    CHECK_TEXT(json_text(json_find(line, "message")), "it \"broke\"");
    CHECK_TEXT(json_text(json_find(line, "request_id")), "req-1");
    CHECK_TEXT(json_text(json_find(line, "why")), "a\nb\xef\xbf\xbd");
    CHECK(json_number(json_find(line, "n"), &real));
    CHECK_NEAR(real, 7, 0);
    CHECK(json_number(json_find(line, "x"), &real));
    CHECK_NEAR(real, 1.5, 0);
    CHECK_INT(json_type(json_find(line, "bad")), JSON_IS_NULL);
    CHECK_INT(strlen(json_text(json_find(line, "time"))), 24);
    json_free(line);
    finish();
}

TEST(log_leaves_out_what_is_below_its_level)
{
    start(LOG_WARN, LOG_FORMAT_TEXT);
    CHECK(!log_is_on(LOG_INFO));
    log_write(LOG_INFO, "quiet");
    log_write(LOG_WARN, "loud");
    log_set_level(LOG_OFF);
    log_write(LOG_ERROR, "off");
    CHECK_TEXT(logged() + 23, "Z warn loud\n");
    finish();
}

static void *log_without_id(void *user)
{
    (void)user;
    log_write(LOG_INFO, "other thread");
    return NULL;
}

TEST(log_request_id_belongs_to_its_thread)
{
    pthread_t thread;

    start(LOG_INFO, LOG_FORMAT_TEXT);
    log_set_request("abc");
    log_write(LOG_INFO, "mine", log_integer("n", 1));
    CHECK_INT(pthread_create(&thread, NULL, log_without_id, NULL), 0);
    pthread_join(thread, NULL);
    CHECK_HAS(logged(), " info mine request_id=abc n=1\n");
    CHECK_HAS(text.data, " info other thread\n");
    finish();
}

TEST(log_cuts_long_values_at_a_character_and_bounds_the_line)
{
    static char huge[10001];
    struct json_value *line = NULL;
    struct err err = {0};
    size_t i;

    for (i = 0; i + 1 < sizeof huge; i += 2)
        memcpy(huge + i, "\xc3\xa9", 2);
    start(LOG_INFO, LOG_FORMAT_JSON);
    log_write(LOG_INFO, huge, log_text("a", huge + 1), log_text("b", huge),
              log_integer("c", 3));
    logged();
    CHECK(text.len <= 4096);
    CHECK_OK(json_parse(buf_bytes(&text), &line, &err), err);
    CHECK_INT(strlen(json_text(json_find(line, "message"))), 500);
    CHECK(json_find(line, "a") != NULL);
    json_free(line);
    finish();
}

TEST(log_line_of_escapes_stays_within_its_bound)
{
    static char controls[3000];
    struct json_value *line = NULL;
    struct err err = {0};
    int format;

    memset(controls, '\x01', sizeof controls - 1);
    for (format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        start(LOG_INFO, (enum log_format)format);
        log_set_request(controls);
        log_write(LOG_INFO, controls, log_integer("n", 1),
                  log_text("a", controls), log_integer("m", 2));
        logged();
        CHECK(text.len <= 4096);
        CHECK_INT(text.data[text.len - 1], '\n');
        if (format == LOG_FORMAT_TEXT) {
            CHECK_HAS(text.data, " n=1\n");
            CHECK_INT(unlink(path), 0);
        }
    }
    CHECK_OK(json_parse(buf_bytes(&text), &line, &err), err);
    CHECK(json_find(line, "n") != NULL && json_find(line, "a") == NULL);
    json_free(line);
    finish();
}

TEST(log_reopen_goes_on_in_a_new_file)
{
    char moved[FILE_PATH_MAX];
    struct err err = {0};

    start(LOG_INFO, LOG_FORMAT_TEXT);
    CHECK_OK(file_join(test_dir(), "log.1", moved, &err), err);
    log_write(LOG_INFO, "first");
    CHECK_INT(rename(path, moved), 0);
    log_reopen();
    log_write(LOG_INFO, "second");
    CHECK_TEXT(logged() + 23, "Z info second\n");
    memcpy(path, moved, sizeof path);
    CHECK_TEXT(logged() + 23, "Z info first\n");
    finish();
    log_reopen();
}

TEST(log_open_that_fails_leaves_the_log_as_it_was)
{
    struct err err = {0};

    start(LOG_INFO, LOG_FORMAT_TEXT);
    CHECK_ERR(log_open(LOG_OFF, LOG_FORMAT_JSON, "no/such/folder/log", &err),
              ERR_IO);
    CHECK_HAS(err.text, "no/such/folder/log");
    log_write(LOG_INFO, "still here");
    CHECK_HAS(logged(), " info still here\n");
    finish();
}

TEST(log_keeps_errno)
{
    start(LOG_INFO, LOG_FORMAT_TEXT);
    errno = ENOENT;
    log_write(LOG_INFO, "x");
    CHECK_INT(errno, ENOENT);
    finish();
}

enum { THREADS = 4, LINES = 500 };

static void *log_many(void *name)
{
    char id[16];
    int i;

    snprintf(id, sizeof id, "id-%s", (const char *)name);
    log_set_request(id);
    for (i = 0; i < LINES; i++)
        log_write(LOG_INFO, "line", log_text("by", name), log_integer("i", i));
    log_set_request(NULL);
    return NULL;
}

TEST(log_lines_of_several_threads_do_not_mix_nor_get_lost)
{
    static const char *const names[THREADS] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    char id[8], by[8];
    const char *line;
    int i, n, count = 0;

    start(LOG_INFO, LOG_FORMAT_TEXT);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, log_many,
                                 (void *)(uintptr_t)names[i]),
                  0);
    for (i = 0; i < 20; i++)
        log_reopen();
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (line = logged(); line != NULL && *line != '\0'; count++) {
        CHECK_INT(sscanf(line + 23, "Z info line request_id=id-%1s by=%1s i=%d",
                         id, by, &n),
                  3);
        CHECK_TEXT(id, by);
        line = strchr(line, '\n');
        CHECK(line != NULL);
        line++;
    }
    CHECK_INT(count, THREADS * LINES);
    finish();
}
