/* SPDX-License-Identifier: Apache-2.0 */
/* A way to a server that can be cut, and mended: what a test needs of a server
 * that dies and comes back. One thread of its own. */
#ifndef OLHO_TEST_STORE_PROXY_H
#define OLHO_TEST_STORE_PROXY_H

#include <stdint.h>

enum store_proxy_mode {
    STORE_PROXY_PASS,
    STORE_PROXY_CUT,   /* connections are closed, new ones refused */
    STORE_PROXY_STALL, /* connections stay, and nothing passes */
};

struct store_proxy;

/* Listens on a free port of 127.0.0.1 for the server at host:port. */
struct store_proxy *store_proxy_new(const char *host, int port);
void store_proxy_free(struct store_proxy *proxy);
int store_proxy_port(const struct store_proxy *proxy);

/* Returns when it is so. */
void store_proxy_set(struct store_proxy *proxy, enum store_proxy_mode mode);

/* Cuts by itself after so many more bytes to the server. */
void store_proxy_cut_after(struct store_proxy *proxy, int64_t byte_count);

#endif
