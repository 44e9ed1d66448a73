/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/grpc.h"
#include "base/mem.h"
#include "fake.h"
#include "h2.h"

/* --- lies ----------------------------------------------------------------- */

static const void *told_data;
static size_t told_len;

static void serve_data(int fd, int nth)
{
    uint32_t stream = h2_await_first(fd);
    uint8_t frames[H2_ANSWER_MAX];
    size_t len;

    (void)nth;
    if (stream == 0)
        return;
    len = h2_put_head(frames, stream);
    len += h2_put_frame(frames + len, H2_DATA, 0, stream, told_data, told_len);
    len += h2_put_trailers(frames + len, stream, "0");
    fake_send_bytes(fd, frames, len);
    (void)h2_await_request(fd);
}

static struct grpc_answer run_on(const void *data, size_t len,
                                 enum err_code code, struct err *err)
{
    struct grpc_call call = h2_call;
    struct grpc_answer got;
    struct grpc *grpc;

    told_data = data;
    told_len = len;
    call.answer_len_max = 1000;
    grpc = h2_client(fake_start(serve_data));
    mem_fail_at(0);
    got = h2_run_failing(grpc, &call, code, err);
    grpc_free(grpc);
    fake_stop();
    CHECK_INT(fake_count(), 1);
    return got;
}

TEST(grpc_refuses_answers_that_are_too_long_before_it_takes_memory)
{
    struct grpc_answer got;
    struct err err;

    got = run_on("\0\xff\xff\xff\xff", 5, ERR_TOO_LARGE, &err);
    CHECK_INT(got.fate, GRPC_PERHAPS);
    CHECK_HAS(err.text, "4294967295 bytes; at most 1000");
    CHECK_INT(mem_tries(), 0);
    run_on("\0\0\0\3\xe9\0\0", 7, ERR_TOO_LARGE, &err);
    CHECK_HAS(err.text, "1001 bytes");
    CHECK_INT(mem_tries(), 0);
}

TEST(grpc_refuses_answers_that_are_not_one_plain_message)
{
    struct err err;

    run_on("\1\0\0\0\1a", 6, ERR_UNSUPPORTED, &err);
    CHECK_HAS(err.text, "compressed");
    run_on("\0\0\0\0\1ab", 7, ERR_UNAVAILABLE, &err);
    CHECK_HAS(err.text, "more than the one message");
    run_on("\0\0\0\0\1a\0\0\0\0\1b", 12, ERR_UNAVAILABLE, &err);
    CHECK_HAS(err.text, "more than the one message");
    run_on("\0\0\0\0\2a", 6, ERR_UNAVAILABLE, &err);
    CHECK_HAS(err.text, "1 of the 2 bytes");
    run_on("\0\0\0", 3, ERR_UNAVAILABLE, &err);
    run_on("", 0, ERR_UNAVAILABLE, &err);
}

/* The answer, cut short after `nth` bytes. */
static void serve_cut(int fd, int nth)
{
    uint32_t stream = h2_await_first(fd);
    uint8_t frames[H2_ANSWER_MAX];
    size_t len = h2_put_answer(frames, stream);

    fake_send_bytes(fd, frames, (size_t)nth < len ? (size_t)nth : len);
    shutdown(fd, SHUT_WR);
    (void)h2_await_request(fd);
}

TEST(grpc_takes_no_answer_that_was_cut_anywhere)
{
    uint8_t frames[H2_ANSWER_MAX];
    size_t len = h2_put_answer(frames, 1), i;
    struct grpc *grpc = h2_client(fake_start(serve_cut));
    struct grpc_answer got;
    struct err err;

    for (i = 0; i < len; i++) {
        got = h2_run_failing(grpc, &h2_call, ERR_UNAVAILABLE, &err);
        CHECK_INT(got.fate, GRPC_PERHAPS);
        CHECK_HAS(err.text, "cut the exchange short");
        CHECK_INT(fake_count(), (int)i + 1);
    }
    h2_check_answered(grpc, &h2_call);
    grpc_free(grpc);
    fake_stop();
}

static void serve_http1(int fd, int nth)
{
    (void)nth;
    (void)fake_read(fd);
    fake_send(fd, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    (void)fake_is_ended(fd);
}

TEST(grpc_says_that_something_else_answers)
{
    struct grpc *grpc = h2_client(fake_start(serve_http1));
    struct err err;

    h2_run_failing(grpc, &h2_call, ERR_UNAVAILABLE, &err);
    CHECK_HAS(err.text, "'127.0.0.1:");
    grpc_free(grpc);
    fake_stop();
}

static void serve_page(int fd, int nth)
{
    static const uint8_t status_404[] = {0x8d};
    uint32_t stream = h2_await_first(fd);

    (void)nth;
    h2_send_frame(fd, H2_HEADERS, H2_END_HEADERS, stream, status_404, 1);
    h2_send_frame(fd, H2_DATA, H2_END_STREAM, stream, "<html>no such page", 18);
    (void)h2_await_request(fd);
}

TEST(grpc_says_that_an_answer_is_not_grpc)
{
    struct grpc *grpc = h2_client(fake_start(serve_page));
    struct err err;

    h2_run_failing(grpc, &h2_call, ERR_UNAVAILABLE, &err);
    CHECK_HAS(err.text, "not gRPC (HTTP status 404)");
    grpc_free(grpc);
    fake_stop();
}

/* --- what may be sent again ----------------------------------------------- */

static void serve_after_refusal(int fd, int nth)
{
    uint32_t stream = h2_await_first(fd);

    if (nth == 0) {
        h2_send_number(fd, H2_RST_STREAM, stream, H2_REFUSED);
        (void)h2_await_request(fd);
    } else {
        h2_answer(fd, stream);
        (void)h2_await_request(fd);
    }
}

TEST(grpc_sends_again_what_was_refused)
{
    struct grpc *grpc = h2_client(fake_start(serve_after_refusal));

    h2_check_answered(grpc, &h2_call);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

/* H2_GOAWAY, with nothing done: the last stream is 0. */
static void serve_after_goaway(int fd, int nth)
{
    static const uint8_t nothing_done[8] = {0};
    uint32_t stream = h2_await_first(fd);

    if (nth == 0) {
        h2_send_frame(fd, H2_GOAWAY, 0, 0, nothing_done, sizeof nothing_done);
        (void)h2_await_request(fd);
    } else {
        h2_answer(fd, stream);
        (void)h2_await_request(fd);
    }
}

TEST(grpc_sends_again_what_a_server_that_goes_away_has_not_done)
{
    struct grpc *grpc = h2_client(fake_start(serve_after_goaway));

    h2_check_answered(grpc, &h2_call);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

static void serve_and_go_away(int fd, int nth)
{
    static const uint8_t done[8] = {0, 0, 0, 1};
    uint32_t stream = h2_await_first(fd);

    (void)nth;
    h2_send_frame(fd, H2_GOAWAY, 0, 0, done, sizeof done);
    h2_answer(fd, stream);
    CHECK_INT(h2_await_request(fd), 0);
}

TEST(grpc_calls_on_a_new_connection_after_a_goaway)
{
    struct grpc *grpc = h2_client(fake_start(serve_and_go_away));

    h2_check_answered(grpc, &h2_call);
    h2_check_answered(grpc, &h2_call);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

/* Answers one request, takes another and is gone. */
static void serve_one(int fd, int nth)
{
    (void)nth;
    h2_answer(fd, h2_await_first(fd));
    (void)h2_await_request(fd);
}

TEST(grpc_does_not_repeat_what_was_perhaps_done)
{
    struct grpc *grpc = h2_client(fake_start(serve_one));
    struct grpc_answer got;
    struct err err;

    h2_check_answered(grpc, &h2_call);
    got = h2_run_failing(grpc, &h2_call, ERR_UNAVAILABLE, &err);
    CHECK_INT(got.fate, GRPC_PERHAPS);
    CHECK_INT(fake_count(), 1);
    h2_check_answered(grpc, &h2_call);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

TEST(grpc_repeats_what_may_be_repeated)
{
    struct grpc *grpc = h2_client(fake_start(serve_one));
    struct grpc_call call = h2_call;

    call.is_repeatable = true;
    h2_check_answered(grpc, &call);
    h2_check_answered(grpc, &call);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

static void serve_cancel(int fd, int nth)
{
    (void)nth;
    h2_send_number(fd, H2_RST_STREAM, h2_await_first(fd), H2_CANCEL);
    (void)h2_await_request(fd);
}

TEST(grpc_fails_when_its_stream_is_reset)
{
    struct grpc *grpc = h2_client(fake_start(serve_cancel));
    struct grpc_answer got;
    struct err err;

    got = h2_run_failing(grpc, &h2_call, ERR_UNAVAILABLE, &err);
    CHECK_INT(got.fate, GRPC_PERHAPS);
    CHECK_INT(fake_count(), 1);
    grpc_free(grpc);
    fake_stop();
}

/* Closes in the middle of the request. */
static void serve_half(int fd, int nth)
{
    char piece[1000];

    (void)nth;
    (void)h2_read_all(fd, piece, sizeof piece);
}

TEST(grpc_knows_that_half_a_request_does_nothing)
{
    enum { LEN = 4 << 20 };
    struct grpc *grpc = h2_client(fake_start(serve_half));
    struct grpc_call call = h2_call;
    struct grpc_answer got;
    struct err err;

    call.message = (struct bytes){mem_new(LEN), LEN};
    got = h2_run_failing(grpc, &call, ERR_UNAVAILABLE, &err);
    CHECK_INT(got.fate, GRPC_NOT_DONE);
    mem_free((void *)(uintptr_t)call.message.data);
    grpc_free(grpc);
    fake_stop();
}

static void serve_pings(int fd, int nth)
{
    uint32_t stream = h2_await_first(fd);

    (void)nth;
    for (; stream != 0; stream = h2_await_request(fd)) {
        h2_send_frame(fd, H2_PING, 0, 0, "12345678", 8);
        h2_answer(fd, stream);
        h2_send_frame(fd, H2_PING, 0, 0, "12345678", 8);
    }
}

TEST(grpc_answers_pings_between_calls)
{
    struct grpc *grpc = h2_client(fake_start(serve_pings));
    int i;

    for (i = 0; i < 10; i++)
        h2_check_answered(grpc, &h2_call);
    grpc_free(grpc);
    fake_stop();
    CHECK_INT(fake_count(), 1);
}

/* --- nobody, and nobody in time ------------------------------------------- */

TEST(grpc_gives_up_at_the_deadline)
{
    struct grpc *grpc = h2_client(fake_start_silent());
    struct grpc_call call = h2_call;
    struct grpc_answer got;
    int64_t began_us = clock_us();
    struct err err;

    /* Long enough for the request to be on its way, however busy we are. */
    call.timeout_ms = 1500;
    got = h2_run_failing(grpc, &call, ERR_TIMEOUT, &err);
    CHECK(clock_us() - began_us >= 1500000);
    CHECK_INT(got.fate, GRPC_PERHAPS);
    CHECK_HAS(err.text, "did not answer within 1500 ms");
    grpc_free(grpc);
    fake_stop();
}

/* Something comes all the time, and never an answer. */
static void serve_drops(int fd, int nth)
{
    (void)nth;
    if (h2_await_first(fd) == 0)
        return;
    while (!fake_is_gone(fd))
        h2_send_number(fd, H2_WINDOW_UPDATE, 0, 1);
}

TEST(grpc_gives_up_on_a_server_that_never_stops)
{
    struct grpc *grpc = h2_client(fake_start(serve_drops));
    struct grpc_call call = h2_call;
    struct err err;

    call.timeout_ms = 300;
    h2_run_failing(grpc, &call, ERR_TIMEOUT, &err);
    grpc_free(grpc);
    fake_stop();
}

TEST(grpc_says_that_nobody_answers)
{
    struct grpc *grpc = h2_client(fake_start_closed());
    struct grpc_answer got;
    struct err err;

    got = h2_run_failing(grpc, &h2_call, ERR_UNAVAILABLE, &err);
    CHECK_INT(got.fate, GRPC_NOT_DONE);
    CHECK_HAS(err.text, "nobody answers at '127.0.0.1:");
    grpc_free(grpc);
    fake_stop();
}
