/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

enum { TEXT_MAX = 1 << 20, PATIENCE_MS = 120000 };

static int listener = -1;
static fake_fn *serve;
static pthread_t thread;
static atomic_int count;
static char text[TEXT_MAX + 1];

static void *take_connections(void *user)
{
    int fd;

    (void)user;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        serve(fd, atomic_fetch_add(&count, 1));
        close(fd);
    }
    return NULL;
}

static int bind_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;

    fake_stop();
    /* What the tests' user has set must not stand in between. */
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0);
    CHECK_INT(bind(listener, (struct sockaddr *)&address, len), 0);
    CHECK_INT(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static int listen_somewhere(void)
{
    int port = bind_somewhere();

    CHECK_INT(listen(listener, 64), 0);
    return port;
}

int fake_start_silent(void)
{
    return listen_somewhere();
}

int fake_start_closed(void)
{
    return bind_somewhere();
}

int fake_start(fake_fn *fn)
{
    int port = listen_somewhere();

    serve = fn;
    atomic_store(&count, 0);
    CHECK_INT(pthread_create(&thread, NULL, take_connections, NULL), 0);
    return port;
}

void fake_stop(void)
{
    if (listener < 0)
        return;
    shutdown(listener, SHUT_RDWR);
    if (serve != NULL)
        pthread_join(thread, NULL);
    close(listener);
    listener = -1;
    serve = NULL;
}

int fake_count(void)
{
    return atomic_load(&count);
}

static size_t body_len(const char *head)
{
    const char *line = strcasestr(head, "\r\ncontent-length:");

    return line == NULL ? 0 : strtoul(line + 17, NULL, 10);
}

const char *fake_read(int fd)
{
    struct pollfd polled = {fd, POLLIN, 0};
    size_t len = 0;
    const char *end;
    ssize_t got;

    text[0] = '\0';
    for (;;) {
        end = strstr(text, "\r\n\r\n");
        if (end != NULL && len >= (size_t)(end + 4 - text) + body_len(text))
            return text;
        if (len == TEXT_MAX || poll(&polled, 1, PATIENCE_MS) <= 0)
            return "";
        got = recv(fd, text + len, TEXT_MAX - len, 0);
        if (got <= 0)
            return "";
        len += (size_t)got;
        text[len] = '\0';
    }
}

bool fake_is_ended(int fd)
{
    struct pollfd polled = {fd, POLLIN, 0};
    char byte;

    return poll(&polled, 1, PATIENCE_MS) > 0 && recv(fd, &byte, 1, 0) <= 0;
}

bool fake_is_gone(int fd)
{
    struct pollfd polled = {fd, POLLIN | POLLRDHUP, 0};

    return poll(&polled, 1, 0) > 0 &&
           (polled.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void fake_send_bytes(int fd, const void *data, size_t len)
{
    const char *at = data;
    ssize_t sent;

    while (len > 0) {
        sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        len -= (size_t)sent;
    }
}

void fake_send(int fd, const char *format, ...)
{
    char message[8192];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fake_send_bytes(fd, message, len > 0 ? (size_t)len : 0);
}
