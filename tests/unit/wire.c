/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "test.h"

enum { SOCKETS_MAX = 1100, LARGE_LEN = 40000 };

static struct http_server *server;
static int sockets[SOCKETS_MAX], socket_count;
static char text[WIRE_TEXT_MAX + 1]; /* what was read and not yet used */
static size_t text_len, used_len;
static int text_fd = -1;

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* guards these */
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static int held_count;
static bool is_open;

/* --- handlers ------------------------------------------------------------ */

static int answer_hello(struct app *app, struct http_request *request,
                        struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)err;
    buf_printf(&reply->body, "{\"hello\":\"%s\"}", request->id);
    return 0;
}

static int answer_large(struct app *app, struct http_request *request,
                        struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    (void)err;
    while (reply->body.len < LARGE_LEN)
        buf_add_text(&reply->body, "[0.125,1]\n");
    return 0;
}

static int answer_held(struct app *app, struct http_request *request,
                       struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    (void)err;
    pthread_mutex_lock(&gate);
    held_count++;
    pthread_cond_broadcast(&gate_changed);
    while (!is_open)
        pthread_cond_wait(&gate_changed, &gate);
    pthread_mutex_unlock(&gate);
    buf_add_text(&reply->body, "{\"held\":true}");
    return 0;
}

static int answer_fail(struct app *app, struct http_request *request,
                       struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    buf_add_text(&reply->body, "half an answer");
    http_reply_header(reply, "X-Half", "1");
    return err_set(err, ERR_UNPROCESSABLE, "cannot");
}

static int answer_speechless(struct app *app, struct http_request *request,
                             struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    (void)reply;
    (void)err;
    return ERR_INTERNAL;
}

static int answer_number(struct app *app, struct http_request *request,
                         struct http_reply *reply, struct err *err)
{
    int64_t number;
    int rc;

    (void)app;
    rc = http_argument_integer(request, "n", 1, 10, 3, &number, err);
    if (rc)
        return rc;
    buf_printf(&reply->body, "%d", (int)number);
    return 0;
}

static int answer_thing(struct app *app, struct http_request *request,
                        struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)err;
    reply->content_type = "text/plain; charset=utf-8";
    reply->is_static = true;
    buf_add_text(&reply->body, http_param(request, "name"));
    return 0;
}

static int answer_parts(struct app *app, struct http_request *request,
                        struct http_reply *reply, struct err *err)
{
    const char *top_k = http_argument(request, "top_k");
    int i;

    (void)app;
    (void)err;
    for (i = 0; i < request->part_count; i++)
        buf_printf(&reply->body, "%s:%zu;", request->parts[i].name,
                   request->parts[i].data.len);
    buf_printf(&reply->body, "top_k=%s", top_k != NULL ? top_k : "");
    return 0;
}

/* An error form of its own, so that a test can tell whose it was. */
static void write_error(const struct http_request *request,
                        const struct err *err, struct http_reply *reply)
{
    buf_printf(&reply->body, "{\"erro\":\"%s\",\"id\":\"%s\"}", err->text,
               request->id);
}

static const struct http_route routes[] = {
    {"GET", "/hello", SCOPE_READ, BODY_NONE, answer_hello, "", false},
    {"GET", "/large", SCOPE_READ, BODY_NONE, answer_large, "", false},
    {"GET", "/held", SCOPE_READ, BODY_NONE, answer_held, "", false},
    {"GET", "/inline", SCOPE_OPEN, BODY_NONE, answer_hello, "", true},
    {"GET", "/fail", SCOPE_READ, BODY_NONE, answer_fail, "", false},
    {"GET", "/speechless", SCOPE_READ, BODY_NONE, answer_speechless, "", false},
    {"GET", "/number", SCOPE_READ, BODY_NONE, answer_number, "", false},
    {"GET", "/things/:name", SCOPE_READ, BODY_NONE, answer_thing, "", false},
    {"GET", "/admin", SCOPE_ADMIN, BODY_NONE, answer_hello, "", false},
    {"POST", "/parts", SCOPE_READ, BODY_IMAGE, answer_parts, "", false},
    {"POST", "/small", SCOPE_READ, BODY_SMALL, answer_parts, "", false},
    {"POST", "/held", SCOPE_READ, BODY_SMALL, answer_held, "", false},
};
static const struct http_api api = {
    "wire", routes, sizeof routes / sizeof routes[0], write_error};
static const struct http_api *const apis[] = {&api};

/* --- the server ---------------------------------------------------------- */

struct http_options wire_options(void)
{
    return (struct http_options){
        .host = "127.0.0.1",
        .worker_count = 1,
        .queue_max = 8,
        .connections_max = 256,
        .timeout_ms = WIRE_PATIENCE_MS,
        .idle_timeout_ms = WIRE_PATIENCE_MS,
        .receive_timeout_ms = WIRE_PATIENCE_MS,
        .header_len_max = 4096,
        .body_len_max = {0, 1000, 1 << 20, 2 << 20},
        .part_len_max = 1 << 19,
        .upload_len_max = 8 << 20,
        .cors_origin = "",
        .gzip_len_min = 1000,
        .keys = "",
        .server_name = "wire/1",
    };
}

void wire_start(const struct http_options *options)
{
    struct err err = {0};

    wire_stop();
    log_set_level(LOG_OFF);
    pthread_mutex_lock(&gate);
    held_count = 0;
    is_open = false;
    pthread_mutex_unlock(&gate);
    CHECK_OK(http_server_start(options, apis, 1, NULL, &server, &err), err);
}

struct http_server *wire_server(void)
{
    return server;
}

void wire_stop(void)
{
    struct http_server *ended = server;

    server = NULL;
    wire_let_go();
    while (socket_count > 0)
        wire_close(sockets[0]);
    log_set_level(LOG_INFO);
    http_server_stop(ended, clock_us() + WIRE_PATIENCE_MS * INT64_C(1000));
}

void wire_forget(void)
{
    server = NULL;
}

void wire_await_held(int count)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WIRE_PATIENCE_MS / 1000;
    pthread_mutex_lock(&gate);
    while (held_count < count &&
           pthread_cond_timedwait(&gate_changed, &gate, &until) == 0)
        continue;
    count -= held_count;
    pthread_mutex_unlock(&gate);
    CHECK_INT(count > 0, 0);
}

void wire_let_go(void)
{
    pthread_mutex_lock(&gate);
    is_open = true;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate);
}

/* --- the client ---------------------------------------------------------- */

int wire_open(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)http_server_port(server)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK(socket_count < SOCKETS_MAX);
    sockets[socket_count++] = fd;
    CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void wire_close(int fd)
{
    int i;

    for (i = 0; i < socket_count && sockets[i] != fd; i++)
        continue;
    CHECK(i < socket_count);
    sockets[i] = sockets[--socket_count];
    if (text_fd == fd)
        text_fd = -1;
    close(fd);
}

void wire_reset(int fd)
{
    struct linger at_once = {1, 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    wire_close(fd);
}

bool wire_is_readable(int fd, int within_ms)
{
    struct pollfd polled = {fd, POLLIN, 0};

    return poll(&polled, 1, within_ms) > 0;
}

bool wire_is_ended(int fd)
{
    char byte;

    return wire_is_readable(fd, WIRE_PATIENCE_MS) && recv(fd, &byte, 1, 0) <= 0;
}

bool wire_write(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

        if (sent < 0)
            return false;
        at += sent;
        len -= (size_t)sent;
    }
    return true;
}

void wire_send(int fd, const char *format, ...)
{
    char message[8192];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < sizeof message);
    CHECK(wire_write(fd, message, (size_t)len));
}

/* More bytes behind those in text; false at the end. */
static bool read_more(int fd)
{
    ssize_t len;

    CHECK(text_len < WIRE_TEXT_MAX);
    if (!wire_is_readable(fd, WIRE_PATIENCE_MS))
        test_fail(__FILE__, __LINE__, "no reply within %d ms",
                  WIRE_PATIENCE_MS);
    len = recv(fd, text + text_len, WIRE_TEXT_MAX - text_len, 0);
    if (len <= 0)
        return false;
    text_len += (size_t)len;
    text[text_len] = '\0';
    return true;
}

static size_t content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");

    return line != NULL ? strtoul(line + 17, NULL, 10) : 0;
}

static struct wire_reply read_reply(int fd, bool has_body)
{
    struct wire_reply reply = {0};
    char *end;

    if (text_fd != fd)
        text_len = used_len = 0;
    memmove(text, text + used_len, text_len - used_len);
    text_len -= used_len;
    text[text_len] = '\0';
    used_len = 0;
    text_fd = fd;
    while ((end = strstr(text, "\r\n\r\n")) == NULL)
        if (!read_more(fd))
            return reply;
    end[2] = '\0';
    reply.head = text;
    reply.body = end + 4;
    reply.status = (int)strtol(text + 9, NULL, 10);
    if (has_body && reply.status != 100 && reply.status != 204)
        reply.body_len = content_length(text);
    used_len = (size_t)(reply.body - text) + reply.body_len;
    while (text_len < used_len)
        if (!read_more(fd))
            return (struct wire_reply){0};
    return reply;
}

struct wire_reply wire_read(int fd)
{
    return read_reply(fd, true);
}

struct wire_reply wire_read_head(int fd)
{
    return read_reply(fd, false);
}

struct wire_reply wire_ask(const char *format, ...)
{
    struct wire_reply reply;
    char message[8192];
    va_list args;
    int len, fd = wire_open();

    va_start(args, format);
    len = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < sizeof message);
    CHECK(wire_write(fd, message, (size_t)len));
    reply = wire_read(fd);
    wire_close(fd);
    return reply;
}
