/* SPDX-License-Identifier: Apache-2.0 */
/* Requests without a socket: what memory does, and what is counted. */
#include "test.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/exchange.h"
#include "obs/metrics.h"

static int answer(struct app *app, struct http_request *request,
                  struct http_reply *reply, struct err *err)
{
    int i;

    (void)app;
    (void)err;
    for (i = 0; i < request->part_count; i++)
        buf_printf(&reply->body, "%s:%zu;", request->parts[i].name,
                   request->parts[i].data.len);
    buf_printf(&reply->body, "%s", http_param(request, "name"));
    return 0;
}

static const struct http_route routes[] = {
    {"POST", "/exchange/:name", SCOPE_READ, BODY_IMAGE, answer, "", false},
};
static const struct http_api api = {"test", routes, 1, NULL};
static const struct http_api *const apis[] = {&api};

static struct service service;

static void open_service(void)
{
    static const struct http_options options = {
        .host = "",
        .worker_count = 1,
        .queue_max = 1,
        .connections_max = 1,
        .timeout_ms = 60000,
        .idle_timeout_ms = 60000,
        .receive_timeout_ms = 60000,
        .header_len_max = 4096,
        .body_len_max = {0, 1000, 200000, 200000},
        .part_len_max = 100000,
        .upload_len_max = 200000,
        .cors_origin = "",
        .gzip_len_min = 1,
        .keys = "",
        .server_name = "test",
    };
    struct err err = {0};

    log_set_level(LOG_OFF);
    service = (struct service){.auth = NULL};
    CHECK_OK(service_init(&service, &options, apis, 1, NULL, &err), err);
}

static void close_service(void)
{
    CHECK_INT(service_open_count(&service), 0);
    CHECK_INT(atomic_load(&service.budget.used), 0);
    service_release(&service);
    log_set_level(LOG_INFO);
}

static void add_header(struct exchange *exchange, const char *name,
                       const char *value)
{
    exchange_add_header(exchange, bytes_of_text(name), bytes_of_text(value));
}

/* A form of two parts, in two pieces, to the end; returns the status. */
static int post(const char *path)
{
    static const char body[] =
        "--b\r\nContent-Disposition: form-data; name=image; filename=f\r\n"
        "\r\n12345\r\n--b\r\nContent-Disposition: form-data; name=k\r\n\r\n7"
        "\r\n--b--\r\n";
    struct exchange *exchange = exchange_open(&service, "POST", "client");
    struct bytes whole = bytes_of_text(body);
    int status;

    exchange_add_query(exchange, bytes_of_text("k"), bytes_of_text("%31"));
    add_header(exchange, "Content-Type", "multipart/form-data; boundary=b");
    add_header(exchange, "Transfer-Encoding", "chunked");
    add_header(exchange, "Accept-Encoding", "gzip");
    exchange_begin(exchange, path, 100);
    if (exchange->state == EXCHANGE_RECEIVING)
        exchange_receive(exchange, (struct bytes){whole.data, 50});
    if (exchange->state == EXCHANGE_RECEIVING)
        exchange_receive(exchange,
                         (struct bytes){whole.data + 50, whole.len - 50});
    if (exchange->state != EXCHANGE_REFUSED)
        exchange_complete(exchange);
    if (exchange->state == EXCHANGE_WORKING)
        exchange_run(exchange, WORK_RUN);
    status = exchange->reply.status;
    if (status == 200)
        CHECK_TEXT(exchange->reply.body.data, "image:5;k:1;a b");
    exchange_close(exchange);
    return status;
}

TEST(exchange_runs_a_form_from_header_to_reply)
{
    double before;

    open_service();
    before = metrics_get(METRIC_HTTP_REQUESTS, "/exchange/:name", "200");
    CHECK_INT(post("/exchange/a%20b"), 200);
    CHECK_INT(metrics_get(METRIC_HTTP_REQUESTS, "/exchange/:name", "200"),
              before + 1);
    before = metrics_get(METRIC_HTTP_REQUESTS, "none", "404");
    CHECK_INT(post("/nothing"), 404);
    CHECK_INT(metrics_get(METRIC_HTTP_REQUESTS, "none", "404"), before + 1);
    close_service();
}

/* Fails each allocation in turn: a right answer or an error, never a crash or
 * a byte that is kept. The service is made anew, so that none is spare. */
TEST(exchange_torture_answers_or_fails_cleanly)
{
    long count, i;
    int status;

    open_service();
    mem_fail_at(0);
    CHECK_INT(post("/exchange/a%20b"), 200);
    count = mem_tries();
    close_service();
    CHECK(count > 3);
    for (i = 1; i <= count + 1; i++) {
        open_service();
        mem_fail_at(i);
        status = post("/exchange/a%20b");
        mem_fail_at(0);
        CHECK(status == 200 || status == 503);
        close_service();
    }
}

TEST(exchange_uses_the_memory_of_the_one_before)
{
    long first, second;

    open_service();
    mem_fail_at(0);
    CHECK_INT(post("/exchange/a%20b"), 200);
    first = mem_tries();
    mem_fail_at(0);
    CHECK_INT(post("/exchange/a%20b"), 200);
    second = mem_tries();
    CHECK(second < first);
    close_service();
}

TEST(exchange_grows_with_what_comes_and_stays_in_its_budget)
{
    static uint8_t piece[1000];
    struct exchange *exchange;
    size_t len = 0;

    open_service();
    exchange = exchange_open(&service, "POST", "client");
    add_header(exchange, "Content-Length", "190000");
    exchange_begin(exchange, "/exchange/x", 100);
    CHECK_INT(exchange->state, EXCHANGE_RECEIVING);
    CHECK_INT(atomic_load(&service.budget.used), 0);
    while (len < 190000) {
        exchange_receive(exchange, (struct bytes){piece, sizeof piece});
        CHECK_INT(exchange->state, EXCHANGE_RECEIVING);
        len += sizeof piece;
        CHECK(atomic_load(&service.budget.used) >= len);
        CHECK(atomic_load(&service.budget.used) <= 2 * len + (16 << 10));
    }
    CHECK_INT(atomic_load(&service.budget.used), 190001);
    exchange_complete(exchange);
    exchange_run(exchange, WORK_EXPIRED);
    CHECK_INT(exchange->reply.status, 504);
    CHECK_INT(atomic_load(&service.budget.used), 0);
    exchange_close(exchange);
    close_service();
}

TEST(exchange_waits_for_all_to_end_or_for_its_deadline)
{
    struct exchange *exchange;

    open_service();
    CHECK(service_wait_idle(&service, clock_us()));
    exchange = exchange_open(&service, "GET", "client");
    CHECK(!service_wait_idle(&service, clock_us()));
    exchange_close(exchange);
    CHECK(service_wait_idle(&service, clock_us()));
    close_service();
}
