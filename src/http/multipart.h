/* SPDX-License-Identifier: Apache-2.0 */
/* An incremental scanner of multipart/form-data (RFC 7578, RFC 2046).
 *
 * It walks a body that grows in one buffer and notes where parts begin and
 * end, so that a limit is found broken as soon as it is; at the end the parts
 * are slices of that buffer. It never looks twice at a byte, but for the
 * length of a boundary. One thread at a time. */
#ifndef OLHO_HTTP_MULTIPART_H
#define OLHO_HTTP_MULTIPART_H

#include "http/http.h"

enum {
    MULTIPART_BOUNDARY_MAX = 70,        /* RFC 2046, 5.1.1 */
    MULTIPART_HEADER_LEN_MAX = 8 << 10, /* of one part */
    MULTIPART_FIELD_LEN_MAX = 1 << 20,  /* of a part that is no file */
};

enum multipart_state {
    MULTIPART_PREAMBLE, /* before the first boundary */
    MULTIPART_HEADER,   /* in the header of a part */
    MULTIPART_DATA,     /* in the data of a part */
    MULTIPART_DONE,     /* behind the last boundary */
};

struct multipart_part {
    const char *name, *filename, *content_type; /* as in struct http_part */
    size_t start, len;                          /* of the data in the body */
    bool is_file;                               /* it has a filename */
};

struct multipart {
    struct arena *arena; /* borrowed: parts and their names live there */
    size_t file_len_max;
    char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1]; /* "\r\n--boundary" */
    size_t delimiter_len;
    enum multipart_state state;
    size_t place;        /* the search goes on here */
    size_t header_start; /* of the part at hand */
    struct multipart_part *parts;
    int part_count; /* with the one at hand */
    int part_cap;
};

/* Begins with the Content-Type of the request. ERR_INVALID without a usable
 * boundary. file_len_max limits a part that is a file. */
MUST_CHECK int multipart_init(struct multipart *multipart,
                              const char *content_type, size_t file_len_max,
                              struct arena *arena, struct err *err);

/* Goes on as far as body reaches; body is all that came so far (its address
 * may change between calls). ERR_INVALID, ERR_TOO_LARGE: the body need not be
 * read further. */
MUST_CHECK int multipart_scan(struct multipart *multipart, struct bytes body,
                              struct err *err);

/* Lends the parts of the complete body: an array in the arena whose data are
 * slices of body. ERR_INVALID when the last boundary is missing. */
MUST_CHECK int multipart_finish(struct multipart *multipart, struct bytes body,
                                const struct http_part **out, int *out_count,
                                struct err *err);

#endif
