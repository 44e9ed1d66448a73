/* SPDX-License-Identifier: Apache-2.0 */
/* Each try is signed anew, for its own moment. All requests here may be
 * repeated: a PUT stores the same bytes under the same key again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "base/fetch.h"
#include "base/hash.h"
#include "base/mem.h"
#include "blob/blob_ops.h"
#include "blob/retry.h"
#include "blob/s3_endpoint.h"
#include "blob/s3_list.h"
#include "blob/s3_reply.h"
#include "blob/sigv4.h"
#include "obs/metrics.h"

#define AMAZON_HOST "s3.%.100s.amazonaws.com" /* of a region */

enum {
    CONNECTIONS = 8,
    TIMEOUT_MS = 10000,
    FILE_TIMEOUT_MS = 600000,
    RETRIES_MAX = 10,
    ERROR_LEN_MAX = 64 << 10,
    PAGE_LEN_MAX = 8 << 20, /* 1000 keys of 1024 bytes, each %-encoded */
    HEADERS_MAX = 4,
    SHOWN_MAX = 100,
};

struct s3 {
    struct blob blob;
    struct fetch *fetch;
    struct s3_endpoint endpoint, public_endpoint;
    char *bucket, *access_key, *secret_key, *region; /* owned */
    bool is_signed;
    int connect_timeout_ms, timeout_ms, file_timeout_ms;
    int retry_max, retry_pause_ms;
};

/* What is asked, however many tries it takes. */
struct question {
    const char *method;
    const char *key; /* with the prefix; "": the bucket itself */
    struct sigv4_pair query[SIGV4_PAIRS_MAX];
    int query_count;
    const struct blob_source *source; /* NULL: no body */
    struct blob_sink *sink;           /* NULL: the body goes to the reply */
    size_t body_len_max;
    int timeout_ms; /* for all tries */
    bool is_file;   /* streams: each try may take all that is left */
    char payload_hash[HASH_HEX_LEN + 1];
};

/* --- one try ------------------------------------------------------------- */

static int add_line(struct buf *lines, size_t *at, const char *name,
                    const char *value, struct err *err)
{
    *at = lines->len;
    buf_printf(lines, "%s: %s", name, value);
    buf_add_char(lines, '\0');
    return buf_check(lines, err);
}

static struct sigv4_request request_of(const struct question *question,
                                       const struct s3_endpoint *endpoint,
                                       const char *path)
{
    return (struct sigv4_request){
        .method = question->method,
        .host = endpoint->host,
        .path = path,
        .query = question->query,
        .query_count = question->query_count,
        .payload_hash = question->payload_hash,
        .time_ms = clock_wall_ms(),
    };
}

/* The signed header lines into `lines`, a NUL behind each. */
static int add_signature(const struct s3 *s3,
                         const struct sigv4_request *request, struct buf *lines,
                         size_t at[HEADERS_MAX], int *count, struct err *err)
{
    const struct sigv4_keys keys = {s3->access_key, s3->secret_key, s3->region};
    char time[SIGV4_TIME_LEN];
    struct buf value;
    int rc;

    sigv4_time(request->time_ms, time);
    buf_init(&value, SIGV4_TEXT_MAX);
    rc = sigv4_authorize(&keys, request, &value, err);
    if (rc == 0)
        rc = add_line(lines, &at[(*count)++], "Authorization", value.data, err);
    if (rc == 0)
        rc = add_line(lines, &at[(*count)++], "x-amz-date", time, err);
    if (rc == 0)
        rc = add_line(lines, &at[(*count)++], "x-amz-content-sha256",
                      request->payload_hash, err);
    buf_release(&value);
    return rc;
}

static int send_question(const struct s3 *s3, const struct question *question,
                         int timeout_ms, const char *url,
                         const struct buf *lines, const size_t *at, int count,
                         struct fetch_reply *reply, struct err *err)
{
    const struct blob_source *source = question->source;
    const char *headers[HEADERS_MAX];
    struct fetch_request request = {
        .method = question->method,
        .url = url,
        .headers = headers,
        .header_count = count,
        .connect_timeout_ms = s3->connect_timeout_ms,
        .timeout_ms = timeout_ms,
        .body_len_max = question->body_len_max,
        .sink = question->sink != NULL ? blob_sink_take : NULL,
        .sink_user = question->sink,
    };
    int i;

    for (i = 0; i < count; i++)
        headers[i] = lines->data + at[i];
    if (source != NULL && source->path != NULL)
        request.body_file = source->path;
    else if (source != NULL)
        request.body = source->bytes;
    return fetch_run(s3->fetch, &request, reply, err);
}

static int try_once(struct s3 *s3, const struct question *question,
                    int timeout_ms, struct fetch_reply *reply, struct err *err)
{
    const struct blob_source *source = question->source;
    struct sigv4_pair content_type = {"content-type", NULL};
    struct sigv4_request request;
    size_t at[HEADERS_MAX];
    struct buf url, lines, path;
    int count = 0, rc;

    buf_init(&url, SIGV4_TEXT_MAX);
    buf_init(&lines, SIGV4_TEXT_MAX);
    buf_init(&path, SIGV4_TEXT_MAX);
    s3_endpoint_path(&s3->endpoint, s3->bucket, question->key, &path);
    rc = buf_check(&path, err);
    if (rc)
        goto out;
    request = request_of(question, &s3->endpoint, path.data);
    if (source != NULL && source->content_type != NULL) {
        content_type.value = source->content_type;
        request.headers = &content_type;
        request.header_count = 1;
        rc = add_line(&lines, &at[count++], content_type.name,
                      content_type.value, err);
    }
    if (rc == 0 && s3->is_signed)
        rc = add_signature(s3, &request, &lines, at, &count, err);
    if (rc)
        goto out;
    buf_add_text(&url, s3->endpoint.origin);
    rc = sigv4_target(&request, &url, err);
    if (rc == 0)
        rc = send_question(s3, question, timeout_ms, url.data, &lines, at,
                           count, reply, err);
out:
    buf_release(&url);
    buf_release(&lines);
    buf_release(&path);
    return rc;
}

/* --- what the answer means ----------------------------------------------- */

static int s3_fail(const struct s3 *s3, const struct question *question,
                   const struct fetch_reply *reply, struct err *err)
{
    enum err_code code = ERR_UNPROCESSABLE;
    char said[200];
    int status = reply->status;

    if (status == 404)
        code = ERR_NOT_FOUND;
    else if (status == 401 || status == 403)
        code = ERR_FORBIDDEN;
    else if (status == 429 || status == 500 || status == 502 || status == 503 ||
             status == 504)
        code = ERR_UNAVAILABLE;
    s3_error_text(buf_bytes(&reply->body), said, sizeof said);
    return err_set(err, code,
                   "bucket '%s', key '%.*s': the object store answers %d%s%s",
                   s3->bucket, SHOWN_MAX, question->key, status,
                   said[0] != '\0' ? ": " : "", said);
}

static bool is_worth_retrying(int rc)
{
    return rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT;
}

/* Waits a while, at most until the deadline. */
static void pause_before(const struct s3 *s3, int retry, int64_t deadline_us)
{
    uint64_t random = 0;
    int64_t until_us;
    struct timespec until;

    metrics_add(METRIC_BLOB_RETRIES, NULL, NULL, 1);
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)clock_us();
    until_us = clock_us() + retry_pause_us(s3->retry_pause_ms, retry, random);
    until = clock_timespec(until_us < deadline_us ? until_us : deadline_us);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        continue;
}

/* What the next try may take; 0 at the deadline. */
static int try_timeout_ms(const struct question *question, bool is_last,
                          int64_t deadline_us)
{
    int64_t left_ms = (deadline_us - clock_us() + 999) / 1000;

    if (left_ms <= 0)
        return 0;
    return (int)(is_last || question->is_file ? left_ms : (left_ms + 1) / 2);
}

static int try_and_judge(struct s3 *s3, const struct question *question,
                         int timeout_ms, struct fetch_reply *reply,
                         struct err *err)
{
    int rc = 0;

    if (question->sink != NULL)
        rc = blob_sink_rewind(question->sink, err);
    if (rc == 0)
        rc = try_once(s3, question, timeout_ms, reply, err);
    if (rc == 0 && (reply->status < 200 || reply->status > 299)) {
        rc = s3_fail(s3, question, reply, err);
        fetch_reply_release(reply);
    }
    return rc;
}

/* Asks until the answer is clear, or the tries or the time are used up. A reply
 * is given, to be released, for success only. */
static int ask(struct s3 *s3, const struct question *question,
               struct fetch_reply *reply, struct err *err)
{
    int64_t deadline_us = clock_us() + question->timeout_ms * INT64_C(1000);
    int timeout_ms = try_timeout_ms(question, s3->retry_max == 0, deadline_us);
    struct err last;
    int retry = 0, rc;

    do {
        last = (struct err){0};
        rc = try_and_judge(s3, question, timeout_ms, reply, &last);
        if (rc == 0)
            return 0;
        if (retry == s3->retry_max || !is_worth_retrying(rc))
            break;
        pause_before(s3, retry++, deadline_us);
        timeout_ms =
            try_timeout_ms(question, retry == s3->retry_max, deadline_us);
    } while (timeout_ms > 0);
    *err = last;
    return rc;
}

/* --- operations ---------------------------------------------------------- */

/* The key with the prefix into out. */
static int full_key(const struct s3 *s3, const char *key, struct buf *out,
                    struct err *err)
{
    buf_init(out, BLOB_KEY_MAX);
    buf_printf(out, "%s%s", s3->blob.prefix, key);
    if (out->is_full) {
        buf_release(out);
        return err_set(err, ERR_INVALID,
                       "the key with its prefix is longer than %d bytes",
                       BLOB_KEY_MAX);
    }
    return buf_check(out, err);
}

static void hash_nothing(struct question *question)
{
    hash_sha256_hex((struct bytes){0}, question->payload_hash);
}

static int s3_read(struct blob *blob, const char *key, struct blob_sink *sink,
                   struct err *err)
{
    struct s3 *s3 = (struct s3 *)blob;
    struct question question = {
        .method = "GET",
        .sink = sink,
        .body_len_max = ERROR_LEN_MAX,
        .timeout_ms = sink->buf != NULL ? s3->timeout_ms : s3->file_timeout_ms,
        .is_file = sink->buf == NULL,
    };
    struct fetch_reply reply = {0};
    struct buf full;
    int rc = full_key(s3, key, &full, err);

    if (rc)
        return rc;
    question.key = full.data;
    hash_nothing(&question);
    rc = ask(s3, &question, &reply, err);
    if (rc == ERR_TOO_LARGE)
        err_wrap(err, "bucket '%s', key '%.*s'", s3->bucket, SHOWN_MAX,
                 full.data);
    fetch_reply_release(&reply);
    buf_release(&full);
    return rc;
}

/* A streamed file is hashed first, unless TLS protects it on its way. */
static int hash_source(const struct s3 *s3, const struct blob_source *source,
                       char out[HASH_HEX_LEN + 1], struct err *err)
{
    if (source->path == NULL)
        hash_sha256_hex(source->bytes, out);
    else if (s3->endpoint.is_tls)
        snprintf(out, HASH_HEX_LEN + 1, "%s", SIGV4_UNSIGNED);
    else
        return hash_file(source->path, out, err);
    return 0;
}

static int s3_write(struct blob *blob, const char *key,
                    const struct blob_source *source, struct err *err)
{
    struct s3 *s3 = (struct s3 *)blob;
    struct question question = {
        .method = "PUT",
        .source = source,
        .body_len_max = ERROR_LEN_MAX,
        .timeout_ms =
            source->path == NULL ? s3->timeout_ms : s3->file_timeout_ms,
        .is_file = source->path != NULL,
    };
    struct fetch_reply reply = {0};
    struct buf full;
    int rc = full_key(s3, key, &full, err);

    if (rc)
        return rc;
    question.key = full.data;
    rc = hash_source(s3, source, question.payload_hash, err);
    if (rc == 0)
        rc = ask(s3, &question, &reply, err);
    fetch_reply_release(&reply);
    buf_release(&full);
    return rc;
}

static int s3_find(struct blob *blob, const char *key, struct blob_item *out,
                   struct err *err)
{
    struct s3 *s3 = (struct s3 *)blob;
    struct question question = {.method = "HEAD",
                                .body_len_max = ERROR_LEN_MAX,
                                .timeout_ms = s3->timeout_ms};
    struct fetch_reply reply = {0};
    char text[64];
    struct buf full;
    int rc = full_key(s3, key, &full, err);

    if (rc)
        return rc;
    question.key = full.data;
    hash_nothing(&question);
    rc = ask(s3, &question, &reply, err);
    if (rc)
        goto out;
    if (fetch_header(&reply, "content-length", text, sizeof text))
        out->len = strtoull(text, NULL, 10);
    if (fetch_header(&reply, "last-modified", text, sizeof text))
        out->modified_ms = s3_time_http(bytes_of_text(text));
out:
    fetch_reply_release(&reply);
    buf_release(&full);
    return rc;
}

static int s3_presign(struct blob *blob, const char *key, int expires_s,
                      struct buf *out, struct err *err)
{
    struct s3 *s3 = (struct s3 *)blob;
    const struct s3_endpoint *endpoint = &s3->public_endpoint;
    const struct sigv4_keys keys = {s3->access_key, s3->secret_key, s3->region};
    struct question question = {.method = "GET"};
    struct sigv4_request request;
    struct buf full, path;
    int rc = full_key(s3, key, &full, err);

    if (rc)
        return rc;
    buf_init(&path, SIGV4_TEXT_MAX);
    s3_endpoint_path(endpoint, s3->bucket, full.data, &path);
    rc = buf_check(&path, err);
    if (rc)
        goto out;
    request = request_of(&question, endpoint, path.data);
    buf_add_text(out, endpoint->origin);
    if (s3->is_signed)
        rc = sigv4_presign(&keys, &request, expires_s, out, err);
    else
        rc = sigv4_target(&request, out, err);
out:
    buf_release(&full);
    buf_release(&path);
    return rc;
}

/* --- listing ------------------------------------------------------------- */

static int s3_list(struct blob *blob, const char *prefix, blob_list_fn *fn,
                   void *user, struct err *err)
{
    struct s3 *s3 = (struct s3 *)blob;
    struct question question = {
        .method = "GET",
        .key = "",
        .body_len_max = PAGE_LEN_MAX,
        .timeout_ms = s3->timeout_ms,
    };
    struct fetch_reply reply = {0};
    struct buf full, token;
    int rc = full_key(s3, prefix, &full, err);

    if (rc)
        return rc;
    buf_init(&token, S3_TOKEN_MAX);
    hash_nothing(&question);
    do {
        question.query_count = 0;
        question.query[question.query_count++] =
            (struct sigv4_pair){"list-type", "2"};
        question.query[question.query_count++] =
            (struct sigv4_pair){"encoding-type", "url"};
        question.query[question.query_count++] =
            (struct sigv4_pair){"prefix", full.len > 0 ? full.data : ""};
        if (token.len > 0)
            question.query[question.query_count++] =
                (struct sigv4_pair){"continuation-token", token.data};
        rc = ask(s3, &question, &reply, err);
        if (rc == 0)
            rc = s3_list_page(s3->bucket, s3->blob.prefix,
                              buf_bytes(&reply.body), fn, user, &token, err);
        fetch_reply_release(&reply);
    } while (rc == 0 && token.len > 0);
    buf_release(&full);
    buf_release(&token);
    return rc;
}

/* --- opening ------------------------------------------------------------- */

static void s3_close(struct blob *blob)
{
    struct s3 *s3 = (struct s3 *)blob;

    fetch_free(s3->fetch);
    s3_endpoint_release(&s3->endpoint);
    s3_endpoint_release(&s3->public_endpoint);
    mem_free(s3->bucket);
    mem_free(s3->access_key);
    if (s3->secret_key != NULL)
        explicit_bzero(s3->secret_key, strlen(s3->secret_key));
    mem_free(s3->secret_key);
    mem_free(s3->region);
    mem_free(s3);
}

static const struct blob_ops s3_ops = {
    .name = "s3",
    .read = s3_read,
    .write = s3_write,
    .list = s3_list,
    .find = s3_find,
    .presign = s3_presign,
    .close = s3_close,
};

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static int check_options(const char *bucket, const struct blob_options *options,
                         struct err *err)
{
    if (!s3_is_bucket(bucket))
        return err_set(err, ERR_INVALID,
                       "'%.100s' is no bucket: a name has 3..63 letters, "
                       "digits, '-', '.' and '_', a letter or digit first",
                       bucket);
    if (is_set(options->access_key) != is_set(options->secret_key))
        return err_set(err, ERR_INVALID,
                       "of the access key and the secret key only one is "
                       "given; bucket '%s' needs both or none",
                       bucket);
    if (options->retry_max < 0 || options->retry_max > RETRIES_MAX)
        return err_set(err, ERR_INVALID,
                       "%d retries were asked for; 0..%d can be",
                       options->retry_max, RETRIES_MAX);
    if (options->retry_pause_ms < 0 ||
        options->retry_pause_ms > RETRY_PAUSE_MAX_MS)
        return err_set(err, ERR_INVALID,
                       "a pause of %d ms was asked for; 0..%d can be",
                       options->retry_pause_ms, RETRY_PAUSE_MAX_MS);
    return 0;
}

static void set_limits(struct s3 *s3, const struct blob_options *options)
{
    s3->connect_timeout_ms = options->connect_timeout_ms;
    s3->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS;
    s3->file_timeout_ms = options->file_timeout_ms > 0
                              ? options->file_timeout_ms
                              : FILE_TIMEOUT_MS;
    s3->retry_max = options->retry_max;
    s3->retry_pause_ms = options->retry_pause_ms;
}

static int open_endpoints(struct s3 *s3, const struct blob_options *options,
                          struct err *err)
{
    const char *bucket = options->is_virtual_host ? s3->bucket : NULL;
    char amazon[200];
    const char *url = options->endpoint;
    int rc;

    if (!is_set(url)) {
        snprintf(amazon, sizeof amazon, "https://" AMAZON_HOST, s3->region);
        url = amazon;
    }
    rc = s3_endpoint_init(url, bucket, &s3->endpoint, err);
    if (rc)
        return rc;
    if (is_set(options->public_endpoint))
        url = options->public_endpoint;
    return s3_endpoint_init(url, bucket, &s3->public_endpoint, err);
}

int blob_s3_open(const char *bucket, const struct blob_options *options,
                 struct blob **out, struct err *err)
{
    struct fetch_options fetch_options = {
        .connection_max = options->connection_max != 0 ? options->connection_max
                                                       : CONNECTIONS,
        .ca_file = options->ca_file,
        .is_insecure = options->is_insecure,
    };
    struct s3 *s3;
    int rc = check_options(bucket, options, err);

    if (rc)
        return rc;
    s3 = mem_new(sizeof *s3);
    s3->blob.ops = &s3_ops;
    s3->bucket = mem_text(bucket);
    s3->is_signed = is_set(options->access_key);
    s3->access_key = mem_text(s3->is_signed ? options->access_key : "");
    s3->secret_key = mem_text(s3->is_signed ? options->secret_key : "");
    s3->region =
        mem_text(is_set(options->region) ? options->region : "us-east-1");
    set_limits(s3, options);
    rc = open_endpoints(s3, options, err);
    if (rc == 0)
        rc = fetch_new(&fetch_options, &s3->fetch, err);
    if (rc) {
        s3_close(&s3->blob);
        return rc;
    }
    *out = &s3->blob;
    return 0;
}
