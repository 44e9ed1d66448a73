/* SPDX-License-Identifier: Apache-2.0 */
/* A row belongs to its caller until it is on the queue, then to the thread.
 * The thread sleeps until a batch is full, the oldest row has waited flush_ms,
 * or a pause is over; callers wake it only where that moment comes nearer. */
#include "store/writer.h"

#include <assert.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "obs/metrics.h"
#include "store/row.h"
#include "store/writer_step.h"

static const int64_t NEVER = INT64_MAX;

enum {
    QUEUE_LEN_MAX = 64 << 20,
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 10000,
    TIME_MAX_MS = 60000,
};

/* --- the thread ----------------------------------------------------------- */

static bool can_spill(const struct writer *writer)
{
    return writer->spill != NULL && !writer->is_spill_full;
}

/* Whether enough waits to be moved without waiting for more. */
static bool is_enough(const struct writer *writer)
{
    const struct row_queue *queue = &writer->queue;

    return queue->count >= writer->options.batch_max ||
           queue->len >= WRITER_BATCH_LEN_MAX ||
           queue->count > queue->count_max / 2 ||
           queue->len > queue->len_max / 2;
}

/* When a row that waits in memory is to be moved at the latest. */
static int64_t move_us(const struct writer *writer, int64_t now)
{
    if (writer->queue.first == NULL)
        return NEVER;
    if (is_enough(writer))
        return now;
    return writer->queue.first->added_us + writer->options.flush_ms * 1000ll;
}

/* When there is something to do; with the mutex held. */
static int64_t due_us(const struct writer *writer, int64_t now)
{
    bool is_paused = now < writer->retry_us;
    int64_t at = NEVER;

    if (writer->queue.first == NULL && writer->stats.spill_waiting == 0)
        return NEVER;
    if (is_paused)
        at = writer->retry_us;
    else if (writer->stats.spill_waiting > 0 || writer->flush_count > 0 ||
             writer->is_stopping)
        return now;
    if ((!is_paused || can_spill(writer)) && move_us(writer, now) < at)
        at = move_us(writer, now);
    if (writer->is_stopping && writer->stop_us < at)
        at = writer->stop_us;
    return at;
}

/* Whether a thread that is to stop has done what it can. */
static bool is_over(const struct writer *writer, int64_t now)
{
    if (!writer->is_stopping)
        return false;
    if (writer->queue.first == NULL && writer->stats.spill_waiting == 0)
        return true;
    return now >= writer->stop_us ||
           (now < writer->retry_us && can_spill(writer));
}

/* Waits for something to do; false when the thread is to end. */
static bool wait_for_work(struct writer *writer)
{
    struct timespec at;
    int64_t now, due;
    bool is_done;

    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        now = clock_us();
        due = due_us(writer, now);
        is_done = is_over(writer, now);
        if (is_done || due <= now)
            break;
        at = clock_timespec(due);
        if (due == NEVER)
            pthread_cond_wait(&writer->filled, &writer->mutex);
        else
            pthread_cond_timedwait(&writer->filled, &writer->mutex, &at);
    }
    pthread_mutex_unlock(&writer->mutex);
    return !is_done;
}

static void *write_loop(void *argument)
{
    struct writer *writer = argument;

    writer_greet(writer);
    while (wait_for_work(writer))
        writer_step(writer);
    writer_finish(writer);
    return NULL;
}

/* --- adding and waiting --------------------------------------------------- */

bool writer_add(struct writer *writer, const struct store_row *row)
{
    struct row_node *node = row_node_new(row);
    bool is_taken = false, was_enough;

    if (node != NULL)
        node->added_us = clock_us();
    pthread_mutex_lock(&writer->mutex);
    was_enough = is_enough(writer);
    if (node != NULL && !writer->is_stopping)
        is_taken = row_queue_add(&writer->queue, node);
    if (is_taken) {
        writer->accepted++;
        metrics_add(METRIC_STORE_WAITING, NULL, NULL, 1);
        if (writer->queue.count == 1 || is_enough(writer) != was_enough)
            pthread_cond_signal(&writer->filled);
    } else {
        writer->stats.dropped++;
    }
    pthread_mutex_unlock(&writer->mutex);
    if (!is_taken) {
        metrics_add(METRIC_STORE_ROWS, "dropped", NULL, 1);
        mem_free(node);
    }
    return is_taken;
}

/* Rows that no longer wait anywhere; they leave in the order of writer_add. */
static int64_t settled_count(const struct writer *writer)
{
    return writer->accepted - writer->queue.count - writer->stats.spill_waiting;
}

bool writer_flush(struct writer *writer, int64_t deadline_us)
{
    struct timespec deadline = clock_timespec(deadline_us);
    int64_t wanted;
    bool is_done;

    pthread_mutex_lock(&writer->mutex);
    wanted = writer->accepted;
    writer->flush_count++;
    pthread_cond_signal(&writer->filled);
    while (settled_count(writer) < wanted && clock_us() < deadline_us)
        pthread_cond_timedwait(&writer->settled, &writer->mutex, &deadline);
    is_done = settled_count(writer) >= wanted;
    writer->flush_count--;
    pthread_mutex_unlock(&writer->mutex);
    return is_done;
}

void writer_stats(struct writer *writer, struct writer_stats *out)
{
    pthread_mutex_lock(&writer->mutex);
    *out = writer->stats;
    out->waiting = writer->queue.count;
    out->waiting_len = writer->queue.len;
    pthread_mutex_unlock(&writer->mutex);
}

/* --- beginning and end ---------------------------------------------------- */

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int rc = pthread_condattr_init(&attributes);

    assert(rc == 0);
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(rc == 0);
    rc = pthread_cond_init(condition, &attributes);
    assert(rc == 0);
    (void)rc;
    pthread_condattr_destroy(&attributes);
}

static void set_presets(struct writer_options *options)
{
    if (options->queue_len_max == 0)
        options->queue_len_max = QUEUE_LEN_MAX;
    if (options->retry_min_ms == 0)
        options->retry_min_ms = RETRY_MIN_MS;
    if (options->retry_max_ms == 0)
        options->retry_max_ms = RETRY_MAX_MS;
}

static void check_options(const struct writer_options *options)
{
    assert(options->queue_max >= 1 && options->queue_max <= WRITER_QUEUE_MAX);
    assert(options->batch_max >= 1 && options->batch_max <= WRITER_BATCH_MAX);
    assert(options->flush_ms >= 1 && options->flush_ms <= TIME_MAX_MS);
    assert(options->stop_ms >= 0 && options->stop_ms <= TIME_MAX_MS);
    assert(options->retry_min_ms >= 1);
    assert(options->retry_max_ms >= options->retry_min_ms);
}

static int open_spill(struct writer *writer, struct err *err)
{
    const char *path = writer->options.spill_path;
    int64_t len_max = writer->options.spill_len_max;
    struct spill_info info;
    char rejects[4096];
    int rc;

    if (path == NULL || path[0] == '\0' || len_max == 0)
        return 0;
    if (snprintf(rejects, sizeof rejects, "%s.rejected", path) >=
        (int)sizeof rejects)
        return err_set(err, ERR_TOO_LARGE,
                       "the path of the spill file is long");
    rc = spill_open(path, len_max > SPILL_LEN_MIN ? len_max : SPILL_LEN_MIN,
                    &writer->spill, err);
    if (rc)
        return rc;
    writer->rejects_path = mem_text(rejects);
    spill_info(writer->spill, &info);
    writer->accepted = info.record_count;
    writer->stats.spill_waiting = info.record_count;
    return 0;
}

static struct writer *new_writer(struct store *store,
                                 const struct writer_options *options)
{
    struct writer *writer = mem_new(sizeof *writer);

    writer->options = *options;
    set_presets(&writer->options);
    check_options(&writer->options);
    writer->store = store;
    writer->batch_max = writer->options.batch_max;
    writer->queue.count_max = writer->options.queue_max;
    writer->queue.len_max = writer->options.queue_len_max;
    buf_init(&writer->record, SPILL_RECORD_MAX + 1);
    if (getrandom(&writer->random, sizeof writer->random, GRND_NONBLOCK) !=
            (ssize_t)sizeof writer->random ||
        writer->random == 0)
        writer->random = (uint64_t)clock_us() | 1;
    pthread_mutex_init(&writer->mutex, NULL);
    init_condition(&writer->filled);
    init_condition(&writer->settled);
    return writer;
}

static void free_writer(struct writer *writer)
{
    row_queue_release(&writer->queue);
    spill_close(writer->spill);
    buf_release(&writer->record);
    mem_free(writer->rows);
    mem_free(writer->offsets);
    mem_free(writer->loaded);
    mem_free(writer->rejects_path);
    pthread_cond_destroy(&writer->settled);
    pthread_cond_destroy(&writer->filled);
    pthread_mutex_destroy(&writer->mutex);
    mem_free(writer);
}

static int take_memory(struct writer *writer, struct err *err)
{
    size_t count = (size_t)writer->options.batch_max;

    writer->rows = mem_try(count, sizeof *writer->rows);
    writer->offsets = mem_try(count, sizeof *writer->offsets);
    writer->loaded = mem_try(count, sizeof *writer->loaded);
    if (writer->rows == NULL || writer->offsets == NULL ||
        writer->loaded == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for batches of %d rows",
                       writer->options.batch_max);
    return 0;
}

int writer_new(struct store *store, const struct writer_options *options,
               struct writer **out, struct err *err)
{
    struct writer *writer = new_writer(store, options);
    int rc;

    assert(store != NULL || options->write != NULL);
    rc = take_memory(writer, err);
    if (rc)
        goto fail;
    rc = open_spill(writer, err);
    if (rc)
        goto fail;
    writer->options.spill_path = NULL;
    if (pthread_create(&writer->thread, NULL, write_loop, writer) != 0) {
        rc = err_set(err, ERR_UNAVAILABLE, "cannot start the store's thread");
        goto fail;
    }
    pthread_setname_np(writer->thread, "store");
    *out = writer;
    return 0;
fail:
    free_writer(writer);
    return rc;
}

void writer_free(struct writer *writer)
{
    if (writer == NULL)
        return;
    pthread_mutex_lock(&writer->mutex);
    writer->is_stopping = true;
    writer->stop_us = clock_us() + writer->options.stop_ms * 1000ll;
    pthread_cond_signal(&writer->filled);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    free_writer(writer);
}
