/* SPDX-License-Identifier: Apache-2.0 */
/* From what a handler filled in to what goes on the wire: the error body, the
 * headers every reply carries, gzip. One reply belongs to one thread at a
 * time. */
#ifndef OLHO_HTTP_REPLY_H
#define OLHO_HTTP_REPLY_H

#include "http/http.h"

/* The reply's own eight, and at most these of ours. */
enum { REPLY_LINES_MAX = HTTP_REPLY_HEADERS_MAX + 14 };

struct reply_line {
    const char *name, *value; /* static, borrowed, or in the arena */
};

struct reply_options {
    const char *server_name;
    const char *cors_origin; /* "": none */
    size_t gzip_len_min;
};

/* The reply in its final form. */
struct reply_lines {
    struct reply_line lines[REPLY_LINES_MAX];
    int count;
};

void reply_init(struct http_reply *reply);

/* Drops what a handler may have written and writes the error: status, body in
 * the API's form (api->error NULL: {"error", "request_id"}), and the header
 * that the status asks for (Retry-After, WWW-Authenticate). */
void reply_error(struct http_reply *reply, const struct http_request *request,
                 const struct http_api *api, const struct err *err);

/* Compresses the body when that is wanted and pays, and collects the header
 * lines into out: all but Date, Connection and Content-Length. */
void reply_finish(struct http_reply *reply, const struct http_request *request,
                  const struct reply_options *options, struct reply_lines *out);

/* The answer to OPTIONS on a path that takes `allow`. */
void reply_options_answer(struct http_reply *reply, const char *allow,
                          bool is_cors);

/* The whole reply as text that ends the connection, for a client that is still
 * sending; without the body for HEAD. Failures stay in out. */
void reply_print(const struct http_reply *reply,
                 const struct reply_lines *lines, bool has_body,
                 struct buf *out);

#endif
