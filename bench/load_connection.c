/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "load.h"

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

static bool connection_open(struct load *load, struct connection *connection)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)load->options.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                .data.ptr = connection};
    int on = 1;

    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection->fd < 0)
        die(strerror(errno), "socket");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) <
            0 &&
        errno != EINPROGRESS) {
        connection_close(connection);
        return false;
    }
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        die(strerror(errno), "epoll_ctl");
    return true;
}

static void keep_latency(struct load *load, int64_t us)
{
    uint32_t *grown;

    if (load->latency_count == load->latency_cap) {
        load->latency_cap = load->latency_cap ? load->latency_cap * 2 : 65536;
        grown =
            mem_resize(load->latencies_us, load->latency_cap, sizeof(*grown));
        if (!grown)
            die("no memory", "latencies");
        load->latencies_us = grown;
    }
    load->latencies_us[load->latency_count++] =
        us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static void show_problem(struct load *load, const struct connection *connection,
                         const char *what)
{
    const struct message *message = connection->message;

    if (load->failures + load->wrong > PROBLEMS_SHOWN)
        return;
    fprintf(stderr, "bench-load: %s: message %d, status %d: %.*s\n", what,
            (int)(message - load->messages), connection->status,
            (int)(connection->reply.len < 600 ? connection->reply.len : 600),
            connection->reply.data ? connection->reply.data : "");
}

static bool is_status_right(const struct message *message, int status)
{
    for (int i = 0; i < message->status_count; i++)
        if (message->statuses[i] == status)
            return true;
    return false;
}

static bool is_answer_right(const struct connection *connection)
{
    const struct buf *answer = &connection->message->answer;
    const struct buf *reply = &connection->reply;
    const char *body;

    if (answer->len == 0 || connection->status == 0)
        return true;
    body = memmem(reply->data, reply->len, "\r\n\r\n", 4);
    return body &&
           (size_t)(reply->data + reply->len - (body + 4)) >= answer->len &&
           memcmp(body + 4, answer->data, answer->len) == 0;
}

/* Ends a request: counts it and makes the connection idle. status is 0 when
 * there was no whole answer; then `what` says why. */
static void connection_finish(struct load *load, struct connection *connection,
                              const char *what)
{
    const struct message *message = connection->message;
    bool is_sent = connection->sent_len == message->request.len;
    int64_t now = now_us();
    bool shed = load->options.rate > 0 && connection->status >= 400;

    if (connection->due_us >= load->measure_us) {
        load->last_us = now;
        load->requests++;
        load->statuses[connection->status]++;
        load->received_len += (int64_t)connection->reply.len;
        if (message->kind == KIND_GOOD && connection->status / 100 == 2)
            keep_latency(load, now - connection->due_us);
    }
    if (message->kind == KIND_RESET) {
        load->resets++;
    } else if (!shed && !is_status_right(message, connection->status)) {
        load->failures++;
        show_problem(load, connection, what);
    } else if (!is_answer_right(connection) && !shed) {
        load->wrong++;
        show_problem(load, connection, "wrong answer");
    }
    if (connection->status == 0 || connection->closes || !is_sent)
        connection_close(connection);
    connection->message = NULL;
    load->idle[load->idle_count++] = (int)(connection - load->connections);
}

void connection_fail(struct load *load, struct connection *connection,
                     const char *what)
{
    connection->status = 0;
    connection_close(connection);
    connection_finish(load, connection, what);
}

/* Half a request, then a reset instead of a polite end. */
static void connection_reset(struct load *load, struct connection *connection)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once,
               sizeof(at_once));
    connection_fail(load, connection, "reset");
}

/* Reads the header's figures once it is whole; false when it makes no sense.
 */
static bool read_header(struct connection *connection)
{
    const struct buf *reply = &connection->reply;
    const char *end = memmem(reply->data, reply->len, "\r\n\r\n", 4);
    char header[HEADER_LEN_MAX];
    const char *length;
    size_t header_len;

    if (!end)
        return reply->len < HEADER_LEN_MAX;
    header_len = (size_t)(end - reply->data) + 4;
    if (header_len >= HEADER_LEN_MAX)
        return false;
    memcpy(header, reply->data, header_len);
    header[header_len] = '\0';
    connection->status = (int)strtol(header + strlen("HTTP/1.1 "), NULL, 10);
    length = strcasestr(header, "\r\nContent-Length:");
    connection->closes = strcasestr(header, "\r\nConnection: close") != NULL;
    if (!length || connection->status < 100 || connection->status > 599)
        return false;
    connection->reply_len =
        header_len + strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
    return connection->reply_len <= REPLY_LEN_MAX;
}

/* Returns false when the request ended, well or not. */
static bool connection_receive(struct load *load, struct connection *connection)
{
    for (;;) {
        char *room = buf_reserve(&connection->reply, READ_LEN);
        ssize_t len;

        if (!room) {
            connection_fail(load, connection, "reply too large");
            return false;
        }
        len = recv(connection->fd, room, READ_LEN, 0);
        if (len < 0 && errno == EAGAIN)
            return true;
        if (len <= 0) {
            connection_fail(load, connection,
                            len == 0 ? "closed before the answer"
                                     : strerror(errno));
            return false;
        }
        connection->reply.len += (size_t)len;
        if (connection->reply_len == 0 && !read_header(connection)) {
            connection_fail(load, connection, "header not understood");
            return false;
        }
        if (connection->reply_len > 0 &&
            connection->reply.len >= connection->reply_len) {
            connection_finish(load, connection, "status");
            return false;
        }
    }
}

void connection_advance(struct load *load, struct connection *connection)
{
    const struct message *message = connection->message;
    char ignored[256];

    if (!message) {
        if (recv(connection->fd, ignored, sizeof(ignored), 0) == 0)
            connection_close(connection);
        return;
    }
    for (;;) {
        size_t len = message->request.len;
        ssize_t sent;

        if (message->kind == KIND_RESET)
            len /= 2;
        if (connection->sent_len == len)
            break;
        sent =
            send(connection->fd, message->request.data + connection->sent_len,
                 len - connection->sent_len, MSG_NOSIGNAL);
        if (sent < 0)
            break; /* full, or broken: then recv says how */
        connection->sent_len += (size_t)sent;
    }
    if (message->kind == KIND_RESET &&
        connection->sent_len == message->request.len / 2) {
        connection_reset(load, connection);
        return;
    }
    connection_receive(load, connection);
}

void connection_start(struct load *load, int64_t due_us)
{
    struct connection *connection =
        &load->connections[load->idle[--load->idle_count]];

    connection->message = load_next_message(load);
    connection->due_us = due_us;
    connection->sent_len = 0;
    connection->reply_len = 0;
    connection->status = 0;
    connection->closes = false;
    buf_clear(&connection->reply);
    load->started++;
    if (connection->fd < 0 && !connection_open(load, connection)) {
        connection_fail(load, connection, "connection refused");
        return;
    }
    connection_advance(load, connection);
}
