/* SPDX-License-Identifier: Apache-2.0 */
/* What a well-behaved client sees. The others: test_server_limits.c. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "wire.h"

#define HOST "HTTP/1.1\r\nHost: x\r\n"

static void start(void)
{
    struct http_options options = wire_options();

    wire_start(&options);
}

TEST(server_answers_several_requests_on_one_connection)
{
    int fd, i;

    start();
    fd = wire_open();
    for (i = 0; i < 20; i++) {
        struct wire_reply reply;

        wire_send(fd, "GET /hello " HOST "X-Request-Id: id-%d\r\n\r\n", i);
        reply = wire_read(fd);
        CHECK_INT(reply.status, 200);
        CHECK_HAS(reply.body, "{\"hello\":\"id-");
    }
    wire_stop();
}

TEST(server_answers_pipelined_requests_in_their_order)
{
    struct wire_reply reply;
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "GET /hello " HOST "X-Request-Id: a\r\n\r\n"
                  "GET /nothing " HOST "X-Request-Id: b\r\n\r\n"
                  "POST /small " HOST "Content-Length: 3\r\n\r\nabc"
                  "GET /inline " HOST "X-Request-Id: d\r\n\r\n");
    reply = wire_read(fd);
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.head, "\r\nX-Request-Id: a\r\n");
    reply = wire_read(fd);
    CHECK_INT(reply.status, 404);
    CHECK_HAS(reply.head, "\r\nX-Request-Id: b\r\n");
    reply = wire_read(fd);
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.body, ":3;");
    reply = wire_read(fd);
    CHECK_HAS(reply.head, "\r\nX-Request-Id: d\r\n");
    wire_stop();
}

TEST(server_puts_its_headers_on_every_reply)
{
    static const char *const targets[] = {"/hello", "/fail", "/nothing"};
    struct wire_reply reply;
    int i;

    start();
    for (i = 0; i < 3; i++) {
        reply = wire_ask("GET %s " HOST "\r\n", targets[i]);
        CHECK_HAS(reply.head, "\r\nServer: wire/1\r\n");
        CHECK_HAS(reply.head, "\r\nX-Request-Id: ");
        CHECK_HAS(reply.head, "\r\nContent-Type: application/json\r\n");
        CHECK_HAS(reply.head, "\r\nCache-Control: no-store\r\n");
        CHECK(strstr(reply.head, "Access-Control") == NULL);
    }
    reply = wire_ask("GET /things/a " HOST "\r\n");
    CHECK_HAS(reply.head, "\r\nContent-Type: text/plain; charset=utf-8\r\n");
    CHECK_HAS(reply.head, "\r\nCache-Control: public");
    wire_stop();
}

TEST(server_echoes_clean_request_ids_and_makes_its_own)
{
    struct wire_reply reply;
    char first[64];
    const char *id;

    start();
    reply = wire_ask("GET /hello " HOST "X-Request-Id: Az09._-\r\n\r\n");
    CHECK_HAS(reply.head, "\r\nX-Request-Id: Az09._-\r\n");
    CHECK_HAS(reply.body, "Az09._-");
    reply = wire_ask("GET /hello " HOST "X-Request-Id: a b\"\r\n\r\n");
    id = strstr(reply.head, "X-Request-Id: ");
    CHECK(id != NULL && strspn(id + 14, "0123456789abcdef") == 16);
    snprintf(first, sizeof first, "%.30s", id);
    reply = wire_ask("GET /hello " HOST "\r\n");
    CHECK(strstr(reply.head, first) == NULL);
    reply = wire_ask("GET /hello " HOST "X-Request-Id: %065d\r\n\r\n", 0);
    CHECK(strstr(reply.head, "000000000000000000000") == NULL);
    wire_stop();
}

TEST(server_gives_parameters_and_arguments_decoded)
{
    struct wire_reply reply;

    start();
    reply = wire_ask("GET /things/a%%2Fb%%20c+d?x=1 " HOST "\r\n");
    CHECK_HAS(reply.body, "a/b c+d");
    CHECK_INT(wire_ask("GET /number?n=%%37 " HOST "\r\n").status, 200);
    reply = wire_ask("GET /number?m=1&n=%%37&n=8 " HOST "\r\n");
    CHECK_HAS(reply.body, "7");
    reply = wire_ask("GET http://x:1/number " HOST "\r\n");
    CHECK_HAS(reply.body, "3");
    wire_stop();
}

TEST(server_refuses_numbers_that_are_none)
{
    static const char *const wrong[] = {"0",
                                        "11",
                                        "-1",
                                        "abc",
                                        "",
                                        "1e1",
                                        "0x1",
                                        "1.0",
                                        "+",
                                        "-",
                                        "%201",
                                        "1%20",
                                        "99999999999999999999999"};
    struct wire_reply reply;
    size_t i;

    start();
    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        reply = wire_ask("GET /number?n=%s " HOST "\r\n", wrong[i]);
        CHECK_INT(reply.status, 400);
        CHECK_HAS(reply.body, "whole number from 1 to 10");
    }
    reply = wire_ask("GET /number?n=abc " HOST "\r\n");
    CHECK_HAS(reply.body, "n is 'abc'");
    wire_stop();
}

TEST(server_takes_forms_of_three_kinds)
{
    static const char multipart[] =
        "--b\r\nContent-Disposition: form-data; name=image; filename=f\r\n\r\n"
        "12345\r\n--b\r\nContent-Disposition: form-data; name=top_k\r\n\r\n"
        "7\r\n--b--\r\n";
    struct wire_reply reply;

    start();
    reply = wire_ask("POST /parts?top_k=1 " HOST
                     "Content-Type: multipart/form-data; boundary=b\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     strlen(multipart), multipart);
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.body, "image:5;top_k:1;top_k=7");
    reply = wire_ask("POST /parts " HOST
                     "Content-Type: application/x-www-form-urlencoded\r\n"
                     "Content-Length: 25\r\n\r\na=b%%20c&&top_k=%%39+&empty");
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.body, "a:3;top_k:2;empty:0;top_k=9 ");
    reply = wire_ask("POST /parts?top_k=1 " HOST "Content-Type: image/jpeg\r\n"
                     "Content-Length: 4\r\n\r\n1234");
    CHECK_HAS(reply.body, ":4;top_k=1");
    reply = wire_ask("POST /parts " HOST "Content-Length: 0\r\n\r\n");
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.body, "top_k=");
    wire_stop();
}

TEST(server_takes_chunked_bodies)
{
    struct wire_reply reply;
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "POST /parts " HOST "Transfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n");
    wire_send(fd, "A\r\n0123456789\r\n0\r\n\r\n");
    reply = wire_read(fd);
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.body, ":13;");
    wire_send(fd, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(fd).status, 200);
    wire_stop();
}

TEST(server_says_continue_only_when_it_wants_the_body)
{
    static const struct {
        const char *line;
        int len, status;
    } refused[] = {
        {"POST /nothing ", 9, 404},
        {"POST /hello ", 9, 405},
        {"POST /small ", 1001, 413},
        {"GET /admin ", 9, 401},
    };
    struct http_options options = wire_options();
    struct wire_reply reply;
    size_t i;
    int fd;

    options.keys = "read:k";
    wire_start(&options);
    fd = wire_open();
    wire_send(fd, "POST /small " HOST "X-API-Key: k\r\nContent-Length: 3\r\n"
                  "Expect: 100-continue\r\n\r\n");
    CHECK_INT(wire_read(fd).status, 100);
    wire_send(fd, "abc");
    CHECK_INT(wire_read(fd).status, 200);
    for (i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        fd = wire_open();
        wire_send(fd,
                  "%s" HOST "%s: k\r\nContent-Length: %d\r\n"
                  "Expect: 100-continue\r\n\r\n",
                  refused[i].line, refused[i].status == 401 ? "X" : "X-API-Key",
                  refused[i].len);
        reply = wire_read(fd);
        CHECK_INT(reply.status, refused[i].status);
        wire_close(fd);
    }
    wire_stop();
}

TEST(server_answers_head_as_get_without_the_body)
{
    struct wire_reply reply;
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "HEAD /large " HOST "\r\n");
    reply = wire_read_head(fd);
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.head, "\r\nContent-Length: 40000\r\n");
    wire_send(fd, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(fd).status, 200);
    wire_send(fd, "HEAD /nothing " HOST "\r\n");
    CHECK_INT(wire_read_head(fd).status, 404);
    wire_send(fd, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(fd).status, 200);
    wire_stop();
}

TEST(server_answers_options_with_the_methods)
{
    struct wire_reply reply;

    start();
    reply = wire_ask("OPTIONS /held " HOST "\r\n");
    CHECK_INT(reply.status, 204);
    CHECK_HAS(reply.head, "\r\nAllow: GET, POST, HEAD, OPTIONS\r\n");
    CHECK(strstr(reply.head, "Access-Control") == NULL);
    CHECK_INT(wire_ask("OPTIONS /nothing " HOST "\r\n").status, 404);
    wire_stop();
}

TEST(server_adds_cors_headers_when_an_origin_is_set)
{
    struct http_options options = wire_options();
    struct wire_reply reply;

    options.cors_origin = "https://shop.example";
    options.keys = "read:k";
    wire_start(&options);
    reply = wire_ask("OPTIONS /parts " HOST "Origin: https://shop.example\r\n"
                     "Access-Control-Request-Method: POST\r\n\r\n");
    CHECK_INT(reply.status, 204);
    CHECK_HAS(reply.head,
              "\r\nAccess-Control-Allow-Origin: https://shop.example\r\n");
    CHECK_HAS(reply.head, "\r\nAccess-Control-Allow-Methods: POST, OPTIONS");
    CHECK_HAS(reply.head, "\r\nAccess-Control-Allow-Headers: Authorization");
    CHECK_HAS(reply.head, "\r\nVary: Origin\r\n");
    reply = wire_ask("GET /nothing " HOST "\r\n");
    CHECK_HAS(reply.head,
              "\r\nAccess-Control-Allow-Origin: https://shop.example\r\n");
    wire_stop();
}

TEST(server_writes_errors_in_the_form_of_the_api)
{
    struct wire_reply reply;

    start();
    reply = wire_ask("GET /nothing " HOST "X-Request-Id: i\r\n\r\n");
    CHECK_INT(reply.status, 404);
    CHECK_HAS(reply.body, "{\"erro\":\"no such path: /nothing\",\"id\":\"i\"}");
    reply = wire_ask("DELETE /hello " HOST "\r\n");
    CHECK_INT(reply.status, 405);
    CHECK_HAS(reply.head, "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    CHECK_HAS(reply.body, "DELETE is not for /hello");
    reply = wire_ask("GET /fail " HOST "\r\n");
    CHECK_INT(reply.status, 422);
    CHECK_HAS(reply.body, "{\"erro\":\"cannot\"");
    CHECK(strstr(reply.head, "X-Half") == NULL);
    reply = wire_ask("GET /speechless " HOST "\r\n");
    CHECK_INT(reply.status, 500);
    CHECK_HAS(reply.body, "without a reason");
    wire_stop();
}

TEST(server_asks_for_a_key_when_there_are_keys)
{
    struct http_options options = wire_options();
    struct wire_reply reply;

    options.keys = "read:r,admin:a";
    wire_start(&options);
    reply = wire_ask("GET /hello " HOST "\r\n");
    CHECK_INT(reply.status, 401);
    CHECK_HAS(reply.head, "\r\nWWW-Authenticate: Bearer\r\n");
    CHECK_INT(
        wire_ask("GET /hello " HOST "Authorization: Bearer r\r\n\r\n").status,
        200);
    CHECK_INT(wire_ask("GET /admin " HOST "X-API-Key: r\r\n\r\n").status, 403);
    CHECK_INT(wire_ask("GET /admin " HOST "X-API-Key: a\r\n\r\n").status, 200);
    CHECK_INT(wire_ask("GET /inline " HOST "\r\n").status, 200);
    CHECK_INT(wire_ask("GET /nothing " HOST "\r\n").status, 404);
    wire_stop();
}

TEST(server_compresses_large_replies_when_asked)
{
    struct wire_reply reply;

    start();
    reply = wire_ask("GET /large " HOST "Accept-Encoding: gzip\r\n\r\n");
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.head, "\r\nContent-Encoding: gzip\r\n");
    CHECK_HAS(reply.head, "\r\nVary: Accept-Encoding\r\n");
    CHECK(reply.body_len < 4000);
    CHECK(memcmp(reply.body, "\x1f\x8b", 2) == 0);
    reply = wire_ask("GET /large " HOST "Accept-Encoding: gzip;q=0\r\n\r\n");
    CHECK_INT(reply.body_len, 40000);
    CHECK_HAS(reply.head, "\r\nVary: Accept-Encoding\r\n");
    reply = wire_ask("GET /hello " HOST "Accept-Encoding: gzip\r\n\r\n");
    CHECK(strstr(reply.head, "gzip") == NULL);
    wire_stop();
}

TEST(server_closes_for_clients_that_ask_it_to)
{
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "GET /hello " HOST "Connection: close\r\n\r\n");
    CHECK_INT(wire_read(fd).status, 200);
    CHECK(wire_is_ended(fd));
    fd = wire_open();
    wire_send(fd, "GET /hello HTTP/1.0\r\n\r\n");
    CHECK_INT(wire_read(fd).status, 200);
    CHECK(wire_is_ended(fd));
    wire_stop();
}

TEST(server_answers_inline_routes_while_all_workers_are_busy)
{
    int fd;

    start();
    fd = wire_open();
    wire_send(fd, "GET /held " HOST "\r\n");
    wire_await_held(1);
    CHECK_INT(wire_ask("GET /inline " HOST "\r\n").status, 200);
    wire_let_go();
    CHECK_INT(wire_read(fd).status, 200);
    wire_stop();
}

TEST(server_says_why_it_cannot_start)
{
    struct http_options options = wire_options();
    struct http_server *second = NULL;
    static const struct http_api none = {"none", NULL, 0, NULL};
    static const struct http_api *const apis[] = {&none};
    struct err err = {0};

    wire_start(&options);
    options.port = http_server_port(wire_server());
    CHECK_ERR(http_server_start(&options, apis, 1, NULL, &second, &err),
              ERR_CONFLICT);
    CHECK_HAS(err.text, "is taken");
    options.port = 0;
    options.host = "999.1.1.1";
    err = (struct err){0};
    CHECK_ERR(http_server_start(&options, apis, 1, NULL, &second, &err),
              ERR_INVALID);
    options.host = "127.0.0.1";
    options.keys = "nonsense";
    err = (struct err){0};
    CHECK_ERR(http_server_start(&options, apis, 1, NULL, &second, &err),
              ERR_INVALID);
    options.keys = "";
    options.worker_count = 0;
    err = (struct err){0};
    CHECK_ERR(http_server_start(&options, apis, 1, NULL, &second, &err),
              ERR_INVALID);
    CHECK(second == NULL);
    wire_stop();
}
