/* SPDX-License-Identifier: Apache-2.0 */
/* A seat is a key that somebody computes now. It is made by its leader and
 * freed by the last who leaves it, leader or waiter; as long as `is_open` it
 * is in the table and others may join. When the leader ends with a value the
 * seat leaves the table, so that who comes later computes anew, and the value
 * does not change any more: waiters copy it without the mutex. When the leader
 * failed, the seat stays and the first waiter to wake leads. */
#include "cache/flight.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "obs/metrics.h"

enum { BUCKET_COUNT = 256 };

struct seat {
    struct seat *next; /* in its bucket */
    char *key;
    int waiter_count;
    bool is_led;
    bool is_done; /* value is there, or was too large for memory */
    pthread_cond_t changed;
    char *value; /* NULL after is_done: there was no memory */
    size_t value_len;
};

struct flight {
    pthread_mutex_t mutex; /* guards the table and, until done, its seats */
    struct seat *buckets[BUCKET_COUNT];
};

struct flight *flight_new(void)
{
    struct flight *flight = mem_new(sizeof *flight);

    pthread_mutex_init(&flight->mutex, NULL);
    return flight;
}

void flight_free(struct flight *flight)
{
    int i;

    if (flight == NULL)
        return;
    for (i = 0; i < BUCKET_COUNT; i++)
        assert(flight->buckets[i] == NULL);
    pthread_mutex_destroy(&flight->mutex);
    mem_free(flight);
}

/* --- seats, the mutex held ----------------------------------------------- */

/* FNV-1a. Where the pointer to the seat is, or the NULL behind the last. */
static struct seat **find(struct flight *flight, const char *key)
{
    uint32_t hash = 2166136261u;
    struct seat **at;
    const char *p;

    for (p = key; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    at = &flight->buckets[hash % BUCKET_COUNT];
    while (*at != NULL && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    return at;
}

static struct seat *seat_new(const char *key)
{
    struct seat *seat = mem_new(sizeof *seat);
    pthread_condattr_t monotonic;

    seat->key = mem_text(key);
    seat->is_led = true;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&seat->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return seat;
}

static void seat_free(struct seat *seat)
{
    pthread_cond_destroy(&seat->changed);
    mem_free(seat->key);
    mem_free(seat->value);
    mem_free(seat);
}

/* Waits until the seat is done or without a leader; false at the deadline. */
static bool wait_for(struct flight *flight, struct seat *seat,
                     int64_t deadline_us)
{
    struct timespec until = clock_timespec(deadline_us);
    int rc = 0;

    while (rc == 0 && seat->is_led && !seat->is_done)
        rc = deadline_us == 0
                 ? pthread_cond_wait(&seat->changed, &flight->mutex)
                 : pthread_cond_timedwait(&seat->changed, &flight->mutex,
                                          &until);
    return !seat->is_led || seat->is_done;
}

/* --- begin and end ------------------------------------------------------- */

/* Copies the value of a seat that is done. */
static int share(const struct seat *seat, struct buf *out, struct err *err)
{
    if (seat->value == NULL)
        return err_set(err, ERR_UNAVAILABLE,
                       "no memory to share an answer with an identical "
                       "request");
    buf_add(out, seat->value, seat->value_len);
    metrics_add(METRIC_FLIGHT, "share", NULL, 1);
    return buf_check(out, err);
}

static int follow(struct flight *flight, struct seat *seat, int64_t deadline_us,
                  bool *out_is_leader, struct buf *out, struct err *err)
{
    bool is_over, is_last, leads = false;
    int rc = 0;

    seat->waiter_count++;
    is_over = wait_for(flight, seat, deadline_us);
    if (is_over && !seat->is_done) {
        seat->is_led = true;
        leads = true;
    }
    if (!leads && is_over) {
        /* It stays as it is while we are counted. */
        pthread_mutex_unlock(&flight->mutex);
        rc = share(seat, out, err);
        pthread_mutex_lock(&flight->mutex);
    } else if (!leads) {
        metrics_add(METRIC_FLIGHT, "timeout", NULL, 1);
        rc = err_set(err, ERR_TIMEOUT,
                     "an identical request did not end before the deadline");
    }
    seat->waiter_count--;
    is_last = seat->is_done && seat->waiter_count == 0;
    if (is_last)
        seat_free(seat);
    *out_is_leader = leads;
    return rc;
}

int flight_begin(struct flight *flight, const char *key, int64_t deadline_us,
                 bool *out_is_leader, struct buf *out, struct err *err)
{
    struct seat **at;
    int rc = 0;

    pthread_mutex_lock(&flight->mutex);
    at = find(flight, key);
    if (*at == NULL) {
        *at = seat_new(key);
        *out_is_leader = true;
    } else {
        rc = follow(flight, *at, deadline_us, out_is_leader, out, err);
    }
    pthread_mutex_unlock(&flight->mutex);
    if (rc == 0 && *out_is_leader)
        metrics_add(METRIC_FLIGHT, "lead", NULL, 1);
    return rc;
}

/* The value is copied with the mutex held: it is some kilobytes, and only when
 * somebody waits. */
void flight_end(struct flight *flight, const char *key,
                const struct bytes *value)
{
    struct seat **at, *seat;

    pthread_mutex_lock(&flight->mutex);
    at = find(flight, key);
    seat = *at;
    assert(seat != NULL);
    assert(seat->is_led);
    if (value == NULL && seat->waiter_count > 0) {
        seat->is_led = false;
        pthread_cond_signal(&seat->changed);
        pthread_mutex_unlock(&flight->mutex);
        return;
    }
    *at = seat->next;
    seat->is_done = true;
    if (seat->waiter_count > 0) {
        seat->value = mem_try(1, value->len + 1);
        if (seat->value != NULL) {
            memcpy(seat->value, value->data, value->len);
            seat->value_len = value->len;
        }
        pthread_cond_broadcast(&seat->changed);
    } else {
        seat_free(seat);
    }
    pthread_mutex_unlock(&flight->mutex);
}
