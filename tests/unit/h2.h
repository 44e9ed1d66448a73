/* SPDX-License-Identifier: Apache-2.0 */
/* A gRPC server of hand-made HTTP/2 frames (RFC 9113) for fake.h, which can
 * lie, cut and refuse as no library would, and the client that calls it. Its
 * headers are literals without Huffman codes (RFC 7541, 6.2.2). */
#ifndef OLHO_TEST_H2_H
#define OLHO_TEST_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/grpc.h"

/* Types, flags and codes of frames. */
enum {
    H2_DATA = 0,
    H2_HEADERS = 1,
    H2_RST_STREAM = 3,
    H2_SETTINGS = 4,
    H2_PING = 6,
    H2_GOAWAY = 7,
    H2_WINDOW_UPDATE = 8,
    H2_END_STREAM = 1,
    H2_ACK = 1,
    H2_END_HEADERS = 4,
    H2_REFUSED = 7,
    H2_CANCEL = 8,
};

enum { H2_STATUS_200 = 0x88, H2_ANSWER_MAX = 1000, H2_BODY_MAX = 8 << 20 };

/* The last request, with the prefix of its message. */
extern uint8_t h2_body[H2_BODY_MAX];
extern size_t h2_body_len;

/* --- the server ----------------------------------------------------------- */

/* Appends a frame and returns its length. */
size_t h2_put_frame(uint8_t *out, int type, int flags, uint32_t stream,
                    const void *data, size_t len);
void h2_send_frame(int fd, int type, int flags, uint32_t stream,
                   const void *data, size_t len);
void h2_send_number(int fd, int type, uint32_t stream, uint32_t number);

/* Reads a connection until a request is whole, as it begins and later on; the
 * number of its stream, 0 at the end of the connection. */
uint32_t h2_await_first(int fd);
uint32_t h2_await_request(int fd);
bool h2_read_all(int fd, void *out, size_t len);

/* Pieces of an answer; "five!" as the whole of one. */
size_t h2_put_header(uint8_t *out, const char *name, const char *value);
size_t h2_put_head(uint8_t *out, uint32_t stream);
size_t h2_put_trailers(uint8_t *out, uint32_t stream, const char *status);
size_t h2_put_answer(uint8_t *out, uint32_t stream);
void h2_answer(int fd, uint32_t stream);

/* Without a message: one HEADERS frame. text NULL: none. */
void h2_answer_trailers_only(int fd, uint32_t stream, const char *status,
                             const char *text);

/* Answers "five!" to all. */
void h2_serve_all(int fd, int nth);

/* --- the client ----------------------------------------------------------- */

extern const struct grpc_call h2_call; /* sends "ask" */

struct grpc *h2_client(int port); /* with one connection */
void h2_check_answered(struct grpc *grpc, const struct grpc_call *call);

/* The call must fail; what is known of it goes to the caller. */
struct grpc_answer h2_run_failing(struct grpc *grpc,
                                  const struct grpc_call *call,
                                  enum err_code code, struct err *err);

#endif
