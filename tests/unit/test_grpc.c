/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to a server of hand-made HTTP/2 frames (RFC 9113), which can lie, cut
 * and refuse as no library would. Its headers are literals without Huffman
 * codes (RFC 7541, 6.2.2). */
#include "test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/grpc.h"
#include "base/mem.h"
#include "fake.h"

enum {
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8,
    END_STREAM = 1,
    ACK = 1,
    END_HEADERS = 4,
    PREFACE_LEN = 24,
    BODY_MAX = 8 << 20,
    REFUSED = 7,
    CANCEL = 8,
};

/* --- the server ----------------------------------------------------------- */

static uint8_t body[BODY_MAX]; /* of the last request, with its prefix */
static size_t body_len;

static bool read_all(int fd, void *out, size_t len)
{
    char *at = out;
    ssize_t got;

    while (len > 0) {
        got = recv(fd, at, len, 0);
        if (got <= 0)
            return false;
        at += got;
        len -= (size_t)got;
    }
    return true;
}

static size_t put_frame(uint8_t *out, int type, int flags, uint32_t stream,
                        const void *data, size_t len)
{
    const uint8_t head[] = {(uint8_t)(len >> 16),
                            (uint8_t)(len >> 8),
                            (uint8_t)len,
                            (uint8_t)type,
                            (uint8_t)flags,
                            (uint8_t)(stream >> 24),
                            (uint8_t)(stream >> 16),
                            (uint8_t)(stream >> 8),
                            (uint8_t)stream};

    memcpy(out, head, sizeof head);
    if (len > 0)
        memcpy(out + sizeof head, data, len);
    return sizeof head + len;
}

static void send_frame(int fd, int type, int flags, uint32_t stream,
                       const void *data, size_t len)
{
    static uint8_t frame[1 << 15];

    CHECK(len + 9 <= sizeof frame);
    fake_send_bytes(fd, frame,
                    put_frame(frame, type, flags, stream, data, len));
}

static void send_number(int fd, int type, uint32_t stream, uint32_t number)
{
    const uint8_t data[] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                            (uint8_t)(number >> 8), (uint8_t)number};

    send_frame(fd, type, 0, stream, data, sizeof data);
}

/* Reads on until a request is whole; 0 at the end of the connection. */
static uint32_t await_request(int fd)
{
    static uint8_t data[1 << 20];
    uint8_t head[9];
    uint32_t len, stream;

    while (read_all(fd, head, sizeof head)) {
        len = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 |
                 (uint32_t)head[7] << 8 | head[8];
        if (len > sizeof data || !read_all(fd, data, len))
            return 0;
        if (head[3] == SETTINGS && (head[4] & ACK) == 0)
            send_frame(fd, SETTINGS, ACK, 0, NULL, 0);
        if (head[3] == HEADERS)
            body_len = 0;
        if (head[3] == DATA && len > 0) {
            CHECK(body_len + len <= sizeof body);
            memcpy(body + body_len, data, len);
            body_len += len;
            send_number(fd, WINDOW_UPDATE, 0, len);
            send_number(fd, WINDOW_UPDATE, stream, len);
        }
        if (head[3] <= HEADERS && (head[4] & END_STREAM) != 0)
            return stream;
    }
    return 0;
}

static uint32_t await_first(int fd)
{
    char preface[PREFACE_LEN];
    int yes = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (!read_all(fd, preface, sizeof preface))
        return 0;
    CHECK_INT(memcmp(preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PREFACE_LEN),
              0);
    send_frame(fd, SETTINGS, 0, 0, NULL, 0);
    return await_request(fd);
}

static size_t put_header(uint8_t *out, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);

    CHECK(name_len < 127 && value_len < 127);
    out[0] = 0;
    out[1] = (uint8_t)name_len;
    memcpy(out + 2, name, name_len);
    out[2 + name_len] = (uint8_t)value_len;
    memcpy(out + 3 + name_len, value, value_len);
    return 3 + name_len + value_len;
}

enum { STATUS_200 = 0x88, PAIRS_LEN = 1000 };

static size_t put_head(uint8_t *out, uint32_t stream)
{
    uint8_t pairs[PAIRS_LEN] = {STATUS_200};
    size_t len = 1 + put_header(pairs + 1, "content-type", "application/grpc");

    return put_frame(out, HEADERS, END_HEADERS, stream, pairs, len);
}

static size_t put_trailers(uint8_t *out, uint32_t stream, const char *status)
{
    uint8_t pairs[PAIRS_LEN];
    size_t len = put_header(pairs, "grpc-status", status);

    return put_frame(out, HEADERS, END_HEADERS | END_STREAM, stream, pairs,
                     len);
}

/* "five!" as the whole of an answer. */
static size_t put_answer(uint8_t *out, uint32_t stream)
{
    size_t len = put_head(out, stream);

    len += put_frame(out + len, DATA, 0, stream, "\0\0\0\0\5five!", 10);
    return len + put_trailers(out + len, stream, "0");
}

static void answer(int fd, uint32_t stream)
{
    uint8_t frames[PAIRS_LEN];

    fake_send_bytes(fd, frames, put_answer(frames, stream));
}

/* An answer without a message: one HEADERS frame. */
static void answer_trailers_only(int fd, uint32_t stream, const char *status,
                                 const char *text)
{
    uint8_t pairs[PAIRS_LEN] = {STATUS_200};
    size_t len = 1 + put_header(pairs + 1, "content-type", "application/grpc");

    len += put_header(pairs + len, "grpc-status", status);
    if (text != NULL)
        len += put_header(pairs + len, "grpc-message", text);
    send_frame(fd, HEADERS, END_HEADERS | END_STREAM, stream, pairs, len);
}

static void serve_all(int fd, int nth)
{
    uint32_t stream = await_first(fd);

    (void)nth;
    for (; stream != 0; stream = await_request(fd))
        answer(fd, stream);
}

/* --- the client ----------------------------------------------------------- */

static struct grpc *client_at(int port)
{
    const struct grpc_options options = {.host = "127.0.0.1",
                                         .port = port,
                                         .connection_max = 1,
                                         .connect_timeout_ms = 60000};
    struct grpc *grpc = NULL;
    struct err err = {0};

    CHECK_OK(grpc_new(&options, &grpc, &err), err);
    return grpc;
}

static const struct grpc_call plain = {.path = "/test.Service/Method",
                                       .message = {(const uint8_t *)"ask", 3},
                                       .timeout_ms = 120000};

static void check_answered(struct grpc *grpc, const struct grpc_call *call)
{
    struct grpc_answer got;
    struct err err = {0};

    CHECK_OK(grpc_run(grpc, call, &got, &err), err);
    CHECK_INT(got.message.len, 5);
    CHECK_INT(memcmp(got.message.data, "five!", 5), 0);
    CHECK_INT(got.fate, GRPC_ANSWERED);
    CHECK_INT(got.status, 0);
    grpc_answer_release(&got);
}

/* The call must fail; what is known of it goes to the caller. */
static struct grpc_answer run_failing(struct grpc *grpc,
                                      const struct grpc_call *call,
                                      enum err_code code, struct err *err)
{
    struct grpc_answer got;

    *err = (struct err){.code = ERR_OK};
    CHECK_ERR(grpc_run(grpc, call, &got, err), code);
    CHECK_INT(err->code, code);
    CHECK(got.message.data == NULL);
    return got;
}

TEST(grpc_sends_a_message_and_takes_the_answer)
{
    struct grpc *grpc = client_at(fake_start(serve_all));

    check_answered(grpc, &plain);
    CHECK_INT(body_len, 8);
    CHECK_INT(memcmp(body, "\0\0\0\0\3ask", 8), 0);
    grpc_free(grpc);
    fake_stop();
}

TEST(grpc_makes_many_calls_on_one_connection)
{
    struct grpc *grpc = client_at(fake_start(serve_all));
    int i;

    for (i = 0; i < 100; i++)
        check_answered(grpc, &plain);
    grpc_free(grpc);
    fake_stop();
    CHECK_INT(fake_count(), 1);
}

TEST(grpc_sends_messages_larger_than_any_window)
{
    enum { LEN = 3 << 20 };
    struct grpc *grpc = client_at(fake_start(serve_all));
    uint8_t *message = mem_new(LEN);
    struct grpc_call call = plain;
    size_t i;

    for (i = 0; i < LEN; i++)
        message[i] = (uint8_t)(i * 7 + i / 256);
    call.message = (struct bytes){message, LEN};
    check_answered(grpc, &call);
    CHECK_INT(body_len, LEN + 5);
    CHECK_INT(memcmp(body + 5, message, LEN), 0);
    CHECK_INT(body[2] << 16 | body[3] << 8 | body[4], LEN);
    mem_free(message);
    grpc_free(grpc);
    fake_stop();
}

static void *call_often(void *user)
{
    int i;

    for (i = 0; i < 20; i++)
        check_answered(user, &plain);
    return NULL;
}

TEST(grpc_is_shared_by_threads_that_wait_for_a_connection)
{
    struct grpc *grpc = client_at(fake_start(serve_all));
    pthread_t threads[8];
    int i;

    for (i = 0; i < 8; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, call_often, grpc), 0);
    for (i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    grpc_free(grpc);
    fake_stop();
    CHECK_INT(fake_count(), 1);
}

/* --- shapes of answers ---------------------------------------------------- */

enum { LONG_LEN = 2 << 20, PIECE_LEN = 1 << 14 };

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 13 + i / 251);
}

static void serve_in_pieces(int fd, int nth)
{
    static const uint8_t prefix[] = {0, 0, LONG_LEN >> 16, 0, 0};
    uint32_t stream = await_first(fd);
    uint8_t head[PAIRS_LEN], piece[PIECE_LEN];
    size_t i, j;

    (void)nth;
    fake_send_bytes(fd, head, put_head(head, stream));
    for (i = 0; i < sizeof prefix; i++)
        send_frame(fd, DATA, 0, stream, prefix + i, 1);
    send_frame(fd, DATA, 0, stream, NULL, 0);
    for (i = 0; i < LONG_LEN; i += PIECE_LEN) {
        for (j = 0; j < PIECE_LEN; j++)
            piece[j] = byte_at(i + j);
        send_frame(fd, DATA, 0, stream, piece, PIECE_LEN);
    }
    fake_send_bytes(fd, head, put_trailers(head, stream, "0"));
    (void)await_request(fd);
}

TEST(grpc_joins_an_answer_of_many_pieces)
{
    struct grpc *grpc = client_at(fake_start(serve_in_pieces));
    struct grpc_answer got;
    struct err err = {0};
    size_t i;

    CHECK_OK(grpc_run(grpc, &plain, &got, &err), err);
    CHECK_INT(got.message.len, LONG_LEN);
    for (i = 0; i < LONG_LEN; i++)
        CHECK((uint8_t)got.message.data[i] == byte_at(i));
    grpc_answer_release(&got);
    grpc_free(grpc);
    fake_stop();
}

static const char *told_status, *told_text;

static void serve_status(int fd, int nth)
{
    uint32_t stream = await_first(fd);

    (void)nth;
    for (; stream != 0; stream = await_request(fd))
        answer_trailers_only(fd, stream, told_status, told_text);
}

TEST(grpc_tells_each_status_as_an_error_of_ours)
{
    static const struct {
        const char *status;
        enum err_code code;
    } rows[] = {{"1", ERR_UNAVAILABLE},    {"2", ERR_UNPROCESSABLE},
                {"3", ERR_INVALID},        {"4", ERR_TIMEOUT},
                {"5", ERR_NOT_FOUND},      {"6", ERR_CONFLICT},
                {"7", ERR_FORBIDDEN},      {"8", ERR_BUSY},
                {"9", ERR_UNPROCESSABLE},  {"10", ERR_CONFLICT},
                {"12", ERR_UNSUPPORTED},   {"13", ERR_UNPROCESSABLE},
                {"14", ERR_UNAVAILABLE},   {"16", ERR_UNAUTHORIZED},
                {"77", ERR_UNPROCESSABLE}, {"99999", ERR_UNPROCESSABLE}};
    struct grpc *grpc = client_at(fake_start(serve_status));
    struct grpc_answer got;
    struct err err;
    char status[16];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        told_status = rows[i].status;
        got = run_failing(grpc, &plain, rows[i].code, &err);
        CHECK_INT(got.fate, GRPC_ANSWERED);
        snprintf(status, sizeof status, "status %d", got.status);
        CHECK_HAS(err.text, status);
        CHECK_HAS(err.text, "'127.0.0.1:");
    }
    grpc_free(grpc);
    fake_stop();
    CHECK_INT(fake_count(), 1);
}

TEST(grpc_decodes_the_words_of_an_error)
{
    struct grpc *grpc = client_at(fake_start(serve_status));
    struct grpc_answer got;
    struct err err;

    told_status = "5";
    told_text = "no %C3%A9 100%25%0Ahere%2";
    got = run_failing(grpc, &plain, ERR_NOT_FOUND, &err);
    CHECK_TEXT(got.text, "no \xc3\xa9 100% here%2");
    CHECK_HAS(err.text, "no \xc3\xa9 100% here%2");
    grpc_free(grpc);
    fake_stop();
}

/* --- lies ----------------------------------------------------------------- */

static const void *told_data;
static size_t told_len;

static void serve_data(int fd, int nth)
{
    uint32_t stream = await_first(fd);
    uint8_t frames[PAIRS_LEN];
    size_t len;

    (void)nth;
    if (stream == 0)
        return;
    len = put_head(frames, stream);
    len += put_frame(frames + len, DATA, 0, stream, told_data, told_len);
    len += put_trailers(frames + len, stream, "0");
    fake_send_bytes(fd, frames, len);
    (void)await_request(fd);
}

static struct grpc_answer run_on(const void *data, size_t len,
                                 enum err_code code, struct err *err)
{
    struct grpc_call call = plain;
    struct grpc_answer got;
    struct grpc *grpc;

    told_data = data;
    told_len = len;
    call.answer_len_max = 1000;
    grpc = client_at(fake_start(serve_data));
    mem_fail_at(0);
    got = run_failing(grpc, &call, code, err);
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
    uint32_t stream = await_first(fd);
    uint8_t frames[PAIRS_LEN];
    size_t len = put_answer(frames, stream);

    fake_send_bytes(fd, frames, (size_t)nth < len ? (size_t)nth : len);
    shutdown(fd, SHUT_WR);
    (void)await_request(fd);
}

TEST(grpc_takes_no_answer_that_was_cut_anywhere)
{
    uint8_t frames[PAIRS_LEN];
    size_t len = put_answer(frames, 1), i;
    struct grpc *grpc = client_at(fake_start(serve_cut));
    struct grpc_answer got;
    struct err err;

    for (i = 0; i < len; i++) {
        got = run_failing(grpc, &plain, ERR_UNAVAILABLE, &err);
        CHECK_INT(got.fate, GRPC_PERHAPS);
        CHECK_HAS(err.text, "cut the exchange short");
        CHECK_INT(fake_count(), (int)i + 1);
    }
    check_answered(grpc, &plain);
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
    struct grpc *grpc = client_at(fake_start(serve_http1));
    struct err err;

    run_failing(grpc, &plain, ERR_UNAVAILABLE, &err);
    CHECK_HAS(err.text, "'127.0.0.1:");
    grpc_free(grpc);
    fake_stop();
}

static void serve_page(int fd, int nth)
{
    static const uint8_t status_404[] = {0x8d};
    uint32_t stream = await_first(fd);

    (void)nth;
    send_frame(fd, HEADERS, END_HEADERS, stream, status_404, 1);
    send_frame(fd, DATA, END_STREAM, stream, "<html>no such page", 18);
    (void)await_request(fd);
}

TEST(grpc_says_that_an_answer_is_not_grpc)
{
    struct grpc *grpc = client_at(fake_start(serve_page));
    struct err err;

    run_failing(grpc, &plain, ERR_UNAVAILABLE, &err);
    CHECK_HAS(err.text, "not gRPC (HTTP status 404)");
    grpc_free(grpc);
    fake_stop();
}

/* --- what may be sent again ----------------------------------------------- */

static void serve_after_refusal(int fd, int nth)
{
    uint32_t stream = await_first(fd);

    if (nth == 0) {
        send_number(fd, RST_STREAM, stream, REFUSED);
        (void)await_request(fd);
    } else {
        answer(fd, stream);
        (void)await_request(fd);
    }
}

TEST(grpc_sends_again_what_was_refused)
{
    struct grpc *grpc = client_at(fake_start(serve_after_refusal));

    check_answered(grpc, &plain);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

/* GOAWAY, with nothing done: the last stream is 0. */
static void serve_after_goaway(int fd, int nth)
{
    static const uint8_t nothing_done[8] = {0};
    uint32_t stream = await_first(fd);

    if (nth == 0) {
        send_frame(fd, GOAWAY, 0, 0, nothing_done, sizeof nothing_done);
        (void)await_request(fd);
    } else {
        answer(fd, stream);
        (void)await_request(fd);
    }
}

TEST(grpc_sends_again_what_a_server_that_goes_away_has_not_done)
{
    struct grpc *grpc = client_at(fake_start(serve_after_goaway));

    check_answered(grpc, &plain);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

static void serve_and_go_away(int fd, int nth)
{
    static const uint8_t done[8] = {0, 0, 0, 1};
    uint32_t stream = await_first(fd);

    (void)nth;
    send_frame(fd, GOAWAY, 0, 0, done, sizeof done);
    answer(fd, stream);
    CHECK_INT(await_request(fd), 0);
}

TEST(grpc_calls_on_a_new_connection_after_a_goaway)
{
    struct grpc *grpc = client_at(fake_start(serve_and_go_away));

    check_answered(grpc, &plain);
    check_answered(grpc, &plain);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

/* Answers one request, takes another and is gone. */
static void serve_one(int fd, int nth)
{
    (void)nth;
    answer(fd, await_first(fd));
    (void)await_request(fd);
}

TEST(grpc_does_not_repeat_what_was_perhaps_done)
{
    struct grpc *grpc = client_at(fake_start(serve_one));
    struct grpc_answer got;
    struct err err;

    check_answered(grpc, &plain);
    got = run_failing(grpc, &plain, ERR_UNAVAILABLE, &err);
    CHECK_INT(got.fate, GRPC_PERHAPS);
    CHECK_INT(fake_count(), 1);
    check_answered(grpc, &plain);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

TEST(grpc_repeats_what_may_be_repeated)
{
    struct grpc *grpc = client_at(fake_start(serve_one));
    struct grpc_call call = plain;

    call.is_repeatable = true;
    check_answered(grpc, &call);
    check_answered(grpc, &call);
    CHECK_INT(fake_count(), 2);
    grpc_free(grpc);
    fake_stop();
}

static void serve_cancel(int fd, int nth)
{
    (void)nth;
    send_number(fd, RST_STREAM, await_first(fd), CANCEL);
    (void)await_request(fd);
}

TEST(grpc_fails_when_its_stream_is_reset)
{
    struct grpc *grpc = client_at(fake_start(serve_cancel));
    struct grpc_answer got;
    struct err err;

    got = run_failing(grpc, &plain, ERR_UNAVAILABLE, &err);
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
    (void)read_all(fd, piece, sizeof piece);
}

TEST(grpc_knows_that_half_a_request_does_nothing)
{
    enum { LEN = 4 << 20 };
    struct grpc *grpc = client_at(fake_start(serve_half));
    struct grpc_call call = plain;
    struct grpc_answer got;
    struct err err;

    call.message = (struct bytes){mem_new(LEN), LEN};
    got = run_failing(grpc, &call, ERR_UNAVAILABLE, &err);
    CHECK_INT(got.fate, GRPC_NOT_DONE);
    mem_free((void *)(uintptr_t)call.message.data);
    grpc_free(grpc);
    fake_stop();
}

static void serve_pings(int fd, int nth)
{
    uint32_t stream = await_first(fd);

    (void)nth;
    for (; stream != 0; stream = await_request(fd)) {
        send_frame(fd, PING, 0, 0, "12345678", 8);
        answer(fd, stream);
        send_frame(fd, PING, 0, 0, "12345678", 8);
    }
}

TEST(grpc_answers_pings_between_calls)
{
    struct grpc *grpc = client_at(fake_start(serve_pings));
    int i;

    for (i = 0; i < 10; i++)
        check_answered(grpc, &plain);
    grpc_free(grpc);
    fake_stop();
    CHECK_INT(fake_count(), 1);
}

/* --- nobody, and nobody in time ------------------------------------------- */

TEST(grpc_gives_up_at_the_deadline)
{
    struct grpc *grpc = client_at(fake_start_silent());
    struct grpc_call call = plain;
    struct grpc_answer got;
    int64_t began_us = clock_us();
    struct err err;

    call.timeout_ms = 100;
    got = run_failing(grpc, &call, ERR_TIMEOUT, &err);
    CHECK(clock_us() - began_us >= 100000);
    CHECK_INT(got.fate, GRPC_PERHAPS);
    CHECK_HAS(err.text, "did not answer within 100 ms");
    grpc_free(grpc);
    fake_stop();
}

/* Something comes all the time, and never an answer. */
static void serve_drops(int fd, int nth)
{
    (void)nth;
    if (await_first(fd) == 0)
        return;
    while (!fake_is_gone(fd))
        send_number(fd, WINDOW_UPDATE, 0, 1);
}

TEST(grpc_gives_up_on_a_server_that_never_stops)
{
    struct grpc *grpc = client_at(fake_start(serve_drops));
    struct grpc_call call = plain;
    struct err err;

    call.timeout_ms = 300;
    run_failing(grpc, &call, ERR_TIMEOUT, &err);
    grpc_free(grpc);
    fake_stop();
}

TEST(grpc_says_that_nobody_answers)
{
    struct grpc *grpc = client_at(fake_start_closed());
    struct grpc_answer got;
    struct err err;

    got = run_failing(grpc, &plain, ERR_UNAVAILABLE, &err);
    CHECK_INT(got.fate, GRPC_NOT_DONE);
    CHECK_HAS(err.text, "nobody answers at '127.0.0.1:");
    grpc_free(grpc);
    fake_stop();
}

TEST(grpc_refuses_options_that_cannot_be)
{
    const char *header = "name: value";
    struct grpc_options options = {.host = "h", .port = 0};
    struct grpc *grpc = NULL;
    struct err err = {0};

    CHECK_ERR(grpc_new(&options, &grpc, &err), ERR_INVALID);
    CHECK_HAS(err.text, "port is 0");
    options.port = 1;
    options.host = "";
    CHECK_ERR(grpc_new(&options, &grpc, &err), ERR_INVALID);
    options.host = "h";
    options.connection_max = GRPC_CONNECTIONS_MAX + 1;
    CHECK_ERR(grpc_new(&options, &grpc, &err), ERR_INVALID);
    options.connection_max = 0;
    options.header_count = 1;
    options.headers = &header;
    header = "no colon";
    CHECK_ERR(grpc_new(&options, &grpc, &err), ERR_INVALID);
    header = "a: b\r\nc: d";
    CHECK_ERR(grpc_new(&options, &grpc, &err), ERR_INVALID);
    header = "Upper: b";
    CHECK_ERR(grpc_new(&options, &grpc, &err), ERR_INVALID);
    CHECK(grpc == NULL);
    header = "authorization: a:b";
    CHECK_OK(grpc_new(&options, &grpc, &err), err);
    grpc_free(grpc);
}

TEST(grpc_torture_fails_cleanly_without_memory)
{
    struct grpc *grpc = client_at(fake_start(serve_all));
    struct grpc_answer got;
    struct err err;
    long nth;
    int rc;

    for (nth = 1; nth < 50; nth++) {
        err = (struct err){0};
        mem_fail_at(nth);
        rc = grpc_run(grpc, &plain, &got, &err);
        grpc_answer_release(&got);
        if (mem_tries() < nth)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
    }
    mem_fail_at(0);
    CHECK_OK(rc, err);
    CHECK(nth > 1 && nth < 50);
    grpc_free(grpc);
    fake_stop();
}
