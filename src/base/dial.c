/* SPDX-License-Identifier: Apache-2.0 */
/* getaddrinfo knows no deadline, so a name is looked up on a thread of its
 * own. Whoever is last, that thread or the caller that waits for it, ends the
 * `struct lookup` that they share. */
#include "base/dial.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct lookup {
    char host[DIAL_HOST_MAX], port[16];

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct addrinfo *found; /* of getaddrinfo; NULL: none, or taken */
    bool is_done, is_given_up;
};

short dial_wait(int fd, short events, int64_t deadline_us)
{
    struct pollfd poller = {.fd = fd, .events = events};
    int64_t left_us;
    int rc;

    do {
        left_us = deadline_us - clock_us();
        if (left_us <= 0)
            return 0;
        if (left_us > (int64_t)INT_MAX * 1000)
            left_us = (int64_t)INT_MAX * 1000;
        rc = poll(&poller, 1, (int)((left_us + 999) / 1000));
    } while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return POLLERR;
    return rc == 0 ? 0 : poller.revents;
}

/* --- names ---------------------------------------------------------------- */

static void lookup_free(struct lookup *lookup)
{
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    pthread_cond_destroy(&lookup->changed);
    pthread_mutex_destroy(&lookup->mutex);
    mem_free(lookup);
}

static struct addrinfo *ask(const struct lookup *lookup, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;

    if (getaddrinfo(lookup->host, lookup->port, &hints, &found) != 0)
        return NULL;
    return found;
}

static void *run_lookup(void *user)
{
    struct lookup *lookup = user;
    struct addrinfo *found = ask(lookup, 0);
    bool is_last;

    pthread_mutex_lock(&lookup->mutex);
    lookup->found = found;
    lookup->is_done = true;
    is_last = lookup->is_given_up;
    pthread_cond_signal(&lookup->changed);
    pthread_mutex_unlock(&lookup->mutex);
    if (is_last)
        lookup_free(lookup);
    return NULL;
}

static struct lookup *lookup_new(const char *host, int port)
{
    struct lookup *lookup = mem_new(sizeof *lookup);
    pthread_condattr_t monotonic;

    snprintf(lookup->host, sizeof lookup->host, "%s", host);
    snprintf(lookup->port, sizeof lookup->port, "%d", port);
    pthread_mutex_init(&lookup->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lookup->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return lookup;
}

static bool start_lookup(struct lookup *lookup)
{
    pthread_attr_t detached;
    pthread_t thread;
    int rc;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &detached, run_lookup, lookup);
    pthread_attr_destroy(&detached);
    return rc == 0;
}

/* Waits for the thread; false at the deadline, when it has the lookup. */
static bool await_lookup(struct lookup *lookup, int64_t deadline_us)
{
    struct timespec until = clock_timespec(deadline_us);
    int rc = 0;

    pthread_mutex_lock(&lookup->mutex);
    while (!lookup->is_done && rc == 0)
        rc = pthread_cond_timedwait(&lookup->changed, &lookup->mutex, &until);
    rc = lookup->is_done ? 0 : rc;
    lookup->is_given_up = rc != 0;
    pthread_mutex_unlock(&lookup->mutex);
    return rc == 0;
}

static int resolve(const char *host, int port, int64_t deadline_us,
                   struct addrinfo **out, struct err *err)
{
    struct lookup *lookup = lookup_new(host, port);

    lookup->found = ask(lookup, AI_NUMERICHOST);
    if (lookup->found == NULL) {
        if (!start_lookup(lookup)) {
            lookup_free(lookup);
            return err_set(err, ERR_UNAVAILABLE,
                           "no thread to look the address of '%s' up", host);
        }
        if (!await_lookup(lookup, deadline_us))
            return err_set(err, ERR_TIMEOUT,
                           "the address of '%s' was not found in time", host);
    }
    *out = lookup->found;
    lookup->found = NULL;
    lookup_free(lookup);
    if (*out == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no address is known for '%s'",
                       host);
    return 0;
}

/* --- connections ---------------------------------------------------------- */

/* 0, or the errno of why not; ETIMEDOUT at the deadline. */
static int connect_one(int fd, const struct addrinfo *address,
                       int64_t deadline_us)
{
    int yes = 1, why = 0;
    socklen_t len = sizeof why;

    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            return errno;
        if (dial_wait(fd, POLLOUT, deadline_us) == 0)
            return ETIMEDOUT;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0)
            return errno;
        if (why != 0)
            return why;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    return 0;
}

static int connect_any(const struct addrinfo *address, int64_t deadline_us,
                       int *out_fd)
{
    int why = ECONNREFUSED, fd;

    for (; address != NULL; address = address->ai_next) {
        fd = socket(address->ai_family,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            why = errno;
            continue;
        }
        why = connect_one(fd, address, deadline_us);
        if (why == 0) {
            *out_fd = fd;
            return 0;
        }
        close(fd);
    }
    return why;
}

int dial_open(const char *host, int port, int64_t deadline_us, int *out_fd,
              struct err *err)
{
    struct addrinfo *addresses = NULL;
    int rc, why;

    if (strlen(host) >= DIAL_HOST_MAX)
        return err_set(err, ERR_INVALID,
                       "a host's name has %zu bytes; at most %d can be",
                       strlen(host), DIAL_HOST_MAX - 1);
    rc = resolve(host, port, deadline_us, &addresses, err);
    if (rc)
        return rc;
    why = connect_any(addresses, deadline_us, out_fd);
    freeaddrinfo(addresses);
    if (why == ETIMEDOUT)
        return err_set(err, ERR_TIMEOUT,
                       "'%s:%d' did not accept a connection in time", host,
                       port);
    if (why != 0)
        return err_set(err, ERR_UNAVAILABLE, "nobody answers at '%s:%d' (%s)",
                       host, port, strerror(why));
    return 0;
}
