/* SPDX-License-Identifier: Apache-2.0 */
#include "blob/s3_endpoint.h"

#include <string.h>

#include "base/mem.h"

enum { URL_MAX = 512, BUCKET_LEN_MIN = 3, BUCKET_LEN_MAX = 63 };

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

/* Amazon's rules, and the capitals and '_' that older servers have. */
bool s3_is_bucket(const char *name)
{
    size_t len = strlen(name), i;

    if (len < BUCKET_LEN_MIN || len > BUCKET_LEN_MAX ||
        !is_letter_or_digit(name[0]))
        return false;
    for (i = 0; i < len; i++)
        if (!is_letter_or_digit(name[i]) && strchr("-._", name[i]) == NULL)
            return false;
    return true;
}

static bool is_host(const char *host, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (!is_letter_or_digit(host[i]) && strchr("-._:[]", host[i]) == NULL)
            return false;
    return len > 0;
}

/* Without the port that goes without saying. */
static size_t named_len(const char *host, size_t len, bool is_tls)
{
    const char *port = is_tls ? ":443" : ":80";
    size_t port_len = strlen(port);

    if (len > port_len && memcmp(host + len - port_len, port, port_len) == 0)
        return len - port_len;
    return len;
}

int s3_endpoint_init(const char *url, const char *bucket,
                     struct s3_endpoint *out, struct err *err)
{
    bool is_tls = strncmp(url, "https://", 8) == 0;
    size_t scheme_len = is_tls ? 8 : 7, len, slashes;
    const char *dot = bucket != NULL ? "." : "";
    const char *host = url + scheme_len;
    struct buf text;
    int rc;

    if (!is_tls && strncmp(url, "http://", 7) != 0)
        return err_set(err, ERR_INVALID,
                       "the endpoint of an object store begins with http:// "
                       "or https://");
    len = strcspn(host, "/");
    slashes = strspn(host + len, "/");
    if (!is_host(host, len) || host[len + slashes] != '\0')
        return err_set(err, ERR_INVALID,
                       "the endpoint of an object store is "
                       "http(s)://host:port and nothing more");
    bucket = bucket != NULL ? bucket : "";
    buf_init(&text, URL_MAX);
    buf_printf(&text, "%.*s%s%s%.*s", (int)scheme_len, url, bucket, dot,
               (int)len, host);
    rc = buf_check(&text, err);
    if (rc) {
        buf_release(&text);
        return rc;
    }
    out->origin = buf_detach(&text);
    out->is_tls = is_tls;
    out->has_bucket = bucket[0] != '\0';
    buf_init(&text, URL_MAX);
    buf_printf(&text, "%s%s%.*s", bucket, dot,
               (int)named_len(host, len, is_tls), host);
    rc = buf_check(&text, err);
    out->host = buf_detach(&text);
    return rc;
}

void s3_endpoint_release(struct s3_endpoint *endpoint)
{
    mem_free(endpoint->origin);
    mem_free(endpoint->host);
    *endpoint = (struct s3_endpoint){0};
}

void s3_endpoint_path(const struct s3_endpoint *endpoint, const char *bucket,
                      const char *key, struct buf *out)
{
    buf_add_char(out, '/');
    if (!endpoint->has_bucket) {
        buf_add_text(out, bucket);
        if (key[0] != '\0')
            buf_add_char(out, '/');
    }
    buf_add_text(out, key);
}
