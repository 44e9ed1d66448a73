/* SPDX-License-Identifier: Apache-2.0 */
/* A server on 127.0.0.1 that says the same bytes on every connection, at once
 * and without listening, and then no more. */
#ifndef OLHO_FUZZ_SPOKEN_H
#define OLHO_FUZZ_SPOKEN_H

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"

static pthread_mutex_t spoken_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct bytes spoken; /* guarded by it */
static int spoken_listener = -1;

static void *spoken_serve(void *user)
{
    char heard[4096];
    int fd;

    (void)user;
    while ((fd = accept(spoken_listener, NULL, NULL)) >= 0) {
        pthread_mutex_lock(&spoken_mutex);
        if (spoken.len > 0)
            (void)!send(fd, spoken.data, spoken.len, MSG_NOSIGNAL);
        pthread_mutex_unlock(&spoken_mutex);
        shutdown(fd, SHUT_WR);
        while (recv(fd, heard, sizeof heard, 0) > 0) {
        }
        close(fd);
    }
    return NULL;
}

static void spoken_set(struct bytes bytes)
{
    pthread_mutex_lock(&spoken_mutex);
    spoken = bytes;
    pthread_mutex_unlock(&spoken_mutex);
}

/* Starts it when it does not run; its port. */
static int spoken_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    pthread_t thread;
    int rc;

    if (spoken_listener < 0) {
        spoken_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = bind(spoken_listener, (struct sockaddr *)&address, len);
        assert(rc == 0);
        rc = listen(spoken_listener, 64);
        assert(rc == 0);
        rc = pthread_create(&thread, NULL, spoken_serve, NULL);
        assert(rc == 0);
        pthread_detach(thread);
    }
    rc = getsockname(spoken_listener, (struct sockaddr *)&address, &len);
    assert(rc == 0);
    return ntohs(address.sin_port);
}

#endif
