/* SPDX-License-Identifier: Apache-2.0 */
/* The server does long work in its own time and is asked how far it is. A wait
 * has no end as long as something moves; when nothing has for STILL_MAX_US, or
 * for as long as one call may take if that is longer, it is given up. */
#include "vectors/milvus_state.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <milvus.pb-c.h>

#include "base/clock.h"

enum {
    LOADED = 3,    /* LoadState */
    FAILED = 4,    /* IndexState */
    COMPLETED = 2, /* CompactionState */
    PAUSE_MIN_MS = 10,
    PAUSE_MAX_MS = 250,
    STILL_MAX_US = 120 * 1000000,
};

struct wait {
    const struct milvus_watcher *watcher;
    const char *what;
    int64_t done, total; /* of the last look */
    int64_t moved_us;    /* when that changed */
    int64_t still_max_us;
    int pause_ms;
};

static struct wait wait_of(const struct milvus_link *link,
                           const struct milvus_watcher *watcher,
                           const char *what)
{
    int64_t call_us = link->timeout_ms * INT64_C(1000);

    return (struct wait){.watcher = watcher,
                         .what = what,
                         .done = -1,
                         .moved_us = clock_us(),
                         .still_max_us =
                             call_us > STILL_MAX_US ? call_us : STILL_MAX_US,
                         .pause_ms = PAUSE_MIN_MS};
}

/* Pauses until it is time for the next look. */
static int wait_more(struct wait *wait, const struct milvus_link *link,
                     int64_t done, int64_t total, struct err *err)
{
    const struct milvus_watcher *watcher = wait->watcher;
    int64_t now_us = clock_us();

    if (watcher != NULL && watcher->fn != NULL &&
        watcher->fn(watcher->user, done, total) != 0)
        return err_set(err, ERR_UNAVAILABLE,
                       "waiting for Milvus at '%s' was stopped",
                       link->authority);
    if (done != wait->done || total != wait->total) {
        wait->done = done;
        wait->total = total;
        wait->moved_us = now_us;
    } else if (now_us - wait->moved_us > wait->still_max_us) {
        return err_set(err, ERR_TIMEOUT,
                       "Milvus at '%s' has not %s '%s' any further for %lld s",
                       link->authority, wait->what, link->url.collection,
                       (long long)(wait->still_max_us / 1000000));
    }
    poll(NULL, 0, wait->pause_ms);
    wait->pause_ms =
        wait->pause_ms * 2 < PAUSE_MAX_MS ? wait->pause_ms * 2 : PAUSE_MAX_MS;
    return 0;
}

/* --- load ----------------------------------------------------------------- */

static int load_state(struct milvus_link *link, int *out, struct err *err)
{
    Milvus__GetLoadStateRequest request = MILVUS__GET_LOAD_STATE_REQUEST__INIT;
    const struct milvus_call call = {
        .method = "GetLoadState",
        .request = &request.base,
        .answer = &milvus__get_load_state_response__descriptor,
        .is_repeatable = true};
    const Milvus__GetLoadStateResponse *answer;
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    rc = milvus_run(link, &call, &reply, err);
    if (rc)
        return rc;
    answer = reply.message;
    *out = answer->state;
    milvus_reply_release(&reply);
    return 0;
}

int milvus_load(struct milvus_link *link, struct err *err)
{
    Milvus__LoadCollectionRequest request =
        MILVUS__LOAD_COLLECTION_REQUEST__INIT;
    const struct milvus_call call = {.method = "LoadCollection",
                                     .request = &request.base,
                                     .answer = &milvus__status__descriptor,
                                     .is_repeatable = true};
    struct wait wait = wait_of(link, NULL, "loaded");
    struct milvus_reply reply;
    int state = 0, rc;

    request.collection_name = link->url.collection;
    request.replica_number = 1;
    rc = milvus_run(link, &call, &reply, err);
    milvus_reply_release(&reply);
    if (rc && reply.code == MILVUS_INDEX_NOT_FOUND) {
        *err = (struct err){.code = ERR_OK};
        return err_set(err, ERR_UNSUPPORTED,
                       "collection '%s' has no index, and Milvus at '%s' "
                       "searches none without; settling it makes one",
                       link->url.collection, link->authority);
    }
    while (rc == 0) {
        rc = load_state(link, &state, err);
        if (rc || state == LOADED)
            return rc;
        rc = wait_more(&wait, link, 0, 0, err);
    }
    return rc;
}

/* --- flush ---------------------------------------------------------------- */

static int is_flushed(struct milvus_link *link,
                      const Milvus__FlushResponse *flushed, bool *out,
                      struct err *err)
{
    Milvus__GetFlushStateRequest request =
        MILVUS__GET_FLUSH_STATE_REQUEST__INIT;
    const struct milvus_call call = {.method = "GetFlushState",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__bool_response__descriptor,
                                     .is_repeatable = true};
    const Milvus__BoolResponse *answer;
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    if (flushed->n_segments > 0 && flushed->segments[0]->value != NULL) {
        request.segment_ids = flushed->segments[0]->value->data;
        request.n_segment_ids = flushed->segments[0]->value->n_data;
    }
    if (flushed->n_times > 0)
        request.flush_time = flushed->times[0]->value;
    rc = milvus_run(link, &call, &reply, err);
    if (rc)
        return rc;
    answer = reply.message;
    *out = answer->value;
    milvus_reply_release(&reply);
    return 0;
}

int milvus_flush(struct milvus_link *link, const struct milvus_watcher *watcher,
                 struct err *err)
{
    Milvus__FlushRequest request = MILVUS__FLUSH_REQUEST__INIT;
    const struct milvus_call call = {.method = "Flush",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__flush_response__descriptor,
                                     .is_repeatable = true};
    struct wait wait = wait_of(link, watcher, "flushed");
    char *names[] = {link->url.collection};
    struct milvus_reply reply;
    bool is_done = false;
    int rc;

    request.collection_names = names;
    request.n_collection_names = 1;
    rc = milvus_run(link, &call, &reply, err);
    while (rc == 0 && !is_done) {
        rc = is_flushed(link, reply.message, &is_done, err);
        if (rc == 0 && !is_done)
            rc = wait_more(&wait, link, 0, 0, err);
    }
    milvus_reply_release(&reply);
    return rc;
}

/* --- index ---------------------------------------------------------------- */

struct index_state {
    int64_t done, total, pending;
    bool is_failed;
};

static int index_state(struct milvus_link *link,
                       const struct milvus_shape *shape,
                       struct index_state *out, struct err *err)
{
    Milvus__DescribeIndexRequest request = MILVUS__DESCRIBE_INDEX_REQUEST__INIT;
    const struct milvus_call call = {
        .method = "DescribeIndex",
        .request = &request.base,
        .answer = &milvus__describe_index_response__descriptor,
        .is_repeatable = true};
    const Milvus__DescribeIndexResponse *answer;
    struct milvus_reply reply;
    size_t i;
    int rc;

    *out = (struct index_state){.done = 0};
    request.collection_name = link->url.collection;
    request.field_name = (char *)(uintptr_t)shape->vector;
    rc = milvus_run(link, &call, &reply, err);
    if (rc)
        return rc;
    answer = reply.message;
    for (i = 0; i < answer->n_indexes; i++) {
        const Milvus__IndexDescription *index = answer->indexes[i];

        if (strcmp(index->field_name, shape->vector) != 0)
            continue;
        out->done = index->indexed_rows;
        out->total = index->total_rows;
        out->pending = index->pending_rows;
        out->is_failed = index->state == FAILED;
    }
    milvus_reply_release(&reply);
    return 0;
}

int milvus_await_index(struct milvus_link *link,
                       const struct milvus_shape *shape,
                       const struct milvus_watcher *watcher, struct err *err)
{
    struct wait wait = wait_of(link, watcher, "indexed");
    struct index_state state;
    int rc;

    for (;;) {
        rc = index_state(link, shape, &state, err);
        if (rc)
            return rc;
        if (state.is_failed)
            return err_set(err, ERR_UNPROCESSABLE,
                           "Milvus at '%s' could not build the index of '%s'",
                           link->authority, link->url.collection);
        if (state.done >= state.total && state.pending == 0)
            return 0;
        rc = wait_more(&wait, link, state.done, state.total, err);
        if (rc)
            return rc;
    }
}

int milvus_pending(struct milvus_link *link, const struct milvus_shape *shape,
                   int64_t *out, struct err *err)
{
    struct index_state state;
    int rc;

    rc = index_state(link, shape, &state, err);
    if (rc)
        return rc;
    *out = state.total > state.done ? state.total - state.done : 0;
    return 0;
}

/* --- compaction ----------------------------------------------------------- */

static int compaction_state(struct milvus_link *link, int64_t id,
                            Milvus__GetCompactionStateResponse *out,
                            struct err *err)
{
    Milvus__GetCompactionStateRequest request =
        MILVUS__GET_COMPACTION_STATE_REQUEST__INIT;
    const struct milvus_call call = {
        .method = "GetCompactionState",
        .request = &request.base,
        .answer = &milvus__get_compaction_state_response__descriptor,
        .is_repeatable = true};
    const Milvus__GetCompactionStateResponse *answer;
    struct milvus_reply reply;
    int rc;

    request.compaction_id = id;
    rc = milvus_run(link, &call, &reply, err);
    if (rc)
        return rc;
    answer = reply.message;
    out->state = answer->state;
    out->executing = answer->executing;
    out->completed = answer->completed;
    out->failed = answer->failed + answer->timed_out;
    milvus_reply_release(&reply);
    return 0;
}

int milvus_compact(struct milvus_link *link, int64_t collection_id,
                   const struct milvus_watcher *watcher, struct err *err)
{
    Milvus__ManualCompactionRequest request =
        MILVUS__MANUAL_COMPACTION_REQUEST__INIT;
    const struct milvus_call call = {
        .method = "ManualCompaction",
        .request = &request.base,
        .answer = &milvus__manual_compaction_response__descriptor,
        .is_repeatable = true};
    const Milvus__ManualCompactionResponse *answer;
    Milvus__GetCompactionStateResponse state =
        MILVUS__GET_COMPACTION_STATE_RESPONSE__INIT;
    struct wait wait = wait_of(link, watcher, "compacted");
    struct milvus_reply reply;
    int64_t id;
    int rc;

    request.collection_id = collection_id;
    rc = milvus_run(link, &call, &reply, err);
    if (rc)
        return rc;
    answer = reply.message;
    id = answer->compaction_id;
    milvus_reply_release(&reply);
    for (;;) {
        rc = compaction_state(link, id, &state, err);
        if (rc)
            return rc;
        if (state.failed > 0)
            return err_set(err, ERR_UNPROCESSABLE,
                           "Milvus at '%s' failed at %lld of its compactions "
                           "of '%s'",
                           link->authority, (long long)state.failed,
                           link->url.collection);
        if (state.state == COMPLETED || (state.executing == 0 && id == 0))
            return 0;
        rc = wait_more(&wait, link, state.completed,
                       state.completed + state.executing, err);
        if (rc)
            return rc;
    }
}

/* --- the server ----------------------------------------------------------- */

int milvus_is_healthy(struct milvus_link *link, struct err *err)
{
    Milvus__Empty request = MILVUS__EMPTY__INIT;
    const struct milvus_call call = {.method = "CheckHealth",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__bool_response__descriptor,
                                     .is_repeatable = true};
    const Milvus__BoolResponse *answer;
    struct milvus_reply reply;
    bool is_healthy;
    int rc;

    rc = milvus_run(link, &call, &reply, err);
    if (reply.is_unknown_call) {
        *err = (struct err){.code = ERR_OK};
        return 0;
    }
    if (rc)
        return rc;
    answer = reply.message;
    is_healthy = answer->value;
    milvus_reply_release(&reply);
    if (!is_healthy)
        return err_set(err, ERR_UNAVAILABLE,
                       "Milvus at '%s' says that it is not healthy",
                       link->authority);
    return 0;
}

int milvus_version(struct milvus_link *link, char out[64], struct err *err)
{
    Milvus__Empty request = MILVUS__EMPTY__INIT;
    const struct milvus_call call = {
        .method = "GetVersion",
        .request = &request.base,
        .answer = &milvus__get_version_response__descriptor,
        .is_repeatable = true};
    const Milvus__GetVersionResponse *answer;
    struct milvus_reply reply;
    int rc;

    rc = milvus_run(link, &call, &reply, err);
    if (reply.is_unknown_call) {
        *err = (struct err){.code = ERR_OK};
        snprintf(out, 64, "unknown");
        return 0;
    }
    if (rc)
        return rc;
    answer = reply.message;
    snprintf(out, 64, "%s", answer->version);
    milvus_reply_release(&reply);
    return 0;
}
