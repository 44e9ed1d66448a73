/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/grpc.h"
#include "base/mem.h"
#include "fake.h"
#include "h2.h"

TEST(grpc_sends_a_message_and_takes_the_answer)
{
    struct grpc *grpc = h2_client(fake_start(h2_serve_all));

    h2_check_answered(grpc, &h2_call);
    CHECK_INT(h2_body_len, 8);
    CHECK_INT(memcmp(h2_body, "\0\0\0\0\3ask", 8), 0);
    grpc_free(grpc);
    fake_stop();
}

TEST(grpc_makes_many_calls_on_one_connection)
{
    struct grpc *grpc = h2_client(fake_start(h2_serve_all));
    int i;

    for (i = 0; i < 100; i++)
        h2_check_answered(grpc, &h2_call);
    grpc_free(grpc);
    fake_stop();
    CHECK_INT(fake_count(), 1);
}

TEST(grpc_sends_messages_larger_than_any_window)
{
    enum { LEN = 3 << 20 };
    struct grpc *grpc = h2_client(fake_start(h2_serve_all));
    uint8_t *message = mem_new(LEN);
    struct grpc_call call = h2_call;
    size_t i;

    for (i = 0; i < LEN; i++)
        message[i] = (uint8_t)(i * 7 + i / 256);
    call.message = (struct bytes){message, LEN};
    h2_check_answered(grpc, &call);
    CHECK_INT(h2_body_len, LEN + 5);
    CHECK_INT(memcmp(h2_body + 5, message, LEN), 0);
    CHECK_INT(h2_body[2] << 16 | h2_body[3] << 8 | h2_body[4], LEN);
    mem_free(message);
    grpc_free(grpc);
    fake_stop();
}

/* Says nothing before it has the whole request, which fits into the window
 * that every connection begins with. */
static void serve_silently(int fd, int nth)
{
    static uint8_t data[1 << 15];
    uint8_t head[9];
    size_t len;

    (void)nth;
    if (!h2_read_all(fd, data, sizeof "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" - 1))
        return;
    do {
        if (!h2_read_all(fd, head, sizeof head))
            return;
        len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (len > sizeof data || !h2_read_all(fd, data, len))
            return;
    } while (head[3] != H2_DATA || (head[4] & H2_END_STREAM) == 0);
    h2_send_frame(fd, H2_SETTINGS, 0, 0, NULL, 0);
    h2_answer(fd, head[8]);
    (void)h2_await_request(fd);
}

TEST(grpc_sends_all_that_the_window_has_room_for_without_being_told)
{
    enum { LEN = 60000 };
    struct grpc *grpc = h2_client(fake_start(serve_silently));
    uint8_t *message = mem_new(LEN);
    struct grpc_call call = h2_call;

    call.message = (struct bytes){message, LEN};
    h2_check_answered(grpc, &call);
    mem_free(message);
    grpc_free(grpc);
    fake_stop();
}

static void *call_often(void *user)
{
    int i;

    for (i = 0; i < 20; i++)
        h2_check_answered(user, &h2_call);
    return NULL;
}

TEST(grpc_is_shared_by_threads_that_wait_for_a_connection)
{
    struct grpc *grpc = h2_client(fake_start(h2_serve_all));
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
    uint32_t stream = h2_await_first(fd);
    uint8_t head[H2_ANSWER_MAX], piece[PIECE_LEN];
    size_t i, j;

    (void)nth;
    fake_send_bytes(fd, head, h2_put_head(head, stream));
    for (i = 0; i < sizeof prefix; i++)
        h2_send_frame(fd, H2_DATA, 0, stream, prefix + i, 1);
    h2_send_frame(fd, H2_DATA, 0, stream, NULL, 0);
    for (i = 0; i < LONG_LEN; i += PIECE_LEN) {
        for (j = 0; j < PIECE_LEN; j++)
            piece[j] = byte_at(i + j);
        h2_send_frame(fd, H2_DATA, 0, stream, piece, PIECE_LEN);
    }
    fake_send_bytes(fd, head, h2_put_trailers(head, stream, "0"));
    (void)h2_await_request(fd);
}

TEST(grpc_joins_an_answer_of_many_pieces)
{
    struct grpc *grpc = h2_client(fake_start(serve_in_pieces));
    struct grpc_answer got;
    struct err err = {0};
    size_t i;

    CHECK_OK(grpc_run(grpc, &h2_call, &got, &err), err);
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
    uint32_t stream = h2_await_first(fd);

    (void)nth;
    for (; stream != 0; stream = h2_await_request(fd))
        h2_answer_trailers_only(fd, stream, told_status, told_text);
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
    struct grpc *grpc = h2_client(fake_start(serve_status));
    struct grpc_answer got;
    struct err err;
    char status[16];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        told_status = rows[i].status;
        got = h2_run_failing(grpc, &h2_call, rows[i].code, &err);
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
    struct grpc *grpc = h2_client(fake_start(serve_status));
    struct grpc_answer got;
    struct err err;

    told_status = "5";
    told_text = "no %C3%A9 100%25%0Ahere%2";
    got = h2_run_failing(grpc, &h2_call, ERR_NOT_FOUND, &err);
    CHECK_TEXT(got.text, "no \xc3\xa9 100% here%2");
    CHECK_HAS(err.text, "no \xc3\xa9 100% here%2");
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
    struct grpc *grpc = h2_client(fake_start(h2_serve_all));
    struct grpc_answer got;
    struct err err;
    long nth;
    int rc;

    for (nth = 1; nth < 50; nth++) {
        err = (struct err){0};
        mem_fail_at(nth);
        rc = grpc_run(grpc, &h2_call, &got, &err);
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
