/* SPDX-License-Identifier: Apache-2.0 */
/* Unary gRPC calls to one server, over HTTP/2 without TLS. The library is
 * libnghttp2; it lives in grpc_stream.c only. Messages are bytes here.
 *
 *     struct grpc_options options = {.host = "db", .port = 19530};
 *     struct grpc_call call = {.path = "/package.Service/Method",
 *                              .message = packed, .timeout_ms = 2000};
 *     rc = grpc_new(&options, &grpc, &err);
 *     rc = grpc_run(grpc, &call, &answer, &err);
 *
 * Thread-safe: connections are kept and handed from thread to thread, one call
 * at a time on each. */
#ifndef OLHO_BASE_GRPC_H
#define OLHO_BASE_GRPC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    GRPC_CONNECTIONS_MAX = 64,
    GRPC_HEADERS_MAX = 8,
    GRPC_TEXT_MAX = 256,
    GRPC_MESSAGE_MAX = 256 << 20, /* of a call, and of an answer */
};

struct grpc;

struct grpc_options {
    const char *host; /* a name or an address, IPv6 without brackets */
    int port;
    int connection_max;         /* calls at once; more wait. 0: 8 */
    int connect_timeout_ms;     /* 0: 2000 */
    const char *const *headers; /* "name: value" with each call, names in lower
                                 * case; copied */
    int header_count;           /* 0..GRPC_HEADERS_MAX */
};

/* What is known of a call that failed: whether it may be made again. */
enum grpc_fate {
    GRPC_NOT_DONE, /* the server never had all of it, or refused to begin */
    GRPC_PERHAPS,  /* it was sent, and no answer tells what came of it */
    GRPC_ANSWERED, /* the server answered */
};

struct grpc_call {
    const char *path; /* "/package.Service/Method" */
    struct bytes message;
    int timeout_ms;        /* for all of it; 0: 10000 */
    size_t answer_len_max; /* more is ERR_TOO_LARGE; 0: GRPC_MESSAGE_MAX */
    bool is_repeatable;    /* doing it twice does what doing it once does: it
                            * is sent once more when a connection dies */
};

/* Filled by grpc_run, on failure too. */
struct grpc_answer {
    struct buf message; /* owned: grpc_answer_release; empty on failure */
    enum grpc_fate fate;
    int status;               /* grpc-status; -1: none came */
    char text[GRPC_TEXT_MAX]; /* grpc-message, decoded; "" */
};

/* Connects to nobody yet. */
MUST_CHECK int grpc_new(const struct grpc_options *options, struct grpc **out,
                        struct err *err);
void grpc_free(struct grpc *grpc); /* NULL is allowed */

/* One call; blocks until its answer or the deadline. What was surely not done
 * is sent once more on a new connection. Fails with
 * - what grpc-status says: ERR_INVALID (3), _TIMEOUT (4), _NOT_FOUND (5),
 *   _CONFLICT (6, 10), _FORBIDDEN (7), _BUSY (8), _UNSUPPORTED (12),
 *   _UNAVAILABLE (14), _UNAUTHORIZED (16), _UNPROCESSABLE (others);
 * - ERR_UNAVAILABLE when nobody answers, the exchange is cut short or what
 *   answers is not gRPC; ERR_TIMEOUT; ERR_TOO_LARGE; ERR_UNSUPPORTED for a
 *   compressed answer.
 * Messages name the host and, of headers and messages, nothing. */
MUST_CHECK int grpc_run(struct grpc *grpc, const struct grpc_call *call,
                        struct grpc_answer *out, struct err *err);
void grpc_answer_release(struct grpc_answer *answer); /* also a zeroed one */

#endif
