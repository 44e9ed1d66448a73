/* SPDX-License-Identifier: Apache-2.0 */
/* Who finds nothing open, or that another set has its place, opens it, one
 * thread at a time and without the mutex; the switch is one pointer. The old
 * store ends with the last who searches it. */
#include "models/live_set.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "models/last_failure.h"

struct live_set {
    const char *where;
    struct vec_options options;
    bool is_remote; /* a URL */

    pthread_mutex_t mutex;      /* guards what follows */
    struct live_store *current; /* counted; NULL until it is there */
    bool is_opening;
    pthread_cond_t opened; /* is_opening has become false */
    struct last_failure failure;
};

struct live_set *live_set_new(const char *where,
                              const struct vec_options *options)
{
    struct live_set *set = mem_new(sizeof *set);

    set->where = where;
    set->options = *options;
    set->is_remote = strstr(where, "://") != NULL;
    pthread_mutex_init(&set->mutex, NULL);
    pthread_cond_init(&set->opened, NULL);
    return set;
}

static void store_free(struct live_store *live)
{
    if (live == NULL)
        return;
    vecstore_close(live->store);
    mem_free(live);
}

void live_set_free(struct live_set *set)
{
    if (set == NULL)
        return;
    store_free(set->current);
    pthread_cond_destroy(&set->opened);
    pthread_mutex_destroy(&set->mutex);
    mem_free(set);
}

/* With the mutex held. NULL when others have it too. */
static struct live_store *drop(struct live_store *live)
{
    return live != NULL && --live->ref_count == 0 ? live : NULL;
}

void live_set_release(struct live_set *set, struct live_store *live)
{
    pthread_mutex_lock(&set->mutex);
    live = drop(live);
    pthread_mutex_unlock(&set->mutex);
    store_free(live);
}

/* A failure of another machine is only remembered for its time. */
static struct file_state look(const struct live_set *set)
{
    return set->is_remote ? (struct file_state){0} : file_state_get(set->where);
}

static void remember(struct live_set *set, const struct file_state *state,
                     const struct err *err)
{
    pthread_mutex_lock(&set->mutex);
    last_failure_set(&set->failure, state, err);
    pthread_mutex_unlock(&set->mutex);
}

/* --- opening -------------------------------------------------------------- */

enum step { OPEN_IT, USE_IT, LOOK_AGAIN };

/* What to do by one who has `live` (NULL: nothing), in whose place another set
 * is now; with OPEN_IT nobody else opens until end_opening. */
static enum step begin_opening(struct live_set *set,
                               const struct live_store *live, bool is_usable)
{
    enum step step = OPEN_IT;

    pthread_mutex_lock(&set->mutex);
    if (set->current != live) {
        step = LOOK_AGAIN;
    } else if (set->is_opening && is_usable) {
        step = USE_IT;
    } else if (set->is_opening) {
        step = LOOK_AGAIN;
        while (set->is_opening)
            pthread_cond_wait(&set->opened, &set->mutex);
    } else {
        set->is_opening = true;
    }
    pthread_mutex_unlock(&set->mutex);
    return step;
}

/* `fresh` (NULL: it failed) takes the place of what was there. */
static void end_opening(struct live_set *set, struct live_store *fresh)
{
    struct live_store *old = NULL;

    pthread_mutex_lock(&set->mutex);
    if (fresh != NULL) {
        old = drop(set->current);
        set->current = fresh;
        fresh->ref_count++;
        set->failure.failed_us = 0;
    }
    set->is_opening = false;
    pthread_cond_broadcast(&set->opened);
    pthread_mutex_unlock(&set->mutex);
    store_free(old);
}

static int open_it(struct live_set *set, const struct file_state *state,
                   struct live_store **out, struct err *err)
{
    struct live_store *live = NULL;
    struct vecstore *store = NULL;
    int rc = vecstore_open(set->where, VEC_READ, &set->options, &store, err);

    if (rc) {
        remember(set, state, err);
    } else {
        live = mem_new(sizeof *live);
        live->store = store;
        live->ref_count = 1;
        *out = live;
    }
    end_opening(set, live);
    return rc;
}

/* --- taking --------------------------------------------------------------- */

/* What is open, or NULL; *out_is_retry when the last try failed. */
static int take(struct live_set *set, const struct file_state *state,
                struct live_store **out, bool *out_is_retry, struct err *err)
{
    int rc;

    pthread_mutex_lock(&set->mutex);
    rc = last_failure_tell(&set->failure, state, err);
    if (rc == 0) {
        *out_is_retry = set->failure.failed_us != 0;
        *out = set->current;
        if (*out != NULL)
            (*out)->ref_count++;
    }
    pthread_mutex_unlock(&set->mutex);
    return rc;
}

/* Whether a refresh failed with this because it is another set now, which may
 * be opened. Another machine's say is about the same set. */
static bool is_another(const struct live_set *set, int rc)
{
    return !set->is_remote && (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND);
}

static int refresh(struct live_set *set, const struct file_state *state,
                   struct live_store *live, bool is_retry, struct err *err)
{
    int rc = vecstore_refresh(live->store, err);

    if (rc == 0 && is_retry) {
        pthread_mutex_lock(&set->mutex);
        set->failure.failed_us = 0;
        pthread_mutex_unlock(&set->mutex);
    }
    if (rc != 0 && !set->is_remote && !is_another(set, rc))
        remember(set, state, err);
    return rc;
}

/* Absent, or its first writer has not finished the header. */
static int unless_absent(int rc, struct err *err)
{
    if (rc == ERR_NOT_FOUND) {
        *err = (struct err){0};
        rc = 0;
    }
    return rc;
}

/* One round of acquire; *out_is_over is false when another thread opened
 * meanwhile, so that it is to be looked at again. */
static int acquire(struct live_set *set, struct live_store **out,
                   bool *out_is_over, struct err *err)
{
    const struct file_state state = look(set);
    struct live_store *live = NULL;
    bool is_retry = false;
    enum step step;
    int rc = take(set, &state, &live, &is_retry, err);

    *out_is_over = true;
    if (rc)
        return unless_absent(rc, err);
    if (live != NULL) {
        rc = refresh(set, &state, live, is_retry, err);
        if (rc == 0) {
            *out = live;
            return 0;
        }
        if (!is_another(set, rc)) {
            live_set_release(set, live);
            return rc;
        }
        *err = (struct err){0};
    }
    step = begin_opening(set, live, rc == ERR_CONFLICT);
    if (step == USE_IT) {
        *out = live;
        return 0;
    }
    live_set_release(set, live);
    *out_is_over = step == OPEN_IT;
    return step == OPEN_IT ? unless_absent(open_it(set, &state, out, err), err)
                           : 0;
}

int live_set_acquire(struct live_set *set, struct live_store **out,
                     struct err *err)
{
    struct live_store *live = NULL;
    bool is_over = false;
    int rc = 0;

    while (rc == 0 && !is_over)
        rc = acquire(set, &live, &is_over, err);
    if (rc == 0)
        *out = live;
    return rc;
}
