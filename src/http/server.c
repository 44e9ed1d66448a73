/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns a request, and when.
 *
 * libmicrohttpd (MHD) has one thread. It calls `handle` several times for each
 * request: with the header, with pieces of the body, with the end of the body,
 * and once more after a worker has answered. The struct exchange is made at
 * the first call, hangs on the request, and ends in `completed`.
 *
 *     MHD's thread   header, body: the exchange belongs to it
 *          |         end of body: MHD_suspend_connection, then work_add
 *          v
 *     worker         runs the handler, makes the reply final, sets ANSWERED;
 *          |         MHD_resume_connection is the very last thing it does
 *          v         with any of it
 *     MHD's thread   `handle` again: queues the reply; `completed`
 *
 * So MHD's thread alone calls MHD about a connection, but for
 * MHD_resume_connection, which may come from anywhere. While a connection is
 * suspended MHD neither times it out nor sees that its client has gone, nor
 * calls `completed`: the worker need fear nothing. MHD's own lock inside
 * suspend and resume orders the memory of the two threads.
 *
 * Stopping a daemon with suspended connections is an error in MHD's contract,
 * so http_server_stop first ends the pool, which answers every job that has
 * not run, and only then the daemon. `pool` becomes NULL under pool_mutex, so
 * that MHD's thread cannot add to a pool that ends.
 *
 * A client that is refused while it still sends gets its answer written to
 * the socket directly, since MHD queues none in the middle of a body; the
 * handler then has MHD close, and http/watch lets the socket linger. Earlier
 * replies on that connection are out by then: MHD reads the next request only
 * after it has sent the last reply. */
#include "http/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/work.h"
#include "http/exchange.h"
#include "http/listen.h"
#include "http/watch.h"
#include "obs/metrics.h"

enum {
    REFUSAL_LEN_MAX = 64 << 10,
    FLUSH_TIME_MAX_US = 1000000, /* to send what was answered, when stopping */
};

struct http_server {
    struct service service;
    struct watch *watch;
    struct MHD_Daemon *daemon;
    int port;

    pthread_mutex_t pool_mutex; /* guards what follows; taken before none */
    struct work_pool *pool;     /* NULL once it is ending */
};

/* One connection, made and ended by `connection_changed`. */
struct connection {
    struct watch_entry watch; /* first */
    struct http_server *server;
    char client[INET6_ADDRSTRLEN];
};

static void log_mhd(void *user, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void log_mhd(void *user, const char *format, va_list args)
{
    char text[256];

    (void)user;
    if (!log_is_on(LOG_DEBUG))
        return;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\r\n")] = '\0';
    log_write(LOG_DEBUG, "http library", log_text("says", text));
}

/* --- connections -------------------------------------------------------- */

static void format_client(const struct sockaddr *address, char *out)
{
    static const char mapped[] = "::ffff:";
    const struct sockaddr_in6 *six;
    const struct sockaddr_in *four;

    if (address->sa_family == AF_INET6) {
        six = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &six->sin6_addr, out, INET6_ADDRSTRLEN);
        if (strncmp(out, mapped, sizeof mapped - 1) == 0)
            memmove(out, out + sizeof mapped - 1,
                    strlen(out + sizeof mapped - 1) + 1);
    } else if (address->sa_family == AF_INET) {
        four = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &four->sin_addr, out, INET6_ADDRSTRLEN);
    }
}

/* For how long a connection may take over anything: waiting for a request and
 * receiving it, or sending a reply. The library's own timeout only sees
 * silence, not one byte now and then. */
static void allow_time(struct connection *connection, bool is_reading)
{
    const struct http_options *options = &connection->server->service.options;

    watch_allow(&connection->watch, is_reading,
                clock_us() + (int64_t)options->idle_timeout_ms * 1000 +
                    (int64_t)options->receive_timeout_ms * 1000);
}

static void connection_start(struct http_server *server,
                             struct MHD_Connection *mhd, void **context)
{
    struct connection *connection = mem_new(sizeof *connection);

    connection->server = server;
    connection->watch.fd =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)
            ->connect_fd;
    format_client(
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)
            ->client_addr,
        connection->client);
    allow_time(connection, true);
    watch_add(server->watch, &connection->watch);
    metrics_add(METRIC_HTTP_CONNECTIONS, NULL, NULL, 1);
    *context = connection;
}

static void connection_changed(void *user, struct MHD_Connection *mhd,
                               void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = user;
    struct connection *connection = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection_start(server, mhd, context);
        return;
    }
    watch_remove(server->watch, &connection->watch);
    metrics_add(METRIC_HTTP_CONNECTIONS, NULL, NULL, -1);
    mem_free(connection);
    *context = NULL;
}

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
        ->socket_context;
}

/* --- replies ------------------------------------------------------------ */

/* The library's response out of the final reply; the body is handed over, not
 * copied. NULL when memory ran out. */
static struct MHD_Response *build_response(struct exchange *exchange)
{
    struct buf *body = &exchange->reply.body;
    size_t len = body->len;
    char *data = buf_detach(body);
    struct MHD_Response *response;
    int i;

    response = data != NULL
                   ? MHD_create_response_from_buffer_with_free_callback(
                         len, data, mem_free)
                   : MHD_create_response_from_buffer(0, (void *)"",
                                                     MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        mem_free(data);
        return NULL;
    }
    for (i = 0; i < exchange->lines.count; i++)
        MHD_add_response_header(response, exchange->lines.lines[i].name,
                                exchange->lines.lines[i].value);
    if (atomic_load(&exchange->service->is_draining))
        MHD_add_response_header(response, "Connection", "close");
    return response;
}

/* Hands the reply to the library; MHD_NO (the connection is closed) only when
 * memory ran out. */
static enum MHD_Result queue_reply(struct exchange *exchange)
{
    struct MHD_Response *response = build_response(exchange);
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    allow_time(connection_of(exchange->connection), false);
    result = MHD_queue_response(exchange->connection,
                                (unsigned)exchange->reply.status, response);
    MHD_destroy_response(response);
    return result;
}

/* Writes the reply past the library and has it close. One send is enough: the
 * text is small, and nothing else waits in the socket. */
static enum MHD_Result refuse_now(struct exchange *exchange)
{
    int fd = connection_of(exchange->connection)->watch.fd;
    struct buf text;

    buf_init(&text, REFUSAL_LEN_MAX);
    reply_print(&exchange->reply, &exchange->lines,
                strcmp(exchange->request.method, "HEAD") != 0, &text);
    if (send(fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        watch_linger(exchange->server->watch, fd);
    buf_release(&text);
    return MHD_NO;
}

/* --- requests ----------------------------------------------------------- */

/* On a worker. */
static void work(struct work_job *job, enum work_outcome outcome)
{
    struct exchange *exchange = (struct exchange *)(void *)job;

    metrics_add(METRIC_QUEUE_WAITING, NULL, NULL, -1);
    metrics_observe(METRIC_QUEUE_SECONDS, NULL, NULL,
                    (double)(clock_us() - exchange->queued_us) / 1e6);
    exchange_run(exchange, outcome);
    exchange->state = EXCHANGE_ANSWERED;
    MHD_resume_connection(exchange->connection);
}

static int add_job(struct http_server *server, struct exchange *exchange,
                   struct err *err)
{
    int rc;

    pthread_mutex_lock(&server->pool_mutex);
    if (server->pool == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "the server is stopping");
    else
        rc = work_add(server->pool, &exchange->job, err);
    pthread_mutex_unlock(&server->pool_mutex);
    return rc;
}

/* Gives the exchange to the workers. Suspended first: a worker may be done
 * before work_add returns. */
static enum MHD_Result start_work(struct http_server *server,
                                  struct exchange *exchange)
{
    struct err err = {0};

    exchange->job.run = work;
    exchange->job.deadline_us = exchange->request.deadline_us;
    watch_allow(&connection_of(exchange->connection)->watch, false, 0);
    metrics_add(METRIC_QUEUE_WAITING, NULL, NULL, 1);
    MHD_suspend_connection(exchange->connection);
    if (add_job(server, exchange, &err) == 0)
        return MHD_YES;
    metrics_add(METRIC_QUEUE_WAITING, NULL, NULL, -1);
    metrics_add(METRIC_HTTP_SHED, err.code == ERR_BUSY ? "queue" : "stopping",
                NULL, 1);
    exchange_fail(exchange, &err);
    exchange->state = EXCHANGE_ANSWERED;
    MHD_resume_connection(exchange->connection);
    return MHD_YES;
}

static enum MHD_Result take_field(void *user, enum MHD_ValueKind kind,
                                  const char *name, size_t name_len,
                                  const char *value, size_t value_len)
{
    struct exchange *exchange = user;
    struct bytes key = {(const uint8_t *)name, name_len};
    struct bytes text = {(const uint8_t *)value, value_len};

    if (kind == MHD_HEADER_KIND)
        exchange_add_header(exchange, key, text);
    else
        exchange_add_query(exchange, key, text);
    return MHD_YES;
}

static enum MHD_Result on_header(struct http_server *server,
                                 struct MHD_Connection *mhd, const char *url,
                                 const char *method, void **context)
{
    struct connection *connection = connection_of(mhd);
    struct exchange *exchange =
        exchange_open(&server->service, method, connection->client);

    *context = exchange;
    exchange->server = server;
    exchange->connection = mhd;
    allow_time(connection, true);
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND,
                                take_field, exchange);
    exchange_begin(
        exchange, url,
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
            ->header_size);
    if (exchange->state == EXCHANGE_REFUSED)
        return refuse_now(exchange);
    if (exchange->state == EXCHANGE_SKIPPING &&
        exchange_awaits_continue(exchange))
        return queue_reply(exchange);
    return MHD_YES;
}

static enum MHD_Result on_end(struct http_server *server,
                              struct exchange *exchange)
{
    if (exchange->state != EXCHANGE_ANSWERED)
        exchange_complete(exchange);
    if (exchange->state == EXCHANGE_ANSWERED)
        return queue_reply(exchange);
    if (!exchange->fields.match.route->is_inline)
        return start_work(server, exchange);
    exchange_run(exchange, WORK_RUN);
    exchange->state = EXCHANGE_ANSWERED;
    return queue_reply(exchange);
}

static enum MHD_Result handle(void *user, struct MHD_Connection *mhd,
                              const char *url, const char *method,
                              const char *version, const char *data,
                              size_t *len, void **context)
{
    struct http_server *server = user;
    struct exchange *exchange = *context;

    (void)version;
    if (exchange == NULL)
        return on_header(server, mhd, url, method, context);
    if (*len == 0)
        return on_end(server, exchange);
    exchange_receive(exchange, (struct bytes){(const uint8_t *)data, *len});
    *len = 0;
    return exchange->state == EXCHANGE_REFUSED ? refuse_now(exchange) : MHD_YES;
}

static void completed(void *user, struct MHD_Connection *mhd, void **context,
                      enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *context;
    struct connection *connection = connection_of(mhd);

    (void)user;
    if (exchange == NULL)
        return;
    *context = NULL;
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        log_write(LOG_DEBUG, "request ended early",
                  log_text("path", exchange->request.path),
                  log_integer("code", code));
    exchange_close(exchange);
    allow_time(connection, true);
}

/* Targets and arguments stay as they were sent: an encoded slash must not
 * become one before the path is cut at its slashes. */
static size_t keep_encoded(void *user, struct MHD_Connection *mhd, char *text)
{
    (void)user;
    (void)mhd;
    return strlen(text);
}

/* --- start and stop ----------------------------------------------------- */

static unsigned seconds_up(int ms)
{
    return ((unsigned)ms + 999) / 1000;
}

/* The library keeps a header's text, a table of its fields, the reply's header
 * and the read buffer in one block for each connection, all of which it touches
 * and keeps while the connection is open: 1000 connections that had one request
 * each cost 1000 of these. A header somewhat over the limit must still fit, so
 * that the refusal is ours and not the library's. */
static size_t connection_memory(const struct http_options *options)
{
    return options->header_len_max + (20 << 10);
}

static struct MHD_Daemon *start_daemon(struct http_server *server, int fd)
{
    const struct http_options *options = &server->service.options;

    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
            MHD_USE_ERROR_LOG,
        0, NULL, NULL, handle, server, MHD_OPTION_EXTERNAL_LOGGER, log_mhd,
        NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_SIGPIPE_HANDLED_BY_APP,
        1, MHD_OPTION_CONNECTION_MEMORY_LIMIT, connection_memory(options),
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)(8 << 10),
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->connections_max,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)options->connections_per_client_max,
        MHD_OPTION_CONNECTION_TIMEOUT, seconds_up(options->idle_timeout_ms),
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, completed,
        NULL, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, NULL, MHD_OPTION_END);
}

/* Frees what there is of a server that has no daemon. */
static void server_free(struct http_server *server)
{
    work_free(server->pool);
    watch_free(server->watch);
    service_release(&server->service);
    pthread_mutex_destroy(&server->pool_mutex);
    mem_free(server);
}

int http_server_start(const struct http_options *options,
                      const struct http_api *const *apis, int api_count,
                      struct app *app, struct http_server **out,
                      struct err *err)
{
    struct http_server *server = mem_new(sizeof *server);
    int fd = -1, rc;

    pthread_mutex_init(&server->pool_mutex, NULL);
    signal(SIGPIPE, SIG_IGN);
    rc = service_init(&server->service, options, apis, api_count, app, err);
    if (rc)
        goto fail;
    rc = watch_new(&server->watch, err);
    if (rc)
        goto fail;
    rc = work_new("worker", options->worker_count, options->queue_max,
                  &server->pool, err);
    if (rc)
        goto fail;
    rc = listen_open(options->host, options->port, &fd, &server->port, err);
    if (rc)
        goto fail;
    listen_reserve_files(options->connections_max);
    /* Its threads call handlers, which may look at *out, at once. */
    *out = server;
    server->daemon = start_daemon(server, fd);
    if (server->daemon == NULL) {
        *out = NULL;
        rc = err_set(err, ERR_UNAVAILABLE, "the HTTP library cannot start");
        goto fail;
    }
    return 0;
fail:
    if (fd >= 0)
        close(fd);
    server_free(server);
    return rc;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_drain(struct http_server *server)
{
    atomic_store(&server->service.is_draining, true);
}

bool http_server_is_draining(const struct http_server *server)
{
    return atomic_load(&server->service.is_draining);
}

/* Ends the pool: jobs that wait are answered 503, the one that runs on each
 * thread comes to its end. */
static void end_pool(struct http_server *server)
{
    struct work_pool *pool;

    pthread_mutex_lock(&server->pool_mutex);
    pool = server->pool;
    server->pool = NULL;
    pthread_mutex_unlock(&server->pool_mutex);
    work_free(pool);
}

int http_server_stop(struct http_server *server, int64_t deadline_us)
{
    int fd, refused, cut_off = 0;

    if (server == NULL)
        return 0;
    atomic_store(&server->service.is_stopping, true);
    atomic_store(&server->service.is_draining, true);
    /* The daemon's threads may still take the socket out of their epoll set,
     * so its number stays ours until they have ended; from here on the kernel
     * refuses new connections. */
    fd = MHD_quiesce_daemon(server->daemon);
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
    service_wait_idle(&server->service, deadline_us);
    end_pool(server);
    if (!service_wait_idle(&server->service, clock_us() + FLUSH_TIME_MAX_US))
        cut_off = service_open_count(&server->service);
    MHD_stop_daemon(server->daemon);
    if (fd >= 0)
        close(fd);
    refused = atomic_load(&server->service.refused_count) + cut_off;
    server_free(server);
    return refused;
}
