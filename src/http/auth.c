/* SPDX-License-Identifier: Apache-2.0 */
#include "http/auth.h"

#include <string.h>
#include <strings.h>

struct key {
    enum http_scope scope;
    size_t len;
    unsigned char text[AUTH_KEY_LEN_MAX]; /* zeroes behind */
};

struct auth {
    int count;
    struct key keys[AUTH_KEYS_MAX];
};

static const char *const scope_names[] = {
    [SCOPE_OPEN] = "open",
    [SCOPE_READ] = "read",
    [SCOPE_WRITE] = "write",
    [SCOPE_ADMIN] = "admin",
};

static bool find_scope(const char *text, size_t len, enum http_scope *out)
{
    int i;

    for (i = SCOPE_READ; i <= SCOPE_ADMIN; i++)
        if (strlen(scope_names[i]) == len &&
            memcmp(scope_names[i], text, len) == 0) {
            *out = (enum http_scope)i;
            return true;
        }
    return false;
}

/* A key travels in a header, so it is visible ASCII. */
static bool is_key(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return len > 0 && len <= AUTH_KEY_LEN_MAX;
}

static int add_key(struct auth *auth, const char *text, size_t len,
                   struct err *err)
{
    const char *colon = memchr(text, ':', len);
    struct key *key = &auth->keys[auth->count];
    int place = auth->count + 1;

    if (auth->count == AUTH_KEYS_MAX)
        return err_set(err, ERR_INVALID, "API_KEYS has more than %d keys",
                       AUTH_KEYS_MAX);
    if (colon == NULL || !find_scope(text, (size_t)(colon - text), &key->scope))
        return err_set(err, ERR_INVALID,
                       "entry %d of API_KEYS must begin with read:, write: or "
                       "admin:",
                       place);
    len -= (size_t)(colon + 1 - text);
    if (!is_key(colon + 1, len))
        return err_set(err, ERR_INVALID,
                       "the key of entry %d of API_KEYS must be 1..%d visible "
                       "ASCII characters",
                       place, AUTH_KEY_LEN_MAX);
    memcpy(key->text, colon + 1, len);
    key->len = len;
    auth->count++;
    return 0;
}

int auth_new(const char *keys, struct auth **out, struct err *err)
{
    struct auth *auth = mem_new(sizeof *auth);
    const char *at = keys;
    int rc;

    while (*at != '\0') {
        size_t len;

        at += strspn(at, ", \t");
        len = strcspn(at, ", \t");
        if (len == 0)
            break;
        rc = add_key(auth, at, len, err);
        if (rc) {
            auth_free(auth);
            return rc;
        }
        at += len;
    }
    *out = auth;
    return 0;
}

void auth_free(struct auth *auth)
{
    if (auth != NULL)
        explicit_bzero(auth, sizeof *auth);
    mem_free(auth);
}

/* Compares all AUTH_KEY_LEN_MAX bytes, whatever they are. */
static bool is_same(const struct key *key, const unsigned char *text,
                    size_t len)
{
    unsigned difference = key->len != len;
    size_t i;

    for (i = 0; i < AUTH_KEY_LEN_MAX; i++)
        difference |= (unsigned)(key->text[i] ^ text[i]);
    return difference == 0;
}

static const char *sent_key(const char *authorization, const char *api_key)
{
    if (api_key != NULL)
        return api_key;
    if (authorization == NULL || strncasecmp(authorization, "Bearer", 6) != 0 ||
        authorization[6] != ' ')
        return NULL;
    authorization += 6;
    return authorization + strspn(authorization, " ");
}

int auth_check(const struct auth *auth, enum http_scope scope,
               const char *authorization, const char *api_key, struct err *err)
{
    unsigned char padded[AUTH_KEY_LEN_MAX] = {0};
    const char *text = sent_key(authorization, api_key);
    int best = SCOPE_OPEN, i;
    size_t len;

    if (auth->count == 0 || scope == SCOPE_OPEN)
        return 0;
    if (text == NULL)
        return err_set(err, ERR_UNAUTHORIZED,
                       "a key is needed: send 'Authorization: Bearer KEY' or "
                       "'X-API-Key: KEY'");
    len = strlen(text);
    if (len > AUTH_KEY_LEN_MAX)
        return err_set(err, ERR_UNAUTHORIZED, "the key is not known");
    memcpy(padded, text, len);
    for (i = 0; i < auth->count; i++)
        if (is_same(&auth->keys[i], padded, len) &&
            (int)auth->keys[i].scope > best)
            best = (int)auth->keys[i].scope;
    explicit_bzero(padded, sizeof padded);
    if (best == SCOPE_OPEN)
        return err_set(err, ERR_UNAUTHORIZED, "the key is not known");
    if (best < (int)scope)
        return err_set(err, ERR_FORBIDDEN,
                       "the key may %s; this needs a key that may %s",
                       scope_names[best], scope_names[scope]);
    return 0;
}
