/* SPDX-License-Identifier: Apache-2.0 */
/* What a request carries besides its body: headers, query arguments and path
 * parameters, copied once into its arena. http_request.server points to it.
 * One thread at a time. */
#ifndef OLHO_HTTP_REQUEST_H
#define OLHO_HTTP_REQUEST_H

#include "http/http.h"
#include "http/router.h"

enum {
    REQUEST_HEADERS_MAX = 64,
    REQUEST_QUERY_MAX = 64,
    REQUEST_ARGUMENT_LEN_MAX = 4096,
};

struct request_field {
    const char *name, *value; /* in the arena */
};

struct request_fields {
    struct request_field headers[REQUEST_HEADERS_MAX];
    struct request_field query[REQUEST_QUERY_MAX];
    int header_count, query_count;
    struct router_match match;
};

/* Copies one header, or one query argument as it was sent (value may be NULL:
 * ""), decoding the latter. ERR_HEADERS when there are too many headers,
 * ERR_INVALID for a name that is no token, too many arguments or text that is
 * not clean UTF-8, ERR_UNAVAILABLE when the arena is full. */
MUST_CHECK int request_add_header(struct request_fields *fields,
                                  struct arena *arena, struct bytes name,
                                  struct bytes value, struct err *err);
MUST_CHECK int request_add_query(struct request_fields *fields,
                                 struct arena *arena, struct bytes name,
                                 struct bytes value, struct err *err);

/* The request's id: text when it is 1..64 of [A-Za-z0-9._-], else 16
 * hexadecimal digits of our own, in the arena (a constant when it is full).
 * text may be NULL. */
const char *request_id(const char *text, struct arena *arena);

#endif
