/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in the file are older than rows in the queue, always: rows leave the
 * queue for the file in order, and for the database only when the file has
 * none. A row leaves its place after the database has it, or after the file
 * has it; so a crash in between writes it twice and never loses it. Only this
 * thread takes rows off the queue, so a row that it has seen there is its own
 * to read without the mutex. */
#include "store/writer_step.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "obs/metrics.h"
#include "store/rejects.h"
#include "store/row.h"

enum {
    NOTICE_US = 60 * 1000 * 1000,
    DOUBLINGS_MAX = 16,
    GROWTH = 4, /* of the next batch after one that was written */
};

struct batch {
    int count;
    int done_count; /* rows at its front that are written or refused */
    int refused_count;
    bool is_from_file;
};

/* --- saying so ------------------------------------------------------------ */

/* Counts n events and answers how many there were, when a line is due. */
static int64_t notice(struct writer_notice *kind, int64_t n)
{
    int64_t now = clock_us(), count;

    kind->count += n;
    if (kind->count == 0 || now < kind->next_us)
        return 0;
    count = kind->count;
    *kind = (struct writer_notice){.next_us = now + NOTICE_US};
    return count;
}

static void tell_dropped(struct writer *writer)
{
    int64_t dropped, count;

    pthread_mutex_lock(&writer->mutex);
    dropped = writer->stats.dropped;
    pthread_mutex_unlock(&writer->mutex);
    count = notice(&writer->lost, dropped - writer->dropped_logged);
    writer->dropped_logged = dropped;
    if (count > 0)
        log_write(LOG_WARN, "rows for the database were dropped",
                  log_integer("rows", count));
}

static void tell_unkept(struct writer *writer, const struct err *err)
{
    if (notice(&writer->unkept, 1) > 0)
        log_write(LOG_WARN, "rows cannot be kept on disk",
                  log_text("error", err->text));
}

/* --- the database's absence ----------------------------------------------- */

/* xorshift64*, which is enough to keep instances from trying in step. */
static uint64_t next_random(struct writer *writer)
{
    uint64_t x = writer->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    writer->random = x;
    return x * 2685821657736338717u;
}

/* Doubles the pause with each failure; between half of it and all of it. */
static void put_off(struct writer *writer)
{
    int doublings = writer->failure_count < DOUBLINGS_MAX
                        ? writer->failure_count
                        : DOUBLINGS_MAX;
    int64_t pause_ms = (int64_t)writer->options.retry_min_ms << doublings;

    if (pause_ms > writer->options.retry_max_ms)
        pause_ms = writer->options.retry_max_ms;
    writer->failure_count++;
    writer->retry_us =
        clock_us() + pause_ms * 500 +
        (int64_t)(next_random(writer) % (uint64_t)(pause_ms * 500 + 1));
}

static void set_away(struct writer *writer, bool is_away)
{
    pthread_mutex_lock(&writer->mutex);
    writer->stats.is_away = is_away;
    pthread_mutex_unlock(&writer->mutex);
    metrics_set(METRIC_STORE_AWAY, NULL, NULL, is_away);
}

/* The next attempt is with one row: a server that cuts the connection because
 * a batch is too long for it looks like one that is away. */
static void go_away(struct writer *writer, const struct err *err)
{
    put_off(writer);
    writer->batch_max = 1;
    if (writer->failure_count == 1 && notice(&writer->away, 1) > 0) {
        log_write(LOG_WARN, "database is away", log_text("error", err->text));
        writer->said_away = true;
    }
    set_away(writer, true);
}

static void come_back(struct writer *writer)
{
    writer->retry_us = 0;
    writer->failure_count = 0;
    writer->batch_max = writer->options.batch_max / GROWTH < writer->batch_max
                            ? writer->options.batch_max
                            : writer->batch_max * GROWTH;
    if (writer->said_away)
        log_write(LOG_INFO, "database is back");
    writer->said_away = false;
    set_away(writer, false);
}

/* --- the file ------------------------------------------------------------- */

/* Takes over what the file says of itself. */
static void look_at_file(struct writer *writer)
{
    struct spill_info info = {0};
    int64_t damaged;

    if (writer->spill == NULL)
        return;
    spill_info(writer->spill, &info);
    metrics_set(METRIC_STORE_SPILL_ROWS, NULL, NULL, (double)info.record_count);
    metrics_set(METRIC_STORE_SPILL_BYTES, NULL, NULL, (double)info.len);
    pthread_mutex_lock(&writer->mutex);
    damaged = info.damaged + writer->undecoded - writer->stats.damaged;
    writer->stats.damaged += damaged;
    writer->stats.spill_waiting = info.record_count;
    writer->stats.spill_len = info.len;
    pthread_cond_broadcast(&writer->settled);
    pthread_mutex_unlock(&writer->mutex);
    if (damaged > 0)
        metrics_add(METRIC_STORE_ROWS, "damaged", NULL, damaged);
}

void writer_greet(struct writer *writer)
{
    struct spill_info info = {0};

    metrics_set(METRIC_STORE_AWAY, NULL, NULL, 0);
    metrics_add(METRIC_STORE_WAITING, NULL, NULL, 0);
    look_at_file(writer);
    if (writer->spill != NULL)
        spill_info(writer->spill, &info);
    if (info.cut_len > 0 || info.damaged > 0)
        log_write(LOG_WARN, "rows kept on disk were damaged",
                  log_integer("torn_bytes", info.cut_len),
                  log_integer("damaged_runs", info.damaged));
    if (info.record_count > 0)
        log_write(LOG_INFO, "rows of an earlier run wait on disk",
                  log_integer("rows", info.record_count));
}

static bool spill_one(struct writer *writer)
{
    struct row_node *node;
    struct err err = {0};

    pthread_mutex_lock(&writer->mutex);
    node = writer->queue.first;
    pthread_mutex_unlock(&writer->mutex);
    if (spill_add(writer->spill, (struct bytes){node->bytes, node->len},
                  &err) != 0) {
        writer->is_spill_full = true;
        tell_unkept(writer, &err);
        return false;
    }
    pthread_mutex_lock(&writer->mutex);
    node = row_queue_take(&writer->queue);
    writer->stats.spilled++;
    writer->stats.spill_waiting++;
    pthread_mutex_unlock(&writer->mutex);
    mem_free(node);
    return true;
}

/* Moves the rows that wait now into the file, as many as it takes. */
static void spill_rows(struct writer *writer)
{
    int waiting, count = 0;

    pthread_mutex_lock(&writer->mutex);
    waiting = writer->queue.count;
    pthread_mutex_unlock(&writer->mutex);
    while (count < waiting && spill_one(writer))
        count++;
    /* Shown there first, so that a row is never in neither place. */
    look_at_file(writer);
    metrics_add(METRIC_STORE_WAITING, NULL, NULL, -count);
    if (count > 0)
        metrics_add(METRIC_STORE_ROWS, "spilled", NULL, count);
}

static void forget(struct writer *writer, int64_t offset, int64_t count)
{
    struct err err = {0};

    if (spill_forget(writer->spill, offset, count, &err) != 0)
        tell_unkept(writer, &err);
}

/* Reads the row at *offset to the end of the batch. False at the end of the
 * file, and at a record that is no row unless the batch is empty yet: then that
 * record is forgotten. */
static bool load_one(struct writer *writer, struct batch *batch,
                     int64_t *offset, size_t *len, struct err *err)
{
    struct row_node *node;
    struct err ignored = {0};

    if (spill_read(writer->spill, offset, &writer->record, err) != 0)
        return false;
    if (writer->record.len == 0) {
        if (batch->count == 0)
            forget(writer, *offset, 0);
        return false;
    }
    node = row_node_of_len(writer->record.len);
    if (node == NULL) {
        (void)err_set(err, ERR_UNAVAILABLE, "no memory for a row of %zu bytes",
                      writer->record.len);
        return false;
    }
    memcpy(node->bytes, writer->record.data, node->len);
    if (row_decode((struct bytes){node->bytes, node->len},
                   &writer->rows[batch->count], &ignored) != 0) {
        mem_free(node);
        if (batch->count > 0)
            return false;
        forget(writer, *offset, 1);
        *offset = spill_first(writer->spill);
        writer->undecoded++;
        return true;
    }
    writer->loaded[batch->count] = node;
    writer->offsets[batch->count] = *offset;
    batch->count++;
    *len += node->len;
    return true;
}

static int load_from_file(struct writer *writer, struct batch *batch,
                          struct err *err)
{
    int64_t offset = spill_first(writer->spill);
    size_t len = 0;

    batch->is_from_file = true;
    while (batch->count < writer->batch_max && len < WRITER_BATCH_LEN_MAX &&
           load_one(writer, batch, &offset, &len, err))
        ;
    return batch->count > 0 ? 0 : (int)err->code;
}

static void load_from_queue(struct writer *writer, struct batch *batch)
{
    struct row_node *node;
    struct err err = {0};
    size_t len = 0;
    int count, rc;

    pthread_mutex_lock(&writer->mutex);
    node = writer->queue.first;
    count = writer->queue.count;
    pthread_mutex_unlock(&writer->mutex);
    while (batch->count < count && batch->count < writer->batch_max &&
           len < WRITER_BATCH_LEN_MAX) {
        /* The last node's link is another thread's to write. */
        if (batch->count > 0)
            node = node->next;
        rc = row_decode((struct bytes){node->bytes, node->len},
                        &writer->rows[batch->count], &err);
        assert(rc == 0);
        (void)rc;
        batch->count++;
        len += node->len;
    }
}

/* --- the database --------------------------------------------------------- */

static bool is_refusal(int rc)
{
    return rc == ERR_UNPROCESSABLE || rc == ERR_INVALID || rc == ERR_TOO_LARGE;
}

static int write_rows(struct writer *writer, const struct store_row *rows,
                      int count, struct err *err)
{
    int64_t began_us = clock_us();
    int rc;

    if (writer->options.write != NULL)
        rc =
            writer->options.write(writer->options.write_user, rows, count, err);
    else
        rc = store_write(writer->store, rows, count, err);
    metrics_observe(METRIC_STORE_BATCH_SECONDS, NULL, NULL,
                    (double)(clock_us() - began_us) * 1e-6);
    return rc;
}

static void refuse(struct writer *writer, const struct store_row *row,
                   const struct err *why)
{
    struct err err = {0};
    int64_t count = notice(&writer->refused, 1);

    if (count > 0)
        log_write(LOG_WARN, "the database refused rows",
                  log_integer("rows", count),
                  log_text("table", row_table(row->table)),
                  log_text("error", why->text));
    if (writer->rejects_path != NULL &&
        rejects_add(writer->rejects_path, row, why->text, clock_wall_ms(),
                    &err) != 0)
        tell_unkept(writer, &err);
}

static bool is_late(struct writer *writer)
{
    bool is_late;

    pthread_mutex_lock(&writer->mutex);
    is_late = writer->is_stopping && clock_us() >= writer->stop_us;
    pthread_mutex_unlock(&writer->mutex);
    return is_late;
}

/* A batch that was refused holds a row that was; the others are good. */
static int write_one_by_one(struct writer *writer, struct batch *batch,
                            struct err *err)
{
    while (batch->done_count < batch->count && !is_late(writer)) {
        const struct store_row *row = &writer->rows[batch->done_count];
        struct err why = {0};
        int rc = write_rows(writer, row, 1, &why);

        if (rc != 0 && !is_refusal(rc)) {
            *err = why;
            return rc;
        }
        if (rc != 0) {
            refuse(writer, row, &why);
            batch->refused_count++;
        }
        batch->done_count++;
    }
    return 0;
}

static int write_batch(struct writer *writer, struct batch *batch,
                       struct err *err)
{
    int rc = write_rows(writer, writer->rows, batch->count, err);

    if (rc == 0) {
        batch->done_count = batch->count;
    } else if (is_refusal(rc) && batch->count == 1) {
        refuse(writer, &writer->rows[0], err);
        batch->done_count = batch->refused_count = 1;
        rc = 0;
    } else if (is_refusal(rc)) {
        *err = (struct err){0};
        rc = write_one_by_one(writer, batch, err);
    }
    return rc;
}

/* Takes what is done with from where it was. */
static void settle(struct writer *writer, const struct batch *batch)
{
    int written = batch->done_count - batch->refused_count, i;
    struct row_node *done = NULL, *node;

    if (batch->done_count > 0 && batch->is_from_file)
        forget(writer, writer->offsets[batch->done_count - 1],
               batch->done_count);
    if (written > 0)
        metrics_add(METRIC_STORE_ROWS, "written", NULL, written);
    if (batch->refused_count > 0)
        metrics_add(METRIC_STORE_ROWS, "rejected", NULL, batch->refused_count);
    pthread_mutex_lock(&writer->mutex);
    for (i = 0; i < batch->done_count && !batch->is_from_file; i++) {
        node = row_queue_take(&writer->queue);
        node->next = done;
        done = node;
    }
    writer->stats.written += written;
    writer->stats.rejected += batch->refused_count;
    pthread_cond_broadcast(&writer->settled);
    pthread_mutex_unlock(&writer->mutex);
    if (!batch->is_from_file)
        metrics_add(METRIC_STORE_WAITING, NULL, NULL, -batch->done_count);
    for (; done != NULL; done = node) {
        node = done->next;
        mem_free(done);
    }
    for (i = 0; i < batch->count && batch->is_from_file; i++)
        mem_free(writer->loaded[i]);
}

static bool has_records(const struct writer *writer)
{
    struct spill_info info = {0};

    if (writer->spill != NULL)
        spill_info(writer->spill, &info);
    return info.record_count > 0;
}

static void write_step(struct writer *writer)
{
    struct batch batch = {0};
    struct err err = {0};
    int rc = 0;

    if (has_records(writer))
        rc = load_from_file(writer, &batch, &err);
    else
        load_from_queue(writer, &batch);
    if (rc == 0 && batch.count > 0) {
        rc = write_batch(writer, &batch, &err);
        if (rc == 0)
            come_back(writer);
        else
            go_away(writer, &err);
    } else if (rc != 0) {
        put_off(writer);
        tell_unkept(writer, &err);
    }
    settle(writer, &batch);
    look_at_file(writer);
}

static bool is_half_full(struct writer *writer)
{
    bool is_so;

    pthread_mutex_lock(&writer->mutex);
    is_so = writer->queue.count > writer->queue.count_max / 2 ||
            writer->queue.len > writer->queue.len_max / 2;
    pthread_mutex_unlock(&writer->mutex);
    return is_so;
}

void writer_step(struct writer *writer)
{
    bool is_paused = clock_us() < writer->retry_us;

    if (!is_paused)
        writer->is_spill_full = false;
    if (writer->spill != NULL && !writer->is_spill_full &&
        (is_paused || is_half_full(writer)))
        spill_rows(writer);
    if (!is_paused)
        write_step(writer);
    tell_dropped(writer);
}

void writer_finish(struct writer *writer)
{
    int64_t lost;

    if (writer->spill != NULL)
        spill_rows(writer);
    pthread_mutex_lock(&writer->mutex);
    lost = writer->queue.count;
    writer->stats.dropped += lost;
    row_queue_release(&writer->queue);
    pthread_mutex_unlock(&writer->mutex);
    metrics_add(METRIC_STORE_WAITING, NULL, NULL, -lost);
    if (lost > 0)
        metrics_add(METRIC_STORE_ROWS, "dropped", NULL, lost);
    writer->lost.next_us = 0;
    tell_dropped(writer);
}
