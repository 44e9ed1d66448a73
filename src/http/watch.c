/* SPDX-License-Identifier: Apache-2.0 */
/* One thread polls the lingering sockets and, once a second, looks through the
 * entries. The mutex guards the list of entries and the sockets handed over;
 * an entry's socket cannot be closed while the thread holds it, because
 * watch_remove comes before the close. Nothing blocks under the mutex:
 * shutdown(2) and a peek at a TCP socket do not. */
#include "http/watch.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* Found ended once, the owner may still be about to use what it just read. */
enum { SWEEP_MS = 1000, READ_LEN = 1 << 20, ENDED_SWEEPS = 2 };

struct straggler {
    int fd;
    int64_t deadline_us;
    size_t len; /* bytes read so far */
};

struct watch {
    int wake_fd; /* eventfd: something was handed over, or stop */
    pthread_t thread;

    pthread_mutex_t mutex; /* guards what follows */
    struct watch_entry *first;
    int new_fds[WATCH_LINGER_COUNT_MAX]; /* handed over, not yet polled */
    int new_count;
    int linger_count; /* handed over or polled */
    bool is_stopping;

    struct straggler stragglers[WATCH_LINGER_COUNT_MAX]; /* the thread's */
    int polled_count;
    int64_t sweep_us; /* the thread's: when to sweep next */
};

static void wake(struct watch *watch)
{
    uint64_t one = 1;

    /* It can only fail when a wake-up is pending already. */
    if (write(watch->wake_fd, &one, sizeof one) < 0)
        return;
}

void watch_allow(struct watch_entry *entry, bool is_reading,
                 int64_t deadline_us)
{
    atomic_store_explicit(&entry->is_reading, is_reading, memory_order_relaxed);
    atomic_store_explicit(&entry->deadline_us, deadline_us,
                          memory_order_relaxed);
}

void watch_add(struct watch *watch, struct watch_entry *entry)
{
    pthread_mutex_lock(&watch->mutex);
    entry->previous = NULL;
    entry->next = watch->first;
    if (watch->first != NULL)
        watch->first->previous = entry;
    watch->first = entry;
    pthread_mutex_unlock(&watch->mutex);
}

void watch_remove(struct watch *watch, struct watch_entry *entry)
{
    pthread_mutex_lock(&watch->mutex);
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        watch->first = entry->next;
    pthread_mutex_unlock(&watch->mutex);
}

void watch_linger(struct watch *watch, int fd)
{
    bool is_taken = false;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy < 0)
        return;
    pthread_mutex_lock(&watch->mutex);
    if (watch->linger_count < WATCH_LINGER_COUNT_MAX && !watch->is_stopping) {
        watch->new_fds[watch->new_count++] = copy;
        watch->linger_count++;
        is_taken = true;
    }
    pthread_mutex_unlock(&watch->mutex);
    if (is_taken)
        wake(watch);
    else
        close(copy);
}

/* Whether the client has closed its side with nothing left to read, and has
 * been so before, while the owner waits. */
static bool is_left(struct watch_entry *entry)
{
    char byte;

    if (!atomic_load_explicit(&entry->is_reading, memory_order_relaxed) ||
        recv(entry->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) {
        entry->ended_count = 0;
        return false;
    }
    return ++entry->ended_count >= ENDED_SWEEPS;
}

static bool is_late(struct watch_entry *entry, int64_t now_us)
{
    int64_t deadline_us =
        atomic_load_explicit(&entry->deadline_us, memory_order_relaxed);

    return deadline_us != 0 && now_us > deadline_us;
}

/* Shuts down the sockets whose time is over or whose client has left. */
static void sweep(struct watch *watch, int64_t now_us)
{
    struct watch_entry *entry;

    pthread_mutex_lock(&watch->mutex);
    for (entry = watch->first; entry != NULL; entry = entry->next)
        if (is_late(entry, now_us) || is_left(entry)) {
            shutdown(entry->fd, SHUT_RDWR);
            watch_allow(entry, false, 0);
        }
    pthread_mutex_unlock(&watch->mutex);
}

/* Moves what was handed over to the polled ones; false when it is time to
 * stop. */
static bool take_new(struct watch *watch, int64_t now_us)
{
    bool is_stopping;
    int i;

    pthread_mutex_lock(&watch->mutex);
    for (i = 0; i < watch->new_count; i++)
        watch->stragglers[watch->polled_count++] = (struct straggler){
            watch->new_fds[i],
            now_us + (int64_t)WATCH_LINGER_TIME_MAX_MS * 1000, 0};
    watch->new_count = 0;
    is_stopping = watch->is_stopping;
    pthread_mutex_unlock(&watch->mutex);
    return !is_stopping;
}

/* Throws away what has come; false at the end of the socket or of patience.
 * MSG_TRUNC on TCP discards without copying. */
static bool drain(struct straggler *linger, bool is_readable, int64_t now_us)
{
    ssize_t len;

    if (is_readable) {
        len = recv(linger->fd, NULL, READ_LEN, MSG_TRUNC | MSG_DONTWAIT);
        if (len <= 0)
            return false;
        linger->len += (size_t)len;
    }
    return linger->len <= WATCH_LINGER_LEN_MAX && now_us < linger->deadline_us;
}

static void end_straggler(struct watch *watch, int i)
{
    close(watch->stragglers[i].fd);
    watch->stragglers[i] = watch->stragglers[--watch->polled_count];
    pthread_mutex_lock(&watch->mutex);
    watch->linger_count--;
    pthread_mutex_unlock(&watch->mutex);
}

/* Waits for bytes, for a wake-up or for the next sweep, and drains. */
static void poll_once(struct watch *watch)
{
    struct pollfd polls[WATCH_LINGER_COUNT_MAX + 1];
    uint64_t count;
    int i;

    polls[0] = (struct pollfd){watch->wake_fd, POLLIN, 0};
    for (i = 0; i < watch->polled_count; i++)
        polls[i + 1] = (struct pollfd){watch->stragglers[i].fd, POLLIN, 0};
    if (poll(polls, (nfds_t)watch->polled_count + 1, SWEEP_MS) < 0)
        return;
    if (polls[0].revents != 0 && read(watch->wake_fd, &count, sizeof count) < 0)
        return;
    for (i = watch->polled_count - 1; i >= 0; i--)
        if (!drain(&watch->stragglers[i], polls[i + 1].revents != 0,
                   clock_us()))
            end_straggler(watch, i);
}

static void *run(void *arg)
{
    struct watch *watch = arg;

    while (take_new(watch, clock_us())) {
        poll_once(watch);
        if (clock_us() >= watch->sweep_us) {
            sweep(watch, clock_us());
            watch->sweep_us = clock_us() + (int64_t)SWEEP_MS * 1000;
        }
    }
    while (watch->polled_count > 0)
        end_straggler(watch, watch->polled_count - 1);
    return NULL;
}

int watch_new(struct watch **out, struct err *err)
{
    struct watch *watch = mem_new(sizeof *watch);

    watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->wake_fd < 0) {
        mem_free(watch);
        return err_set(err, ERR_UNAVAILABLE, "no file descriptor is left");
    }
    pthread_mutex_init(&watch->mutex, NULL);
    if (pthread_create(&watch->thread, NULL, run, watch) != 0) {
        pthread_mutex_destroy(&watch->mutex);
        close(watch->wake_fd);
        mem_free(watch);
        return err_set(err, ERR_UNAVAILABLE, "a thread cannot start");
    }
    pthread_setname_np(watch->thread, "http-watch");
    *out = watch;
    return 0;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    pthread_mutex_lock(&watch->mutex);
    watch->is_stopping = true;
    pthread_mutex_unlock(&watch->mutex);
    wake(watch);
    pthread_join(watch->thread, NULL);
    pthread_mutex_destroy(&watch->mutex);
    close(watch->wake_fd);
    mem_free(watch);
}
