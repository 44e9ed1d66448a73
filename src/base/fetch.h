/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests that olho makes: object stores, other services, its own server
 * from the command line. The library is libcurl; it lives in fetch.c only.
 *
 *     struct fetch_request request = {.url = url, .timeout_ms = 2000};
 *     rc = fetch_run(fetch, &request, &reply, &err);
 *
 * Thread-safe: connections are kept and handed from thread to thread. */
#ifndef OLHO_BASE_FETCH_H
#define OLHO_BASE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct fetch;

struct fetch_options {
    int connection_max;  /* exchanges at once, 1..256; more of them wait */
    const char *ca_file; /* PEM of the authorities to trust; NULL: system's */
    bool is_insecure;    /* do not check certificates (tests, closed nets) */
};

/* Takes the next piece of a body. A non-zero answer ends the exchange with
 * it. */
typedef int fetch_sink_fn(void *user, struct bytes piece, struct err *err);

struct fetch_request {
    const char *method;         /* NULL: GET */
    const char *url;            /* http:// or https:// only */
    const char *const *headers; /* "Name: value", header_count of them */
    int header_count;
    struct bytes body;      /* sent with its Content-Length; len 0: none */
    const char *body_file;  /* streamed from this file instead; NULL: none */
    int connect_timeout_ms; /* 0: 2000 */
    int timeout_ms;         /* for the whole exchange; 0: 30000 */
    size_t body_len_max;    /* of the reply; more is ERR_TOO_LARGE */
    fetch_sink_fn *sink;    /* gets the body of a 2xx reply, of any length, */
    void *sink_user;        /* instead of reply->body; NULL: none */
};

struct fetch_reply {
    int status;         /* 200..599 */
    struct buf body;    /* owned: fetch_reply_release */
    struct buf headers; /* "name: value\n" lines, names in lower case */
};

MUST_CHECK int fetch_new(const struct fetch_options *options,
                         struct fetch **out, struct err *err);
void fetch_free(struct fetch *fetch); /* NULL is allowed */

/* One exchange; redirects are not followed. Any status counts as success here.
 * ERR_UNAVAILABLE when nobody answers, the answer is cut short or a certificate
 * is not trusted, ERR_TIMEOUT, ERR_TOO_LARGE, ERR_IO for body_file, ERR_INVALID
 * for a URL or header that cannot be. Messages name the host, never the rest of
 * the URL. On failure *out is empty. Blocks. */
MUST_CHECK int fetch_run(struct fetch *fetch,
                         const struct fetch_request *request,
                         struct fetch_reply *out, struct err *err);
void fetch_reply_release(struct fetch_reply *reply); /* also of a zeroed one */

/* The value of a reply's header (name in lower case) into out, which has size
 * bytes; false when it is absent or does not fit. */
bool fetch_header(const struct fetch_reply *reply, const char *name, char *out,
                  size_t size);

#endif
