/* SPDX-License-Identifier: Apache-2.0 */
#include "http/admit.h"

#include <string.h>
#include <strings.h>

#include "http/header.h"
#include "obs/metrics.h"

/* Content-Length: digits only (RFC 9110, 8.6). */
static bool read_length(const char *text, size_t *out)
{
    size_t len = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || len > (SIZE_MAX - 9) / 10)
            return false;
        len = len * 10 + (size_t)(*text - '0');
    }
    if (len == BODY_LEN_UNKNOWN)
        return false;
    *out = len;
    return true;
}

static int count_of(const struct exchange *exchange, const char *name)
{
    int i, count = 0;

    for (i = 0; i < exchange->fields.header_count; i++)
        count += strcasecmp(exchange->fields.headers[i].name, name) == 0;
    return count;
}

/* How long the body is. What two programs in a row might read differently is
 * refused, for that is how requests are smuggled past a proxy. */
static int read_framing(struct exchange *exchange, struct err *err)
{
    const char *length = http_header(&exchange->request, "Content-Length");
    const char *coding = http_header(&exchange->request, "Transfer-Encoding");

    exchange->is_framed = false;
    if (count_of(exchange, "Content-Length") > 1 ||
        count_of(exchange, "Transfer-Encoding") > 1)
        return err_set(err, ERR_INVALID,
                       "the request says more than once how long it is");
    if (coding != NULL && length != NULL)
        return err_set(err, ERR_INVALID,
                       "the request has both Content-Length and "
                       "Transfer-Encoding");
    if (coding != NULL && strcasecmp(coding, "chunked") != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "Transfer-Encoding '%.40s' is not read; chunked is",
                       coding);
    if (length != NULL && !read_length(length, &exchange->len_announced))
        return err_set(err, ERR_INVALID,
                       "Content-Length is '%.40s'; it must be a number",
                       length);
    if (coding != NULL)
        exchange->len_announced = BODY_LEN_UNKNOWN;
    exchange->is_framed = true;
    return 0;
}

/* The path of an absolute target (RFC 9112, 3.2.2), or url itself. */
static const char *path_of(const char *url)
{
    const char *slash;

    if (strncasecmp(url, "http://", 7) != 0)
        return url;
    slash = strchr(url + 7, '/');
    return slash != NULL ? slash : "/";
}

static int check_header_len(const struct exchange *exchange, size_t header_len,
                            struct err *err)
{
    size_t max = exchange->service->options.header_len_max;

    if (header_len <= max)
        return 0;
    return err_set(err, ERR_HEADERS,
                   "the request's header has %zu bytes; the limit is %zu",
                   header_len, max);
}

static int check_stopping(const struct exchange *exchange, struct err *err)
{
    const struct http_route *route = exchange->fields.match.route;
    struct service *service = exchange->service;

    if (!atomic_load(&service->is_stopping) || route == NULL ||
        route->is_inline)
        return 0;
    atomic_fetch_add(&service->refused_count, 1);
    metrics_add(METRIC_HTTP_SHED, "stopping", NULL, 1);
    return err_set(err, ERR_UNAVAILABLE, "the server is stopping");
}

/* What the header says of the body, and a body to match. */
static int begin_body(struct exchange *exchange, struct err *err)
{
    const struct http_options *options = &exchange->service->options;
    struct http_request *request = &exchange->request;
    const char *content_type = http_header(request, "Content-Type");
    const char *main_type;
    struct body_limits limits = {
        options->body_len_max[exchange->fields.match.route->body],
        options->part_len_max};

    if (content_type == NULL)
        content_type = "";
    main_type = header_main(content_type, exchange->arena);
    if (main_type == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the request");
    request->content_type = main_type;
    return body_init(&exchange->body, &exchange->service->budget, &limits,
                     exchange->len_announced, main_type, content_type,
                     exchange->arena, err);
}

int admit(struct exchange *exchange, const char *url, size_t header_len,
          struct err *err)
{
    struct service *service = exchange->service;
    struct http_request *request = &exchange->request;
    struct err unknown = {0};
    int found = router_find(&service->router, request->method, path_of(url),
                            exchange->arena, &exchange->fields.match, &unknown);
    int rc;

    request->path = exchange->fields.match.path;
    rc = exchange->is_framed ? read_framing(exchange, err) : 0;
    if (rc == 0 && exchange->err.code != ERR_OK) { /* of a field, kept */
        *err = exchange->err;
        rc = (int)err->code;
    }
    if (rc == 0)
        rc = check_header_len(exchange, header_len, err);
    if (rc == 0 && found != 0) {
        *err = unknown;
        rc = found;
    }
    if (rc == 0)
        rc = check_stopping(exchange, err);
    if (rc == 0)
        rc = auth_check(service->auth, exchange->fields.match.route->scope,
                        http_header(request, "Authorization"),
                        http_header(request, "X-API-Key"), err);
    return rc != 0 ? rc : begin_body(exchange, err);
}
