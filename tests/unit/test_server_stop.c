/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a server, with requests in every state. */
#include "test.h"

#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "wire.h"

#define HOST "HTTP/1.1\r\nHost: x\r\n"

static void start(void)
{
    struct http_options options = wire_options();

    wire_start(&options);
}

struct stop {
    pthread_t thread;
    int64_t deadline_us;
    int refused;
};

static void *run_stop(void *arg)
{
    struct stop *stop = arg;

    stop->refused = http_server_stop(wire_server(), stop->deadline_us);
    return NULL;
}

/* Begins http_server_stop on a thread of its own and waits until it has
 * begun. */
static void begin_stop(struct stop *stop, int within_ms)
{
    stop->deadline_us = clock_us() + within_ms * INT64_C(1000);
    CHECK_INT(pthread_create(&stop->thread, NULL, run_stop, stop), 0);
    while (!http_server_is_draining(wire_server()))
        sched_yield();
}

TEST(server_finishes_what_is_under_way_when_it_stops)
{
    struct wire_reply reply;
    struct stop stop;
    int held, waiting, idle;

    start();
    idle = wire_open();
    wire_send(idle, "GET /hello " HOST "\r\n");
    CHECK_INT(wire_read(idle).status, 200);
    held = wire_open();
    wire_send(held, "GET /held " HOST "\r\n");
    wire_await_held(1);
    waiting = wire_open();
    wire_send(waiting, "POST /parts " HOST "Content-Length: 6\r\n\r\nabc");
    CHECK_INT(wire_ask("GET /inline " HOST "\r\n").status, 200);
    begin_stop(&stop, WIRE_PATIENCE_MS);
    wire_send(idle, "GET /hello " HOST "\r\n");
    reply = wire_read(idle);
    CHECK_INT(reply.status, 503);
    CHECK_HAS(reply.head, "\r\nConnection: close\r\n");
    wire_send(waiting, "def");
    wire_let_go();
    reply = wire_read(held);
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.head, "\r\nConnection: close\r\n");
    CHECK_INT(wire_read(waiting).status, 200);
    pthread_join(stop.thread, NULL);
    CHECK_INT(stop.refused, 1);
    wire_forget();
    wire_stop();
}

/* Whether the waiting request was still answered is a matter of microseconds;
 * what counts is that every request is either answered or counted. */
TEST(server_counts_what_it_refuses_when_its_time_to_stop_is_over)
{
    struct stop stop;
    int held, waiting, half, status;

    start();
    held = wire_open();
    wire_send(held, "GET /held " HOST "\r\n");
    wire_await_held(1);
    waiting = wire_open();
    wire_send(waiting, "GET /hello " HOST "\r\n");
    half = wire_open();
    wire_send(half, "POST /parts " HOST "Content-Length: 6\r\n\r\nabc");
    CHECK_INT(wire_ask("GET /inline " HOST "\r\n").status, 200);
    begin_stop(&stop, 0);
    CHECK(!wire_is_readable(held, 50));
    wire_let_go();
    CHECK_INT(wire_read(held).status, 200);
    status = wire_read(waiting).status;
    CHECK(status == 503 || status == 200);
    pthread_join(stop.thread, NULL);
    CHECK(wire_is_ended(half));
    CHECK(stop.refused >= (status == 503 ? 2 : 1));
    wire_forget();
    wire_stop();
}

TEST(server_goes_on_serving_while_it_drains)
{
    struct wire_reply reply;

    start();
    CHECK(!http_server_is_draining(wire_server()));
    http_server_drain(wire_server());
    CHECK(http_server_is_draining(wire_server()));
    reply = wire_ask("GET /hello " HOST "\r\n");
    CHECK_INT(reply.status, 200);
    CHECK_HAS(reply.head, "\r\nConnection: close\r\n");
    wire_stop();
}
