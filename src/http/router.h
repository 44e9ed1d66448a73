/* SPDX-License-Identifier: Apache-2.0 */
/* From a method and a path to a row of the route tables.
 *
 * A parameter of a row (":name") stands for one segment; at the first place
 * where two rows differ, text written out wins over a parameter. A path's
 * segments are decoded one by one, so that "%2F" inside one stays inside.
 * Thread-safe: the tables are only read. */
#ifndef OLHO_HTTP_ROUTER_H
#define OLHO_HTTP_ROUTER_H

#include "http/http.h"

enum { ROUTER_SEGMENTS_MAX = 24, ROUTER_ALLOW_LEN = 80 };

struct router {
    const struct http_api *const *apis; /* borrowed */
    int api_count;                      /* 1 or more */
};

struct router_param {
    const char *name; /* inside the row's path, without the colon */
    size_t name_len;
    const char *value; /* decoded, in the arena */
};

struct router_match {
    const struct http_api *api;     /* never NULL: whose error form to use */
    const struct http_route *route; /* NULL unless a row was found */
    const char *path;               /* decoded, in the arena; "" if it cannot */
    struct router_param params[HTTP_PARAMS_MAX];
    int param_count;
    char allow[ROUTER_ALLOW_LEN]; /* "GET, HEAD, OPTIONS" when path is known */
};

/* Checks the tables: ERR_INVALID names the row that cannot be served. */
MUST_CHECK int router_check(const struct router *router, struct err *err);

/* Finds the row for a path as it was sent, without the query. HEAD finds GET.
 * Fails with ERR_NOT_FOUND, with ERR_METHOD (out->allow then says what would
 * do), with ERR_INVALID when a segment is not clean UTF-8, with
 * ERR_UNAVAILABLE when the arena is full. out is filled in every case: api
 * is then that of the longest common beginning, or else the first. */
MUST_CHECK int router_find(const struct router *router, const char *method,
                           const char *path, struct arena *arena,
                           struct router_match *out, struct err *err);

#endif
