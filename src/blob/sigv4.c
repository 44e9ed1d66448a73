/* SPDX-License-Identifier: Apache-2.0 */
/* Source: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3
 * API reference. tests/data/sigv4 has signatures made by an independent
 * signer. */
#include "blob/sigv4.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

enum { SCOPE_LEN_MAX = 128 };

void sigv4_encode(const char *text, bool keeps_slash, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *p;

    for (p = (const unsigned char *)text; *p != '\0'; p++) {
        bool is_plain = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
                        (*p >= '0' && *p <= '9') ||
                        strchr("-._~", *p) != NULL ||
                        (*p == '/' && keeps_slash);

        if (!is_plain) {
            buf_add_char(out, '%');
            buf_add_char(out, digits[*p >> 4]);
            buf_add_char(out, digits[*p & 15]);
        } else {
            buf_add_char(out, (char)*p);
        }
    }
}

/* From "2026-11-21T12:00:00.123Z". */
void sigv4_time(int64_t time_ms, char out[SIGV4_TIME_LEN])
{
    char text[CLOCK_TEXT_LEN];

    clock_format(time_ms, text);
    snprintf(out, SIGV4_TIME_LEN, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", text, text + 5,
             text + 8, text + 11, text + 14, text + 17);
}

/* --- the query ----------------------------------------------------------- */

/* Both are encoded in one text: sorting looks at the encoded bytes, at the
 * name before the value. */
struct parameter {
    size_t name_at, value_at; /* in that text; a NUL ends each */
};

struct query {
    struct buf text;
    struct parameter parameters[SIGV4_PAIRS_MAX];
    int count;
};

static void query_add(struct query *query, const char *name, const char *value)
{
    struct parameter *parameter;

    assert(query->count < SIGV4_PAIRS_MAX);
    parameter = &query->parameters[query->count++];
    parameter->name_at = query->text.len;
    sigv4_encode(name, false, &query->text);
    buf_add_char(&query->text, '\0');
    parameter->value_at = query->text.len;
    sigv4_encode(value, false, &query->text);
    buf_add_char(&query->text, '\0');
}

static int by_encoded(const void *a, const void *b, void *user)
{
    const struct parameter *left = a, *right = b;
    const char *text = user;
    int order = strcmp(text + left->name_at, text + right->name_at);

    return order != 0 ? order
                      : strcmp(text + left->value_at, text + right->value_at);
}

static void query_print(struct query *query, struct buf *out)
{
    const char *text = query->text.data;
    int i;

    if (query->count == 0 || query->text.is_full || query->text.is_broken)
        return;
    qsort_r(query->parameters, (size_t)query->count,
            sizeof query->parameters[0], by_encoded, query->text.data);
    for (i = 0; i < query->count; i++) {
        if (i > 0)
            buf_add_char(out, '&');
        buf_add_text(out, text + query->parameters[i].name_at);
        buf_add_char(out, '=');
        buf_add_text(out, text + query->parameters[i].value_at);
    }
}

static void query_init(struct query *query, const struct sigv4_request *request)
{
    int i;

    assert(request->query_count >= 0);
    query->count = 0;
    buf_init(&query->text, SIGV4_TEXT_MAX);
    for (i = 0; i < request->query_count; i++)
        query_add(query, request->query[i].name, request->query[i].value);
}

static int query_end(struct query *query, const struct buf *out,
                     struct err *err)
{
    int rc = buf_check(&query->text, err);

    buf_release(&query->text);
    return rc ? rc : buf_check(out, err);
}

int sigv4_target(const struct sigv4_request *request, struct buf *out,
                 struct err *err)
{
    struct query query;

    query_init(&query, request);
    sigv4_encode(request->path, true, out);
    if (query.count > 0)
        buf_add_char(out, '?');
    query_print(&query, out);
    return query_end(&query, out, err);
}

/* --- what is signed ------------------------------------------------------ */

/* The headers that are signed, in the order of their names. */
struct signing {
    struct sigv4_pair headers[SIGV4_PAIRS_MAX + 3];
    int header_count;
    char time[SIGV4_TIME_LEN];
    char scope[SCOPE_LEN_MAX]; /* "20261121/us-east-1/s3/aws4_request" */
};

static void sign_header(struct signing *signing, const char *name,
                        const char *value)
{
    int i = signing->header_count++;

    for (; i > 0 && strcmp(signing->headers[i - 1].name, name) > 0; i--)
        signing->headers[i] = signing->headers[i - 1];
    signing->headers[i] = (struct sigv4_pair){name, value};
}

static void signing_init(struct signing *signing,
                         const struct sigv4_request *request)
{
    int i;

    assert(request->header_count >= 0);
    assert(request->header_count <= SIGV4_PAIRS_MAX);
    memset(signing, 0, sizeof *signing);
    sigv4_time(request->time_ms, signing->time);
    sign_header(signing, "host", request->host);
    sign_header(signing, "x-amz-content-sha256", request->payload_hash);
    sign_header(signing, "x-amz-date", signing->time);
    for (i = 0; i < request->header_count; i++)
        sign_header(signing, request->headers[i].name,
                    request->headers[i].value);
}

static int set_scope(struct signing *signing, const struct sigv4_keys *keys,
                     struct err *err)
{
    int len = snprintf(signing->scope, sizeof signing->scope,
                       "%.8s/%s/s3/aws4_request", signing->time, keys->region);

    if (len < 0 || (size_t)len >= sizeof signing->scope)
        return err_set(err, ERR_INVALID,
                       "the region's name is longer than %d bytes",
                       SCOPE_LEN_MAX - 32);
    return 0;
}

/* Without spaces around, and with one for several. */
static void add_trimmed(struct buf *out, const char *value)
{
    size_t word;

    for (value += strspn(value, " "); *value != '\0';) {
        word = strcspn(value, " ");
        buf_add(out, value, word);
        value += word;
        value += strspn(value, " ");
        if (*value != '\0')
            buf_add_char(out, ' ');
    }
}

static void add_names(const struct signing *signing, struct buf *out)
{
    int i;

    for (i = 0; i < signing->header_count; i++) {
        if (i > 0)
            buf_add_char(out, ';');
        buf_add_text(out, signing->headers[i].name);
    }
}

static int add_canonical(const struct signing *signing,
                         const struct sigv4_request *request,
                         struct query *query, struct buf *out, struct err *err)
{
    int i;

    buf_printf(out, "%s\n", request->method);
    sigv4_encode(request->path, true, out);
    buf_add_char(out, '\n');
    query_print(query, out);
    buf_add_char(out, '\n');
    for (i = 0; i < signing->header_count; i++) {
        buf_printf(out, "%s:", signing->headers[i].name);
        add_trimmed(out, signing->headers[i].value);
        buf_add_char(out, '\n');
    }
    buf_add_char(out, '\n');
    add_names(signing, out);
    buf_printf(out, "\n%s", request->payload_hash);
    return query_end(query, out, err);
}

int sigv4_canonical(const struct sigv4_request *request, struct buf *out,
                    struct err *err)
{
    struct signing signing;
    struct query query;

    signing_init(&signing, request);
    query_init(&query, request);
    return add_canonical(&signing, request, &query, out, err);
}

/* --- the signature ------------------------------------------------------- */

/* Each step's sum is the next step's key. */
static void hmac_step(uint8_t sum[HASH_SHA256_LEN], struct bytes text)
{
    uint8_t next[HASH_SHA256_LEN];

    hash_hmac_sha256((struct bytes){sum, HASH_SHA256_LEN}, text, next);
    memcpy(sum, next, sizeof next);
}

static int sign(const struct sigv4_keys *keys, const struct signing *signing,
                struct bytes canonical, char out[HASH_HEX_LEN + 1],
                struct err *err)
{
    uint8_t sum[HASH_SHA256_LEN];
    char hash[HASH_HEX_LEN + 1];
    struct buf text;
    int rc;

    hash_sha256_hex(canonical, hash);
    buf_init(&text, SIGV4_TEXT_MAX);
    buf_printf(&text, "AWS4%s", keys->secret_key);
    rc = buf_check(&text, err);
    if (rc)
        goto out;
    hash_hmac_sha256(buf_bytes(&text),
                     (struct bytes){(const uint8_t *)signing->time, 8}, sum);
    hmac_step(sum, bytes_of_text(keys->region));
    hmac_step(sum, bytes_of_text("s3"));
    hmac_step(sum, bytes_of_text("aws4_request"));
    explicit_bzero(text.data, text.len);
    buf_clear(&text);
    buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", signing->time,
               signing->scope, hash);
    rc = buf_check(&text, err);
    if (rc)
        goto out;
    hmac_step(sum, buf_bytes(&text));
    hash_to_hex(sum, sizeof sum, out);
out:
    explicit_bzero(sum, sizeof sum);
    buf_release(&text);
    return rc;
}

int sigv4_authorize(const struct sigv4_keys *keys,
                    const struct sigv4_request *request, struct buf *out,
                    struct err *err)
{
    struct signing signing;
    struct query query;
    struct buf canonical;
    char signature[HASH_HEX_LEN + 1];
    int rc;

    signing_init(&signing, request);
    rc = set_scope(&signing, keys, err);
    if (rc)
        return rc;
    buf_init(&canonical, SIGV4_TEXT_MAX);
    query_init(&query, request);
    rc = add_canonical(&signing, request, &query, &canonical, err);
    if (rc == 0)
        rc = sign(keys, &signing, buf_bytes(&canonical), signature, err);
    if (rc)
        goto out;
    buf_printf(out, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=",
               keys->access_key, signing.scope);
    add_names(&signing, out);
    buf_printf(out, ", Signature=%s", signature);
    rc = buf_check(out, err);
out:
    buf_release(&canonical);
    return rc;
}

int sigv4_presign(const struct sigv4_keys *keys,
                  const struct sigv4_request *request, int expires_s,
                  struct buf *out, struct err *err)
{
    struct sigv4_pair query[SIGV4_PAIRS_MAX];
    struct sigv4_request signed_request = *request;
    struct signing signing = {.header_count = 0};
    struct query encoded;
    struct buf credential, canonical;
    char expires[16], signature[HASH_HEX_LEN + 1];
    int i, rc;

    assert(request->query_count + 6 <= SIGV4_PAIRS_MAX);
    buf_init(&credential, SIGV4_TEXT_MAX);
    buf_init(&canonical, SIGV4_TEXT_MAX);
    signed_request.payload_hash = SIGV4_UNSIGNED;
    sigv4_time(request->time_ms, signing.time);
    sign_header(&signing, "host", request->host);
    rc = set_scope(&signing, keys, err);
    if (rc)
        return rc;
    buf_printf(&credential, "%s/%s", keys->access_key, signing.scope);
    rc = buf_check(&credential, err);
    if (rc)
        goto out;
    snprintf(expires, sizeof expires, "%d", expires_s);
    for (i = 0; i < request->query_count; i++)
        query[i] = request->query[i];
    query[i++] = (struct sigv4_pair){"X-Amz-Algorithm", "AWS4-HMAC-SHA256"};
    query[i++] = (struct sigv4_pair){"X-Amz-Credential", credential.data};
    query[i++] = (struct sigv4_pair){"X-Amz-Date", signing.time};
    query[i++] = (struct sigv4_pair){"X-Amz-Expires", expires};
    query[i++] = (struct sigv4_pair){"X-Amz-SignedHeaders", "host"};
    signed_request.query = query;
    signed_request.query_count = i;
    query_init(&encoded, &signed_request);
    rc = add_canonical(&signing, &signed_request, &encoded, &canonical, err);
    if (rc == 0)
        rc = sign(keys, &signing, buf_bytes(&canonical), signature, err);
    if (rc == 0)
        rc = sigv4_target(&signed_request, out, err);
    if (rc)
        goto out;
    buf_printf(out, "&X-Amz-Signature=%s", signature);
    rc = buf_check(out, err);
out:
    buf_release(&credential);
    buf_release(&canonical);
    return rc;
}
