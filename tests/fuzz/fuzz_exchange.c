/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a whole request, past the sockets: lines for the method, the
 * target and the headers, an empty line, the body in pieces. The first byte
 * says how long they are. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "http/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile unsigned sum; /* keeps the compiler from dropping the reads */

/* Reads all that a handler may. */
static int answer(struct app *app, struct http_request *request,
                  struct http_reply *reply, struct err *err)
{
    const char *name = http_param(request, "name");
    int64_t number;
    size_t k;
    int i;

    (void)app;
    for (i = 0; i < request->part_count; i++) {
        buf_add_text(&reply->body, request->parts[i].name);
        buf_add_text(&reply->body, request->parts[i].content_type);
        for (k = 0; k < request->parts[i].data.len; k++)
            sum += request->parts[i].data.data[k];
    }
    if (name != NULL)
        buf_add_text(&reply->body, name);
    return http_argument_integer(request, "n", 1, 9, 3, &number, err);
}

static const struct http_route routes[] = {
    {"GET", "/get/:name", SCOPE_OPEN, BODY_NONE, answer, "", false},
    {"POST", "/post", SCOPE_OPEN, BODY_SMALL, answer, "", false},
    {"POST", "/key", SCOPE_WRITE, BODY_IMAGE, answer, "", false},
};
static const struct http_api api = {"fuzz", routes,
                                    sizeof routes / sizeof routes[0], NULL};
static const struct http_api *const apis[] = {&api};

static const struct http_options options = {
    .host = "",
    .worker_count = 1,
    .queue_max = 1,
    .connections_max = 1,
    .timeout_ms = 60000,
    .idle_timeout_ms = 60000,
    .receive_timeout_ms = 60000,
    .header_len_max = 4096,
    .body_len_max = {0, 512, 2048, 2048},
    .part_len_max = 256,
    .upload_len_max = 4096,
    .cors_origin = "*",
    .gzip_len_min = 16,
    .keys = "write:k",
    .server_name = "fuzz",
};

/* The bytes up to the next line end, which are taken off *rest. */
static struct bytes take_line(struct bytes *rest)
{
    const uint8_t *end =
        rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    struct bytes line = {rest->data, rest->len};

    if (end == NULL) {
        rest->len = 0;
        return line;
    }
    line.len = (size_t)(end - rest->data);
    rest->data += line.len + 1;
    rest->len -= line.len + 1;
    return line;
}

/* "name: value", or "name=value" for a query argument. */
static void add_field(struct exchange *exchange, struct bytes line)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    const uint8_t *mark =
        colon != NULL ? colon : memchr(line.data, '=', line.len);
    struct bytes name = line, value = {NULL, 0};

    if (mark != NULL) {
        name.len = (size_t)(mark - line.data);
        value = (struct bytes){mark + 1, line.len - name.len - 1};
    }
    if (colon != NULL)
        exchange_add_header(exchange, name, value);
    else
        exchange_add_query(exchange, name, value);
}

static void receive(struct exchange *exchange, struct bytes body, size_t step)
{
    while (body.len > 0 && (exchange->state == EXCHANGE_RECEIVING ||
                            exchange->state == EXCHANGE_SKIPPING)) {
        size_t len = body.len < step ? body.len : step;

        exchange_receive(exchange, (struct bytes){body.data, len});
        body.data += len;
        body.len -= len;
    }
    if (exchange->state == EXCHANGE_REFUSED)
        return;
    exchange_complete(exchange);
    if (exchange->state == EXCHANGE_WORKING)
        exchange_run(exchange, WORK_RUN);
}

static void serve(struct service *service, struct bytes input, size_t step)
{
    struct bytes line = take_line(&input);
    struct arena *arena = arena_new(1 << 20);
    const char *method = arena_text(arena, (const char *)line.data, line.len);
    struct exchange *exchange = exchange_open(service, method, "client");
    const char *url;
    struct buf text;

    line = take_line(&input);
    url = arena_text(arena, (const char *)line.data, line.len);
    while (input.len > 0 && (line = take_line(&input)).len > 0)
        add_field(exchange, line);
    exchange_begin(exchange, url, line.len);
    if (exchange->state == EXCHANGE_RECEIVING ||
        exchange->state == EXCHANGE_SKIPPING)
        receive(exchange, input, step);
    assert(exchange->reply.status >= 200 && exchange->reply.status < 600);
    assert(exchange->lines.count > 0);
    buf_init(&text, 1 << 20);
    reply_print(&exchange->reply, &exchange->lines, true, &text);
    assert(!text.is_full);
    buf_release(&text);
    exchange_close(exchange);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct service service;
    struct err err = {0};

    if (service.auth == NULL) {
        log_set_level(LOG_OFF);
        if (service_init(&service, &options, apis, 1, NULL, &err) != 0)
            assert(false);
    }
    if (len < 1 || len > 1 << 16)
        return 0;
    serve(&service, (struct bytes){data + 1, len - 1}, data[0] % 64 + 1);
    assert(atomic_load(&service.budget.used) == 0);
    assert(service_open_count(&service) == 0);
    return 0;
}
