/* SPDX-License-Identifier: Apache-2.0 */
#include "writer_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "obs/metrics.h"

TEST(writer_writes_rows_in_order_and_in_batches)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);

    CHECK_INT(rows_add(writer, 0, 500), 500);
    rows_flush(writer);
    rows_check(500);
    CHECK_INT(rows_stats(writer).written, 500);
    CHECK_INT(rows_stats(writer).waiting, 0);
    CHECK_INT(rows_stats(writer).spilled, 0);
    CHECK(store_fake.count_max <= 20);
    writer_free(writer);
}

/* On the writer's thread. */
static int look_at_copy(void *user, const struct store_row *rows, int count,
                        struct err *err)
{
    const struct store_prediction *got = &rows[0].as.prediction;
    bool *is_same = user;

    (void)err;
    *is_same = count == 1 && rows[0].created_ms == 99 &&
               strcmp(got->image_path, "a.jpg") == 0 &&
               got->embedding_len == 2 && got->embedding[0] == 0.5f &&
               got->embedding[1] == -2.0f && got->class_name == NULL;
    return 0;
}

TEST(writer_copies_what_it_is_given)
{
    struct writer_options options = rows_options();
    float embedding[] = {0.5f, -2.0f};
    char text[] = "a.jpg";
    struct store_row row = {.table = STORE_PREDICTIONS,
                            .created_ms = 99,
                            .as.prediction = {.image_path = text,
                                              .embedding = embedding,
                                              .embedding_len = 2}};
    struct writer *writer;
    bool is_same = false;

    options.write = look_at_copy;
    options.write_user = &is_same;
    writer = rows_start(&options);
    CHECK(writer_add(writer, &row));
    memset(text, 'x', sizeof text);
    embedding[0] = embedding[1] = 7;
    rows_flush(writer);
    CHECK(is_same);
    writer_free(writer);
}

TEST(writer_takes_rows_up_to_its_bound_while_the_database_is_slow)
{
    struct writer_options options = rows_options();
    double before = metrics_get(METRIC_STORE_ROWS, "dropped", NULL);
    struct writer *writer;

    options.queue_max = 100;
    options.spill_path = NULL;
    writer = rows_start(&options);
    store_fake_set(false, true);
    CHECK_INT(rows_add(writer, 0, 130), 100);
    CHECK_INT(rows_stats(writer).dropped, 30);
    CHECK_NEAR(metrics_get(METRIC_STORE_ROWS, "dropped", NULL) - before, 30, 0);
    store_fake_set(false, false);
    rows_flush(writer);
    rows_check(100);
    writer_free(writer);
}

TEST(writer_bounds_the_bytes_that_wait)
{
    struct writer_options options = rows_options();
    struct writer *writer;
    int taken;

    options.queue_len_max = 10000;
    options.spill_path = NULL;
    writer = rows_start(&options);
    store_fake_set(false, true);
    taken = rows_add(writer, 0, 1000);
    CHECK(taken > 10 && taken < 150);
    CHECK(rows_stats(writer).waiting_len <= 10000);
    store_fake_set(false, false);
    rows_flush(writer);
    rows_check(taken);
    writer_free(writer);
}

TEST(writer_replays_what_it_kept_before_newer_rows)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);
    struct writer_stats stats;

    rows_add(writer, 0, 10);
    rows_flush(writer);
    store_fake_set(true, false);
    rows_add(writer, 10, 100);
    rows_await_spilled(writer, 90);
    stats = rows_stats(writer);
    CHECK(stats.is_away);
    CHECK_INT(stats.waiting, 0);
    CHECK(stats.spill_len > 90 * 16);
    CHECK_NEAR(metrics_get(METRIC_STORE_AWAY, NULL, NULL), 1, 0);
    CHECK_NEAR(metrics_get(METRIC_STORE_SPILL_ROWS, NULL, NULL), 90, 0);
    rows_add(writer, 100, 150);
    store_fake_set(false, false);
    rows_add(writer, 150, 300);
    rows_flush(writer);
    rows_check(300);
    stats = rows_stats(writer);
    CHECK(!stats.is_away);
    CHECK(stats.spilled >= 90);
    CHECK_INT(stats.written, 300);
    CHECK_INT(stats.spill_waiting, 0);
    CHECK_INT(stats.spill_len, 0);
    CHECK_NEAR(metrics_get(METRIC_STORE_AWAY, NULL, NULL), 0, 0);
    CHECK_NEAR(metrics_get(METRIC_STORE_SPILL_BYTES, NULL, NULL), 0, 0);
    writer_free(writer);
}

TEST(writer_moves_rows_to_the_file_when_memory_is_half_full)
{
    struct writer_options options = rows_options();
    struct writer *writer;

    options.queue_max = 100;
    writer = rows_start(&options);
    store_fake_set(false, true);
    rows_add(writer, 0, 1);
    store_fake_await_call(1);
    CHECK_INT(rows_add(writer, 1, 100), 99);
    store_fake_set(false, false);
    rows_flush(writer);
    rows_check(100);
    CHECK(rows_stats(writer).spilled > 0);
    writer_free(writer);
}

TEST(writer_does_not_wait_for_a_batch_that_memory_cannot_hold)
{
    struct writer_options options = rows_options();
    struct writer *writer;

    options.queue_max = 8;
    options.flush_ms = 60000;
    writer = rows_start(&options);
    CHECK_INT(rows_add(writer, 0, 5), 5);
    store_fake_await_call(1);
    writer_free(writer);
    rows_check(5);
}

/* As a server does that closes the connection on a query too long for it. */
TEST(writer_gets_along_with_a_database_that_cuts_off_large_batches)
{
    struct writer_options options = rows_options();
    struct writer *writer;

    store_fake.room = 5;
    writer = rows_start(&options);
    store_fake_set(false, true);
    rows_add(writer, 0, 200);
    store_fake_set(false, false);
    rows_flush(writer);
    rows_check(200);
    CHECK(store_fake.count_max >= 4);
    writer_free(writer);
}

TEST(writer_flush_says_when_rows_still_wait)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);

    store_fake_set(true, false);
    rows_add(writer, 0, 3);
    CHECK(!writer_flush(writer, clock_us()));
    store_fake_await_calls(2);
    CHECK(!writer_flush(writer, clock_us() + 2000));
    store_fake_set(false, false);
    rows_flush(writer);
    rows_check(3);
    writer_free(writer);
}

/* --- what the database refuses -------------------------------------------- */

static void check_rejected(const char *file, int count)
{
    struct err err = {0};
    struct buf text;
    const char *at;

    buf_init(&text, 1 << 16);
    CHECK_OK(file_read(file, &text, &err), err);
    for (at = text.data; (at = strstr(at, "\"request_id\":\"bad\"")); at++)
        count--;
    CHECK_INT(count, 0);
    CHECK_HAS(text.data, "\"error\":\"status is too bad\"");
    CHECK_HAS(text.data, "\"table\":\"inference_logs\"");
    buf_release(&text);
}

/* Three good ones, a bad one, and so on. */
static void add_mixed(struct writer *writer, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        rows_add(writer, i, i + 1);
        if (i % 3 == 2)
            CHECK(rows_add_one(writer, "bad"));
    }
}

TEST(writer_puts_refused_rows_aside_and_goes_on)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);
    char rejects[300];

    add_mixed(writer, 60);
    rows_flush(writer);
    rows_check(60);
    CHECK_INT(rows_stats(writer).written, 60);
    CHECK_INT(rows_stats(writer).rejected, 20);
    CHECK(!rows_stats(writer).is_away);
    snprintf(rejects, sizeof rejects, "%s.rejected", rows_path);
    check_rejected(rejects, 20);
    writer_free(writer);
}

TEST(writer_puts_refused_rows_of_the_file_aside)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);
    char rejects[300];

    store_fake_set(true, false);
    add_mixed(writer, 60);
    rows_await_spilled(writer, 80);
    store_fake_fail_at_times(30);
    rows_flush(writer);
    rows_check(60);
    CHECK_INT(rows_stats(writer).rejected, 20);
    snprintf(rejects, sizeof rejects, "%s.rejected", rows_path);
    check_rejected(rejects, 20);
    writer_free(writer);
}

TEST(writer_without_a_file_counts_refused_rows)
{
    struct writer_options options = rows_options();
    struct writer *writer;

    options.spill_path = NULL;
    writer = rows_start(&options);
    add_mixed(writer, 3);
    rows_flush(writer);
    CHECK_INT(rows_stats(writer).rejected, 1);
    writer_free(writer);
    CHECK(!file_exists(rows_path));
}

/* --- the end -------------------------------------------------------------- */

TEST(writer_free_writes_what_waits)
{
    struct writer_options options = rows_options();
    struct writer *writer;

    options.flush_ms = 60000;
    options.batch_max = 1000;
    writer = rows_start(&options);
    rows_add(writer, 0, 15);
    writer_free(writer);
    rows_check(15);
}

TEST(writer_free_keeps_rows_that_the_database_did_not_take)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);

    store_fake_set(true, false);
    rows_add(writer, 0, 70);
    writer_free(writer);
    CHECK_INT(store_fake.count, 0);
    store_fake_set(false, false);
    writer = rows_start(&options);
    rows_add(writer, 70, 90);
    rows_flush(writer);
    rows_check(90);
    writer_free(writer);
}

TEST(writer_free_without_time_keeps_all_rows)
{
    struct writer_options options = rows_options();
    struct writer *writer;

    options.stop_ms = 0;
    options.flush_ms = 60000;
    options.batch_max = 1000;
    writer = rows_start(&options);
    rows_add(writer, 0, 70);
    writer_free(writer);
    CHECK_INT(store_fake.count, 0);
    writer = rows_start(&options);
    rows_flush(writer);
    rows_check(70);
    writer_free(writer);
}

TEST(writer_without_a_file_counts_what_it_loses_at_the_end)
{
    struct writer_options options = rows_options();
    double before = metrics_get(METRIC_STORE_ROWS, "dropped", NULL);
    struct writer *writer;

    options.spill_len_max = 0;
    options.stop_ms = 5;
    store_fake_set(true, false);
    writer = rows_start(&options);
    rows_add(writer, 0, 9);
    writer_free(writer);
    CHECK_NEAR(metrics_get(METRIC_STORE_ROWS, "dropped", NULL) - before, 9, 0);
    CHECK(!file_exists(rows_path));
}
