/* SPDX-License-Identifier: Apache-2.0 */
/* A connection belongs to one call at a time; between calls it lies on a stack
 * of idle ones, so that the one used last, which is the likeliest to live, is
 * used next. Before it is used again what has come meanwhile is read: PINGs
 * are answered, and one that the server has ended or told to go away is
 * replaced before anything of the call is sent. A call that fails in any other
 * way than by the server's own word costs its connection. The mutex is never
 * held while the network is waited for.
 *
 * Wire format: gRPC over HTTP/2 (PROTOCOL-HTTP2 of the gRPC project) and
 * RFC 9113. */
#include "base/grpc.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/dial.h"
#include "base/grpc_stream.h"
#include "base/mem.h"

enum {
    CONNECTIONS = 8,
    CONNECT_TIMEOUT_MS = 2000,
    TIMEOUT_MS = 10000,
    HEADER_LEN_MAX = 4096,
    TRIES_MAX = 2,
};

struct grpc {
    char host[DIAL_HOST_MAX];
    char authority[DIAL_HOST_MAX + 16];
    int port, connection_max, connect_timeout_ms;
    char *names[GRPC_HEADERS_MAX]; /* with their values behind the NUL */
    char *values[GRPC_HEADERS_MAX];
    int header_count;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct grpc_connection *idle[GRPC_CONNECTIONS_MAX];
    int idle_count, open_count;
};

/* --- making one ----------------------------------------------------------- */

static int keep_header(struct grpc *grpc, const char *line, struct err *err)
{
    const char *colon = strchr(line, ':'), *p;
    size_t name_len = colon != NULL ? (size_t)(colon - line) : 0;
    char *kept;

    if (name_len == 0 || strlen(line) > HEADER_LEN_MAX)
        return err_set(err, ERR_INVALID,
                       "a header is no 'name: value' of 1..%d bytes",
                       HEADER_LEN_MAX);
    for (p = line; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f ||
            (p < colon && *p >= 'A' && *p <= 'Z'))
            return err_set(err, ERR_INVALID,
                           "a header has a control character, or upper case "
                           "in its name");
    for (p = colon + 1; *p == ' ';)
        p++;
    kept = mem_new(strlen(line) + 2);
    memcpy(kept, line, name_len);
    memcpy(kept + name_len + 1, p, strlen(p));
    grpc->names[grpc->header_count] = kept;
    grpc->values[grpc->header_count++] = kept + name_len + 1;
    return 0;
}

static int check_options(const struct grpc_options *options, struct err *err)
{
    if (options->host[0] == '\0' || strlen(options->host) >= DIAL_HOST_MAX)
        return err_set(err, ERR_INVALID, "a host's name must have 1..%d bytes",
                       DIAL_HOST_MAX - 1);
    if (options->port < 1 || options->port > 65535)
        return err_set(err, ERR_INVALID, "port is %d; it must be 1..65535",
                       options->port);
    if (options->connection_max < 0 ||
        options->connection_max > GRPC_CONNECTIONS_MAX)
        return err_set(err, ERR_INVALID,
                       "%d connections were asked for; 1..%d can be",
                       options->connection_max, GRPC_CONNECTIONS_MAX);
    if (options->header_count < 0 || options->header_count > GRPC_HEADERS_MAX)
        return err_set(err, ERR_INVALID, "%d headers are given; 0..%d can be",
                       options->header_count, GRPC_HEADERS_MAX);
    return 0;
}

int grpc_new(const struct grpc_options *options, struct grpc **out,
             struct err *err)
{
    bool is_ipv6 = strchr(options->host, ':') != NULL;
    pthread_condattr_t monotonic;
    struct grpc *grpc;
    int i, rc;

    rc = check_options(options, err);
    if (rc)
        return rc;
    grpc = mem_new(sizeof *grpc);
    snprintf(grpc->host, sizeof grpc->host, "%s", options->host);
    snprintf(grpc->authority, sizeof grpc->authority, "%s%s%s:%d",
             is_ipv6 ? "[" : "", options->host, is_ipv6 ? "]" : "",
             options->port);
    grpc->port = options->port;
    grpc->connection_max =
        options->connection_max > 0 ? options->connection_max : CONNECTIONS;
    grpc->connect_timeout_ms = options->connect_timeout_ms > 0
                                   ? options->connect_timeout_ms
                                   : CONNECT_TIMEOUT_MS;
    pthread_mutex_init(&grpc->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&grpc->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (i = 0; rc == 0 && i < options->header_count; i++)
        rc = keep_header(grpc, options->headers[i], err);
    if (rc) {
        grpc_free(grpc);
        return rc;
    }
    *out = grpc;
    return 0;
}

void grpc_free(struct grpc *grpc)
{
    int i;

    if (grpc == NULL)
        return;
    assert(grpc->open_count == grpc->idle_count);
    for (i = 0; i < grpc->idle_count; i++)
        grpc_connection_free(grpc->idle[i]);
    for (i = 0; i < grpc->header_count; i++)
        mem_free(grpc->names[i]);
    pthread_cond_destroy(&grpc->changed);
    pthread_mutex_destroy(&grpc->mutex);
    mem_free(grpc);
}

void grpc_answer_release(struct grpc_answer *answer)
{
    buf_release(&answer->message);
}

/* --- which connection ----------------------------------------------------- */

/* An idle one, or in *out NULL for the leave to open one; false when neither
 * came before the deadline. */
static bool take_idle(struct grpc *grpc, int64_t deadline_us,
                      struct grpc_connection **out)
{
    struct timespec until = clock_timespec(deadline_us);
    bool is_mine = true;

    *out = NULL;
    pthread_mutex_lock(&grpc->mutex);
    while (is_mine && grpc->idle_count == 0 &&
           grpc->open_count == grpc->connection_max)
        is_mine =
            pthread_cond_timedwait(&grpc->changed, &grpc->mutex, &until) == 0;
    if (is_mine && grpc->idle_count > 0)
        *out = grpc->idle[--grpc->idle_count];
    else if (is_mine)
        grpc->open_count++;
    pthread_mutex_unlock(&grpc->mutex);
    return is_mine;
}

/* NULL for one that is gone. */
static void give_back(struct grpc *grpc, struct grpc_connection *connection)
{
    pthread_mutex_lock(&grpc->mutex);
    if (connection != NULL)
        grpc->idle[grpc->idle_count++] = connection;
    else
        grpc->open_count--;
    pthread_cond_signal(&grpc->changed);
    pthread_mutex_unlock(&grpc->mutex);
}

static int open_new(const struct grpc *grpc, int64_t deadline_us,
                    struct grpc_connection **out, struct err *err)
{
    int64_t connect_us = clock_us() + grpc->connect_timeout_ms * INT64_C(1000);
    int fd = -1, rc;

    rc = dial_open(grpc->host, grpc->port,
                   connect_us < deadline_us ? connect_us : deadline_us, &fd,
                   err);
    return rc ? rc : grpc_connection_new(fd, out, err);
}

/* *out_was_idle: it has lain there, and may be dead without a sign of it. */
static int acquire(struct grpc *grpc, int64_t deadline_us,
                   struct grpc_connection **out, bool *out_was_idle,
                   struct err *err)
{
    struct grpc_connection *connection = NULL;
    int rc;

    if (!take_idle(grpc, deadline_us, &connection))
        return err_set(err, ERR_TIMEOUT,
                       "all %d connections to '%s' are in use",
                       grpc->connection_max, grpc->authority);
    if (connection != NULL && !grpc_connection_is_usable(connection)) {
        grpc_connection_free(connection);
        connection = NULL;
    }
    *out_was_idle = connection != NULL;
    if (connection == NULL) {
        rc = open_new(grpc, deadline_us, &connection, err);
        if (rc) {
            give_back(grpc, NULL);
            return rc;
        }
    }
    *out = connection;
    return 0;
}

/* --- one call ------------------------------------------------------------- */

/* What the server says of a call that it did not do. */
static int status_fail(const struct grpc_exchange *exchange)
{
    static const enum err_code codes[] = {
        [1] = ERR_UNAVAILABLE,  [2] = ERR_UNPROCESSABLE,
        [3] = ERR_INVALID,      [4] = ERR_TIMEOUT,
        [5] = ERR_NOT_FOUND,    [6] = ERR_CONFLICT,
        [7] = ERR_FORBIDDEN,    [8] = ERR_BUSY,
        [10] = ERR_CONFLICT,    [12] = ERR_UNSUPPORTED,
        [14] = ERR_UNAVAILABLE, [16] = ERR_UNAUTHORIZED,
    };
    const struct grpc_answer *answer = exchange->answer;
    enum err_code code = ERR_UNPROCESSABLE;

    if (answer->status < (int)(sizeof codes / sizeof codes[0]) &&
        codes[answer->status] != ERR_OK)
        code = codes[answer->status];
    return err_set(exchange->err, code, "'%s' answers with gRPC status %d%s%s",
                   exchange->authority, answer->status,
                   answer->text[0] != '\0' ? ": " : "", answer->text);
}

/* The stream is at its end: what does that say? */
static int judge(struct grpc_exchange *exchange)
{
    struct grpc_answer *answer = exchange->answer;

    if (exchange->is_refused)
        return err_set(exchange->err, ERR_UNAVAILABLE,
                       "'%s' refused to begin the call", exchange->authority);
    if (exchange->http_status != 0 && !exchange->is_grpc && answer->status < 0)
        return err_set(exchange->err, ERR_UNAVAILABLE,
                       "what '%s' answers is not gRPC (HTTP status %d)",
                       exchange->authority, exchange->http_status);
    if (exchange->http_status == 0 || answer->status < 0)
        return grpc_exchange_cut(exchange);
    if (answer->status > 0) {
        answer->fate = GRPC_ANSWERED;
        return status_fail(exchange);
    }
    if (!exchange->has_prefix || answer->message.len < exchange->message_len)
        return err_set(exchange->err, ERR_UNAVAILABLE,
                       "'%s' sent %zu of the %zu bytes of its answer",
                       exchange->authority, answer->message.len,
                       exchange->message_len);
    answer->fate = GRPC_ANSWERED;
    return 0;
}

/* One try. *out_is_worth: it failed in a way that a new connection mends. */
static int run_once(struct grpc *grpc, struct grpc_exchange *exchange,
                    bool *out_is_worth)
{
    struct grpc_connection *connection = NULL;
    struct grpc_answer *answer = exchange->answer;
    bool was_idle = false;
    int rc;

    *out_is_worth = false;
    rc = acquire(grpc, exchange->deadline_us, &connection, &was_idle,
                 exchange->err);
    if (rc)
        return rc;
    rc = grpc_exchange_run(connection, exchange);
    if (rc == 0)
        rc = judge(exchange);
    if (answer->fate != GRPC_ANSWERED) {
        grpc_connection_free(connection);
        connection = NULL;
        if (exchange->is_sent && !exchange->is_refused)
            answer->fate = GRPC_PERHAPS;
        *out_is_worth = exchange->is_refused ||
                        (rc == ERR_UNAVAILABLE && exchange->http_status == 0 &&
                         (exchange->call->is_repeatable ||
                          (was_idle && answer->fate == GRPC_NOT_DONE)));
    }
    give_back(grpc, connection);
    return rc;
}

int grpc_run(struct grpc *grpc, const struct grpc_call *asked,
             struct grpc_answer *out, struct err *err)
{
    struct grpc_call call = *asked;
    size_t len_max = call.answer_len_max;
    bool is_worth = true;
    int64_t deadline_us;
    int tries, rc = 0;

    if (call.timeout_ms <= 0)
        call.timeout_ms = TIMEOUT_MS;
    deadline_us = clock_us() + call.timeout_ms * INT64_C(1000);
    if (len_max == 0 || len_max > GRPC_MESSAGE_MAX)
        len_max = GRPC_MESSAGE_MAX;
    *out = (struct grpc_answer){.fate = GRPC_NOT_DONE, .status = -1};
    if (call.message.len > GRPC_MESSAGE_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "a message has %zu bytes; at most %d can be sent",
                       call.message.len, GRPC_MESSAGE_MAX);
    for (tries = 0; is_worth && tries < TRIES_MAX; tries++) {
        struct grpc_exchange exchange = {
            .call = &call,
            .authority = grpc->authority,
            .deadline_us = deadline_us,
            .answer_len_max = len_max,
            .names = (const char *const *)grpc->names,
            .values = (const char *const *)grpc->values,
            .header_count = grpc->header_count,
            .answer = out,
            .err = err};

        buf_release(&out->message);
        *out = (struct grpc_answer){.fate = GRPC_NOT_DONE, .status = -1};
        *err = (struct err){.code = ERR_OK};
        rc = run_once(grpc, &exchange, &is_worth);
    }
    if (rc)
        buf_release(&out->message);
    return rc;
}
