/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections that olho makes, with a deadline for all of it: the look-up
 * of the name too. Thread-safe. */
#ifndef OLHO_BASE_DIAL_H
#define OLHO_BASE_DIAL_H

#include <stdint.h>

#include "base/err.h"

enum { DIAL_HOST_MAX = 256 };

/* Connects to a name or address (IPv6 without brackets) by the first of its
 * addresses that answers. The socket does not block, sends small pieces at
 * once and is closed on exec; the caller closes it. deadline_us is of
 * clock_us. ERR_UNAVAILABLE when no address is known or nobody answers,
 * ERR_TIMEOUT; the messages name host and port. */
MUST_CHECK int dial_open(const char *host, int port, int64_t deadline_us,
                         int *out_fd, struct err *err);

/* Waits until the socket can be read or written (POLLIN, POLLOUT). Returns
 * what poll says of it, and 0 from the deadline on, ready or not. */
short dial_wait(int fd, short events, int64_t deadline_us);

#endif
