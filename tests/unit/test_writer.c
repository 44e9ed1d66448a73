/* SPDX-License-Identifier: Apache-2.0 */
/* The writer over a database that can be away, slow and particular. */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "obs/metrics.h"
#include "store/spill.h"
#include "store/writer.h"

enum { ROWS_MAX = 20000, LONG_US = 60 * 1000 * 1000, SPILL_MAX = 1 << 24 };

/* Keeps the numbers of the rows that it was given; a row is number N by its
 * request id "rN", and one whose id is "bad" is refused. */
static struct database {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    bool is_away, is_held;
    int away_percent; /* of the calls that find it away nevertheless */
    int call_count;
    int count_max; /* rows of the largest batch */
    int count;
    int rows[ROWS_MAX];
} database = {.mutex = PTHREAD_MUTEX_INITIALIZER,
              .changed = PTHREAD_COND_INITIALIZER};

static int number_of(const struct store_row *row)
{
    const char *id = row->as.log.request_id;

    return id[0] == 'r' ? (int)strtol(id + 1, NULL, 10) : -1;
}

static bool is_away_now(void)
{
    return database.is_away ||
           (database.call_count * 37 + 11) % 100 < database.away_percent;
}

static int take_rows(const struct store_row *rows, int count, struct err *err)
{
    int i;

    if (is_away_now())
        return err_set(err, ERR_UNAVAILABLE, "the database is away");
    for (i = 0; i < count; i++)
        if (number_of(&rows[i]) < 0)
            return err_set(err, ERR_UNPROCESSABLE, "status is too bad");
    if (count > database.count_max)
        database.count_max = count;
    for (i = 0; i < count && database.count < ROWS_MAX; i++)
        database.rows[database.count++] = number_of(&rows[i]);
    return 0;
}

static int database_write(void *user, const struct store_row *rows, int count,
                          struct err *err)
{
    int rc;

    (void)user;
    pthread_mutex_lock(&database.mutex);
    database.call_count++;
    pthread_cond_broadcast(&database.changed);
    while (database.is_held)
        pthread_cond_wait(&database.changed, &database.mutex);
    rc = take_rows(rows, count, err);
    pthread_mutex_unlock(&database.mutex);
    return rc;
}

static void set(bool is_away, bool is_held)
{
    pthread_mutex_lock(&database.mutex);
    database.is_away = is_away;
    database.is_held = is_held;
    pthread_cond_broadcast(&database.changed);
    pthread_mutex_unlock(&database.mutex);
}

static void reset(void)
{
    pthread_mutex_lock(&database.mutex);
    database.is_away = database.is_held = false;
    database.away_percent = database.call_count = 0;
    database.count_max = database.count = 0;
    pthread_mutex_unlock(&database.mutex);
}

static void be_away_at_times(int percent)
{
    pthread_mutex_lock(&database.mutex);
    database.is_away = false;
    database.away_percent = percent;
    pthread_mutex_unlock(&database.mutex);
}

/* Waits until there were so many calls. */
static void await_call(int wanted)
{
    pthread_mutex_lock(&database.mutex);
    while (database.call_count < wanted)
        pthread_cond_wait(&database.changed, &database.mutex);
    pthread_mutex_unlock(&database.mutex);
}

/* Waits for `more` further calls. */
static void await_calls(int more)
{
    int wanted;

    pthread_mutex_lock(&database.mutex);
    wanted = database.call_count + more;
    while (database.call_count < wanted)
        pthread_cond_wait(&database.changed, &database.mutex);
    pthread_mutex_unlock(&database.mutex);
}

static char path[256];

/* Each test's own file; options that it may change. */
static struct writer_options fresh(void)
{
    reset();
    snprintf(path, sizeof path, "%s/spill", test_dir());
    return (struct writer_options){
        .queue_max = 1000,
        .batch_max = 20,
        .flush_ms = 1,
        .stop_ms = 20000,
        .retry_min_ms = 1,
        .retry_max_ms = 2,
        .spill_path = path,
        .spill_len_max = SPILL_MAX,
        .write = database_write,
    };
}

static struct writer *started(const struct writer_options *options)
{
    struct writer *writer = NULL;
    struct err err = {0};

    CHECK_OK(writer_new(NULL, options, &writer, &err), err);
    return writer;
}

static bool add_row(struct writer *writer, const char *id)
{
    struct store_row row = {.table = STORE_LOGS, .as.log.request_id = id};

    return writer_add(writer, &row);
}

/* Rows from..to - 1; answers how many were taken. */
static int add_rows(struct writer *writer, int from, int to)
{
    char id[16];
    int i, taken = 0;

    for (i = from; i < to; i++) {
        snprintf(id, sizeof id, "r%d", i);
        taken += add_row(writer, id);
    }
    return taken;
}

static struct writer_stats stats_of(struct writer *writer)
{
    struct writer_stats stats;

    writer_stats(writer, &stats);
    return stats;
}

static void await_spilled(struct writer *writer, int64_t count)
{
    while (stats_of(writer).spill_waiting < count)
        await_calls(1);
}

static void flush(struct writer *writer)
{
    CHECK(writer_flush(writer, clock_us() + LONG_US));
}

static void check_rows(int count)
{
    int i;

    CHECK_INT(database.count, count);
    for (i = 0; i < count; i++)
        CHECK_INT(database.rows[i], i);
}

TEST(writer_writes_rows_in_order_and_in_batches)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options);

    CHECK_INT(add_rows(writer, 0, 500), 500);
    flush(writer);
    check_rows(500);
    CHECK_INT(stats_of(writer).written, 500);
    CHECK_INT(stats_of(writer).waiting, 0);
    CHECK_INT(stats_of(writer).spilled, 0);
    CHECK(database.count_max <= 20);
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
    struct writer_options options = fresh();
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
    writer = started(&options);
    CHECK(writer_add(writer, &row));
    memset(text, 'x', sizeof text);
    embedding[0] = embedding[1] = 7;
    flush(writer);
    CHECK(is_same);
    writer_free(writer);
}

TEST(writer_takes_rows_up_to_its_bound_while_the_database_is_slow)
{
    struct writer_options options = fresh();
    double before = metrics_get(METRIC_STORE_ROWS, "dropped", NULL);
    struct writer *writer;

    options.queue_max = 100;
    options.spill_path = NULL;
    writer = started(&options);
    set(false, true);
    CHECK_INT(add_rows(writer, 0, 130), 100);
    CHECK_INT(stats_of(writer).dropped, 30);
    CHECK_NEAR(metrics_get(METRIC_STORE_ROWS, "dropped", NULL) - before, 30, 0);
    set(false, false);
    flush(writer);
    check_rows(100);
    writer_free(writer);
}

TEST(writer_bounds_the_bytes_that_wait)
{
    struct writer_options options = fresh();
    struct writer *writer;
    int taken;

    options.queue_len_max = 10000;
    options.spill_path = NULL;
    writer = started(&options);
    set(false, true);
    taken = add_rows(writer, 0, 1000);
    CHECK(taken > 10 && taken < 150);
    CHECK(stats_of(writer).waiting_len <= 10000);
    set(false, false);
    flush(writer);
    check_rows(taken);
    writer_free(writer);
}

TEST(writer_replays_what_it_kept_before_newer_rows)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options);
    struct writer_stats stats;

    add_rows(writer, 0, 10);
    flush(writer);
    set(true, false);
    add_rows(writer, 10, 100);
    await_spilled(writer, 90);
    stats = stats_of(writer);
    CHECK(stats.is_away);
    CHECK_INT(stats.waiting, 0);
    CHECK(stats.spill_len > 90 * 16);
    CHECK_NEAR(metrics_get(METRIC_STORE_AWAY, NULL, NULL), 1, 0);
    CHECK_NEAR(metrics_get(METRIC_STORE_SPILL_ROWS, NULL, NULL), 90, 0);
    add_rows(writer, 100, 150);
    set(false, false);
    add_rows(writer, 150, 300);
    flush(writer);
    check_rows(300);
    stats = stats_of(writer);
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
    struct writer_options options = fresh();
    struct writer *writer;

    options.queue_max = 100;
    writer = started(&options);
    set(false, true);
    add_rows(writer, 0, 1);
    await_call(1);
    CHECK_INT(add_rows(writer, 1, 100), 99);
    set(false, false);
    flush(writer);
    check_rows(100);
    CHECK(stats_of(writer).spilled > 0);
    writer_free(writer);
}

TEST(writer_flush_says_when_rows_still_wait)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options);

    set(true, false);
    add_rows(writer, 0, 3);
    CHECK(!writer_flush(writer, clock_us()));
    await_calls(2);
    CHECK(!writer_flush(writer, clock_us() + 2000));
    set(false, false);
    flush(writer);
    check_rows(3);
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
        add_rows(writer, i, i + 1);
        if (i % 3 == 2)
            CHECK(add_row(writer, "bad"));
    }
}

TEST(writer_puts_refused_rows_aside_and_goes_on)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options);
    char rejects[300];

    add_mixed(writer, 60);
    flush(writer);
    check_rows(60);
    CHECK_INT(stats_of(writer).written, 60);
    CHECK_INT(stats_of(writer).rejected, 20);
    CHECK(!stats_of(writer).is_away);
    snprintf(rejects, sizeof rejects, "%s.rejected", path);
    check_rejected(rejects, 20);
    writer_free(writer);
}

TEST(writer_puts_refused_rows_of_the_file_aside)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options);
    char rejects[300];

    set(true, false);
    add_mixed(writer, 60);
    await_spilled(writer, 80);
    be_away_at_times(30);
    flush(writer);
    check_rows(60);
    CHECK_INT(stats_of(writer).rejected, 20);
    snprintf(rejects, sizeof rejects, "%s.rejected", path);
    check_rejected(rejects, 20);
    writer_free(writer);
}

TEST(writer_without_a_file_counts_refused_rows)
{
    struct writer_options options = fresh();
    struct writer *writer;

    options.spill_path = NULL;
    writer = started(&options);
    add_mixed(writer, 3);
    flush(writer);
    CHECK_INT(stats_of(writer).rejected, 1);
    writer_free(writer);
    CHECK(!file_exists(path));
}

/* --- the end -------------------------------------------------------------- */

TEST(writer_free_writes_what_waits)
{
    struct writer_options options = fresh();
    struct writer *writer;

    options.flush_ms = 60000;
    options.batch_max = 1000;
    writer = started(&options);
    add_rows(writer, 0, 15);
    writer_free(writer);
    check_rows(15);
}

TEST(writer_free_keeps_rows_that_the_database_did_not_take)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options);

    set(true, false);
    add_rows(writer, 0, 70);
    writer_free(writer);
    CHECK_INT(database.count, 0);
    set(false, false);
    writer = started(&options);
    add_rows(writer, 70, 90);
    flush(writer);
    check_rows(90);
    writer_free(writer);
}

TEST(writer_free_without_time_keeps_all_rows)
{
    struct writer_options options = fresh();
    struct writer *writer;

    options.stop_ms = 0;
    options.flush_ms = 60000;
    options.batch_max = 1000;
    writer = started(&options);
    add_rows(writer, 0, 70);
    writer_free(writer);
    CHECK_INT(database.count, 0);
    writer = started(&options);
    flush(writer);
    check_rows(70);
    writer_free(writer);
}

TEST(writer_without_a_file_counts_what_it_loses_at_the_end)
{
    struct writer_options options = fresh();
    double before = metrics_get(METRIC_STORE_ROWS, "dropped", NULL);
    struct writer *writer;

    options.spill_len_max = 0;
    options.stop_ms = 5;
    set(true, false);
    writer = started(&options);
    add_rows(writer, 0, 9);
    writer_free(writer);
    CHECK_NEAR(metrics_get(METRIC_STORE_ROWS, "dropped", NULL) - before, 9, 0);
    CHECK(!file_exists(path));
}

/* --- damage --------------------------------------------------------------- */

/* In a child: `count` rows into the file, then a kill -9. */
static void spill_and_be_killed(const struct writer_options *options, int count)
{
    struct writer *writer;
    pid_t child;
    int status;

    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        set(true, false);
        writer = started(options);
        add_rows(writer, 0, count);
        await_spilled(writer, count);
        kill(getpid(), SIGKILL);
    }
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(writer_has_the_rows_in_its_file_after_a_kill)
{
    struct writer_options options = fresh();
    struct writer *writer;

    spill_and_be_killed(&options, 200);
    writer = started(&options);
    add_rows(writer, 200, 250);
    flush(writer);
    check_rows(250);
    CHECK_INT(stats_of(writer).damaged, 0);
    writer_free(writer);
}

TEST(writer_goes_on_behind_a_torn_end)
{
    struct writer_options options = fresh();
    struct writer *writer;
    struct stat st;

    spill_and_be_killed(&options, 50);
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(truncate(path, st.st_size - 7), 0);
    writer = started(&options);
    add_rows(writer, 49, 60);
    flush(writer);
    check_rows(60);
    writer_free(writer);
}

TEST(writer_loses_only_the_damaged_row_of_its_file)
{
    struct writer_options options = fresh();
    struct writer *writer;
    struct stat st;
    int file, i;

    spill_and_be_killed(&options, 51);
    CHECK_INT(stat(path, &st), 0);
    file = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK_INT(pwrite(file, "\xee", 1, st.st_size / 2), 1);
    close(file);
    writer = started(&options);
    flush(writer);
    CHECK_INT(database.count, 50);
    for (i = 1; i < 50; i++)
        CHECK(database.rows[i] > database.rows[i - 1]);
    CHECK_INT(stats_of(writer).damaged, 1);
    CHECK_INT(stats_of(writer).written, 50);
    writer_free(writer);
}

/* Whole records that are no rows, as another version may have left them. */
TEST(writer_passes_over_records_that_are_no_rows)
{
    struct writer_options options = fresh();
    struct spill *spill = NULL;
    struct writer *writer;
    struct err err = {0};
    int i;

    set(true, false);
    writer = started(&options);
    add_rows(writer, 0, 10);
    writer_free(writer);
    CHECK_OK(spill_open(path, SPILL_MAX, &spill, &err), err);
    for (i = 0; i < 3; i++)
        CHECK_OK(spill_add(spill, bytes_of_text("no row at all"), &err), err);
    spill_close(spill);
    writer = started(&options);
    add_rows(writer, 10, 20);
    await_spilled(writer, 23);
    set(false, false);
    flush(writer);
    check_rows(20);
    CHECK_INT(stats_of(writer).damaged, 3);
    writer_free(writer);
}

TEST(writer_drops_what_neither_memory_nor_file_can_hold)
{
    struct writer_options options = fresh();
    struct writer *writer;
    int64_t dropped;
    int taken;

    options.queue_max = 10;
    options.spill_len_max = SPILL_LEN_MIN;
    set(true, false);
    writer = started(&options);
    taken = add_rows(writer, 0, 10);
    await_calls(2);
    while (stats_of(writer).waiting < 10) {
        taken += add_rows(writer, taken, taken + 1);
        await_calls(1);
    }
    CHECK(!add_row(writer, "r9999"));
    dropped = stats_of(writer).dropped;
    CHECK(dropped >= 1);
    CHECK(stats_of(writer).spill_len <= SPILL_LEN_MIN);
    CHECK_INT(taken, stats_of(writer).spill_waiting + 10);
    set(false, false);
    flush(writer);
    check_rows(taken);
    CHECK_INT(stats_of(writer).spill_len, 0);
    writer_free(writer);
}

TEST(writer_refuses_a_file_that_another_writer_has)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options), *other = NULL;
    struct err err = {0};

    CHECK_ERR(writer_new(NULL, &options, &other, &err), ERR_CONFLICT);
    CHECK(other == NULL);
    writer_free(writer);
    writer_free(NULL);
}

TEST(writer_counts_a_row_that_memory_has_no_room_for)
{
    struct writer_options options = fresh();
    struct writer *writer = started(&options);

    mem_fail_at(1);
    CHECK(!add_row(writer, "r0"));
    mem_fail_at(0);
    CHECK_INT(stats_of(writer).dropped, 1);
    add_rows(writer, 0, 5);
    flush(writer);
    check_rows(5);
    writer_free(writer);
}

TEST(torture_writer_is_not_made_without_memory)
{
    struct writer_options options = fresh();
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
        while (add_rows(adder->writer, i, i + 1) == 0)
            await_calls(1);
    return NULL;
}

TEST(writer_keeps_each_threads_order_through_failures_and_the_file)
{
    struct writer_options options = fresh();
    int next[THREADS] = {0};
    struct adder adders[THREADS];
    pthread_t threads[THREADS];
    struct writer *writer;
    int i;

    options.queue_max = 60;
    be_away_at_times(30);
    writer = started(&options);
    for (i = 0; i < THREADS; i++) {
        adders[i] = (struct adder){writer, i * ROWS_EACH};
        CHECK_INT(pthread_create(&threads[i], NULL, add_many, &adders[i]), 0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    flush(writer);
    CHECK(stats_of(writer).spilled > 0);
    writer_free(writer);
    CHECK_INT(database.count, THREADS * ROWS_EACH);
    for (i = 0; i < database.count; i++) {
        int thread = database.rows[i] / ROWS_EACH;

        CHECK_INT(database.rows[i] % ROWS_EACH, next[thread]);
        next[thread]++;
    }
}
