/* SPDX-License-Identifier: Apache-2.0 */
/* What stands inside the value of a header field. Thread-safe. */
#ifndef OLHO_HTTP_HEADER_H
#define OLHO_HTTP_HEADER_H

#include "http/http.h"

/* The parameter `name` of a value such as `form-data; name="image"` (RFC 9110,
 * 5.6.6): quotes removed, \" and \\ resolved. *out is in the arena, or NULL
 * when there is no such parameter. ERR_INVALID when the parameters are not
 * well formed, ERR_UNAVAILABLE when the arena is full. */
MUST_CHECK int header_param(const char *value, const char *name,
                            struct arena *arena, char **out, struct err *err);

/* The value up to its first parameter, in lower case: `text/html; x=y` gives
 * "text/html". NULL when the arena is full. */
const char *header_main(const char *value, struct arena *arena) MUST_CHECK;

/* Whether an Accept-Encoding (NULL: absent) takes gzip: q above 0. */
bool header_accepts_gzip(const char *accept_encoding);

/* A list such as `close, upgrade` has the word, in any case. NULL: no. */
bool header_has_word(const char *list, const char *word);

#endif
