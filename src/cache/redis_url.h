/* SPDX-License-Identifier: Apache-2.0 */
/* redis://[[user]:password@]host[:port][/db], taken apart. Thread-safe. */
#ifndef OLHO_CACHE_REDIS_URL_H
#define OLHO_CACHE_REDIS_URL_H

#include "base/err.h"

enum { REDIS_URL_PART_MAX = 256, REDIS_DB_MAX = 65535 };

struct redis_url {
    char user[REDIS_URL_PART_MAX];     /* "": none */
    char password[REDIS_URL_PART_MAX]; /* "": none */
    char host[REDIS_URL_PART_MAX];     /* an IPv6 address without brackets */
    int port;                          /* 6379 when not given */
    int db;                            /* 0 when not given */
};

/* User and password may be percent-encoded. ERR_INVALID says what is wrong and
 * never what stands in the URL; ERR_UNSUPPORTED for rediss (TLS). */
MUST_CHECK int redis_url_parse(const char *url, struct redis_url *out,
                               struct err *err);

#endif
