/* SPDX-License-Identifier: Apache-2.0 */
/* The writer over real databases: what they refuse, and the time that they are
 * away in the middle of a load. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/writer.h"
#include "store_fixture.h"
#include "store_proxy.h"

enum { ROWS = 600, LONG_US = 60 * 1000 * 1000 };

/* The test's database by way of a proxy, migrated. */
static struct store *open_by_proxy(const struct store_fixture *fixture,
                                   struct store_proxy **out_proxy)
{
    const struct store_options options = store_fixture_options();
    bool is_mysql = fixture->scheme[0] == 'm';
    struct store_place place;
    struct store *store = NULL;
    char url[STORE_URL_MAX];
    struct err err = {0};
    int port;

    CHECK_OK(
        store_place_of_server(strstr(fixture->url, "://") + 3, &place, &err),
        err);
    port = place.port != 0 ? place.port : is_mysql ? 3306 : 5432;
    *out_proxy = store_proxy_new(place.host, port);
    snprintf(url, sizeof url, "%s://%s:%s@127.0.0.1:%d/%s", fixture->scheme,
             place.user, place.password, store_proxy_port(*out_proxy),
             place.database);
    store_place_release(&place);
    CHECK_OK(store_open(url, &options, &store, &err), err);
    CHECK_OK(store_migrate(store, NULL, &err), err);
    return store;
}

static struct writer *start(struct store *store)
{
    struct writer_options options = {
        .queue_max = 2 * ROWS,
        .batch_max = 50,
        .flush_ms = 2,
        .stop_ms = 1000,
        .retry_min_ms = 1,
        .retry_max_ms = 5,
        .spill_len_max = 1 << 24,
    };
    struct writer *writer = NULL;
    struct err err = {0};
    char path[256];

    snprintf(path, sizeof path, "%s/spill", test_dir());
    options.spill_path = path;
    CHECK_OK(writer_new(store, &options, &writer, &err), err);
    return writer;
}

/* The rows from..to - 1 of inference_logs, with ids that sort as they do. */
static void add_rows(struct writer *writer, int from, int to)
{
    char id[16];
    int i;

    for (i = from; i < to; i++) {
        struct store_row row = {
            .table = STORE_LOGS,
            .created_ms = 1763726400123 + i,
            .as.log = {.request_id = id, .status = "success"},
        };

        snprintf(id, sizeof id, "r%06d", i);
        CHECK(writer_add(writer, &row));
    }
}

static struct writer_stats stats_of(struct writer *writer)
{
    struct writer_stats stats;

    writer_stats(writer, &stats);
    return stats;
}

static void flush(struct writer *writer)
{
    CHECK(writer_flush(writer, clock_us() + LONG_US));
}

/* A batch whose answer was lost is written again, so a row may be there twice;
 * none may be missing, and the first of each are in order. */
static void check_all_there(struct store *store)
{
#define FIRSTS                                                  \
    "(SELECT request_id, MIN(id) AS place FROM inference_logs " \
    "GROUP BY request_id)"
    CHECK_INT(store_fixture_number(store,
                                   "SELECT COUNT(DISTINCT request_id) FROM "
                                   "inference_logs"),
              ROWS);
    CHECK_INT(store_fixture_number(store, "SELECT COUNT(*) FROM " FIRSTS
                                          " a JOIN " FIRSTS
                                          " b ON b.place < a.place AND "
                                          "b.request_id > a.request_id"),
              0);
#undef FIRSTS
}

EVERY_SERVER(the_writer_loses_nothing_while_the_server_is_away)
{
    struct store_proxy *proxy;
    struct store *store = open_by_proxy(fixture, &proxy);
    struct writer *writer = start(store);
    int i;

    for (i = 0; i < ROWS; i += 200) {
        add_rows(writer, i, i + 50);
        flush(writer);
        add_rows(writer, i + 50, i + 100);
        store_proxy_cut_after(proxy, 1500);
        add_rows(writer, i + 100, i + 150);
        while (!stats_of(writer).is_away)
            CHECK(!writer_flush(writer, clock_us() + 1000));
        add_rows(writer, i + 150, i + 200);
        store_proxy_set(proxy, STORE_PROXY_PASS);
    }
    flush(writer);
    CHECK(stats_of(writer).spilled > 0);
    CHECK_INT(stats_of(writer).dropped + stats_of(writer).rejected, 0);
    check_all_there(store);
    writer_free(writer);
    store_close(store);
    store_proxy_free(proxy);
}

EVERY_SERVER(the_writer_keeps_rows_for_a_server_that_stays_away)
{
    struct store_proxy *proxy;
    struct store *store = open_by_proxy(fixture, &proxy);
    struct writer *writer = start(store);

    store_proxy_set(proxy, STORE_PROXY_CUT);
    add_rows(writer, 0, ROWS / 2);
    writer_free(writer);
    store_proxy_set(proxy, STORE_PROXY_PASS);
    writer = start(store);
    add_rows(writer, ROWS / 2, ROWS);
    flush(writer);
    check_all_there(store);
    CHECK_INT(
        store_fixture_number(store, "SELECT COUNT(*) FROM inference_logs"),
        ROWS);
    writer_free(writer);
    store_close(store);
    store_proxy_free(proxy);
}

EVERY_STORE(the_writer_puts_aside_what_the_database_refuses)
{
    struct store *store = store_fixture_migrated(fixture);
    struct writer *writer = start(store);
    struct store_row nameless = {
        .table = STORE_PREDICTIONS,
        .created_ms = 1763726400123,
        .as.prediction = {.image_path = "a.jpg"}, /* of no class */
    };
    int i;

    for (i = 0; i < ROWS; i += 100) {
        add_rows(writer, i, i + 100);
        CHECK(writer_add(writer, &nameless));
    }
    flush(writer);
    check_all_there(store);
    CHECK_INT(stats_of(writer).written, ROWS);
    CHECK_INT(stats_of(writer).rejected, ROWS / 100);
    CHECK(!stats_of(writer).is_away);
    writer_free(writer);
    store_close(store);
}
