/* SPDX-License-Identifier: Apache-2.0 */
#include "writer_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { LONG_US = 60 * 1000 * 1000 };

struct store_fake store_fake = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER};
char rows_path[256];

static int number_of(const struct store_row *row)
{
    const char *id = row->as.log.request_id;

    return id[0] == 'r' ? (int)strtol(id + 1, NULL, 10) : -1;
}

static bool is_away_now(void)
{
    return store_fake.is_away ||
           (store_fake.call_count * 37 + 11) % 100 < store_fake.away_percent;
}

static int take_rows(const struct store_row *rows, int count, struct err *err)
{
    int i;

    if (is_away_now() || (store_fake.room > 0 && count > store_fake.room))
        return err_set(err, ERR_UNAVAILABLE, "the database is away");
    for (i = 0; i < count; i++)
        if (number_of(&rows[i]) < 0)
            return err_set(err, ERR_UNPROCESSABLE, "status is too bad");
    if (count > store_fake.count_max)
        store_fake.count_max = count;
    for (i = 0; i < count && store_fake.count < ROWS_MAX; i++)
        store_fake.rows[store_fake.count++] = number_of(&rows[i]);
    return 0;
}

static int database_write(void *user, const struct store_row *rows, int count,
                          struct err *err)
{
    int rc;

    (void)user;
    pthread_mutex_lock(&store_fake.mutex);
    store_fake.call_count++;
    pthread_cond_broadcast(&store_fake.changed);
    while (store_fake.is_held)
        pthread_cond_wait(&store_fake.changed, &store_fake.mutex);
    rc = take_rows(rows, count, err);
    pthread_mutex_unlock(&store_fake.mutex);
    return rc;
}

void store_fake_set(bool is_away, bool is_held)
{
    pthread_mutex_lock(&store_fake.mutex);
    store_fake.is_away = is_away;
    store_fake.is_held = is_held;
    pthread_cond_broadcast(&store_fake.changed);
    pthread_mutex_unlock(&store_fake.mutex);
}

static void reset(void)
{
    pthread_mutex_lock(&store_fake.mutex);
    store_fake.is_away = store_fake.is_held = false;
    store_fake.away_percent = store_fake.call_count = store_fake.room = 0;
    store_fake.count_max = store_fake.count = 0;
    pthread_mutex_unlock(&store_fake.mutex);
}

void store_fake_fail_at_times(int percent)
{
    pthread_mutex_lock(&store_fake.mutex);
    store_fake.is_away = false;
    store_fake.away_percent = percent;
    pthread_mutex_unlock(&store_fake.mutex);
}

void store_fake_await_call(int wanted)
{
    pthread_mutex_lock(&store_fake.mutex);
    while (store_fake.call_count < wanted)
        pthread_cond_wait(&store_fake.changed, &store_fake.mutex);
    pthread_mutex_unlock(&store_fake.mutex);
}

void store_fake_await_calls(int more)
{
    int wanted;

    pthread_mutex_lock(&store_fake.mutex);
    wanted = store_fake.call_count + more;
    while (store_fake.call_count < wanted)
        pthread_cond_wait(&store_fake.changed, &store_fake.mutex);
    pthread_mutex_unlock(&store_fake.mutex);
}

struct writer_options rows_options(void)
{
    reset();
    snprintf(rows_path, sizeof rows_path, "%s/spill", test_dir());
    return (struct writer_options){
        .queue_max = 1000,
        .batch_max = 20,
        .flush_ms = 1,
        .stop_ms = 20000,
        .retry_min_ms = 1,
        .retry_max_ms = 2,
        .spill_path = rows_path,
        .spill_len_max = SPILL_MAX,
        .write = database_write,
    };
}

struct writer *rows_start(const struct writer_options *options)
{
    struct writer *writer = NULL;
    struct err err = {0};

    CHECK_OK(writer_new(NULL, options, &writer, &err), err);
    return writer;
}

bool rows_add_one(struct writer *writer, const char *id)
{
    struct store_row row = {.table = STORE_LOGS, .as.log.request_id = id};

    return writer_add(writer, &row);
}

int rows_add(struct writer *writer, int from, int to)
{
    char id[16];
    int i, taken = 0;

    for (i = from; i < to; i++) {
        snprintf(id, sizeof id, "r%d", i);
        taken += rows_add_one(writer, id);
    }
    return taken;
}

struct writer_stats rows_stats(struct writer *writer)
{
    struct writer_stats stats;

    writer_stats(writer, &stats);
    return stats;
}

void rows_await_spilled(struct writer *writer, int64_t count)
{
    while (rows_stats(writer).spill_waiting < count)
        store_fake_await_calls(1);
}

void rows_flush(struct writer *writer)
{
    CHECK(writer_flush(writer, clock_us() + LONG_US));
}

void rows_check(int count)
{
    int i;

    CHECK_INT(store_fake.count, count);
    for (i = 0; i < count; i++)
        CHECK_INT(store_fake.rows[i], i);
}
