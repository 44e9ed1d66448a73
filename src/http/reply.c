/* SPDX-License-Identifier: Apache-2.0 */
#include "http/reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/gzip.h"
#include "http/header.h"

/* Compressing is for a slow line to a client, not for an archive. */
enum { GZIP_LEVEL = 1 };

static const char json_type[] = "application/json";

void reply_init(struct http_reply *reply)
{
    *reply = (struct http_reply){.status = 200, .content_type = json_type};
    buf_init(&reply->body, HTTP_REPLY_LEN_MAX);
}

void http_reply_header(struct http_reply *reply, const char *name,
                       const char *value)
{
    assert(reply->header_count < HTTP_REPLY_HEADERS_MAX);
    reply->headers[reply->header_count].name = name;
    reply->headers[reply->header_count].value = value;
    reply->header_count++;
}

static void write_default(const struct http_request *request,
                          const struct err *err, struct http_reply *reply)
{
    struct json_writer json;

    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "error");
    json_put_text(&json, err->text);
    json_key(&json, "request_id");
    json_put_text(&json, request->id);
    json_object_end(&json);
}

void reply_error(struct http_reply *reply, const struct http_request *request,
                 const struct http_api *api, const struct err *err)
{
    buf_release(&reply->body);
    reply_init(reply);
    reply->status = err_http(err->code);
    if (err->code == ERR_BUSY || err->code == ERR_UNAVAILABLE)
        http_reply_header(reply, "Retry-After", "1");
    if (err->code == ERR_UNAUTHORIZED)
        http_reply_header(reply, "WWW-Authenticate", "Bearer");
    if (api != NULL && api->error != NULL)
        api->error(request, err, reply);
    else
        write_default(request, err, reply);
}

void reply_options_answer(struct http_reply *reply, const char *allow,
                          bool is_cors)
{
    reply->status = 204;
    http_reply_header(reply, "Allow", allow);
    if (!is_cors)
        return;
    http_reply_header(reply, "Access-Control-Allow-Methods", allow);
    http_reply_header(reply, "Access-Control-Allow-Headers",
                      "Authorization, Content-Type, X-API-Key, X-Request-Id");
    http_reply_header(reply, "Access-Control-Max-Age", "600");
}

static bool is_compressible(const char *type)
{
    return strncmp(type, json_type, sizeof json_type - 1) == 0 ||
           strncmp(type, "text/", 5) == 0;
}

static bool has_header(const struct http_reply *reply, const char *name)
{
    int i;

    for (i = 0; i < reply->header_count; i++)
        if (strcmp(reply->headers[i].name, name) == 0)
            return true;
    return false;
}

/* Whether the body now is gzip. When compressing fails or does not make it
 * smaller, it stays as it was. */
static bool compress(struct http_reply *reply)
{
    struct buf packed;
    struct err err = {0};

    buf_init(&packed, HTTP_REPLY_LEN_MAX);
    if (gzip_compress(buf_bytes(&reply->body), GZIP_LEVEL, &packed, &err) ||
        packed.len >= reply->body.len) {
        buf_release(&packed);
        return false;
    }
    buf_release(&reply->body);
    reply->body = packed;
    return true;
}

static void add_line(struct reply_lines *out, const char *name,
                     const char *value)
{
    assert(out->count < REPLY_LINES_MAX);
    out->lines[out->count++] = (struct reply_line){name, value};
}

static void add_cors(struct reply_lines *out, const char *origin)
{
    add_line(out, "Access-Control-Allow-Origin", origin);
    add_line(out, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
    if (strcmp(origin, "*") != 0)
        add_line(out, "Vary", "Origin");
}

void reply_finish(struct http_reply *reply, const struct http_request *request,
                  const struct reply_options *options, struct reply_lines *out)
{
    bool may_compress = is_compressible(reply->content_type) &&
                        reply->body.len > 0 &&
                        reply->body.len >= options->gzip_len_min &&
                        !has_header(reply, "Content-Encoding");
    int i;

    out->count = 0;
    if (reply->status != 204)
        add_line(out, "Content-Type", reply->content_type);
    add_line(out, "Server", options->server_name);
    add_line(out, "X-Request-Id", request->id);
    add_line(out, "X-Content-Type-Options", "nosniff");
    if (!has_header(reply, "Cache-Control"))
        add_line(out, "Cache-Control",
                 reply->is_static ? "public, max-age=3600" : "no-store");
    for (i = 0; i < reply->header_count; i++)
        add_line(out, reply->headers[i].name, reply->headers[i].value);
    if (options->cors_origin[0] != '\0')
        add_cors(out, options->cors_origin);
    if (!may_compress)
        return;
    add_line(out, "Vary", "Accept-Encoding");
    if (header_accepts_gzip(http_header(request, "Accept-Encoding")) &&
        compress(reply))
        add_line(out, "Content-Encoding", "gzip");
}

static const char *reason(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Refused";
    }
}

void reply_print(const struct http_reply *reply,
                 const struct reply_lines *lines, bool has_body,
                 struct buf *out)
{
    int i;

    buf_printf(out, "HTTP/1.1 %d %s\r\nConnection: close\r\n", reply->status,
               reason(reply->status));
    for (i = 0; i < lines->count; i++)
        buf_printf(out, "%s: %s\r\n", lines->lines[i].name,
                   lines->lines[i].value);
    buf_printf(out, "Content-Length: %zu\r\n\r\n", reply->body.len);
    if (has_body)
        buf_add(out, reply->body.data, reply->body.len);
}
