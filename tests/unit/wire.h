/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of http/server: a server with handlers that can be held up,
 * and a client that writes bytes to a socket as it likes. One test at a time
 * uses it; wire_stop ends all. */
#ifndef OLHO_TEST_WIRE_H
#define OLHO_TEST_WIRE_H

#include <stddef.h>

#include "http/server.h"

enum { WIRE_TEXT_MAX = 1 << 20, WIRE_PATIENCE_MS = 120000 };

struct wire_reply {
    int status; /* 0: the connection ended without a reply */
    char *head; /* the lines before the body, and the body; valid until the */
    char *body; /* next wire_read */
    size_t body_len;
};

/* Small limits, one worker, no keys, port 0. */
struct http_options wire_options(void);

/* Starts a server with these routes:
 *   GET  /hello          {"hello":"ID"}
 *   GET  /large          40000 bytes of JSON
 *   GET  /held           waits for wire_let_go, then {"held":true}
 *   GET  /inline         answered on the server's thread
 *   GET  /fail           ERR_UNPROCESSABLE "cannot"
 *   GET  /speechless     ERR_INTERNAL without a text
 *   GET  /number?n=      the number, 1..10
 *   GET  /things/:name   the name
 *   GET  /admin          for admins
 *   POST /parts          name:len for each part; an image's body
 *   POST /small          the same; a small body
 *   POST /held           as GET /held */
void wire_start(const struct http_options *options);
struct http_server *wire_server(void);

/* Ends the server (unless forgotten) and closes all sockets. */
void wire_stop(void);
void wire_forget(void); /* the test has stopped it itself */

/* Waits until count requests are inside /held; lets all pass from now on. */
void wire_await_held(int count);
void wire_let_go(void);

int wire_open(void); /* a socket connected to the server */
void wire_close(int fd);
void wire_reset(int fd); /* closes it so that the server sees a reset */

/* Writes all of it; false when the server has closed. */
bool wire_write(int fd, const void *data, size_t len);
void wire_send(int fd, const char *format, ...) PRINTF_LIKE(2, 3);

/* Reads the next reply; for HEAD, wire_read_head. What was read over its end
 * is kept for the next call. Fails the test after WIRE_PATIENCE_MS. */
struct wire_reply wire_read(int fd);
struct wire_reply wire_read_head(int fd);

/* Opens, sends, reads, closes. */
struct wire_reply wire_ask(const char *format, ...) PRINTF_LIKE(1, 2);

/* Whether bytes, or the end, come within that time. */
bool wire_is_readable(int fd, int within_ms);
bool wire_is_ended(int fd); /* waits for the end, reading nothing but it */

#endif
