/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_url.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"

enum { PORT_MAX = 65535, MYSQL_PORT = 3306, TEXT_LEN_MAX = 1024 };

static const struct {
    const char *key, *value; /* as in the URL's query */
    enum store_tls tls;
} tls_words[] = {
    {"sslmode", "disable", STORE_TLS_DISABLE},
    {"sslmode", "allow", STORE_TLS_PREFER},
    {"sslmode", "prefer", STORE_TLS_PREFER},
    {"sslmode", "require", STORE_TLS_REQUIRE},
    {"sslmode", "verify-ca", STORE_TLS_VERIFY_CA},
    {"sslmode", "verify-full", STORE_TLS_VERIFY_FULL},
    {"ssl", "false", STORE_TLS_DISABLE},
    {"ssl", "0", STORE_TLS_DISABLE},
    {"ssl", "true", STORE_TLS_REQUIRE},
    {"ssl", "1", STORE_TLS_REQUIRE},
};

size_t store_url_scheme_len(const char *url)
{
    const char *end = strstr(url, "://");
    const char *p;

    if (end == NULL)
        return 0;
    for (p = url; p < end; p++)
        if (!isalnum((unsigned char)*p) && *p != '+')
            return 0;
    return (size_t)(end - url);
}

/* A decoded copy of the text from begin to end. A %00 would cut it off
 * unseen, so it becomes another control character, which check_piece
 * refuses. */
static char *piece(const char *begin, const char *end)
{
    size_t len = (size_t)(end - begin);
    char *text = mem_new(len + 1);
    char *nul;

    memcpy(text, begin, len);
    len = url_decode(text, len, false);
    while ((nul = memchr(text, '\0', len)) != NULL)
        *nul = '\1';
    return text;
}

static int check_piece(const char *text, const char *what, struct err *err)
{
    if (!url_is_clean_text(text, strlen(text)) || strlen(text) > TEXT_LEN_MAX)
        return err_set(err, ERR_INVALID,
                       "the %s in the database's URL is no plain text of at "
                       "most %d bytes",
                       what, TEXT_LEN_MAX);
    return 0;
}

/* Takes one "key=value" of the query. */
static int read_argument(const char *key, const char *value,
                         struct store_place *place, struct err *err)
{
    size_t i;

    if (strcmp(key, "sslrootcert") == 0) {
        mem_free(place->tls_roots);
        place->tls_roots = mem_text(value);
        return 0;
    }
    for (i = 0; i < sizeof tls_words / sizeof tls_words[0]; i++)
        if (strcmp(tls_words[i].key, key) == 0 &&
            strcmp(tls_words[i].value, value) == 0) {
            place->tls = tls_words[i].tls;
            return 0;
        }
    if (strcmp(key, "sslmode") == 0 || strcmp(key, "ssl") == 0)
        return err_set(err, ERR_INVALID,
                       "%s in the database's URL is not one of disable, "
                       "prefer, require, verify-ca, verify-full (ssl: true, "
                       "false)",
                       key);
    return err_set(err, ERR_INVALID,
                   "the database's URL has \"%.40s\" behind its '?'; known are "
                   "sslmode, ssl and sslrootcert",
                   key);
}

static int read_arguments(const char *query, struct store_place *place,
                          struct err *err)
{
    int rc = 0;

    while (rc == 0 && *query != '\0') {
        size_t len = strcspn(query, "&");
        size_t key_len = strcspn(query, "=&");
        char *key = piece(query, query + key_len);
        char *value = key_len < len ? piece(query + key_len + 1, query + len)
                                    : mem_text("");

        rc = check_piece(value, "value behind '?'", err);
        if (rc == 0)
            rc = read_argument(key, value, place, err);
        mem_free(key);
        mem_free(value);
        query += len + (query[len] == '&');
    }
    return rc;
}

static int read_port(const char *begin, const char *end,
                     struct store_place *place, struct err *err)
{
    const char *p;
    long port = 0;

    if (begin == end)
        return 0;
    for (p = begin; p < end && isdigit((unsigned char)*p); p++)
        if (port <= PORT_MAX)
            port = port * 10 + (*p - '0');
    if (p < end || port < 1 || port > PORT_MAX)
        return err_set(err, ERR_INVALID,
                       "the port in the database's URL must be 1..%d",
                       PORT_MAX);
    place->port = (int)port;
    return 0;
}

/* "host", "host:port", "[::1]:port". */
static int read_host(const char *begin, const char *end,
                     struct store_place *place, struct err *err)
{
    const char *colon = memchr(begin, ':', (size_t)(end - begin));
    const char *host_end = colon != NULL ? colon : end;

    if (begin < end && *begin == '[') {
        host_end = memchr(begin, ']', (size_t)(end - begin));
        if (host_end == NULL)
            return err_set(err, ERR_INVALID,
                           "the host in the database's URL has a '[' without "
                           "its ']'");
        colon = host_end[1] == ':' ? host_end + 1 : NULL;
        if (colon == NULL && host_end + 1 < end)
            return err_set(err, ERR_INVALID,
                           "the port in the database's URL must follow ']:'");
        begin++;
    }
    place->host = piece(begin, host_end);
    return colon != NULL ? read_port(colon + 1, end, place, err) : 0;
}

/* The last '@' ends user and password, so that a password in which somebody
 * left an '@' as it is still works. */
static int read_authority(const char *begin, const char *end,
                          struct store_place *place, struct err *err)
{
    const char *at = memrchr(begin, '@', (size_t)(end - begin));
    const char *colon;

    if (at == NULL) {
        place->user = mem_text("");
        place->password = mem_text("");
        return read_host(begin, end, place, err);
    }
    colon = memchr(begin, ':', (size_t)(at - begin));
    place->user = piece(begin, colon != NULL ? colon : at);
    place->password = colon != NULL ? piece(colon + 1, at) : mem_text("");
    return read_host(at + 1, end, place, err);
}

static int check_place(const struct store_place *place, struct err *err)
{
    int rc;

    assert(place->host != NULL);
    rc = check_piece(place->user, "user", err);
    if (rc == 0)
        rc = check_piece(place->password, "password", err);
    if (rc == 0)
        rc = check_piece(place->host, "host", err);
    if (rc == 0)
        rc = check_piece(place->database, "name of the database", err);
    if (rc)
        return rc;
    if (place->host[0] == '\0')
        return err_set(err, ERR_INVALID, "the database's URL has no host");
    if (place->database[0] == '\0' || strchr(place->database, '/') != NULL)
        return err_set(err, ERR_INVALID,
                       "the database's URL must end in the name of the "
                       "database, as in //HOST/NAME");
    return 0;
}

int store_place_of_server(const char *rest, struct store_place *out,
                          struct err *err)
{
    const char *question = strchr(rest, '?');
    const char *end = question != NULL ? question : rest + strlen(rest);
    const char *at = memrchr(rest, '@', (size_t)(end - rest));
    const char *slash = memchr(at != NULL ? at : rest, '/',
                               (size_t)(end - (at != NULL ? at : rest)));
    int rc;

    *out = (struct store_place){.tls = STORE_TLS_PREFER};
    out->path = mem_text("");
    out->tls_roots = mem_text("");
    out->database = piece(slash != NULL ? slash + 1 : end, end);
    rc = read_authority(rest, slash != NULL ? slash : end, out, err);
    if (rc == 0)
        rc = check_place(out, err);
    if (rc == 0 && question != NULL)
        rc = read_arguments(question + 1, out, err);
    return rc;
}

int store_place_of_file(const char *path, bool is_encoded,
                        struct store_place *out, struct err *err)
{
    *out = (struct store_place){
        .path = is_encoded ? piece(path, path + strlen(path)) : mem_text(path)};
    path = out->path;
    if (path[0] == '\0' || path[strlen(path) - 1] == '/' ||
        strlen(path) >= FILE_PATH_MAX)
        return err_set(err, ERR_INVALID,
                       "the database's file must have a path of 1..%d bytes "
                       "that does not end in '/'",
                       FILE_PATH_MAX - 1);
    if (strchr(path, '\1') != NULL)
        return err_set(err, ERR_INVALID,
                       "the path of the database's file has a control "
                       "character");
    if (strcmp(path, ":memory:") == 0)
        return err_set(err, ERR_INVALID,
                       "a database in memory would be another one for each "
                       "connection; name a file");
    return 0;
}

void store_place_release(struct store_place *place)
{
    mem_free(place->path);
    mem_free(place->user);
    mem_free(place->password);
    mem_free(place->host);
    mem_free(place->database);
    mem_free(place->tls_roots);
    *place = (struct store_place){0};
}

/* Everything but the unreserved characters of RFC 3986. */
static void add_encoded(const char *text, struct buf *out)
{
    const unsigned char *p;

    for (p = (const unsigned char *)text; *p != '\0'; p++)
        if (isalnum(*p) || strchr("-._~", *p) != NULL)
            buf_add_char(out, (char)*p);
        else
            buf_printf(out, "%%%02X", *p);
}

static void add_server(const struct store_settings *settings, struct buf *out)
{
    buf_add_text(out,
                 settings->port == MYSQL_PORT ? "mysql://" : "postgres://");
    if (settings->user[0] != '\0') {
        add_encoded(settings->user, out);
        if (settings->password[0] != '\0') {
            buf_add_char(out, ':');
            add_encoded(settings->password, out);
        }
        buf_add_char(out, '@');
    }
    if (strchr(settings->host, ':') != NULL)
        buf_printf(out, "[%s]", settings->host);
    else
        add_encoded(settings->host, out);
    buf_printf(out, ":%d/", settings->port);
    add_encoded(settings->database, out);
}

int store_url_of(const struct store_settings *settings, char *out, size_t size,
                 struct err *err)
{
    struct buf url;
    int rc;

    buf_init(&url, size - 1);
    if (settings->url[0] != '\0')
        buf_add_text(&url, settings->url);
    else if (settings->host[0] != '\0')
        add_server(settings, &url);
    else
        buf_printf(&url, "%s/olho.db", settings->home);
    rc = buf_check(&url, err);
    if (rc)
        err_wrap(err, "the database's URL");
    else
        snprintf(out, size, "%s", url.data);
    buf_release(&url);
    return rc;
}
