/* SPDX-License-Identifier: Apache-2.0 */
/* A server on 127.0.0.1 that behaves as a test likes: a thread takes one
 * connection after the other and hands it to a function. One at a time. */
#ifndef OLHO_TEST_FAKE_H
#define OLHO_TEST_FAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Connection number `nth` (from 0), which is closed afterwards. */
typedef void fake_fn(int fd, int nth);

/* Starts it; returns the port. */
int fake_start(fake_fn *fn);
void fake_stop(void);
int fake_count(void); /* connections so far */

/* A port that takes connections and answers nothing, and one where nobody
 * takes them, nor anybody else can, until fake_stop. */
int fake_start_silent(void);
int fake_start_closed(void);

/* Reads an HTTP request with its body (as Content-Length says) and gives its
 * text, valid until the next call; "" at the end of the connection. */
const char *fake_read(int fd);

bool fake_is_ended(int fd); /* waits for the client's next step: the end? */
bool fake_is_gone(int fd);  /* without waiting */

void fake_send(int fd, const char *format, ...) PRINTF_LIKE(2, 3);
void fake_send_bytes(int fd, const void *data, size_t len);

#endif
