/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that send too much, too slowly, too often, or nonsense. */
#include "test.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "obs/metrics.h"
#include "wire.h"

#define HOST "HTTP/1.1\r\nHost: x\r\n"

static void start(void)
{
    struct http_options options = wire_options();

    wire_start(&options);
}

/* Waits until the memory of all bodies has been given back. */
static void await_no_upload(void)
{
    int64_t deadline_us = clock_us() + WIRE_PATIENCE_MS * INT64_C(1000);

    while (metrics_get(METRIC_UPLOAD_BYTES, NULL, NULL) > 0) {
        CHECK(clock_us() < deadline_us);
        CHECK_INT(wire_ask("GET /inline " HOST "\r\n").status, 200);
    }
}

TEST(server_refuses_a_body_by_its_length_before_it_comes)
{
    struct wire_reply reply;

    start();
    reply =
        wire_ask("POST /small " HOST "Content-Length: 1001\r\n\r\n%01001d", 0);
    CHECK_INT(reply.status, 413);
    CHECK_HAS(reply.body, "the body has 1001 bytes; the limit is 1000");
    reply =
        wire_ask("POST /small " HOST "Content-Length: 1000\r\n\r\n%01000d", 0);
    CHECK_INT(reply.status, 200);
    reply = wire_ask("GET /hello " HOST "Content-Length: 1\r\n\r\nx");
    CHECK_INT(reply.status, 413);
    CHECK_HAS(reply.body, "none is read here");
    wire_stop();
}

TEST(server_keeps_the_connection_after_refusing_a_small_body)
{
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "POST /nothing " HOST "Content-Length: 1000\r\n\r\n%01000d",
              0);
    CHECK_INT(wire_read(fd).status, 404);
    wire_send(fd, "POST /nothing " HOST "Transfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n0\r\n\r\n");
    CHECK_INT(wire_read(fd).status, 404);
    wire_send(fd, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(fd).status, 200);
    wire_stop();
}

/* A client that writes all of its 11 MB before it reads, as most do, and gives
 * up when it cannot. */
static void check_large_upload(const char *framing, const char *says)
{
    enum { LEN = 11 << 20 };
    char *body = mem_try(LEN, 1);
    struct wire_reply reply;
    int fd = wire_open();

    CHECK(body != NULL);
    memset(body, '1', LEN);
    wire_send(fd, "POST /parts " HOST "%s\r\n\r\n", framing);
    CHECK(wire_write(fd, body, LEN));
    mem_free(body);
    reply = wire_read(fd);
    CHECK_INT(reply.status, 413);
    CHECK_HAS(reply.head, "\r\nConnection: close\r\n");
    CHECK_HAS(reply.body, says);
    CHECK(wire_is_ended(fd));
    wire_close(fd);
}

TEST(server_lets_a_client_that_sends_too_much_read_the_answer)
{
    start();
    check_large_upload("Content-Length: 11534336",
                       "the body has 11534336 bytes; the limit is 1048576");
    check_large_upload("Transfer-Encoding: chunked\r\n\r\nb00000",
                       "bytes or more; the limit is 1048576");
    CHECK_INT(wire_ask("GET /hello " HOST "\r\n").status, 200);
    await_no_upload();
    wire_stop();
}

TEST(server_refuses_a_part_as_soon_as_it_is_too_large)
{
    enum { LEN = 1 << 20 };
    static const char head[] = "--b\r\nContent-Disposition: form-data; "
                               "name=image; filename=f\r\n\r\n";
    char *body = mem_try(LEN, 1);
    struct wire_reply reply;
    int fd;

    start();
    CHECK(body != NULL);
    memcpy(body, head, sizeof head - 1);
    fd = wire_open();
    wire_send(fd,
              "POST /parts " HOST "Content-Length: %d\r\n"
              "Content-Type: multipart/form-data; boundary=b\r\n\r\n",
              LEN);
    wire_write(fd, body, LEN);
    mem_free(body);
    reply = wire_read(fd);
    CHECK_INT(reply.status, 413);
    CHECK_HAS(reply.body, "part 'image' has ");
    CHECK_HAS(reply.body, "the limit for a file is 524288");
    wire_stop();
}

TEST(server_refuses_forms_that_are_not_well_formed)
{
    struct wire_reply reply;

    start();
    reply = wire_ask("POST /parts " HOST "Content-Length: 5\r\n"
                     "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
                     "--b\r\n");
    CHECK_INT(reply.status, 400);
    CHECK_HAS(reply.body, "before its last boundary");
    reply = wire_ask("POST /parts " HOST "Content-Length: 5\r\n"
                     "Content-Type: multipart/form-data\r\n\r\n12345");
    CHECK_INT(reply.status, 400);
    CHECK_HAS(reply.body, "without its boundary");
    reply = wire_ask("POST /parts " HOST "Content-Length: 5\r\nContent-Type: "
                     "application/x-www-form-urlencoded\r\n\r\n%%ff=1");
    CHECK_INT(reply.status, 400);
    wire_stop();
}

TEST(server_refuses_headers_over_its_limits)
{
    struct wire_reply reply;
    char many[4000] = "";
    int i;

    start();
    reply = wire_ask("GET /hello " HOST "X: %05000d\r\n\r\n", 0);
    CHECK_INT(reply.status, 431);
    CHECK_HAS(reply.body, "the limit is 4096");
    for (i = 0; i < 70; i++)
        strncat(many, "A: b\r\n", 7);
    reply = wire_ask("GET /hello " HOST "%s\r\n", many);
    CHECK_INT(reply.status, 431);
    CHECK_HAS(reply.body, "more than 64 headers");
    many[0] = '\0';
    for (i = 0; i < 70; i++)
        strncat(many, "a=b&", 5);
    reply = wire_ask("GET /hello?%s " HOST "\r\n", many);
    CHECK_INT(reply.status, 400);
    CHECK_HAS(reply.body, "more than 64 query arguments");
    reply = wire_ask("GET /hello?a=%%ff " HOST "\r\n");
    CHECK_INT(reply.status, 400);
    CHECK_INT(wire_ask("GET /%%ff " HOST "\r\n").status, 400);
    wire_stop();
}

TEST(server_survives_headers_over_all_limits)
{
    char *text = mem_try(200000, 1);
    int fd;

    start();
    CHECK(text != NULL);
    memset(text, 'a', 200000);
    fd = wire_open();
    wire_send(fd, "GET /hello HTTP/1.1\r\nHost: x\r\nX: ");
    wire_write(fd, text, 200000);
    wire_close(fd);
    fd = wire_open();
    wire_write(fd, text, 200000);
    wire_close(fd);
    mem_free(text);
    CHECK_INT(wire_ask("GET /hello " HOST "\r\n").status, 200);
    wire_stop();
}

/* By us or by the library, whose newer versions refuse some of it first. */
TEST(server_refuses_what_a_proxy_might_read_otherwise)
{
    static const char *const cases[] = {
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Content-Length : 3\r\n",
    };
    struct wire_reply reply;
    size_t i;
    int fd;

    start();
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fd = wire_open();
        wire_send(fd, "POST /small " HOST "%s\r\n0\r\n\r\n", cases[i]);
        reply = wire_read(fd);
        CHECK(reply.status == 400 || reply.status == 501);
        CHECK_HAS(reply.head, "\r\nConnection: close\r\n");
        CHECK(wire_is_ended(fd));
        wire_close(fd);
    }
    wire_stop();
}

TEST(server_survives_nonsense)
{
    static const char *const nonsense[] = {
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 99999999999999999999999\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "zz\r\n\r\n",
        "POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "ffffffffffffffffffff\r\n",
        "\x16\x03\x01\x02\x01\x01",
        "\xff\xfe\xfd\r\n\r\n",
    };
    size_t i;
    int fd;

    start();
    for (i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        fd = wire_open();
        wire_write(fd, nonsense[i], strlen(nonsense[i]));
        wire_close(fd);
        fd = wire_open();
        wire_write(fd, "GET /hello\0 HTTP/1.1\r\n\0\r\n\r\n", 26);
        wire_reset(fd);
    }
    CHECK_INT(wire_ask("GET /hello " HOST "\r\n").status, 200);
    wire_stop();
}

TEST(server_answers_busy_at_once_when_the_queue_is_full)
{
    enum { CLIENTS = 6 };
    struct http_options options = wire_options();
    int fds[CLIENTS], busy = 0, held = 0, i;
    struct wire_reply reply;

    options.queue_max = 2;
    wire_start(&options);
    for (i = 0; i < CLIENTS; i++) {
        fds[i] = wire_open();
        wire_send(fds[i], "GET /held " HOST "\r\n");
        if (i == 0)
            wire_await_held(1);
    }
    while (busy < CLIENTS - 3)
        for (i = 1; i < CLIENTS; i++)
            if (fds[i] >= 0 && wire_is_readable(fds[i], 10)) {
                reply = wire_read(fds[i]);
                CHECK_INT(reply.status, 429);
                CHECK_HAS(reply.head, "\r\nRetry-After: 1\r\n");
                wire_close(fds[i]);
                fds[i] = -1;
                busy++;
            }
    wire_let_go();
    for (i = 0; i < CLIENTS; i++)
        if (fds[i] >= 0) {
            CHECK_INT(wire_read(fds[i]).status, 200);
            held++;
        }
    CHECK_INT(held, 3);
    wire_stop();
}

TEST(server_answers_requests_that_waited_too_long_with_504)
{
    struct http_options options = wire_options();
    struct wire_reply reply;
    int first, second;

    options.timeout_ms = 1000;
    wire_start(&options);
    first = wire_open();
    wire_send(first, "GET /held " HOST "\r\n");
    wire_await_held(1);
    second = wire_open();
    wire_send(second, "GET /hello " HOST "\r\n");
    CHECK(!wire_is_readable(second, 1100));
    wire_let_go();
    CHECK_INT(wire_read(first).status, 200);
    reply = wire_read(second);
    CHECK_INT(reply.status, 504);
    CHECK_HAS(reply.body, "more than 1000 ms");
    wire_stop();
}

TEST(server_refuses_bodies_when_their_memory_is_used_up)
{
    struct http_options options = wire_options();
    struct wire_reply reply;
    char *body = mem_try(300000, 1);
    int fd;

    CHECK(body != NULL);
    options.upload_len_max = 100000;
    wire_start(&options);
    fd = wire_open();
    wire_send(fd, "POST /parts " HOST "Content-Length: 300000\r\n\r\n");
    wire_write(fd, body, 300000);
    mem_free(body);
    reply = wire_read(fd);
    CHECK_INT(reply.status, 503);
    CHECK_HAS(reply.head, "\r\nRetry-After: 1\r\n");
    CHECK_HAS(reply.body, "the limit is 100000");
    await_no_upload();
    reply = wire_ask("POST /parts " HOST "Content-Length: 5\r\n\r\n12345");
    CHECK_INT(reply.status, 200);
    wire_stop();
}

TEST(server_takes_no_memory_for_an_announced_length)
{
    int fd, i;

    start();
    await_no_upload();
    for (i = 0; i < 50; i++) {
        fd = wire_open();
        wire_send(fd, "POST /parts " HOST "Content-Length: 1000000\r\n"
                      "Expect: 100-continue\r\n\r\n");
        CHECK_INT(wire_read(fd).status, 100);
    }
    CHECK_INT(metrics_get(METRIC_UPLOAD_BYTES, NULL, NULL), 0);
    wire_stop();
}

/* One byte now and then, until the server has had enough. */
static void drip(int fd)
{
    int64_t deadline_us = clock_us() + WIRE_PATIENCE_MS * INT64_C(1000);

    while (!wire_is_readable(fd, 20) && wire_write(fd, "x", 1))
        CHECK(clock_us() < deadline_us);
}

TEST(server_refuses_a_body_that_drips)
{
    struct http_options options = wire_options();
    struct wire_reply reply;
    int fd;

    options.receive_timeout_ms = 50;
    wire_start(&options);
    fd = wire_open();
    wire_send(fd, "POST /parts " HOST "Content-Length: 100000\r\n\r\n");
    drip(fd);
    reply = wire_read(fd);
    CHECK_INT(reply.status, 408);
    CHECK_HAS(reply.body, "more than 50 ms");
    await_no_upload();
    wire_stop();
}

TEST(server_closes_on_a_header_that_drips)
{
    struct http_options options = wire_options();
    int fd;

    options.receive_timeout_ms = 50;
    options.idle_timeout_ms = 1000;
    wire_start(&options);
    fd = wire_open();
    wire_send(fd, "GET /hello HTTP/1.1\r\nX: ");
    drip(fd);
    CHECK(wire_is_ended(fd));
    wire_stop();
}

TEST(server_closes_silent_connections)
{
    struct http_options options = wire_options();
    int silent, half, idle;

    options.idle_timeout_ms = 3000;
    wire_start(&options);
    silent = wire_open();
    half = wire_open();
    wire_send(half, "POST /parts " HOST "Content-Length: 10\r\n\r\nabc");
    idle = wire_open();
    wire_send(idle, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(idle).status, 200);
    CHECK(wire_is_ended(silent));
    CHECK(wire_is_ended(half));
    CHECK(wire_is_ended(idle));
    await_no_upload();
    wire_stop();
}

TEST(server_forgets_clients_that_reset_in_the_middle)
{
    char *body = mem_try(200000, 1);
    int fd, i;

    CHECK(body != NULL);
    start();
    for (i = 0; i < 20; i++) {
        fd = wire_open();
        wire_send(fd, "POST /parts " HOST "Content-Length: 900000\r\n\r\n");
        wire_write(fd, body, 200000);
        wire_reset(fd);
        fd = wire_open();
        wire_send(fd, "GET /large " HOST "\r\n");
        wire_reset(fd);
    }
    mem_free(body);
    await_no_upload();
    CHECK_INT(wire_ask("GET /hello " HOST "\r\n").status, 200);
    wire_stop();
}

/* The end of the client stands right behind its bytes, so that the library is
 * not told of it. */
TEST(server_forgets_clients_that_close_in_the_middle)
{
    int64_t deadline_us = clock_us() + WIRE_PATIENCE_MS * INT64_C(1000);
    int fd, watching, i;

    start();
    for (i = 0; i < 100; i++) {
        fd = wire_open();
        wire_send(
            fd, "POST /parts " HOST "Content-Length: 900000\r\n\r\n%0999d", 0);
        wire_close(fd);
    }
    watching = wire_open();
    do {
        CHECK(clock_us() < deadline_us);
        wire_send(watching, "GET /inline " HOST "\r\n");
        CHECK_INT(wire_read(watching).status, 200);
    } while (metrics_get(METRIC_HTTP_CONNECTIONS, NULL, NULL) > 1);
    CHECK_INT(metrics_get(METRIC_UPLOAD_BYTES, NULL, NULL), 0);
    wire_stop();
}

TEST(server_answers_clients_that_close_their_side_after_asking)
{
    struct wire_reply reply;
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "POST /held " HOST "Content-Length: 3\r\n\r\nabc");
    shutdown(fd, SHUT_WR);
    wire_await_held(1);
    CHECK(!wire_is_readable(fd, 2500));
    wire_let_go();
    reply = wire_read(fd);
    CHECK_INT(reply.status, 200);
    wire_stop();
}

TEST(server_forgets_clients_that_reset_while_a_worker_runs)
{
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "POST /held " HOST "Content-Length: 3\r\n\r\nabc");
    wire_await_held(1);
    wire_reset(fd);
    wire_let_go();
    await_no_upload();
    CHECK_INT(wire_ask("GET /hello " HOST "\r\n").status, 200);
    wire_stop();
}

TEST(server_takes_the_next_connection_when_one_of_its_few_ends)
{
    struct http_options options = wire_options();
    int first, second, third;

    options.connections_max = 2;
    wire_start(&options);
    first = wire_open();
    second = wire_open();
    wire_send(first, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(first).status, 200);
    wire_send(second, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(second).status, 200);
    third = wire_open();
    wire_send(third, "GET /hello " HOST "\r\n");
    CHECK(!wire_is_readable(third, 100));
    wire_close(first);
    CHECK_INT(wire_read(third).status, 200);
    wire_stop();
}

TEST(server_limits_the_connections_of_one_client)
{
    struct http_options options = wire_options();
    int first, second;

    options.connections_per_client_max = 1;
    wire_start(&options);
    first = wire_open();
    wire_send(first, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(first).status, 200);
    second = wire_open();
    CHECK(wire_is_ended(second));
    wire_send(first, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(first).status, 200);
    wire_stop();
}

TEST(server_outlives_a_thousand_connections)
{
    enum { COUNT = 1000, FILES = 2 * COUNT + 600 };
    struct http_options options = wire_options();
    struct rlimit limit;
    int fds[COUNT], i;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < FILES) {
        limit.rlim_cur = FILES;
        if (limit.rlim_max < FILES || setrlimit(RLIMIT_NOFILE, &limit) != 0)
            SKIP("this process may not open 2600 files");
    }
    options.connections_max = 2 * COUNT;
    wire_start(&options);
    for (i = 0; i < COUNT; i++) {
        fds[i] = wire_open();
        if (i % 3 == 0)
            wire_send(fds[i], "GET /hello HTTP/1.1\r\nHo");
    }
    CHECK_INT(wire_ask("GET /hello " HOST "\r\n").status, 200);
    for (i = 0; i < COUNT; i++) {
        if (i % 2 == 0)
            wire_close(fds[i]);
        else
            wire_reset(fds[i]);
    }
    CHECK_INT(wire_ask("GET /hello " HOST "\r\n").status, 200);
    wire_stop();
}
