/* SPDX-License-Identifier: Apache-2.0 */
/* A window of slots goes round: the caller queues the next file into each free
 * slot and waits for the oldest. A slot belongs to the caller until it is
 * queued, to the pool until `is_done` is set under the mutex, then to the
 * caller again. */
#include "cmd/images.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/work.h"
#include "cmd/terminal.h"

enum { WINDOW_MAX = 64, PATHS_MAX = 100 << 20, ARENA_LEN_MAX = 64 << 20 };

struct path_list {
    struct {
        char *path; /* owned */
        bool is_walked;
    } * items;
    size_t count, cap;
};

struct run;

struct slot {
    struct work_job job; /* first: the pool gives it back */
    struct run *run;
    struct arena *arena;
    struct image_result result;
    bool is_done;
};

struct run {
    const struct app *app;
    struct model_version *version; /* held until the end */
    const struct classify_options *options;
    struct slot slots[WINDOW_MAX];

    pthread_mutex_t mutex; /* guards is_done of all slots */
    pthread_cond_t done;
};

static int add_path(struct path_list *list, const char *path, bool is_walked,
                    struct err *err)
{
    void *grown;

    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 64 : list->cap * 2;

        if (cap > PATHS_MAX)
            return err_set(err, ERR_TOO_LARGE, "more than %d files", PATHS_MAX);
        grown = mem_resize(list->items, cap, sizeof *list->items);
        if (grown == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for %zu paths",
                           cap);
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->count].path = mem_text(path);
    list->items[list->count].is_walked = is_walked;
    list->count++;
    return 0;
}

static int add_walked(void *user, const char *path, struct err *err)
{
    return add_path(user, path, true, err);
}

static void release_paths(struct path_list *list)
{
    size_t i;

    for (i = 0; i < list->count; i++)
        mem_free(list->items[i].path);
    mem_free(list->items);
}

static int collect(const char *const *words, int count, struct path_list *list,
                   struct err *err)
{
    int i, rc = 0;

    for (i = 0; rc == 0 && i < count; i++)
        rc = strcmp(words[i], "-") != 0 && file_is_dir(words[i])
                 ? file_walk(words[i], add_walked, list, err)
                 : add_path(list, words[i], false, err);
    return rc;
}

static void classify_file(struct slot *slot)
{
    const struct run *run = slot->run;
    struct image_result *result = &slot->result;
    double len_max = run->app->config->image_size_max_mb * (1 << 20);
    struct buf file;

    buf_init(&file, (size_t)len_max);
    if (file_read(result->path, &file, &result->err) == 0) {
        hash_sha256_hex(buf_bytes(&file), result->sha256);
        if (classify_image(run->app, run->version, buf_bytes(&file),
                           run->options, slot->arena, &result->answer,
                           &result->err) != 0)
            assert(result->err.code != ERR_OK);
    }
    buf_release(&file);
}

static void run_slot(struct work_job *job, enum work_outcome outcome)
{
    struct slot *slot = (struct slot *)job;
    struct run *run = slot->run;

    if (outcome == WORK_RUN)
        classify_file(slot);
    else
        err_set(&slot->result.err, ERR_UNAVAILABLE, "stopped");
    pthread_mutex_lock(&run->mutex);
    slot->is_done = true;
    pthread_cond_signal(&run->done);
    pthread_mutex_unlock(&run->mutex);
}

static int queue_slot(struct run *run, struct work_pool *pool,
                      struct slot *slot, const char *path, bool is_walked,
                      struct err *err)
{
    if (slot->arena == NULL)
        slot->arena = arena_new(ARENA_LEN_MAX);
    else
        arena_reset(slot->arena);
    slot->run = run;
    slot->is_done = false;
    slot->result = (struct image_result){.path = path, .is_walked = is_walked};
    slot->job = (struct work_job){.run = run_slot};
    return work_add(pool, &slot->job, err);
}

static void wait_for(struct run *run, const struct slot *slot)
{
    pthread_mutex_lock(&run->mutex);
    while (!slot->is_done)
        pthread_cond_wait(&run->done, &run->mutex);
    pthread_mutex_unlock(&run->mutex);
}

/* Keeps the window full and hands results over in order. */
static int run_window(struct run *run, struct work_pool *pool,
                      const struct path_list *list, images_fn *fn, void *user,
                      struct err *err)
{
    int64_t begin_us = clock_us();
    size_t queued = 0, taken;
    int rc = 0;

    for (taken = 0; rc == 0 && taken < list->count; taken++) {
        struct slot *slot = &run->slots[taken % WINDOW_MAX];

        while (rc == 0 && queued < list->count && queued < taken + WINDOW_MAX) {
            rc = queue_slot(run, pool, &run->slots[queued % WINDOW_MAX],
                            list->items[queued].path,
                            list->items[queued].is_walked, err);
            queued++;
        }
        if (rc)
            break;
        wait_for(run, slot);
        terminal_progress("images", (int64_t)taken, (int64_t)list->count,
                          begin_us);
        rc = fn(user, &slot->result, err);
    }
    terminal_progress_end();
    return rc;
}

int images_run(const struct app *app, const char *const *words, int word_count,
               const struct classify_options *options, images_fn *fn,
               void *user, struct err *err)
{
    struct run *run = mem_new(sizeof *run);
    struct path_list list = {0};
    struct work_pool *pool = NULL;
    int i, rc;

    run->app = app;
    run->version = registry_acquire(app->registry, 0);
    run->options = options;
    pthread_mutex_init(&run->mutex, NULL);
    pthread_cond_init(&run->done, NULL);
    rc = collect(words, word_count, &list, err);
    if (rc == 0)
        rc = work_new("image", app->worker_count, WINDOW_MAX, &pool, err);
    if (rc == 0)
        rc = run_window(run, pool, &list, fn, user, err);
    work_free(pool);
    for (i = 0; i < WINDOW_MAX; i++)
        arena_free(run->slots[i].arena);
    pthread_cond_destroy(&run->done);
    pthread_mutex_destroy(&run->mutex);
    release_paths(&list);
    model_version_release(run->version);
    mem_free(run);
    return rc;
}
