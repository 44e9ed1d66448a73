/* SPDX-License-Identifier: Apache-2.0 */
/* Databases that are away, silent, busy, damaged or somebody else's, and
 * memory that runs out. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store_fixture.h"
#include "store_proxy.h"

static const struct store_row prediction = {
    .table = STORE_PREDICTIONS,
    .created_ms = 1763726400123,
    .as.prediction = {.image_path = "a.jpg",
                      .class_name = "carro",
                      .embedding = (const float[]){0.5f},
                      .embedding_len = 1},
};

/* The test's database by way of a proxy. */
static struct store_proxy *proxy_to(const struct store_fixture *fixture,
                                    char *url)
{
    struct store_place place;
    struct store_proxy *proxy;
    struct err err = {0};

    CHECK_OK(
        store_place_of_server(strstr(fixture->url, "://") + 3, &place, &err),
        err);
    proxy = store_proxy_new(place.host, place.port != 0             ? place.port
                                        : fixture->scheme[0] == 'm' ? 3306
                                                                    : 5432);
    snprintf(url, STORE_URL_MAX, "%s://%s:%s@127.0.0.1:%d/%s", fixture->scheme,
             place.user, place.password, store_proxy_port(proxy),
             place.database);
    store_place_release(&place);
    return proxy;
}

static struct store *open_with(const char *url, struct store_options options)
{
    struct store *store = NULL;
    struct err err = {0};

    CHECK_OK(store_open(url, &options, &store, &err), err);
    return store;
}

static int64_t row_count(struct store *store)
{
    return store_fixture_number(store, "SELECT COUNT(*) FROM predictions");
}

EVERY_SERVER(connections_that_were_cut_are_replaced)
{
    char url[STORE_URL_MAX];
    struct store_proxy *proxy = proxy_to(fixture, url);
    struct store *store = open_with(url, store_fixture_options());
    struct err err = {0};
    int i;

    CHECK_OK(store_migrate(store, NULL, &err), err);
    for (i = 0; i < 3; i++) {
        CHECK_OK(store_write(store, &prediction, 1, &err), err);
        store_proxy_set(proxy, STORE_PROXY_CUT);
        store_proxy_set(proxy, STORE_PROXY_PASS);
    }
    CHECK_INT(row_count(store), 3);
    store_close(store);
    store_proxy_free(proxy);
}

/* Calls until the pause after the last failure is over. */
static void write_until_it_is_back(struct store *store)
{
    enum { PATIENCE_US = 120000000 };
    const int64_t begin_us = clock_us();
    struct err err;
    int rc;

    do {
        err = (struct err){0};
        rc = store_write(store, &prediction, 1, &err);
    } while (rc == ERR_UNAVAILABLE && clock_us() - begin_us < PATIENCE_US);
    CHECK_OK(rc, err);
}

EVERY_SERVER(a_server_that_is_away_is_said_and_comes_back)
{
    char url[STORE_URL_MAX];
    struct store_proxy *proxy = proxy_to(fixture, url);
    struct store *store = open_with(url, store_fixture_options());
    struct err err = {0};
    int i;

    CHECK_OK(store_migrate(store, NULL, &err), err);
    store_proxy_set(proxy, STORE_PROXY_CUT);
    for (i = 0; i < 3; i++) {
        err = (struct err){0};
        CHECK_ERR(store_write(store, &prediction, 1, &err), ERR_UNAVAILABLE);
        CHECK_HAS(err.text, "does not answer");
        CHECK_HAS(err.text, store_name(store));
    }
    store_proxy_set(proxy, STORE_PROXY_PASS);
    write_until_it_is_back(store);
    CHECK_INT(row_count(store), 1);
    store_close(store);
    store_proxy_free(proxy);
}

EVERY_SERVER(a_silent_server_is_given_up)
{
    char url[STORE_URL_MAX];
    struct store_proxy *proxy = proxy_to(fixture, url);
    struct store_options options = store_fixture_options();
    struct store *store;
    struct err err = {0};

    store = open_with(url, options);
    CHECK_OK(store_migrate(store, NULL, &err), err);
    store_close(store);
    options.timeout_ms = 2000;
    store = open_with(url, options);
    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    store_proxy_set(proxy, STORE_PROXY_STALL);
    CHECK_ERR(store_write(store, &prediction, 1, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "in time");
    err = (struct err){0};
    CHECK_ERR(store_ping(store, &err), ERR_UNAVAILABLE);
    store_proxy_set(proxy, STORE_PROXY_CUT);
    store_proxy_set(proxy, STORE_PROXY_PASS);
    write_until_it_is_back(store);
    CHECK_INT(row_count(store), 2);
    store_close(store);
    store_proxy_free(proxy);
}

/* Wherever the connection breaks, all rows of a call are there or none. When
 * the answer to COMMIT is lost they are there and the caller cannot know. */
EVERY_SERVER(a_cut_in_the_middle_leaves_all_rows_or_none)
{
    enum { COUNT = 300 };
    static const int64_t cuts[] = {1,    10,    60,    200,   1000,
                                   5000, 12000, 20000, 30000, 100000};
    char url[STORE_URL_MAX];
    struct store_proxy *proxy = proxy_to(fixture, url);
    struct store *store = open_with(url, store_fixture_options());
    struct store_row *rows = mem_new(COUNT * sizeof *rows);
    int failed = 0, written = 0;
    struct err err = {0};
    size_t i;

    CHECK_OK(store_migrate(store, NULL, &err), err);
    for (i = 0; i < COUNT; i++)
        rows[i] = prediction;
    for (i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        err = (struct err){0};
        store_proxy_cut_after(proxy, cuts[i]);
        if (store_write(store, rows, COUNT, &err) == 0)
            written++;
        else
            failed++;
        store_proxy_set(proxy, STORE_PROXY_PASS);
        write_until_it_is_back(store);
        CHECK_INT((row_count(store) - (int64_t)i - 1) % COUNT, 0);
    }
    CHECK(failed >= 3);
    CHECK(written >= 1);
    CHECK((row_count(store) - 10) / COUNT >= written);
    mem_free(rows);
    store_close(store);
    store_proxy_free(proxy);
}

EVERY_SERVER(a_migration_that_is_cut_anywhere_is_finished_by_the_next)
{
    static const int64_t cuts[] = {50,   400,  900,  1500, 2200, 2500,
                                   2800, 3100, 3500, 4000, 4600, 5200};
    char url[STORE_URL_MAX];
    struct store_proxy *proxy = proxy_to(fixture, url);
    struct store *store = open_with(url, store_fixture_options());
    struct store_state state;
    struct err err = {0};
    int failed = 0;
    size_t i;

    for (i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        err = (struct err){0};
        store_proxy_cut_after(proxy, cuts[i]);
        failed += store_migrate(store, NULL, &err) != 0;
        store_proxy_set(proxy, STORE_PROXY_PASS);
    }
    CHECK(failed >= 3);
    err = (struct err){0};
    CHECK_OK(store_migrate(store, NULL, &err), err);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.version, state.version_latest);
    CHECK(!state.is_adopted);
    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    store_close(store);
    store_proxy_free(proxy);
}

EVERY_SERVER(a_server_that_is_away_cannot_be_opened)
{
    const struct store_options options = store_fixture_options();
    char url[STORE_URL_MAX];
    struct store_proxy *proxy = proxy_to(fixture, url);
    struct store *store = NULL;
    struct err err = {0};

    store_proxy_set(proxy, STORE_PROXY_CUT);
    CHECK_ERR(store_open(url, &options, &store, &err), ERR_UNAVAILABLE);
    CHECK(store == NULL);
    store_proxy_set(proxy, STORE_PROXY_PASS);
    store_close(open_with(url, options));
    store_proxy_free(proxy);
}

EVERY_SERVER(a_wrong_user_is_refused_without_the_password)
{
    const struct store_options options = store_fixture_options();
    struct store_place place;
    struct store *store = NULL;
    char url[STORE_URL_MAX];
    struct err err = {0};

    CHECK_OK(
        store_place_of_server(strstr(fixture->url, "://") + 3, &place, &err),
        err);
    snprintf(url, sizeof url, "%s://ninguem:geheim%%21@%s:%d/%s",
             fixture->scheme, place.host, place.port, place.database);
    store_place_release(&place);
    CHECK_ERR(store_open(url, &options, &store, &err), ERR_UNAVAILABLE);
    CHECK(store == NULL);
    CHECK_HAS(err.text, "refused the user or the password");
    CHECK_HAS(err.text, "ninguem@");
    CHECK(strstr(err.text, "geheim") == NULL);
}

EVERY_SERVER(a_database_that_is_not_there_is_said)
{
    const struct store_options options = store_fixture_options();
    char url[STORE_URL_MAX + 16];
    struct store *store = NULL;
    struct err err = {0};

    snprintf(url, sizeof url, "%s_nao", fixture->url);
    CHECK_ERR(store_open(url, &options, &store, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "is not there");
}

/* The servers of the tests have no certificate. */
EVERY_SERVER(a_server_without_tls_is_refused_where_tls_is_asked_for)
{
    static const char *const asked[] = {"sslmode=require", "sslmode=verify-ca",
                                        "sslmode=verify-full", "ssl=true"};
    const struct store_options options = store_fixture_options();
    char url[STORE_URL_MAX + 64];
    struct store *store = NULL;
    size_t i;

    for (i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        struct err err = {0};

        snprintf(url, sizeof url, "%s?%s", fixture->url, asked[i]);
        CHECK_ERR(store_open(url, &options, &store, &err), ERR_UNAVAILABLE);
        CHECK_HAS(err.text, "TLS");
        CHECK(store == NULL);
    }
    snprintf(url, sizeof url, "%s?sslmode=disable", fixture->url);
    store = open_with(url, options);
    store_close(store);
}

EVERY_STORE(a_call_waits_for_a_connection_no_longer_than_its_time)
{
    struct store_options options = store_fixture_options();
    struct store *store = store_fixture_migrated(fixture);
    struct store_link *first = NULL, *second = NULL;
    struct err err = {0};

    store_close(store);
    options.timeout_ms = 2000;
    store = open_with(fixture->url, options);
    CHECK_OK(store_ping(store, &err), err);
    CHECK_OK(store_take(store, false, clock_us() + 60000000, &first, &err),
             err);
    CHECK_OK(store_take(store, false, clock_us() + 60000000, &second, &err),
             err);
    CHECK_ERR(store_ping(store, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "connections");
    store_give(second);
    err = (struct err){0};
    CHECK_OK(store_ping(store, &err), err);
    store_give(first);
    store_close(store);
}

EVERY_STORE(a_store_for_reading_writes_nothing)
{
    struct store_options options = store_fixture_options();
    struct store *store = store_fixture_migrated(fixture);
    struct store_state state;
    struct err err = {0};

    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    store_close(store);
    options.is_read_only = true;
    store = open_with(fixture->url, options);
    CHECK_ERR(store_write(store, &prediction, 1, &err), ERR_INVALID);
    err = (struct err){0};
    CHECK_ERR(store_migrate(store, NULL, &err), ERR_INVALID);
    err = (struct err){0};
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.rows[STORE_PREDICTIONS], 1);
    store_close(store);
}

EVERY_STORE(a_table_that_is_gone_is_said_and_may_come_back)
{
    struct store *store = store_fixture_migrated(fixture);
    struct err err = {0};

    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    store_fixture_sql(store, "ALTER TABLE predictions RENAME TO moved");
    CHECK_ERR(store_write(store, &prediction, 1, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "lacks a table");
    store_fixture_sql(store, "ALTER TABLE moved RENAME TO predictions");
    err = (struct err){0};
    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    CHECK_INT(row_count(store), 2);
    store_close(store);
}

static int ignore_record(void *user, const struct store_record *record,
                         struct err *err)
{
    (void)record;
    (void)err;
    ++*(int *)user;
    return 0;
}

/* Fails allocation 1, 2, 3... of a write and a reading until none is left to
 * fail. */
EVERY_STORE(torture_without_memory_a_call_fails_and_the_next_works)
{
    enum { COUNT = 20, NTH_MAX = 2000 };
    struct store *store = store_fixture_migrated(fixture);
    struct store_row rows[COUNT];
    int i, written = 0, seen, rc = ERR_UNAVAILABLE;
    struct err err = {0};
    long nth;

    for (i = 0; i < COUNT; i++)
        rows[i] = prediction;
    CHECK_OK(store_ping(store, &err), err);
    for (nth = 1; nth < NTH_MAX; nth++) {
        err = (struct err){0};
        seen = 0;
        mem_fail_at(nth);
        rc = store_write(store, rows, COUNT, &err);
        written += rc == 0 ? COUNT : 0;
        if (rc == 0)
            rc = store_scan_table(store, "predictions", ignore_record, &seen,
                                  &err);
        if (rc == 0 && mem_tries() < nth)
            break;
        mem_fail_at(0);
        CHECK_ERR(rc == 0 ? ERR_UNAVAILABLE : rc, ERR_UNAVAILABLE);
    }
    mem_fail_at(0);
    CHECK_OK(rc, err);
    CHECK(nth > 3 && nth < NTH_MAX);
    CHECK_INT(row_count(store), written);
    store_close(store);
}

/* --- SQLite alone --- */

static void sqlite_url(char *url, const char *name)
{
    snprintf(url, STORE_URL_MAX, "%s/%s", test_dir(), name);
}

static struct store *open_file(const char *path)
{
    struct store *store = open_with(path, store_fixture_options());
    struct err err = {0};

    CHECK_OK(store_migrate(store, NULL, &err), err);
    return store;
}

TEST(store_sqlite_makes_the_folder_of_its_file)
{
    char path[STORE_URL_MAX];

    sqlite_url(path, "a/b/olho.db");
    store_close(open_file(path));
    CHECK(file_exists(path));
}

TEST(store_sqlite_does_not_make_a_file_to_read)
{
    struct store_options options = store_fixture_options();
    struct store *store = NULL;
    char path[STORE_URL_MAX];
    struct err err = {0};

    sqlite_url(path, "none.db");
    options.is_read_only = true;
    CHECK_ERR(store_open(path, &options, &store, &err), ERR_NOT_FOUND);
    CHECK(!file_exists(path));
}

TEST(store_sqlite_refuses_a_file_that_is_no_database)
{
    const struct store_options options = store_fixture_options();
    struct store *store = NULL;
    char path[STORE_URL_MAX];
    struct err err = {0};
    struct buf after;

    sqlite_url(path, "photo.db");
    CHECK_OK(file_write(path,
                        bytes_of_text("this is a photo, and longer than the "
                                      "header of a database file: it has more "
                                      "than one hundred bytes, to be sure."),
                        &err),
             err);
    CHECK_ERR(store_open(path, &options, &store, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "photo.db");
    buf_init(&after, 4096);
    err = (struct err){0};
    CHECK_OK(file_read(path, &after, &err), err);
    CHECK_HAS(after.data, "this is a photo");
    buf_release(&after);
}

TEST(store_sqlite_says_when_its_file_was_removed)
{
    char path[STORE_URL_MAX];
    struct store *store;
    struct err err = {0};

    sqlite_url(path, "olho.db");
    store = open_file(path);
    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    CHECK_INT(unlink(path), 0);
    CHECK_ERR(store_write(store, &prediction, 1, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "cannot be read or written");
    CHECK(!file_exists(path));
    store_close(store);
}

TEST(store_sqlite_waits_for_another_writer_and_gives_up_in_time)
{
    struct store_options options = store_fixture_options();
    struct store_link *link = NULL;
    struct store *other, *store;
    char path[STORE_URL_MAX];
    struct err err = {0};

    sqlite_url(path, "olho.db");
    other = open_file(path);
    options.timeout_ms = 100;
    store = open_with(path, options);
    CHECK_OK(store_ping(store, &err), err);
    CHECK_OK(store_take(other, true, clock_us() + 60000000, &link, &err), err);
    CHECK_OK(store_run_once(link, "BEGIN IMMEDIATE", NULL, NULL, &err), err);
    CHECK_ERR(store_write(store, &prediction, 1, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "locked");
    err = (struct err){0};
    CHECK_INT(row_count(store), 0);
    CHECK_OK(store_run_once(link, "ROLLBACK", NULL, NULL, &err), err);
    store_give(link);
    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    store_close(store);
    store_close(other);
}

TEST(store_sqlite_has_one_writer_and_a_reader_beside_it)
{
    struct store_options options = store_fixture_options();
    struct store_link *writer = NULL;
    char path[STORE_URL_MAX];
    struct store *store;
    struct err err = {0};

    sqlite_url(path, "olho.db");
    store_close(open_file(path));
    options.timeout_ms = 200;
    store = open_with(path, options);
    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    CHECK_OK(store_take(store, true, clock_us() + 60000000, &writer, &err),
             err);
    CHECK_ERR(store_write(store, &prediction, 1, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "in use");
    CHECK_INT(row_count(store), 1);
    store_give(writer);
    err = (struct err){0};
    CHECK_OK(store_write(store, &prediction, 1, &err), err);
    store_close(store);
}

/* What store_write answered with 0 is there after the process was killed. */
TEST(store_sqlite_keeps_what_was_written_over_a_kill)
{
    char path[STORE_URL_MAX];
    struct err err = {0};
    struct store *store;
    int status, i;
    pid_t child;

    sqlite_url(path, "olho.db");
    fflush(stdout);
    child = fork();
    if (child == 0) {
        store = open_file(path);
        for (i = 0; i < 25; i++)
            if (store_write(store, &prediction, 1, &err) != 0)
                _exit(1);
        raise(SIGKILL);
    }
    CHECK(child > 0);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    store = open_file(path);
    CHECK_INT(row_count(store), 25);
    store_close(store);
}
