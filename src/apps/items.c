/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/items.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { ARENA_LEN_MAX = ITEMS_TEXT_LEN_MAX, OPEN_AGAIN_S = 2 };

/* Read-only once it is published. */
struct items_view {
    int uses;            /* atomic */
    struct arena *texts; /* what the items point to */
    struct item *items;
    int count, cap;
    int *by_photo, *by_place; /* numbers of items, sorted */
    int place_count, photo_count;
};

struct items {
    struct database *database; /* borrowed */
    double refresh_s;
    pthread_t thread;
    bool is_failing; /* the last reading; the thread's */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    bool is_stopping;
    bool is_tried;           /* to read the table, once */
    struct items_view *view; /* NULL before the first reading */
};

void items_release(struct items_view *view)
{
    if (view == NULL ||
        __atomic_sub_fetch(&view->uses, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    arena_free(view->texts);
    mem_free(view->items);
    mem_free(view->by_photo);
    mem_free(view->by_place);
    mem_free(view);
}

struct items_view *items_acquire(struct items *items)
{
    struct items_view *view;

    pthread_mutex_lock(&items->mutex);
    view = items->view;
    if (view != NULL)
        __atomic_add_fetch(&view->uses, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&items->mutex);
    return view;
}

/* Paths of one photo are written in several ways: "bucket//key", "bucket/key",
 * "s3://bucket/key". */
static const char *plain_path(const char *path)
{
    return strncmp(path, "s3://", 5) == 0 ? path + 5 : path;
}

/* Compares paths, taking any run of slashes for one. */
static int compare_paths(const char *a, const char *b)
{
    a = plain_path(a);
    b = plain_path(b);
    for (;; a++, b++) {
        while (a[0] == '/' && a[1] == '/')
            a++;
        while (b[0] == '/' && b[1] == '/')
            b++;
        if (*a != *b || *a == '\0')
            return (unsigned char)*a - (unsigned char)*b;
    }
}

static int take_item(void *user, const struct store_item *item, struct err *err)
{
    struct items_view *view = user;
    struct item *entry;

    if (view->count == ITEMS_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "the items table has more than %d rows", ITEMS_MAX);
    if (view->count == view->cap) {
        int cap = view->cap == 0 ? 256 : 2 * view->cap;
        struct item *grown =
            mem_resize(view->items, (size_t)cap, sizeof *view->items);

        if (grown == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for %d items", cap);
        view->items = grown;
        view->cap = cap;
    }
    entry = &view->items[view->count];
    *entry = (struct item){
        .id = item->id,
        .item_id = item->item_id,
        .embedding_id = item->embedding_id,
        .name = arena_text(view->texts, item->name, strlen(item->name)),
        .photo = arena_text(view->texts, item->photo, strlen(item->photo)),
    };
    if (entry->name == NULL || entry->photo == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for item %lld",
                       (long long)item->id);
    view->count++;
    return 0;
}

static int by_photo(const void *a, const void *b, void *user)
{
    const struct items_view *view = user;

    return compare_paths(view->items[*(const int *)a].photo,
                         view->items[*(const int *)b].photo);
}

static int by_place(const void *a, const void *b, void *user)
{
    const struct items_view *view = user;
    int64_t left = view->items[*(const int *)a].embedding_id;
    int64_t right = view->items[*(const int *)b].embedding_id;

    return (left > right) - (left < right);
}

static int sort(struct items_view *view, struct err *err)
{
    size_t count = view->count > 0 ? (size_t)view->count : 1;
    int i;

    view->by_photo = mem_try(count, sizeof *view->by_photo);
    view->by_place = mem_try(count, sizeof *view->by_place);
    if (view->by_photo == NULL || view->by_place == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d items",
                       view->count);
    for (i = 0; i < view->count; i++) {
        if (view->items[i].photo[0] != '\0')
            view->by_photo[view->photo_count++] = i;
        if (view->items[i].embedding_id >= 0)
            view->by_place[view->place_count++] = i;
    }
    qsort_r(view->by_photo, (size_t)view->photo_count, sizeof *view->by_photo,
            by_photo, view);
    qsort_r(view->by_place, (size_t)view->place_count, sizeof *view->by_place,
            by_place, view);
    return 0;
}

const struct item *items_find(const struct items_view *view,
                              const struct neighbour *neighbour)
{
    int low = 0, high = view->photo_count;

    while (low < high) {
        int middle = low + (high - low) / 2;
        const struct item *item = &view->items[view->by_photo[middle]];
        int order = compare_paths(item->photo, neighbour->path);

        if (order == 0)
            return item;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (low = 0, high = view->place_count; low < high;) {
        int middle = low + (high - low) / 2;
        const struct item *item = &view->items[view->by_place[middle]];

        if (item->embedding_id == neighbour->id)
            return item;
        if (item->embedding_id < neighbour->id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Reads the table and publishes it. */
static int publish(struct items *items, struct store *store, struct err *err)
{
    struct items_view *view = mem_new(sizeof *view), *before = NULL;
    int rc;

    view->uses = 1;
    view->texts = arena_new(ARENA_LEN_MAX);
    rc = store_scan_items(store, take_item, view, err);
    if (rc == 0)
        rc = sort(view, err);
    if (rc) {
        items_release(view);
        return rc;
    }
    pthread_mutex_lock(&items->mutex);
    before = items->view;
    items->view = view;
    pthread_mutex_unlock(&items->mutex);
    items_release(before);
    return 0;
}

/* What was read before stays when the database is away. Returns how many
 * seconds later to read again: sooner while it was never open, because the
 * writer of rows waits for that, too. */
static double read_table(struct items *items)
{
    struct store *store = NULL;
    struct err err = {0};
    bool is_open;
    int rc;

    rc = database_reach(items->database, &store, &err);
    is_open = rc == 0;
    if (rc == 0)
        rc = publish(items, store, &err);
    if (rc != 0 && !items->is_failing)
        log_write(LOG_WARN, "the items table is not read",
                  log_text("why", err.text));
    items->is_failing = rc != 0;
    return is_open || items->refresh_s < OPEN_AGAIN_S ? items->refresh_s
                                                      : OPEN_AGAIN_S;
}

static void *refresh(void *user)
{
    struct items *items = user;
    struct timespec until;
    double pause_s;

    pause_s = read_table(items);
    pthread_mutex_lock(&items->mutex);
    items->is_tried = true;
    pthread_cond_broadcast(&items->wake);
    while (!items->is_stopping) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (time_t)pause_s;
        while (!items->is_stopping &&
               pthread_cond_timedwait(&items->wake, &items->mutex, &until) == 0)
            ;
        if (items->is_stopping)
            break;
        pthread_mutex_unlock(&items->mutex);
        pause_s = read_table(items);
        pthread_mutex_lock(&items->mutex);
    }
    pthread_mutex_unlock(&items->mutex);
    return NULL;
}

int items_new(struct database *database, double refresh_s, struct items **out,
              struct err *err)
{
    struct items *items = mem_new(sizeof *items);
    pthread_condattr_t attributes;

    items->database = database;
    items->refresh_s = refresh_s < 1 ? 1 : refresh_s;
    pthread_mutex_init(&items->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&items->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&items->thread, NULL, refresh, items) != 0) {
        pthread_cond_destroy(&items->wake);
        pthread_mutex_destroy(&items->mutex);
        mem_free(items);
        return err_set(err, ERR_UNAVAILABLE, "no thread can start");
    }
    *out = items;
    return 0;
}

void items_wait(struct items *items, int64_t deadline_us)
{
    struct timespec until = clock_timespec(deadline_us);

    pthread_mutex_lock(&items->mutex);
    while (!items->is_tried &&
           pthread_cond_timedwait(&items->wake, &items->mutex, &until) == 0)
        continue;
    pthread_mutex_unlock(&items->mutex);
}

void items_free(struct items *items)
{
    if (items == NULL)
        return;
    pthread_mutex_lock(&items->mutex);
    items->is_stopping = true;
    pthread_cond_broadcast(&items->wake);
    pthread_mutex_unlock(&items->mutex);
    pthread_join(items->thread, NULL);
    items_release(items->view);
    pthread_cond_destroy(&items->wake);
    pthread_mutex_destroy(&items->mutex);
    mem_free(items);
}
