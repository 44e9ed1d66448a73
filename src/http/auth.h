/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call: keys with a scope, from API_KEYS.
 *
 *     auth_new("read:abc,admin:xyz", &auth, err);
 *
 * A scope includes those below it: admin > write > read. Without keys
 * everybody may do everything. Thread-safe: only read after auth_new. */
#ifndef OLHO_HTTP_AUTH_H
#define OLHO_HTTP_AUTH_H

#include "http/http.h"

enum { AUTH_KEYS_MAX = 256, AUTH_KEY_LEN_MAX = 256 };

struct auth;

/* Reads "scope:key,scope:key". ERR_INVALID says which entry is wrong, without
 * the key. The caller owns *out and ends it with auth_free. */
MUST_CHECK int auth_new(const char *keys, struct auth **out, struct err *err);
void auth_free(struct auth *auth); /* NULL is allowed */

/* Whether a request with these headers (NULL: absent) may use `scope`.
 * ERR_UNAUTHORIZED without a known key, ERR_FORBIDDEN when the key's scope is
 * too small. The time taken does not depend on how much of a key agrees. */
MUST_CHECK int auth_check(const struct auth *auth, enum http_scope scope,
                          const char *authorization, const char *api_key,
                          struct err *err);

#endif
