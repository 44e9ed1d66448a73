/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler sees of HTTP: the request, the reply, the route table.
 *
 *     static const struct route collector_routes[] = {
 *         {"POST", "/api/classify", SCOPE_READ, BODY_IMAGE, classify,
 *          "Classify one image."},
 *     };
 *
 * A handler runs on a worker thread as plain blocking code. It answers by
 * filling the reply and returning 0, or by returning an error, which the
 * table's error writer turns into that API's form. The request and all that it
 * lends out belong to the server and end when the handler returns.
 *
 * One request belongs to one thread at a time. */
#ifndef OLHO_HTTP_HTTP_H
#define OLHO_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json_write.h"
#include "base/mem.h"

struct app; /* what handlers share; made by cmd/serve.c */

enum { HTTP_PARTS_MAX = 256, HTTP_PARAMS_MAX = 8, HTTP_ID_MAX = 64 };

/* Who may call. Checked when keys are configured. */
enum http_scope { SCOPE_OPEN, SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN };

/* How large a body may be; the bytes come from the settings. */
enum http_body {
    BODY_NONE,  /* a body is refused with 413 */
    BODY_SMALL, /* JSON without an image: 1 MB */
    BODY_IMAGE, /* one image of MAX_IMAGE_SIZE_MB plus 64 kB of form */
    BODY_BATCH, /* MAX_BATCH_SIZE_MB */
    BODY_COUNT,
};

/* A part of multipart/form-data (RFC 7578), a field of a urlencoded form, or,
 * for any other content type, the whole body as one part named "". */
struct http_part {
    const char *name;         /* NUL-terminated, UTF-8 */
    const char *filename;     /* NULL when it has none */
    const char *content_type; /* "" when it has none */
    struct bytes data;
};

struct http_request {
    const char *method;
    const char *path;         /* decoded, without the query */
    const char *content_type; /* lower case, without parameters; "" if none */
    const char *id;     /* request id: X-Request-Id when clean, else ours */
    const char *client; /* address, for the log */
    struct bytes body;
    struct arena *arena; /* ends with the request */
    int64_t deadline_us; /* monotonic; check before long work */
    int64_t received_us; /* monotonic: when the last byte was in */
    const struct http_part *parts;
    int part_count;
    void *server; /* the server's own */
};

/* The first header, query argument, path parameter (":name") or, for forms,
 * part of that name; NULL when absent. Borrowed. */
const char *http_header(const struct http_request *request, const char *name);
const char *http_query(const struct http_request *request, const char *name);
const char *http_param(const struct http_request *request, const char *name);
const struct http_part *http_part(const struct http_request *request,
                                  const char *name);

/* A form field (its first 4096 bytes) or else the query argument of that name,
 * NUL-terminated; NULL when absent. */
const char *http_argument(const struct http_request *request, const char *name);

/* The same as a whole number from min to max, `preset` when absent. Anything
 * else: ERR_INVALID that names the argument, the text and the bounds. */
MUST_CHECK int http_argument_integer(const struct http_request *request,
                                     const char *name, int64_t min, int64_t max,
                                     int64_t preset, int64_t *out,
                                     struct err *err);

enum { HTTP_REPLY_HEADERS_MAX = 8, HTTP_REPLY_LEN_MAX = 64 << 20 };

struct http_reply {
    int status;               /* 200 unless the handler says otherwise */
    const char *content_type; /* "application/json"; static or in the arena */
    struct buf body;
    struct {
        const char *name, *value; /* static or in the arena */
    } headers[HTTP_REPLY_HEADERS_MAX];
    int header_count;
    bool is_static; /* body may be cached by the client */
};

void http_reply_header(struct http_reply *reply, const char *name,
                       const char *value);

typedef int http_handler_fn(struct app *app, struct http_request *request,
                            struct http_reply *reply, struct err *err);

/* Writes an error in the form of one API into reply->body (empty before). */
typedef void http_error_fn(const struct http_request *request,
                           const struct err *err, struct http_reply *reply);

struct http_route {
    const char *method; /* GET answers HEAD too */
    const char *path; /* "/v1/faces/:collection"; a parameter is one segment */
    enum http_scope scope;
    enum http_body body;
    http_handler_fn *handler;
    const char *help; /* one sentence */
    bool is_inline;   /* answered on the server's thread, past the queue:
                       * health and metrics; must not block */
};

/* The routes of one API, with its error form. */
struct http_api {
    const char *name;
    const struct http_route *routes;
    int route_count;
    http_error_fn *error; /* NULL: {"error", "request_id"} */
};

#endif
