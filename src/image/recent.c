/* SPDX-License-Identifier: Apache-2.0 */
#include "image/recent.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "image/phash.h"

struct recent {
    int count_max;
    pthread_mutex_t mutex;          /* guards what follows */
    int count;                      /* in use */
    int next;                       /* the place of the next one */
    uint64_t *hashes;               /* count_max, owned */
    char (*names)[RECENT_NAME_LEN]; /* count_max, owned */
};

int recent_open(int count_max, struct recent **out, struct err *err)
{
    struct recent *recent = mem_new(sizeof *recent);

    assert(count_max >= 1 && count_max <= RECENT_COUNT_MAX);
    pthread_mutex_init(&recent->mutex, NULL);
    recent->count_max = count_max;
    recent->hashes = mem_try((size_t)count_max, sizeof *recent->hashes);
    recent->names = mem_try((size_t)count_max, sizeof *recent->names);
    if (recent->hashes == NULL || recent->names == NULL) {
        recent_close(recent);
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d recent images",
                       count_max);
    }
    *out = recent;
    return 0;
}

void recent_close(struct recent *recent)
{
    if (recent == NULL)
        return;
    pthread_mutex_destroy(&recent->mutex);
    mem_free(recent->hashes);
    mem_free(recent->names);
    mem_free(recent);
}

/* The place of the image that was added `age` (1..count) images ago. */
static int place(const struct recent *recent, int age)
{
    return (recent->next + recent->count_max - age) % recent->count_max;
}

/* As far as names are kept. */
static bool is_name(const char *kept, const char *name)
{
    return strncmp(kept, name, RECENT_NAME_LEN - 1) == 0;
}

void recent_find(struct recent *recent, uint64_t hash, const char *name,
                 int distance_max, struct recent_match *out)
{
    int best = -1, best_distance = distance_max + 1;

    *out = (struct recent_match){.distance = -1};
    pthread_mutex_lock(&recent->mutex);
    for (int age = 1; age <= recent->count; age++) {
        int i = place(recent, age);
        int distance = phash_distance(hash, recent->hashes[i]);

        if (distance < best_distance && !is_name(recent->names[i], name)) {
            best = i;
            best_distance = distance;
        }
    }
    if (best >= 0) {
        out->distance = best_distance;
        snprintf(out->name, sizeof out->name, "%s", recent->names[best]);
    }
    pthread_mutex_unlock(&recent->mutex);
}

void recent_add(struct recent *recent, uint64_t hash, const char *name)
{
    int newest;

    pthread_mutex_lock(&recent->mutex);
    newest = place(recent, 1);
    if (recent->count == 0 || recent->hashes[newest] != hash ||
        !is_name(recent->names[newest], name)) {
        recent->hashes[recent->next] = hash;
        snprintf(recent->names[recent->next], RECENT_NAME_LEN, "%s", name);
        recent->next = (recent->next + 1) % recent->count_max;
        if (recent->count < recent->count_max)
            recent->count++;
    }
    pthread_mutex_unlock(&recent->mutex);
}
