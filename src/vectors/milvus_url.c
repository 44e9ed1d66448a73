/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_url.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/url.h"

enum { PORT_MAX = 65535 };

static int wrong(const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "%s; it is milvus://user:password@host:port/collection"
                   "?database=NAME",
                   what);
}

static bool take_part(const char *text, size_t len, bool is_encoded,
                      char out[MILVUS_NAME_MAX])
{
    if (len >= MILVUS_NAME_MAX)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    if (is_encoded)
        len = url_decode(out, len, false);
    return url_is_clean_text(out, len);
}

static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

    return text[0] != '\0' && !(text[0] >= '0' && text[0] <= '9') &&
           strspn(text, letters) == strlen(text);
}

static bool read_port(const char *text, size_t len, int *out)
{
    int number = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || number > PORT_MAX)
            return false;
        number = number * 10 + (text[i] - '0');
    }
    *out = number;
    return number >= 1 && number <= PORT_MAX;
}

static int take_login(const char *login, size_t len, struct milvus_url *url,
                      struct err *err)
{
    const char *colon = memchr(login, ':', len);
    size_t user_len = colon != NULL ? (size_t)(colon - login) : len;

    if (colon == NULL || user_len == 0 || user_len + 1 == len)
        return wrong("the Milvus URL has not both user and password", err);
    if (!take_part(login, user_len, true, url->user) ||
        !take_part(colon + 1, len - user_len - 1, true, url->password) ||
        strchr(url->user, ':') != NULL)
        return wrong("user or password of the Milvus URL are too long, or "
                     "have what cannot be sent",
                     err);
    return 0;
}

static int take_address(const char *address, size_t len, struct milvus_url *url,
                        struct err *err)
{
    const char *port = memrchr(address, ':', len), *host = address;
    const char *bracket = memchr(address, ']', len);
    size_t host_len = len;

    if (port != NULL && bracket != NULL && port < bracket)
        port = NULL;
    if (port != NULL) {
        host_len = (size_t)(port - address);
        if (!read_port(port + 1, len - host_len - 1, &url->port))
            return wrong("the Milvus URL has no port of 1..65535", err);
    }
    if (host_len > 1 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    }
    if (host_len == 0 || !take_part(host, host_len, false, url->host) ||
        strpbrk(url->host, " \"'<>@/\\") != NULL)
        return wrong("the Milvus URL has no host", err);
    return 0;
}

static int take_collection(const char *rest, struct milvus_url *url,
                           struct err *err)
{
    static const char database[] = "?database=";
    size_t len;

    if (rest[0] != '/')
        return wrong("the Milvus URL names no collection", err);
    rest++;
    len = strcspn(rest, "?#/");
    if (!take_part(rest, len, false, url->collection) ||
        !is_name(url->collection))
        return wrong("the collection of the Milvus URL is not 1..255 letters, "
                     "digits and '_', with no digit first",
                     err);
    rest += len;
    if (rest[0] == '\0')
        return 0;
    if (strncmp(rest, database, sizeof database - 1) != 0)
        return wrong("the Milvus URL has something behind its collection", err);
    rest += sizeof database - 1;
    if (!take_part(rest, strlen(rest), false, url->database) ||
        !is_name(url->database))
        return wrong("the database of the Milvus URL is not 1..255 letters, "
                     "digits and '_', with no digit first",
                     err);
    return 0;
}

static int check_scheme(const char *url, struct err *err)
{
    static const char *const with_tls[] = {"https://", "milvuss://",
                                           "milvus+tls://", "grpcs://"};
    size_t i;

    for (i = 0; i < sizeof with_tls / sizeof with_tls[0]; i++)
        if (strncasecmp(url, with_tls[i], strlen(with_tls[i])) == 0)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s (Milvus over TLS) is not supported; use "
                           "milvus:// through a tunnel",
                           with_tls[i]);
    if (strncmp(url, "milvus://", 9) != 0)
        return wrong("the Milvus URL does not begin with milvus://", err);
    return 0;
}

int milvus_url_parse(const char *url, struct milvus_url *out, struct err *err)
{
    struct milvus_url parsed = {.port = MILVUS_PORT};
    const char *rest, *sign;
    size_t len;
    int rc;

    rc = check_scheme(url, err);
    if (rc)
        return rc;
    rest = url + 9;
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
    if (rc == 0)
        rc = take_collection(rest + len, &parsed, err);
    if (rc == 0)
        *out = parsed;
    return rc;
}
