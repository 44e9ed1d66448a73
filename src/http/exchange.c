/* SPDX-License-Identifier: Apache-2.0 */
#include "http/exchange.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/admit.h"
#include "http/header.h"
#include "obs/metrics.h"
#include "obs/trace.h"

static const char *route_label(const struct exchange *exchange)
{
    const struct http_route *route = exchange->fields.match.route;

    return route != NULL ? route->path : "none";
}

static enum log_level level_of(int status)
{
    if (status == 500)
        return LOG_ERROR;
    return status == 429 || status == 503 || status == 504 ? LOG_WARN
                                                           : LOG_INFO;
}

static void write_log(const struct exchange *exchange, double seconds)
{
    const struct http_request *request = &exchange->request;
    enum log_level level = level_of(exchange->reply.status);
    const struct log_field fields[] = {
        log_text("method", request->method),
        log_text("path", request->path),
        log_text("route", route_label(exchange)),
        log_integer("status", exchange->reply.status),
        log_real("ms", seconds * 1e3),
        log_integer("bytes", (int64_t)exchange->reply.body.len),
        log_text("client", request->client),
        exchange->err.code == ERR_OK ? (struct log_field){.key = NULL}
                                     : log_text("error", exchange->err.text),
        {.kind = LOG_KIND_END},
    };

    if (!log_is_on(level))
        return;
    log_set_request(request->id);
    log_fields(level, "request", fields);
    log_set_request(NULL);
}

/* Counts and logs the answer, once. */
static void account(struct exchange *exchange)
{
    int64_t received_us = exchange->request.received_us;
    int64_t from_us = received_us != 0 ? received_us : exchange->started_us;
    double seconds = (double)(clock_us() - from_us) / 1e6;
    const char *route = route_label(exchange);
    char status[12];

    if (exchange->is_accounted)
        return;
    exchange->is_accounted = true;
    snprintf(status, sizeof status, "%d", exchange->reply.status);
    metrics_add(METRIC_HTTP_REQUESTS, route, status, 1);
    metrics_observe(METRIC_HTTP_SECONDS, route, NULL, seconds);
    metrics_add(METRIC_HTTP_BYTES_OUT, NULL, NULL,
                (int64_t)exchange->reply.body.len);
    if (exchange->body_len > 0)
        metrics_add(METRIC_HTTP_BYTES_IN, NULL, NULL,
                    (int64_t)exchange->body_len);
    write_log(exchange, seconds);
}

/* Makes the reply final. */
static void finish(struct exchange *exchange)
{
    reply_finish(&exchange->reply, &exchange->request,
                 &exchange->service->reply_options, &exchange->lines);
    account(exchange);
}

/* Answers with err; status 0: the one of its code. */
static void answer_error(struct exchange *exchange, const struct err *err,
                         int status)
{
    exchange->err = *err;
    body_release(&exchange->body);
    reply_error(&exchange->reply, &exchange->request,
                exchange->fields.match.api, err);
    if (status != 0)
        exchange->reply.status = status;
    if (err->code == ERR_METHOD)
        http_reply_header(&exchange->reply, "Allow",
                          exchange->fields.match.allow);
    finish(exchange);
}

void exchange_fail(struct exchange *exchange, const struct err *err)
{
    answer_error(exchange, err, 0);
}

/* A client that was too slow is answered 408, for which there is no error
 * code: no handler ever fails so. */
static void fail_slow(struct exchange *exchange)
{
    struct err err = {0};

    err_set(&err, ERR_TIMEOUT,
            "the request took more than %d ms to arrive; %zu bytes of its body "
            "came",
            exchange->service->options.receive_timeout_ms, exchange->body_len);
    metrics_add(METRIC_HTTP_SHED, "slow", NULL, 1);
    answer_error(exchange, &err, 408);
}

/* Where to go after a failure with bytes still to come. */
static enum exchange_state after_failure(const struct exchange *exchange)
{
    if (!exchange->is_framed)
        return EXCHANGE_REFUSED;
    if (exchange->len_announced == BODY_LEN_UNKNOWN)
        return exchange->body_len <= EXCHANGE_SKIP_LEN_MAX ? EXCHANGE_SKIPPING
                                                           : EXCHANGE_REFUSED;
    return exchange->len_announced - exchange->body_len <= EXCHANGE_SKIP_LEN_MAX
               ? EXCHANGE_SKIPPING
               : EXCHANGE_REFUSED;
}

/* One that was used before, or NULL; counted as open either way. */
static struct exchange *take_spare(struct service *service)
{
    struct exchange *exchange;

    pthread_mutex_lock(&service->mutex);
    exchange = service->spare;
    if (exchange != NULL) {
        service->spare = exchange->next;
        service->spare_count--;
    }
    service->open_count++;
    pthread_mutex_unlock(&service->mutex);
    return exchange;
}

struct exchange *exchange_open(struct service *service, const char *method,
                               const char *client)
{
    struct exchange *exchange = take_spare(service);
    struct arena *arena;

    if (exchange == NULL) {
        exchange = mem_new(sizeof *exchange);
        exchange->arena = arena_new(EXCHANGE_ARENA_LEN_MAX);
    }
    arena = exchange->arena;
    *exchange = (struct exchange){
        .service = service,
        .arena = arena,
        .state = EXCHANGE_RECEIVING,
        .is_framed = true,
        .started_us = clock_us(),
    };
    exchange->request = (struct http_request){
        .method = method,
        .client = client,
        .path = "",
        .content_type = "",
        .id = "",
        .arena = arena,
        .server = &exchange->fields,
    };
    exchange->fields.match.api = service->router.apis[0];
    exchange->fields.match.path = "";
    reply_init(&exchange->reply);
    return exchange;
}

void exchange_close(struct exchange *exchange)
{
    struct service *service = exchange->service;
    bool is_kept = false;

    body_release(&exchange->body);
    buf_release(&exchange->reply.body);
    arena_reset(exchange->arena);
    pthread_mutex_lock(&service->mutex);
    if (service->spare_count < EXCHANGE_SPARE_MAX) {
        exchange->next = service->spare;
        service->spare = exchange;
        service->spare_count++;
        is_kept = true;
    }
    service->open_count--;
    if (service->open_count == 0)
        pthread_cond_broadcast(&service->is_idle);
    pthread_mutex_unlock(&service->mutex);
    if (is_kept)
        return;
    arena_free(exchange->arena);
    mem_free(exchange);
}

void exchange_add_header(struct exchange *exchange, struct bytes name,
                         struct bytes value)
{
    struct err err = {0};

    if (!exchange->is_framed ||
        request_add_header(&exchange->fields, exchange->arena, name, value,
                           &err) == 0)
        return;
    exchange->err = err;
    exchange->is_framed = false;
}

void exchange_add_query(struct exchange *exchange, struct bytes name,
                        struct bytes value)
{
    if (exchange->err.code == ERR_OK &&
        request_add_query(&exchange->fields, exchange->arena, name, value,
                          &exchange->err) != 0)
        return;
}

bool exchange_awaits_continue(const struct exchange *exchange)
{
    return exchange->len_announced > 0 && exchange->body_len == 0 &&
           header_has_word(http_header(&exchange->request, "Expect"),
                           "100-continue");
}

static void count_shed(const struct err *err)
{
    if (err->code == ERR_UNAVAILABLE)
        metrics_add(METRIC_HTTP_SHED, "memory", NULL, 1);
}

static bool is_options(const struct exchange *exchange, int rc)
{
    return rc == ERR_METHOD && strcmp(exchange->request.method, "OPTIONS") == 0;
}

void exchange_begin(struct exchange *exchange, const char *url,
                    size_t header_len)
{
    struct err err = {0};
    int rc;

    exchange->request.id = request_id(
        http_header(&exchange->request, "X-Request-Id"), exchange->arena);
    rc = admit(exchange, url, header_len, &err);
    if (rc == 0)
        return;
    if (is_options(exchange, rc)) {
        reply_options_answer(&exchange->reply, exchange->fields.match.allow,
                             exchange->service->options.cors_origin[0] != '\0');
        finish(exchange);
    } else {
        exchange_fail(exchange, &err);
    }
    exchange->state = after_failure(exchange);
}

void exchange_receive(struct exchange *exchange, struct bytes bytes)
{
    int64_t receive_us =
        (int64_t)exchange->service->options.receive_timeout_ms * 1000;
    struct err err = {0};

    exchange->body_len += bytes.len;
    if (exchange->state == EXCHANGE_SKIPPING) {
        exchange->state = after_failure(exchange);
        return;
    }
    if (clock_us() - exchange->started_us > receive_us) {
        fail_slow(exchange);
        exchange->state = EXCHANGE_REFUSED;
        return;
    }
    if (body_add(&exchange->body, bytes, &err) == 0)
        return;
    count_shed(&err);
    exchange_fail(exchange, &err);
    exchange->state = after_failure(exchange);
}

void exchange_complete(struct exchange *exchange)
{
    struct http_request *request = &exchange->request;
    struct err err = {0};

    if (exchange->state != EXCHANGE_RECEIVING) {
        exchange->state = EXCHANGE_ANSWERED;
        return;
    }
    request->received_us = clock_us();
    request->deadline_us =
        request->received_us +
        (int64_t)exchange->service->options.timeout_ms * 1000;
    if (body_finish(&exchange->body, &request->parts, &request->part_count,
                    &err) != 0) {
        exchange_fail(exchange, &err);
        exchange->state = EXCHANGE_ANSWERED;
        return;
    }
    request->body = buf_bytes(&exchange->body.data);
    exchange->queued_us = request->received_us;
    exchange->state = EXCHANGE_WORKING;
}

/* Why a job cannot run. */
static int refuse(const struct exchange *exchange, enum work_outcome outcome,
                  struct err *err)
{
    if (outcome == WORK_EXPIRED) {
        metrics_add(METRIC_HTTP_SHED, "deadline", NULL, 1);
        return err_set(err, ERR_TIMEOUT,
                       "the request waited more than %d ms for its turn",
                       exchange->service->options.timeout_ms);
    }
    atomic_fetch_add(&exchange->service->refused_count, 1);
    metrics_add(METRIC_HTTP_SHED, "stopping", NULL, 1);
    return err_set(err, ERR_UNAVAILABLE, "the server is stopping");
}

/* Calls the handler and checks what it left behind. */
static int handle(struct exchange *exchange, struct err *err)
{
    int rc = exchange->fields.match.route->handler(
        exchange->service->app, &exchange->request, &exchange->reply, err);

    if (rc == 0)
        rc = buf_check(&exchange->reply.body, err);
    if (rc != 0 && err->code == ERR_OK)
        err_set(err, ERR_INTERNAL, "the request failed without a reason");
    return rc;
}

void exchange_run(struct exchange *exchange, enum work_outcome outcome)
{
    const char *parent = http_header(&exchange->request, "traceparent");
    struct trace trace = {.is_on = false};
    struct trace_request traced;
    struct err err = {0};
    int rc;

    assert(exchange->state == EXCHANGE_WORKING);
    /* Health and metrics are asked for every few seconds. */
    if (!exchange->fields.match.route->is_inline)
        trace_begin(&trace, parent, exchange->request.received_us);
    log_set_request(exchange->request.id);
    rc = outcome == WORK_RUN ? handle(exchange, &err)
                             : refuse(exchange, outcome, &err);
    log_set_request(NULL);
    traced = (struct trace_request){
        .method = exchange->request.method,
        .route = route_label(exchange),
        .request_id = exchange->request.id,
        .status = rc != 0 ? err_http(err.code) : exchange->reply.status,
        .error = rc != 0 ? err.text : NULL,
    };
    trace_end(&trace, &traced);
    if (rc != 0) {
        exchange_fail(exchange, &err);
        return;
    }
    body_release(&exchange->body);
    finish(exchange);
}
