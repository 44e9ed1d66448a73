/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/redis_url.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/url.h"

enum { PORT_MAX = 65535 };

static int wrong(const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "%s; it is redis://user:password@host:port/db", what);
}

/* Digits only, 0..max; the whole of text. */
static bool read_number(const char *text, size_t len, int max, int *out)
{
    int number = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || number > max)
            return false;
        number = number * 10 + (text[i] - '0');
    }
    *out = number;
    return len > 0 && number <= max;
}

static bool take_part(const char *text, size_t len, bool is_encoded,
                      char out[REDIS_URL_PART_MAX])
{
    if (len >= REDIS_URL_PART_MAX)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    if (is_encoded)
        len = url_decode(out, len, false);
    return strlen(out) == len;
}

/* "user:password", ":password" or, as some write it, "user". */
static int take_login(const char *login, size_t len, struct redis_url *url,
                      struct err *err)
{
    const char *colon = memchr(login, ':', len);
    size_t user_len = colon != NULL ? (size_t)(colon - login) : len;

    if (!take_part(login, user_len, true, url->user) ||
        (colon != NULL &&
         !take_part(colon + 1, len - user_len - 1, true, url->password)))
        return wrong("user or password of the Redis URL are too long, or have "
                     "a NUL",
                     err);
    if (url->user[0] != '\0' && url->password[0] == '\0')
        return wrong("the Redis URL has a user without a password", err);
    return 0;
}

static int take_address(const char *address, size_t len, struct redis_url *url,
                        struct err *err)
{
    const char *port = memrchr(address, ':', len), *host = address;
    const char *bracket = memchr(address, ']', len);
    size_t host_len = len;

    if (port != NULL && bracket != NULL && port < bracket)
        port = NULL;
    if (port != NULL) {
        host_len = (size_t)(port - address);
        if (!read_number(port + 1, len - host_len - 1, PORT_MAX, &url->port) ||
            url->port == 0)
            return wrong("the Redis URL has no port of 1..65535", err);
    }
    if (host_len > 1 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    }
    if (host_len == 0 || !take_part(host, host_len, false, url->host))
        return wrong("the Redis URL has no host", err);
    return 0;
}

int redis_url_parse(const char *url, struct redis_url *out, struct err *err)
{
    struct redis_url parsed = {.port = 6379};
    const char *rest, *sign;
    size_t len;
    int rc;

    if (strncmp(url, "rediss://", 9) == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "rediss:// (Redis over TLS) is not supported; use "
                       "redis:// through a tunnel");
    if (strncmp(url, "redis://", 8) != 0)
        return wrong("the cache's URL does not begin with redis://", err);
    rest = url + 8;
    len = strcspn(rest, "/?#");
    sign = memrchr(rest, '@', len);
    if (sign != NULL) {
        rc = take_login(rest, (size_t)(sign - rest), &parsed, err);
        if (rc)
            return rc;
        len -= (size_t)(sign + 1 - rest);
        rest = sign + 1;
    }
    rc = take_address(rest, len, &parsed, err);
    if (rc)
        return rc;
    rest += len;
    if (rest[0] == '/' && rest[1] != '\0') {
        if (!read_number(rest + 1, strlen(rest + 1), REDIS_DB_MAX, &parsed.db))
            return wrong("the Redis URL has no database number of 0..65535",
                         err);
    } else if (rest[0] != '/' && rest[0] != '\0') {
        return wrong("the Redis URL has something behind its host", err);
    }
    *out = parsed;
    return 0;
}
