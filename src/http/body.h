/* SPDX-License-Identifier: Apache-2.0 */
/* A request's body: collected in one bounded buffer that grows with what
 * really came, counted against the memory that all bodies share, and split
 * into parts. A budget is thread-safe; a body belongs to one thread at a
 * time. */
#ifndef OLHO_HTTP_BODY_H
#define OLHO_HTTP_BODY_H

#include <stdatomic.h>

#include "http/http.h"
#include "http/multipart.h"

enum { BODY_FIELDS_MAX = HTTP_PARTS_MAX };
#define BODY_LEN_UNKNOWN SIZE_MAX /* a chunked body */

/* The memory of all bodies of a server. Relaxed order is enough: the counter
 * guards nothing but itself. */
struct budget {
    atomic_size_t used; /* bytes */
    size_t max;
};

struct body_limits {
    size_t len_max;      /* of the body */
    size_t file_len_max; /* of one part that is a file */
};

enum body_form { BODY_FORM_RAW, BODY_FORM_MULTIPART, BODY_FORM_URLENCODED };

struct body {
    struct budget *budget; /* borrowed */
    struct arena *arena;   /* borrowed */
    const char *type;      /* lower case, without parameters; borrowed */
    size_t len_max;
    size_t len_announced; /* or BODY_LEN_UNKNOWN */
    size_t taken;         /* bytes of the budget */
    enum body_form form;
    struct buf data;
    struct multipart multipart; /* for that form */
};

/* Begins a body of that Content-Type: `type` is its main part in lower case,
 * `content_type` the whole value, both outliving the body. ERR_TOO_LARGE for
 * an announced length over the limit, ERR_INVALID for a boundary that cannot
 * be used, ERR_UNAVAILABLE when the arena is full. On failure nothing is
 * held. */
MUST_CHECK int body_init(struct body *body, struct budget *budget,
                         const struct body_limits *limits, size_t len_announced,
                         const char *type, const char *content_type,
                         struct arena *arena, struct err *err);

/* Takes bytes as they come. ERR_TOO_LARGE and ERR_INVALID as soon as that is
 * certain, ERR_UNAVAILABLE when the budget or memory is used up. */
MUST_CHECK int body_add(struct body *body, struct bytes bytes, struct err *err);

/* Splits the complete body; the parts and what they point to stay valid until
 * body_release. Fields of a urlencoded form are decoded in place. */
MUST_CHECK int body_finish(struct body *body, const struct http_part **out,
                           int *out_count, struct err *err);

/* Frees the bytes and gives the memory back to the budget. Also of a zeroed
 * body, and twice. */
void body_release(struct body *body);

#endif
