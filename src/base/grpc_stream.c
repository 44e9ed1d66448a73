/* SPDX-License-Identifier: Apache-2.0 */
#include "base/grpc_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "base/clock.h"
#include "base/dial.h"
#include "base/mem.h"
#include "base/url.h"

enum {
    OUT_CAP = 64 << 10,    /* bytes collected for one send */
    IN_CAP = 64 << 10,     /* of one receive */
    WINDOW_LEN = 16 << 20, /* that the server may send without our leave */
    FRAME_LEN_MAX = 1 << 20,
    PREFIX_LEN = sizeof(((struct grpc_exchange *)0)->prefix),
    OWN_HEADERS = 7,
    SERVER_GRACE_MS = 1000, /* our deadline is to pass before the server's */
};

struct grpc_connection {
    nghttp2_session *session;
    int fd;
    size_t out_len, out_at;
    uint8_t out[OUT_CAP]; /* what waits to be sent is out_at..out_len */
};

/* --- what nghttp2 calls --------------------------------------------------- */

/* The exchange that a frame is of; NULL for one that is over. */
static struct grpc_exchange *exchange_of(nghttp2_session *session,
                                         int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static ssize_t give_message(nghttp2_session *session, int32_t stream_id,
                            uint8_t *out, size_t room, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
    struct grpc_exchange *exchange = source->ptr;
    struct bytes message = exchange->call->message;
    size_t len, got = 0;

    (void)session, (void)stream_id, (void)user;
    if (exchange->request_at < PREFIX_LEN) {
        got = PREFIX_LEN - exchange->request_at;
        got = got < room ? got : room;
        memcpy(out, exchange->request_prefix + exchange->request_at, got);
        exchange->request_at += got;
    }
    if (exchange->request_at >= PREFIX_LEN) {
        len = PREFIX_LEN + message.len - exchange->request_at;
        len = len < room - got ? len : room - got;
        if (len > 0)
            memcpy(out + got, message.data + exchange->request_at - PREFIX_LEN,
                   len);
        exchange->request_at += len;
        got += len;
    }
    if (exchange->request_at == PREFIX_LEN + message.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        exchange->is_all_read = true;
    }
    return (ssize_t)got;
}

static bool is_named(const char *name, const uint8_t *text, size_t len)
{
    return strlen(name) == len && memcmp(name, text, len) == 0;
}

static int read_number(const uint8_t *text, size_t len)
{
    int number = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || number > 99999)
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return len > 0 ? number : -1;
}

/* Percent-decoded, cut to what there is room for, and clean text. */
static void read_text(const uint8_t *text, size_t len, char out[GRPC_TEXT_MAX])
{
    size_t i;

    len = len < GRPC_TEXT_MAX - 1 ? len : GRPC_TEXT_MAX - 1;
    memcpy(out, text, len);
    len = url_decode(out, len, false);
    for (i = 0; i < len; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            out[i] = ' ';
}

static int take_header(nghttp2_session *session, const nghttp2_frame *frame,
                       const uint8_t *name, size_t name_len,
                       const uint8_t *value, size_t value_len, uint8_t flags,
                       void *user)
{
    static const char type[] = "application/grpc";
    struct grpc_exchange *exchange = exchange_of(session, frame->hd.stream_id);

    (void)flags, (void)user;
    if (exchange == NULL)
        return 0;
    if (is_named(":status", name, name_len))
        exchange->http_status = read_number(value, value_len);
    else if (is_named("content-type", name, name_len))
        exchange->is_grpc = value_len >= sizeof type - 1 &&
                            memcmp(value, type, sizeof type - 1) == 0;
    else if (is_named("grpc-status", name, name_len))
        exchange->answer->status = read_number(value, value_len);
    else if (is_named("grpc-message", name, name_len))
        read_text(value, value_len, exchange->answer->text);
    return 0;
}

/* The length is known once the prefix is there, and is looked at before memory
 * is taken. */
static int begin_message(struct grpc_exchange *exchange)
{
    const uint8_t *prefix = exchange->prefix;
    size_t len = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 |
                 (size_t)prefix[3] << 8 | prefix[4];

    if (prefix[0] != 0)
        return err_set(exchange->err, ERR_UNSUPPORTED,
                       "'%s' sent a compressed message, which was not asked "
                       "for",
                       exchange->authority);
    if (len > exchange->answer_len_max)
        return err_set(exchange->err, ERR_TOO_LARGE,
                       "'%s' answers with %zu bytes; at most %zu are taken",
                       exchange->authority, len, exchange->answer_len_max);
    exchange->message_len = len;
    exchange->has_prefix = true;
    exchange->answer->message.len_max = len;
    return 0;
}

static int take_piece(struct grpc_exchange *exchange, const uint8_t *data,
                      size_t len)
{
    struct buf *message = &exchange->answer->message;
    size_t part = PREFIX_LEN - exchange->prefix_len;
    int rc;

    if (part > 0) {
        part = part < len ? part : len;
        memcpy(exchange->prefix + exchange->prefix_len, data, part);
        exchange->prefix_len += part;
        data += part;
        len -= part;
        rc = exchange->prefix_len == PREFIX_LEN ? begin_message(exchange) : 0;
        if (rc || len == 0)
            return rc;
    }
    if (len > exchange->message_len - message->len)
        return err_set(exchange->err, ERR_UNAVAILABLE,
                       "'%s' sent more than the one message that a unary call "
                       "is answered by",
                       exchange->authority);
    buf_add(message, data, len);
    return buf_check(message, exchange->err);
}

static int take_data(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                     const uint8_t *data, size_t len, void *user)
{
    struct grpc_exchange *exchange = exchange_of(session, stream_id);

    (void)flags, (void)user;
    /* The body of what is no gRPC, such as a proxy's page, is left out. */
    if (exchange == NULL || exchange->rc || !exchange->is_grpc || len == 0)
        return 0;
    exchange->rc = take_piece(exchange, data, len);
    return 0;
}

static int take_close(nghttp2_session *session, int32_t stream_id,
                      uint32_t code, void *user)
{
    struct grpc_exchange *exchange = exchange_of(session, stream_id);

    (void)user;
    if (exchange != NULL) {
        exchange->is_closed = true;
        exchange->is_refused = code == NGHTTP2_REFUSED_STREAM;
    }
    return 0;
}

/* --- one connection ------------------------------------------------------- */

static int start_session(struct grpc_connection *connection)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_LEN},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_LEN_MAX}};
    nghttp2_session_callbacks *callbacks = NULL;
    int rc;

    rc = nghttp2_session_callbacks_new(&callbacks);
    if (rc)
        return rc;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, take_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                              take_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                           take_close);
    rc =
        nghttp2_session_client_new(&connection->session, callbacks, connection);
    nghttp2_session_callbacks_del(callbacks);
    if (rc == 0)
        rc = nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE,
                                     settings,
                                     sizeof settings / sizeof settings[0]);
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(
            connection->session, NGHTTP2_FLAG_NONE, 0, WINDOW_LEN);
    return rc;
}

int grpc_connection_new(int fd, struct grpc_connection **out, struct err *err)
{
    struct grpc_connection *connection = mem_new(sizeof *connection);

    connection->fd = fd;
    if (start_session(connection) != 0) {
        grpc_connection_free(connection);
        return err_set(err, ERR_UNAVAILABLE, "no memory for a connection");
    }
    *out = connection;
    return 0;
}

void grpc_connection_free(struct grpc_connection *connection)
{
    if (connection == NULL)
        return;
    nghttp2_session_del(connection->session);
    close(connection->fd);
    mem_free(connection);
}

/* Collects frames until the buffer is full or none is left. nghttp2 gives a
 * piece once and in full, so the buffer leaves room for the largest that is
 * made: one frame of 16 KB. */
static bool collect(struct grpc_connection *connection)
{
    enum { PIECE_MAX = (16 << 10) + 64 };
    const uint8_t *piece;
    ssize_t len;

    if (connection->out_at == connection->out_len)
        connection->out_at = connection->out_len = 0;
    while (connection->out_len + PIECE_MAX <= sizeof connection->out) {
        len = nghttp2_session_mem_send(connection->session, &piece);
        if (len == 0)
            return true;
        if (len < 0 ||
            (size_t)len > sizeof connection->out - connection->out_len)
            return false;
        memcpy(connection->out + connection->out_len, piece, (size_t)len);
        connection->out_len += (size_t)len;
    }
    return true;
}

/* Sends what the socket takes. */
static bool flush(struct grpc_connection *connection,
                  struct grpc_exchange *exchange)
{
    ssize_t sent;

    while (connection->out_at < connection->out_len) {
        sent = send(connection->fd, connection->out + connection->out_at,
                    connection->out_len - connection->out_at, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        connection->out_at += (size_t)sent;
        if (exchange != NULL && exchange->is_all_read)
            exchange->is_sent = true;
    }
    return true;
}

/* Sends all that nghttp2 has and the socket takes. What did not fit into the
 * buffer at once is asked for again: a server that has room for the rest has no
 * reason to say anything meanwhile. */
static bool send_all(struct grpc_connection *connection,
                     struct grpc_exchange *exchange)
{
    do {
        if (!collect(connection) || !flush(connection, exchange))
            return false;
    } while (connection->out_len > 0 &&
             connection->out_at == connection->out_len);
    return true;
}

/* Reads what has come. False when the connection is at its end, or what came
 * is no HTTP/2. */
static bool receive(struct grpc_connection *connection)
{
    uint8_t in[IN_CAP];
    ssize_t got;

    do {
        got = recv(connection->fd, in, sizeof in, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        if (got == 0 || nghttp2_session_mem_recv(connection->session, in,
                                                 (size_t)got) != got)
            return false;
    } while (got == (ssize_t)sizeof in);
    return true;
}

/* Whether a connection that was idle can take a call. */
bool grpc_connection_is_usable(struct grpc_connection *connection)
{
    if (!receive(connection) || !send_all(connection, NULL))
        return false;
    return nghttp2_session_check_request_allowed(connection->session) != 0;
}

/* --- one call ------------------------------------------------------------- */

static void set_prefix(struct grpc_exchange *exchange)
{
    size_t len = exchange->call->message.len;
    int i;

    for (i = 0; i < 4; i++)
        exchange->request_prefix[1 + i] = (uint8_t)(len >> (24 - 8 * i));
}

static nghttp2_nv pair_of(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value,
                        strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static int submit(struct grpc_connection *connection,
                  struct grpc_exchange *exchange)
{
    nghttp2_data_provider source = {.source.ptr = exchange,
                                    .read_callback = give_message};
    int64_t left_ms = (exchange->deadline_us - clock_us()) / 1000;
    nghttp2_nv pairs[OWN_HEADERS + GRPC_HEADERS_MAX] = {
        pair_of(":method", "POST"),
        pair_of(":scheme", "http"),
        pair_of(":path", exchange->call->path),
        pair_of(":authority", exchange->authority),
        pair_of("te", "trailers"),
        pair_of("content-type", "application/grpc")};
    size_t count = OWN_HEADERS;
    char timeout[32];
    int i;

    if (left_ms < 0)
        left_ms = 0;
    snprintf(timeout, sizeof timeout, "%lldm",
             (long long)left_ms + SERVER_GRACE_MS);
    pairs[OWN_HEADERS - 1] = pair_of("grpc-timeout", timeout);
    for (i = 0; i < exchange->header_count; i++)
        pairs[count++] = pair_of(exchange->names[i], exchange->values[i]);
    set_prefix(exchange);
    if (nghttp2_submit_request(connection->session, NULL, pairs, count, &source,
                               exchange) < 0)
        return err_set(exchange->err, ERR_UNAVAILABLE,
                       "no stream could be opened to '%s'",
                       exchange->authority);
    return 0;
}

int grpc_exchange_cut(const struct grpc_exchange *exchange)
{
    return err_set(exchange->err, ERR_UNAVAILABLE,
                   "'%s' cut the exchange short", exchange->authority);
}

static int exceed_deadline(const struct grpc_exchange *exchange)
{
    return err_set(exchange->err, ERR_TIMEOUT,
                   "'%s' did not answer within %d ms", exchange->authority,
                   exchange->call->timeout_ms);
}

int grpc_exchange_run(struct grpc_connection *connection,
                      struct grpc_exchange *exchange)
{
    short ready, wanted;
    int rc;

    rc = submit(connection, exchange);
    while (rc == 0 && !exchange->is_closed) {
        if (!send_all(connection, exchange))
            return grpc_exchange_cut(exchange);
        wanted = POLLIN;
        if (connection->out_at < connection->out_len)
            wanted |= POLLOUT;
        else if (!nghttp2_session_want_read(connection->session))
            return grpc_exchange_cut(exchange);
        ready = dial_wait(connection->fd, wanted, exchange->deadline_us);
        if (ready == 0)
            return exceed_deadline(exchange);
        /* What it said before its end counts: the stream may be whole. */
        if ((ready & ~POLLOUT) != 0 && !receive(connection) &&
            !exchange->is_closed && exchange->rc == 0)
            return grpc_exchange_cut(exchange);
        rc = exchange->rc;
    }
    return rc;
}
