/* SPDX-License-Identifier: Apache-2.0 */
/* A listening TCP socket. Thread-safe. */
#ifndef OLHO_HTTP_LISTEN_H
#define OLHO_HTTP_LISTEN_H

#include "base/err.h"

/* Listens on host ("127.0.0.1", "::" for everything in both families, or a
 * name) and port (0: any free one; *out_port says which). The caller owns
 * *out_fd, a non-blocking socket. ERR_CONFLICT when the port is taken,
 * ERR_FORBIDDEN when it is not ours to take, ERR_INVALID for a host that is
 * none. */
MUST_CHECK int listen_open(const char *host, int port, int *out_fd,
                           int *out_port, struct err *err);

/* Raises the limit of open files to what count connections need, as far as the
 * system lets us. */
void listen_reserve_files(int count);

#endif
