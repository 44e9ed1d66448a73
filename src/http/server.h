/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1.1 server: sockets, limits, the way from bytes to a handler and
 * back. libmicrohttpd lives in server.c only.
 *
 * Bodies are collected on the server's thread up to the route's limit and
 * checked as they come; then the connection is suspended and the request waits
 * in a bounded queue (full: 429 with Retry-After at once) for a worker, which
 * runs the handler and resumes the connection with the reply. */
#ifndef OLHO_HTTP_SERVER_H
#define OLHO_HTTP_SERVER_H

#include "http/http.h"

struct http_options {
    const char *host; /* address to listen on: "127.0.0.1", "::" */
    int port;         /* 0: any free one, see http_server_port */
    int worker_count;
    int queue_max; /* requests waiting for a worker */
    int connections_max;
    int connections_per_client_max; /* 0: no limit */
    int timeout_ms;                 /* from the last byte in to the reply */
    int idle_timeout_ms;            /* of a silent connection */
    int receive_timeout_ms;         /* for a whole request to arrive */
    size_t header_len_max;
    size_t body_len_max[BODY_COUNT];
    size_t part_len_max;     /* bytes of one part that is a file */
    size_t upload_len_max;   /* bytes of all bodies held at once */
    const char *cors_origin; /* "*" or an origin; "": no CORS headers */
    size_t gzip_len_min;     /* replies from this size on, when asked */
    const char *keys;        /* "scope:key,scope:key"; "": no keys needed */
    const char *server_name; /* "olho/0.1.0" for the Server header */
};

struct http_server;

/* Starts listening; *out is set before the first request runs. apis and what
 * they point to must outlive the server.
 * ERR_CONFLICT: the port is taken; ERR_INVALID: a setting. */
MUST_CHECK int http_server_start(const struct http_options *options,
                                 const struct http_api *const *apis,
                                 int api_count, struct app *app,
                                 struct http_server **out, struct err *err);

int http_server_port(const struct http_server *server);

/* Stops accepting, answers what is under way until deadline_us (monotonic),
 * refuses the rest with 503 and ends everything. Returns the number of
 * requests that had to be refused. NULL is allowed. */
int http_server_stop(struct http_server *server, int64_t deadline_us);

/* True from the first moment of http_server_stop on, or after
 * http_server_drain: readiness then says no while requests still run. */
void http_server_drain(struct http_server *server);
bool http_server_is_draining(const struct http_server *server);

#endif
