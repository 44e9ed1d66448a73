/* SPDX-License-Identifier: Apache-2.0 */
/* milvus://[user:password@]host[:port]/collection[?database=NAME], taken
 * apart. Thread-safe. */
#ifndef OLHO_VECTORS_MILVUS_URL_H
#define OLHO_VECTORS_MILVUS_URL_H

#include "base/err.h"

enum { MILVUS_NAME_MAX = 256, MILVUS_PORT = 19530 };

struct milvus_url {
    char user[MILVUS_NAME_MAX];     /* "": none */
    char password[MILVUS_NAME_MAX]; /* "": none */
    char host[MILVUS_NAME_MAX];     /* an IPv6 address without brackets */
    int port;                       /* MILVUS_PORT when not given */
    char collection[MILVUS_NAME_MAX];
    char database[MILVUS_NAME_MAX]; /* "": the server's default */
};

/* User and password may be percent-encoded. Collection and database are
 * letters, digits and '_', and do not begin with a digit, as Milvus wants them.
 * ERR_INVALID says what is wrong and never who logs in; ERR_UNSUPPORTED for
 * URLs that ask for TLS. */
MUST_CHECK int milvus_url_parse(const char *url, struct milvus_url *out,
                                struct err *err);

#endif
