/* SPDX-License-Identifier: Apache-2.0 */
/* One call over one HTTP/2 connection: what nghttp2 does for grpc.c, and of
 * grpc.c alone. The library lives in grpc_stream.c only. A connection belongs
 * to one thread at a time. */
#ifndef OLHO_BASE_GRPC_STREAM_H
#define OLHO_BASE_GRPC_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/grpc.h"

struct grpc_connection;

/* One try of a call. The caller fills the first part; none of it may go before
 * the connection does, unless the call was answered. */
struct grpc_exchange {
    const struct grpc_call *call;
    const char *authority; /* "host:port" */
    int64_t deadline_us;
    size_t answer_len_max;
    const char *const *names, *const *values; /* of further headers */
    int header_count;
    struct grpc_answer *answer;
    struct err *err;

    /* what became of it */
    bool is_sent;       /* the server may have all of it */
    bool is_closed;     /* the stream is at its end */
    bool is_refused;    /* and the server never began the call */
    bool is_grpc;       /* the answer's content-type says so */
    int http_status;    /* 0: nothing was answered */
    size_t message_len; /* that was announced */
    bool has_prefix;    /* it was announced */
    uint8_t prefix[5];  /* before the message: compressed, and its length */
    uint8_t request_prefix[5];
    size_t prefix_len;
    size_t request_at; /* bytes of prefix and message that were read */
    bool is_all_read;  /* the last of them too */
    int rc;            /* why a callback ended it; err is filled */
};

/* Takes the socket, also on failure; sends nothing yet. */
MUST_CHECK int grpc_connection_new(int fd, struct grpc_connection **out,
                                   struct err *err);
void grpc_connection_free(struct grpc_connection *connection); /* or NULL */

/* Whether one that was idle can take a call: what has come meanwhile is read,
 * and answered. */
bool grpc_connection_is_usable(struct grpc_connection *connection);

/* Runs the call to the end of its stream, which is no success yet; fails when
 * the connection is cut, at the deadline, and when what comes is wrong. */
MUST_CHECK int grpc_exchange_run(struct grpc_connection *connection,
                                 struct grpc_exchange *exchange);

/* ERR_UNAVAILABLE. */
int grpc_exchange_cut(const struct grpc_exchange *exchange);

#endif
