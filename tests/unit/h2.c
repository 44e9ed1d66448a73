/* SPDX-License-Identifier: Apache-2.0 */
#include "h2.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fake.h"
#include "test.h"

enum { PREFACE_LEN = 24 };

/* --- the server ----------------------------------------------------------- */

uint8_t h2_body[H2_BODY_MAX];
size_t h2_body_len;

bool h2_read_all(int fd, void *out, size_t len)
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

size_t h2_put_frame(uint8_t *out, int type, int flags, uint32_t stream,
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

void h2_send_frame(int fd, int type, int flags, uint32_t stream,
                   const void *data, size_t len)
{
    static uint8_t frame[1 << 15];

    CHECK(len + 9 <= sizeof frame);
    fake_send_bytes(fd, frame,
                    h2_put_frame(frame, type, flags, stream, data, len));
}

void h2_send_number(int fd, int type, uint32_t stream, uint32_t number)
{
    const uint8_t data[] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                            (uint8_t)(number >> 8), (uint8_t)number};

    h2_send_frame(fd, type, 0, stream, data, sizeof data);
}

/* Reads on until a request is whole; 0 at the end of the connection. */
uint32_t h2_await_request(int fd)
{
    static uint8_t data[1 << 20];
    uint8_t head[9];
    uint32_t len, stream;

    while (h2_read_all(fd, head, sizeof head)) {
        len = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 |
                 (uint32_t)head[7] << 8 | head[8];
        if (len > sizeof data || !h2_read_all(fd, data, len))
            return 0;
        if (head[3] == H2_SETTINGS && (head[4] & H2_ACK) == 0)
            h2_send_frame(fd, H2_SETTINGS, H2_ACK, 0, NULL, 0);
        if (head[3] == H2_HEADERS)
            h2_body_len = 0;
        if (head[3] == H2_DATA && len > 0) {
            CHECK(h2_body_len + len <= sizeof h2_body);
            memcpy(h2_body + h2_body_len, data, len);
            h2_body_len += len;
            h2_send_number(fd, H2_WINDOW_UPDATE, 0, len);
            h2_send_number(fd, H2_WINDOW_UPDATE, stream, len);
        }
        if (head[3] <= H2_HEADERS && (head[4] & H2_END_STREAM) != 0)
            return stream;
    }
    return 0;
}

uint32_t h2_await_first(int fd)
{
    char preface[PREFACE_LEN];
    int yes = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (!h2_read_all(fd, preface, sizeof preface))
        return 0;
    CHECK_INT(memcmp(preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PREFACE_LEN),
              0);
    h2_send_frame(fd, H2_SETTINGS, 0, 0, NULL, 0);
    return h2_await_request(fd);
}

size_t h2_put_header(uint8_t *out, const char *name, const char *value)
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

size_t h2_put_head(uint8_t *out, uint32_t stream)
{
    uint8_t pairs[H2_ANSWER_MAX] = {H2_STATUS_200};
    size_t len =
        1 + h2_put_header(pairs + 1, "content-type", "application/grpc");

    return h2_put_frame(out, H2_HEADERS, H2_END_HEADERS, stream, pairs, len);
}

size_t h2_put_trailers(uint8_t *out, uint32_t stream, const char *status)
{
    uint8_t pairs[H2_ANSWER_MAX];
    size_t len = h2_put_header(pairs, "grpc-status", status);

    return h2_put_frame(out, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, stream,
                        pairs, len);
}

/* "five!" as the whole of an answer. */
size_t h2_put_answer(uint8_t *out, uint32_t stream)
{
    size_t len = h2_put_head(out, stream);

    len += h2_put_frame(out + len, H2_DATA, 0, stream, "\0\0\0\0\5five!", 10);
    return len + h2_put_trailers(out + len, stream, "0");
}

void h2_answer(int fd, uint32_t stream)
{
    uint8_t frames[H2_ANSWER_MAX];

    fake_send_bytes(fd, frames, h2_put_answer(frames, stream));
}

/* An answer without a message: one H2_HEADERS frame. */
void h2_answer_trailers_only(int fd, uint32_t stream, const char *status,
                             const char *text)
{
    uint8_t pairs[H2_ANSWER_MAX] = {H2_STATUS_200};
    size_t len =
        1 + h2_put_header(pairs + 1, "content-type", "application/grpc");

    len += h2_put_header(pairs + len, "grpc-status", status);
    if (text != NULL)
        len += h2_put_header(pairs + len, "grpc-message", text);
    h2_send_frame(fd, H2_HEADERS, H2_END_HEADERS | H2_END_STREAM, stream, pairs,
                  len);
}

void h2_serve_all(int fd, int nth)
{
    uint32_t stream = h2_await_first(fd);

    (void)nth;
    for (; stream != 0; stream = h2_await_request(fd))
        h2_answer(fd, stream);
}

/* --- the client ----------------------------------------------------------- */

struct grpc *h2_client(int port)
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

const struct grpc_call h2_call = {.path = "/test.Service/Method",
                                  .message = {(const uint8_t *)"ask", 3},
                                  .timeout_ms = 120000};

void h2_check_answered(struct grpc *grpc, const struct grpc_call *call)
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
struct grpc_answer h2_run_failing(struct grpc *grpc,
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
