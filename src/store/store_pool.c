/* SPDX-License-Identifier: Apache-2.0 */
/* A connection is idle (on the list), taken (one thread's) or being opened;
 * open_count counts all three and never passes connection_max. Only the counts
 * and the list are guarded by the mutex: connecting and closing happen outside
 * of it, on the thread that waits for the connection. */
#include "store/store_ops.h"

#include <assert.h>

#include "base/clock.h"

enum { PAUSE_MIN_MS = 50, PAUSE_MAX_MS = 2000 };

void store_pool_init(struct store_pool *pool)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void store_pool_release(struct store *store)
{
    struct store_pool *pool = &store->pool;
    struct store_link *link, *next;

    for (link = pool->idle; link != NULL; link = next) {
        next = link->next;
        store->ops->disconnect(link);
        pool->open_count--;
    }
    assert(pool->open_count == 0);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
}

/* Under the mutex: whether the caller may go on, with an idle connection or
 * the right to open one. */
static bool may_take(const struct store *store, bool is_writing)
{
    const struct store_pool *pool = &store->pool;

    if (is_writing && store->ops->has_one_writer && pool->is_writing)
        return false;
    return pool->idle != NULL ||
           pool->open_count < store->options.connection_max;
}

/* Reserves an idle connection (*out) or the right to open one (NULL). */
static int reserve(struct store *store, bool is_writing, int64_t deadline_us,
                   struct store_link **out, struct err *err)
{
    struct store_pool *pool = &store->pool;
    struct timespec deadline = clock_timespec(deadline_us);
    int rc = 0;

    pthread_mutex_lock(&pool->mutex);
    while (rc == 0 && !may_take(store, is_writing))
        rc = pthread_cond_timedwait(&pool->changed, &pool->mutex, &deadline);
    if (may_take(store, is_writing)) {
        rc = 0;
        *out = pool->idle;
        if (*out != NULL)
            pool->idle = (*out)->next;
        else
            pool->open_count++;
        pool->is_writing = pool->is_writing || is_writing;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (rc)
        return store_fail(store, STORE_FAILURE_BUSY, "connections in use", "",
                          err);
    return 0;
}

/* Gives the place of a connection, and of the writer, back. */
static void give_place(struct store *store, struct store_link *idle,
                       bool is_writing)
{
    struct store_pool *pool = &store->pool;

    pthread_mutex_lock(&pool->mutex);
    if (idle != NULL) {
        idle->next = pool->idle;
        pool->idle = idle;
    } else {
        pool->open_count--;
    }
    if (is_writing)
        pool->is_writing = false;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
}

/* The last failure again, while its pause lasts. */
static int check_pause(struct store *store, struct err *err)
{
    struct store_pool *pool = &store->pool;
    int rc = 0;

    pthread_mutex_lock(&pool->mutex);
    if (pool->retry_us != 0 && clock_us() < pool->retry_us) {
        *err = pool->failure;
        rc = err->code;
    }
    pthread_mutex_unlock(&pool->mutex);
    return rc;
}

static void note_outcome(struct store *store, int rc, const struct err *err)
{
    struct store_pool *pool = &store->pool;
    int pause_ms;

    pthread_mutex_lock(&pool->mutex);
    if (rc == 0) {
        pool->retry_us = 0;
        pool->pause_ms = 0;
        pool->was_connected = true;
    } else {
        pause_ms = pool->pause_ms == 0 ? PAUSE_MIN_MS : 2 * pool->pause_ms;
        pool->pause_ms = pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS;
        pool->retry_us = clock_us() + (int64_t)pool->pause_ms * 1000;
        pool->failure = *err;
    }
    pthread_mutex_unlock(&pool->mutex);
}

static int connect_one(struct store *store, struct store_link **out,
                       struct err *err)
{
    int rc = check_pause(store, err);
    bool is_first;

    if (rc)
        return rc;
    pthread_mutex_lock(&store->pool.mutex);
    is_first = !store->pool.was_connected;
    pthread_mutex_unlock(&store->pool.mutex);
    rc = store->ops->connect(store, store->options.timeout_ms, is_first, out,
                             err);
    note_outcome(store, rc, err);
    return rc;
}

int store_take(struct store *store, bool is_writing, int64_t deadline_us,
               struct store_link **out, struct err *err)
{
    struct store_link *link = NULL;
    int rc;

    is_writing = is_writing && store->ops->has_one_writer;
    rc = reserve(store, is_writing, deadline_us, &link, err);
    if (rc)
        return rc;
    if (link != NULL && !store->ops->is_alive(link)) {
        store->ops->disconnect(link);
        link = NULL;
    }
    if (link == NULL)
        rc = connect_one(store, &link, err);
    if (rc) {
        give_place(store, NULL, is_writing);
        return rc;
    }
    link->is_writing = is_writing;
    link->deadline_us = deadline_us;
    *out = link;
    return 0;
}

void store_give(struct store_link *link)
{
    struct store *store = link->store;
    bool is_writing = link->is_writing;

    if (link->is_broken) {
        store->ops->disconnect(link);
        link = NULL;
    }
    give_place(store, link, is_writing);
}
