/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of rows when the process is killed, their file is damaged, or
 * there is no more room. */
#include "writer_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/spill.h"

/* Leaves the file as a kill -9 would that came when `count` rows had been put
 * into it: its bytes of that moment. (A child that starts a thread and is
 * killed is more than the thread sanitizer can follow; tests/contract kills the
 * whole program.) */
static void spill_and_be_killed(struct writer_options options, int count)
{
    struct writer *writer;
    struct err err = {0};
    struct buf bytes;
    char path[300];

    snprintf(path, sizeof path, "%s.live", rows_path);
    options.spill_path = path;
    store_fake_set(true, false);
    writer = rows_start(&options);
    rows_add(writer, 0, count);
    rows_await_spilled(writer, count);
    buf_init(&bytes, SPILL_MAX);
    CHECK_OK(file_read(path, &bytes, &err), err);
    CHECK_OK(file_write(rows_path, buf_bytes(&bytes), &err), err);
    buf_release(&bytes);
    writer_free(writer);
    store_fake_set(false, false);
}

TEST(writer_has_the_rows_in_its_file_after_a_kill)
{
    struct writer_options options = rows_options();
    struct writer *writer;

    spill_and_be_killed(options, 200);
    writer = rows_start(&options);
    rows_add(writer, 200, 250);
    rows_flush(writer);
    rows_check(250);
    CHECK_INT(rows_stats(writer).damaged, 0);
    writer_free(writer);
}

TEST(writer_goes_on_behind_a_torn_end)
{
    struct writer_options options = rows_options();
    struct writer *writer;
    struct stat st;

    spill_and_be_killed(options, 50);
    CHECK_INT(stat(rows_path, &st), 0);
    CHECK_INT(truncate(rows_path, st.st_size - 7), 0);
    writer = rows_start(&options);
    rows_add(writer, 49, 60);
    rows_flush(writer);
    rows_check(60);
    writer_free(writer);
}

TEST(writer_loses_only_the_damaged_row_of_its_file)
{
    struct writer_options options = rows_options();
    struct writer *writer;
    struct stat st;
    int file, i;

    spill_and_be_killed(options, 51);
    CHECK_INT(stat(rows_path, &st), 0);
    file = open(rows_path, O_WRONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK_INT(pwrite(file, "\xee", 1, st.st_size / 2), 1);
    close(file);
    writer = rows_start(&options);
    rows_flush(writer);
    CHECK_INT(store_fake.count, 50);
    for (i = 1; i < 50; i++)
        CHECK(store_fake.rows[i] > store_fake.rows[i - 1]);
    CHECK_INT(rows_stats(writer).damaged, 1);
    CHECK_INT(rows_stats(writer).written, 50);
    writer_free(writer);
}

/* Whole records that are no rows, as another version may have left them. */
TEST(writer_passes_over_records_that_are_no_rows)
{
    struct writer_options options = rows_options();
    struct spill *spill = NULL;
    struct writer *writer;
    struct err err = {0};
    int i;

    store_fake_set(true, false);
    writer = rows_start(&options);
    rows_add(writer, 0, 10);
    writer_free(writer);
    CHECK_OK(spill_open(rows_path, SPILL_MAX, &spill, &err), err);
    for (i = 0; i < 3; i++)
        CHECK_OK(spill_add(spill, bytes_of_text("no row at all"), &err), err);
    spill_close(spill);
    writer = rows_start(&options);
    rows_add(writer, 10, 20);
    rows_await_spilled(writer, 23);
    store_fake_set(false, false);
    rows_flush(writer);
    rows_check(20);
    CHECK_INT(rows_stats(writer).damaged, 3);
    writer_free(writer);
}

TEST(writer_drops_what_neither_memory_nor_file_can_hold)
{
    struct writer_options options = rows_options();
    struct writer *writer;
    int64_t dropped;
    int taken;

    options.queue_max = 10;
    options.spill_len_max = SPILL_LEN_MIN;
    store_fake_set(true, false);
    writer = rows_start(&options);
    taken = rows_add(writer, 0, 10);
    store_fake_await_calls(2);
    while (rows_stats(writer).waiting < 10) {
        taken += rows_add(writer, taken, taken + 1);
        store_fake_await_calls(1);
    }
    CHECK(!rows_add_one(writer, "r9999"));
    dropped = rows_stats(writer).dropped;
    CHECK(dropped >= 1);
    CHECK(rows_stats(writer).spill_len <= SPILL_LEN_MIN);
    CHECK_INT(taken, rows_stats(writer).spill_waiting + 10);
    store_fake_set(false, false);
    rows_flush(writer);
    rows_check(taken);
    CHECK_INT(rows_stats(writer).spill_len, 0);
    writer_free(writer);
}

TEST(writer_refuses_a_file_that_another_writer_has)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options), *other = NULL;
    struct err err = {0};

    CHECK_ERR(writer_new(NULL, &options, &other, &err), ERR_CONFLICT);
    CHECK(other == NULL);
    writer_free(writer);
    writer_free(NULL);
}

TEST(writer_counts_a_row_that_memory_has_no_room_for)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);

    mem_fail_at(1);
    CHECK(!rows_add_one(writer, "r0"));
    mem_fail_at(0);
    CHECK_INT(rows_stats(writer).dropped, 1);
    rows_add(writer, 0, 5);
    rows_flush(writer);
    rows_check(5);
    writer_free(writer);
}

TEST(torture_writer_is_not_made_without_memory)
{
    struct writer_options options = rows_options();
    struct writer *writer = NULL;
    int i;

    for (i = 1; i <= 3; i++) {
        struct err err = {0};

        mem_fail_at(i);
        CHECK_ERR(writer_new(NULL, &options, &writer, &err), ERR_UNAVAILABLE);
        mem_fail_at(0);
        CHECK(writer == NULL);
    }
}

TEST(torture_writer_replays_every_row_though_memory_fails)
{
    struct writer_options options = rows_options();
    struct writer *writer = rows_start(&options);
    int i;

    for (i = 0; i < 12; i++) {
        store_fake_set(true, false);
        rows_add(writer, i * 10, i * 10 + 10);
        rows_await_spilled(writer, 10);
        mem_fail_at(i + 1);
        store_fake_set(false, false);
        rows_flush(writer);
        mem_fail_at(0);
        rows_check(i * 10 + 10);
    }
    writer_free(writer);
}

/* --- many at once --------------------------------------------------------- */

enum { THREADS = 4, ROWS_EACH = 2000 };

struct adder {
    struct writer *writer; /* borrowed */
    int first;
};

static void *add_many(void *argument)
{
    struct adder *adder = argument;
    int i;

    for (i = adder->first; i < adder->first + ROWS_EACH; i++)
        while (rows_add(adder->writer, i, i + 1) == 0)
            store_fake_await_calls(1);
    return NULL;
}

TEST(writer_keeps_each_threads_order_through_failures_and_the_file)
{
    struct writer_options options = rows_options();
    int next[THREADS] = {0};
    struct adder adders[THREADS];
    pthread_t threads[THREADS];
    struct writer *writer;
    int i;

    options.queue_max = 60;
    store_fake_fail_at_times(30);
    writer = rows_start(&options);
    for (i = 0; i < THREADS; i++) {
        adders[i] = (struct adder){writer, i * ROWS_EACH};
        CHECK_INT(pthread_create(&threads[i], NULL, add_many, &adders[i]), 0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rows_flush(writer);
    CHECK(rows_stats(writer).spilled > 0);
    writer_free(writer);
    CHECK_INT(store_fake.count, THREADS * ROWS_EACH);
    for (i = 0; i < store_fake.count; i++) {
        int thread = store_fake.rows[i] / ROWS_EACH;

        CHECK_INT(store_fake.rows[i] % ROWS_EACH, next[thread]);
        next[thread]++;
    }
}
