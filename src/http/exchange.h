/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its reply, from the header to the last line of the log,
 * without any socket: http/server.c feeds it what the wire brings and sends
 * what it answers.
 *
 * An exchange belongs to one thread at a time; server.c says to which. A
 * service is shared by all threads, and its functions are thread-safe. */
#ifndef OLHO_HTTP_EXCHANGE_H
#define OLHO_HTTP_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/work.h"
#include "http/auth.h"
#include "http/body.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/server.h"

enum {
    EXCHANGE_SKIP_LEN_MAX = 64 << 10, /* of a body nobody reads, see below */
    EXCHANGE_ARENA_LEN_MAX = 32 << 20,
    EXCHANGE_SPARE_MAX = 64, /* exchanges kept for the next requests */
};

/* What all exchanges of a server share. */
struct service {
    struct http_options options; /* texts owned */
    struct reply_options reply_options;
    struct router router;
    struct auth *auth; /* owned */
    struct app *app;   /* borrowed */
    struct budget budget;
    atomic_bool is_draining;  /* not ready any more */
    atomic_bool is_stopping;  /* new requests are refused */
    atomic_int refused_count; /* because the server stops */

    pthread_mutex_t mutex;  /* guards what follows */
    pthread_cond_t is_idle; /* open_count fell to 0 */
    struct exchange *spare; /* linked by `next` */
    int spare_count;
    int open_count;
};

enum exchange_state {
    EXCHANGE_RECEIVING, /* the body is wanted */
    EXCHANGE_SKIPPING,  /* the reply is ready; a small rest of the body is
                         * thrown away so that the connection lives on */
    EXCHANGE_REFUSED,   /* the reply is ready; send it now and close */
    EXCHANGE_WORKING,   /* complete: run it, here or on a worker */
    EXCHANGE_ANSWERED,  /* complete, and the reply is ready */
};

struct exchange {
    struct work_job job; /* first: a job of ours is its exchange */
    struct service *service;
    struct exchange *next; /* of the spare ones */
    struct arena *arena;   /* owned, kept from request to request */
    enum exchange_state state;
    struct http_request request;
    struct request_fields fields;
    struct http_reply reply;
    struct reply_lines lines;
    struct body body;
    struct err err;             /* why reply is an error */
    size_t body_len;            /* bytes of body so far, also skipped ones */
    size_t len_announced;       /* Content-Length; BODY_LEN_UNKNOWN: chunked */
    bool is_framed;             /* where the body ends is certain */
    bool is_accounted;          /* counted and logged */
    int64_t started_us;         /* when the header was complete */
    int64_t queued_us;          /* when it began to wait for a worker */
    struct http_server *server; /* the server's own */
    struct MHD_Connection *connection; /* the server's own */
};

/* Copies options and checks them and the tables; *service is zeroed. */
MUST_CHECK int service_init(struct service *service,
                            const struct http_options *options,
                            const struct http_api *const *apis, int api_count,
                            struct app *app, struct err *err);

/* No exchange may be open. Also of a zeroed one. */
void service_release(struct service *service);

/* Waits until no exchange is open; false when deadline_us passed first. */
bool service_wait_idle(struct service *service, int64_t deadline_us);
int service_open_count(struct service *service);

/* A new exchange, never NULL; method and client (the address, as text) must
 * outlive it. */
struct exchange *exchange_open(struct service *service, const char *method,
                               const char *client);

/* Ends it, answered or not. */
void exchange_close(struct exchange *exchange);

/* The fields of the header, one by one. A failure is kept for
 * exchange_begin; without all headers it is not certain where the body ends,
 * so the connection then ends with the answer. */
void exchange_add_header(struct exchange *exchange, struct bytes name,
                         struct bytes value);
void exchange_add_query(struct exchange *exchange, struct bytes name,
                        struct bytes value);

/* The header is complete: finds the route, checks key and limits. Then state
 * is RECEIVING, SKIPPING or REFUSED. url is the request's target, undecoded,
 * without the query. */
void exchange_begin(struct exchange *exchange, const char *url,
                    size_t header_len);

/* Bytes of the body, while RECEIVING or SKIPPING. */
void exchange_receive(struct exchange *exchange, struct bytes bytes);

/* The request is complete. Then state is WORKING or ANSWERED. */
void exchange_complete(struct exchange *exchange);

/* Answers with an error instead of running. */
void exchange_fail(struct exchange *exchange, const struct err *err);

/* Runs the handler of a WORKING exchange, or answers that it cannot run, and
 * gives the body's memory back. The reply is then in its final form; the
 * caller sets the state. */
void exchange_run(struct exchange *exchange, enum work_outcome outcome);

/* Whether the client waits for "100 Continue" before it sends the body. */
bool exchange_awaits_continue(const struct exchange *exchange);

#endif
