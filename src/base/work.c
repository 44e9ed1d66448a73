/* SPDX-License-Identifier: Apache-2.0 */
/* A job belongs to its caller until it is on the list, to the pool while it
 * is on it, and to its own `run` from the moment a thread takes it off: the
 * pool never touches a job after it has called `run`. The mutex is not held
 * while a job runs. */
#include "base/work.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* Linux cuts thread names at 15 bytes. */
enum { THREADS_MAX = 256, NAME_LEN = 16 };

struct work_pool {
    char name[NAME_LEN];
    int queue_max;
    pthread_t *threads; /* owned; touched by work_new and work_free only */
    int thread_count;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t filled; /* a job was queued, or is_ending was set */
    pthread_cond_t idle;   /* nothing waits or runs */
    struct work_job *first, *last;
    int waiting;
    int running;
    bool is_refusing; /* work_add fails from now on */
    bool is_ending;   /* threads leave when the queue is empty */
};

static struct work_job *take(struct work_pool *pool)
{
    struct work_job *job = pool->first;

    pool->first = job->next;
    if (pool->first == NULL)
        pool->last = NULL;
    job->next = NULL;
    pool->waiting--;
    return job;
}

static enum work_outcome outcome_of(const struct work_job *job, bool is_ending)
{
    if (is_ending)
        return WORK_STOPPED;
    if (job->deadline_us != 0 && clock_us() >= job->deadline_us)
        return WORK_EXPIRED;
    return WORK_RUN;
}

static void *work_loop(void *argument)
{
    struct work_pool *pool = argument;
    enum work_outcome outcome;
    struct work_job *job;

    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->first == NULL && !pool->is_ending)
            pthread_cond_wait(&pool->filled, &pool->mutex);
        if (pool->first == NULL)
            break;
        job = take(pool);
        outcome = outcome_of(job, pool->is_ending);
        pool->running++;
        pthread_mutex_unlock(&pool->mutex);
        job->run(job, outcome);
        pthread_mutex_lock(&pool->mutex);
        pool->running--;
        if (pool->running == 0 && pool->first == NULL)
            pthread_cond_broadcast(&pool->idle);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

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

static struct work_pool *pool_new(const char *name, int thread_count,
                                  int queue_max)
{
    struct work_pool *pool = mem_new(sizeof *pool);

    snprintf(pool->name, sizeof pool->name, "%s", name);
    pool->queue_max = queue_max;
    pool->threads = mem_new((size_t)thread_count * sizeof *pool->threads);
    pthread_mutex_init(&pool->mutex, NULL);
    init_condition(&pool->filled);
    init_condition(&pool->idle);
    return pool;
}

int work_new(const char *name, int thread_count, int queue_max,
             struct work_pool **out, struct err *err)
{
    struct work_pool *pool;
    int rc;

    assert(thread_count >= 1 && thread_count <= THREADS_MAX);
    assert(queue_max >= 1);
    pool = pool_new(name, thread_count, queue_max);
    while (pool->thread_count < thread_count) {
        pthread_t *thread = &pool->threads[pool->thread_count];

        rc = pthread_create(thread, NULL, work_loop, pool);
        if (rc != 0) {
            err_set(err, ERR_UNAVAILABLE, "cannot start thread %d of %d: %s",
                    pool->thread_count + 1, thread_count, strerror(rc));
            work_free(pool);
            return (int)err->code;
        }
        pthread_setname_np(*thread, pool->name);
        pool->thread_count++;
    }
    *out = pool;
    return 0;
}

int work_add(struct work_pool *pool, struct work_job *job, struct err *err)
{
    bool is_refusing;
    int rc = 0, waiting;

    assert(job->run != NULL);
    pthread_mutex_lock(&pool->mutex);
    is_refusing = pool->is_refusing;
    waiting = pool->waiting;
    if (is_refusing || waiting >= pool->queue_max) {
        rc = ERR_BUSY;
    } else {
        job->next = NULL;
        if (pool->last == NULL)
            pool->first = job;
        else
            pool->last->next = job;
        pool->last = job;
        pool->waiting++;
        pthread_cond_signal(&pool->filled);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (rc == 0)
        return 0;
    return is_refusing ? err_set(err, ERR_BUSY, "the server is stopping")
                       : err_set(err, ERR_BUSY,
                                 "%d requests wait already; at most %d may",
                                 waiting, pool->queue_max);
}

int work_waiting(struct work_pool *pool)
{
    int waiting;

    pthread_mutex_lock(&pool->mutex);
    waiting = pool->waiting;
    pthread_mutex_unlock(&pool->mutex);
    return waiting;
}

int work_running(struct work_pool *pool)
{
    int running;

    pthread_mutex_lock(&pool->mutex);
    running = pool->running;
    pthread_mutex_unlock(&pool->mutex);
    return running;
}

_Bool work_drain(struct work_pool *pool, int64_t deadline_us)
{
    struct timespec deadline = clock_timespec(deadline_us);
    bool is_idle;
    int rc = 0;

    pthread_mutex_lock(&pool->mutex);
    pool->is_refusing = true;
    while ((pool->first != NULL || pool->running > 0) && rc == 0)
        rc = pthread_cond_timedwait(&pool->idle, &pool->mutex, &deadline);
    is_idle = pool->first == NULL && pool->running == 0;
    pthread_mutex_unlock(&pool->mutex);
    return is_idle;
}

void work_free(struct work_pool *pool)
{
    int i;

    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->is_refusing = true;
    pool->is_ending = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->mutex);
    for (i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    assert(pool->first == NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->mutex);
    mem_free(pool->threads);
    mem_free(pool);
}
