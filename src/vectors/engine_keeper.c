/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: one thread of the writing process that puts rows into the index,
 * repairs it, saves checkpoints and compacts, so that writers and readers need
 * not. Nothing that it does is needed for an answer to be right, and nothing is
 * lost when it is stopped at any place; so its errors are logged and what
 * failed is tried again, after pauses that grow.
 *
 * It sleeps until keeper_wake, then lingers for a moment, because writes come
 * in swarms. Who asks for something at once (settle, compact) queues a job on
 * its own stack and waits; a job belongs to the keeper until is_done. */
#include "vectors/engine_keeper.h"

#include <assert.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "vectors/engine_saved.h"

enum {
    LINGER_US = 50 * 1000,
    PAUSE_MIN_MS = 1000,
    PAUSE_MAX_MS = 300 * 1000,
    REPORT_US = 100 * 1000, /* between two looks at the progress of a job */

    GROWN_MIN = 1 << 20,  /* bytes of log below which nothing is saved, */
    GROWN_MAX = 64 << 20, /* above which it is, and else when it grew by */
    GROWN_PART = 4,       /* one part in so many; at close by */
    CLOSE_PART = 32,      /* one part in so many */

    REMOVED_MIN = 1000, /* slots below which nothing is compacted, else when */
    REMOVED_PART = 4,   /* more than one in so many was removed */
};

enum job_kind { JOB_SETTLE, JOB_COMPACT, JOB_CHECK };

struct keeper_job {
    enum job_kind kind;
    struct keeper_job *next;
    bool is_done;
    int rc;
    struct err err;
    struct keeper_work work;
};

struct keeper {
    struct vecengine *engine;
    pthread_t thread;
    _Atomic bool is_stopping; /* set under the engine's `keeping` */
    _Atomic bool is_wanted;   /* a job waits; set under `keeping` */

    /* Guarded by the engine's `keeping`. */
    bool is_woken;
    struct keeper_job *first, *last;

    /* The thread's own. */
    struct keeper_work work; /* what it does unasked */
    int64_t saved_indexed;   /* slots in the index when it was saved last */
    int64_t pause_ms;        /* after the last failure; 0: there was none */
    int64_t retry_us;        /* when it is tried again */
};

/* --- work ------------------------------------------------------------------
 */

bool keeper_is_ended(const struct keeper_work *work)
{
    return atomic_load_explicit(work->is_stopping, memory_order_relaxed) ||
           (work->is_wanted != NULL &&
            atomic_load_explicit(work->is_wanted, memory_order_relaxed)) ||
           atomic_load_explicit(&work->is_cancelled, memory_order_relaxed);
}

int keeper_report(void *user, int64_t done, int64_t total)
{
    struct keeper_work *work = user;

    atomic_store_explicit(&work->done, done, memory_order_relaxed);
    atomic_store_explicit(&work->total, total, memory_order_relaxed);
    return keeper_is_ended(work);
}

/* --- saving ----------------------------------------------------------------
 */

static int take_snapshot(struct vecengine *engine,
                         struct generation *generation, struct snapshot **out,
                         struct err *err)
{
    int rc;

    vecengine_lead(engine);
    rc = snapshot_take(engine, generation, out, err);
    vecengine_unlead(engine);
    return rc;
}

static int save(struct keeper *keeper, struct err *err)
{
    struct vecengine *engine = keeper->engine;
    struct snapshot *snapshot = NULL;
    struct engine_view view;
    int64_t indexed = keeper_indexed(engine);
    int rc;

    vecengine_take(engine, &view);
    rc = take_snapshot(engine, view.generation, &snapshot, err);
    if (rc == 0)
        rc = snapshot_save(snapshot, view.generation, view.index,
                           engine->checkpoint_path, err);
    if (rc == 0) {
        view.generation->saved_len = snapshot_log_len(snapshot);
        view.generation->saved_err = (struct err){0};
        keeper->saved_indexed = indexed;
    }
    snapshot_free(snapshot);
    vecengine_give(engine, &view);
    return rc;
}

/* Whether what was written or indexed since the last checkpoint is at least one
 * part in `part` of all. */
static bool has_grown(struct keeper *keeper, int part)
{
    struct engine_view view;
    int64_t grown, len, indexed = keeper_indexed(keeper->engine);
    bool has;

    vecengine_take(keeper->engine, &view);
    len = log_file_len(view.generation->log);
    grown = len - view.generation->saved_len;
    has = view.generation->saved_err.code != 0 ||
          (len >= GROWN_MIN && grown >= GROWN_MAX) ||
          (len >= GROWN_MIN && grown > 0 && grown * part >= len) ||
          ((indexed - keeper->saved_indexed) * part >= indexed &&
           indexed > keeper->saved_indexed);
    vecengine_give(keeper->engine, &view);
    return has;
}

static int compact(struct keeper *keeper, struct keeper_work *work,
                   struct err *err)
{
    int rc = keeper_compact(keeper->engine, work, err);

    if (rc == 0)
        keeper->saved_indexed = keeper_indexed(keeper->engine);
    return rc;
}

static bool has_many_removed(struct vecengine *engine)
{
    struct engine_view view;
    int64_t removed;
    bool has;

    vecengine_take(engine, &view);
    removed = view.generation->removed_count;
    has = removed >= REMOVED_MIN && removed > view.count / REMOVED_PART;
    vecengine_give(engine, &view);
    return has;
}

/* --- rounds and jobs -------------------------------------------------------
 */

/* One piece of what there is to do; *out_done when nothing is left. */
static int do_some(struct keeper *keeper, bool *out_done, struct err *err)
{
    struct vecengine *engine = keeper->engine;
    int rc = keeper_index(engine, INT64_MAX, &keeper->work, out_done, err);

    if (rc == 0 && has_many_removed(engine)) {
        *out_done = false;
        rc = compact(keeper, &keeper->work, err);
    } else if (rc == 0 && has_grown(keeper, GROWN_PART)) {
        rc = save(keeper, err);
    }
    return rc;
}

static int settle(struct keeper *keeper, struct keeper_work *work,
                  struct err *err)
{
    struct engine_view view;
    bool done = false;
    int64_t count;
    int rc = 0;

    vecengine_take(keeper->engine, &view);
    count = view.count;
    vecengine_give(keeper->engine, &view);
    while (rc == 0 && !done)
        rc = keeper_index(keeper->engine, count, work, &done, err);
    return rc ? rc : save(keeper, err);
}

/* Ends a job: it is its caller's again. */
static void finish(struct keeper *keeper, struct keeper_job *job, int rc)
{
    pthread_mutex_lock(&keeper->engine->keeping);
    job->rc = rc;
    job->is_done = true;
    pthread_cond_broadcast(&keeper->engine->keep_moved);
    pthread_mutex_unlock(&keeper->engine->keeping);
}

static void run_job(struct keeper *keeper, struct keeper_job *job)
{
    int rc;

    vecengine_keep(keeper->engine);
    if (job->kind == JOB_SETTLE) {
        rc = settle(keeper, &job->work, &job->err);
    } else if (job->kind == JOB_CHECK) {
        rc = keeper_check_index(keeper->engine, &job->err);
    } else {
        rc = compact(keeper, &job->work, &job->err);
    }
    vecengine_unkeep(keeper->engine);
    finish(keeper, job, rc);
}

static void note_failure(struct keeper *keeper, const struct err *err)
{
    keeper->pause_ms =
        keeper->pause_ms == 0 ? PAUSE_MIN_MS : 2 * keeper->pause_ms;
    if (keeper->pause_ms > PAUSE_MAX_MS)
        keeper->pause_ms = PAUSE_MAX_MS;
    keeper->retry_us = clock_us() + keeper->pause_ms * 1000;
    log_write(
        LOG_ERROR, "the index of a set could not be kept; nothing is lost",
        log_text("path", keeper->engine->path), log_text("error", err->text),
        log_integer("retry_ms", keeper->pause_ms));
}

static void run_round(struct keeper *keeper)
{
    struct err err = {0};
    bool done = false;
    int rc = 0;

    vecengine_keep(keeper->engine);
    while (rc == 0 && !done && !keeper_is_ended(&keeper->work))
        rc = do_some(keeper, &done, &err);
    vecengine_unkeep(keeper->engine);
    if (rc != 0 && !keeper_is_ended(&keeper->work))
        note_failure(keeper, &err);
    else
        keeper->pause_ms = 0;
    if (done)
        return;
    pthread_mutex_lock(&keeper->engine->keeping);
    keeper->is_woken = true;
    pthread_mutex_unlock(&keeper->engine->keeping);
}

/* --- the thread ------------------------------------------------------------
 */

/* Waits under `keeping` for something to happen, until `until_us` (0: for as
 * long as it takes). */
static void wait_until(struct vecengine *engine, int64_t until_us)
{
    struct timespec until;

    if (until_us == 0) {
        pthread_cond_wait(&engine->keep_moved, &engine->keeping);
        return;
    }
    until = clock_timespec(until_us);
    pthread_cond_timedwait(&engine->keep_moved, &engine->keeping, &until);
}

/* Waits for a job, or for a time to do a round (*out NULL). false: to stop. */
static bool next(struct keeper *keeper, struct keeper_job **out)
{
    struct vecengine *engine = keeper->engine;
    int64_t begin_us = 0, now_us;

    pthread_mutex_lock(&engine->keeping);
    for (;;) {
        now_us = clock_us();
        if (keeper->is_stopping || keeper->first != NULL)
            break;
        if (keeper->is_woken && begin_us == 0)
            begin_us =
                keeper->pause_ms > 0 ? keeper->retry_us : now_us + LINGER_US;
        if (begin_us != 0 && now_us >= begin_us)
            break;
        wait_until(engine, begin_us);
    }
    *out = keeper->first;
    if (*out != NULL)
        keeper->first = (*out)->next;
    else
        keeper->is_woken = false;
    keeper->is_wanted = keeper->first != NULL;
    pthread_mutex_unlock(&engine->keeping);
    return !keeper->is_stopping;
}

static void report_damage(struct keeper *keeper)
{
    struct engine_view view;

    vecengine_take(keeper->engine, &view);
    if (view.generation->saved_err.code != 0)
        log_write(LOG_WARN,
                  "a checkpoint could not be used; all was read from the log",
                  log_text("path", keeper->engine->path),
                  log_text("error", view.generation->saved_err.text));
    vecengine_give(keeper->engine, &view);
}

static void *run(void *argument)
{
    struct keeper *keeper = argument;
    struct keeper_job *job = NULL;
    struct err err = {0};

    keeper_sweep(keeper->engine);
    report_damage(keeper);
    while (next(keeper, &job)) {
        if (job != NULL)
            run_job(keeper, job);
        else
            run_round(keeper);
    }
    vecengine_keep(keeper->engine);
    if (has_grown(keeper, CLOSE_PART) && save(keeper, &err) != 0)
        log_write(LOG_ERROR, "a checkpoint could not be saved at close",
                  log_text("path", keeper->engine->path),
                  log_text("error", err.text));
    vecengine_unkeep(keeper->engine);
    return NULL;
}

int keeper_start(struct vecengine *engine, struct err *err)
{
    struct keeper *keeper = mem_new(sizeof *keeper);

    assert(engine->mode == VEC_WRITE && engine->keeper == NULL);
    keeper->engine = engine;
    keeper->is_woken = true;
    keeper->work.is_stopping = &keeper->is_stopping;
    keeper->work.is_wanted = &keeper->is_wanted;
    keeper->saved_indexed = keeper_indexed(engine);
    engine->keeper = keeper;
    if (pthread_create(&keeper->thread, NULL, run, keeper) == 0)
        return 0;
    engine->keeper = NULL;
    mem_free(keeper);
    return err_set(err, ERR_UNAVAILABLE,
                   "a thread that keeps the index cannot be started");
}

void keeper_stop(struct vecengine *engine)
{
    struct keeper *keeper = engine->keeper;

    if (keeper == NULL)
        return;
    pthread_mutex_lock(&engine->keeping);
    keeper->is_stopping = true;
    pthread_cond_broadcast(&engine->keep_moved);
    pthread_mutex_unlock(&engine->keeping);
    pthread_join(keeper->thread, NULL);
    /* Nobody closes a set that is in use, so no job waits. */
    assert(keeper->first == NULL);
    mem_free(keeper);
    engine->keeper = NULL;
}

void keeper_wake(struct vecengine *engine)
{
    struct keeper *keeper = engine->keeper;

    if (keeper == NULL)
        return;
    pthread_mutex_lock(&engine->keeping);
    if (!keeper->is_woken) {
        keeper->is_woken = true;
        pthread_cond_broadcast(&engine->keep_moved);
    }
    pthread_mutex_unlock(&engine->keeping);
}

/* --- what is asked for -----------------------------------------------------
 */

static void queue(struct keeper *keeper, struct keeper_job *job)
{
    if (keeper->first == NULL)
        keeper->first = job;
    else
        keeper->last->next = job;
    keeper->last = job;
    keeper->is_wanted = true;
    pthread_cond_broadcast(&keeper->engine->keep_moved);
}

/* Tells who waits how far a job has come. The two numbers are set one after
 * the other, so `done` may belong to a later total. */
static void tell(struct keeper_job *job, vec_progress_fn *progress, void *user)
{
    int64_t done = job->work.done, total = job->work.total;

    if (!job->work.is_cancelled &&
        progress(user, done < total ? done : total, total) != 0)
        job->work.is_cancelled = true;
}

static int ask(struct vecengine *engine, enum job_kind kind,
               vec_progress_fn *progress, void *user, struct err *err)
{
    struct keeper *keeper = engine->keeper;
    struct keeper_job job = {.kind = kind};

    if (keeper == NULL)
        return err_set(err, ERR_INVALID, "index %s is open for reading only",
                       engine->path);
    if (progress != NULL && progress(user, 0, 0) != 0)
        return err_set(err, ERR_UNAVAILABLE,
                       "index %s: stopped before it began", engine->path);
    job.work.is_stopping = &keeper->is_stopping;
    pthread_mutex_lock(&engine->keeping);
    queue(keeper, &job);
    while (!job.is_done) {
        wait_until(engine, progress != NULL ? clock_us() + REPORT_US : 0);
        pthread_mutex_unlock(&engine->keeping);
        if (progress != NULL)
            tell(&job, progress, user);
        pthread_mutex_lock(&engine->keeping);
    }
    pthread_mutex_unlock(&engine->keeping);
    if (job.rc)
        *err = job.err;
    return job.rc;
}

int vecengine_settle(void *self, vec_progress_fn *progress, void *user,
                     struct err *err)
{
    return ask(self, JOB_SETTLE, progress, user, err);
}

int vecengine_compact(void *self, vec_progress_fn *progress, void *user,
                      struct err *err)
{
    return ask(self, JOB_COMPACT, progress, user, err);
}

int keeper_check(struct vecengine *engine, struct err *err)
{
    int rc;

    if (engine->keeper != NULL)
        return ask(engine, JOB_CHECK, NULL, NULL, err);
    vecengine_keep(engine);
    rc = keeper_check_index(engine, err);
    vecengine_unkeep(engine);
    return rc;
}
