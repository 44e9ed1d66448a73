/* SPDX-License-Identifier: Apache-2.0 */
/* A libcurl handle belongs to one exchange at a time and keeps its connections
 * between exchanges, so the idle handles are a stack: the one that was used
 * last has the warmest connection. The mutex is never held while libcurl
 * works. */
#include "base/fetch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    CONNECTIONS_MAX = 256,
    CONNECT_TIMEOUT_MS = 2000,
    TIMEOUT_MS = 30000,
    HEADERS_LEN_MAX = 64 << 10,
    HOST_LEN_MAX = 200,
};

struct fetch {
    char *ca_file; /* NULL: the system's */
    bool is_insecure;
    int connection_max;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    CURL *idle[CONNECTIONS_MAX];
    int idle_count, open_count;
};

/* One request under way; libcurl calls back with it. */
struct exchange {
    const struct fetch_request *request;
    struct fetch_reply *reply;
    struct err *err;
    CURL *curl;
    struct curl_slist *headers;
    int rc;             /* why a callback ended it; filled with err */
    int body_fd;        /* of body_file, else -1 */
    curl_off_t len, at; /* of the body that is sent */
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static CURLcode library_started;

static void start_library(void)
{
    library_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int fetch_new(const struct fetch_options *options, struct fetch **out,
              struct err *err)
{
    struct fetch *fetch;
    pthread_condattr_t monotonic;

    if (options->connection_max < 1 ||
        options->connection_max > CONNECTIONS_MAX)
        return err_set(err, ERR_INVALID,
                       "%d connections were asked for; 1..%d can be",
                       options->connection_max, CONNECTIONS_MAX);
    pthread_once(&library_once, start_library);
    if (library_started != CURLE_OK)
        return err_set(err, ERR_UNAVAILABLE, "libcurl does not start");
    fetch = mem_new(sizeof *fetch);
    if (options->ca_file != NULL && options->ca_file[0] != '\0')
        fetch->ca_file = mem_text(options->ca_file);
    fetch->is_insecure = options->is_insecure;
    fetch->connection_max = options->connection_max;
    pthread_mutex_init(&fetch->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&fetch->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = fetch;
    return 0;
}

void fetch_free(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    assert(fetch->open_count == fetch->idle_count);
    while (fetch->idle_count > 0)
        curl_easy_cleanup(fetch->idle[--fetch->idle_count]);
    pthread_cond_destroy(&fetch->changed);
    pthread_mutex_destroy(&fetch->mutex);
    mem_free(fetch->ca_file);
    mem_free(fetch);
}

/* --- handles ------------------------------------------------------------- */

/* An idle handle, a new one, or the next that comes free before the deadline;
 * NULL in *out without memory. False at the deadline. */
static bool acquire(struct fetch *fetch, int64_t deadline_us, CURL **out)
{
    struct timespec until = clock_timespec(deadline_us);
    bool is_mine = true;

    *out = NULL;
    pthread_mutex_lock(&fetch->mutex);
    while (is_mine && fetch->idle_count == 0 &&
           fetch->open_count == fetch->connection_max)
        is_mine =
            pthread_cond_timedwait(&fetch->changed, &fetch->mutex, &until) == 0;
    if (is_mine && fetch->idle_count > 0)
        *out = fetch->idle[--fetch->idle_count];
    else if (is_mine)
        fetch->open_count++;
    pthread_mutex_unlock(&fetch->mutex);
    if (is_mine && *out == NULL)
        *out = curl_easy_init();
    return is_mine;
}

static void release(struct fetch *fetch, CURL *curl)
{
    pthread_mutex_lock(&fetch->mutex);
    if (curl != NULL)
        fetch->idle[fetch->idle_count++] = curl;
    else
        fetch->open_count--;
    pthread_cond_signal(&fetch->changed);
    pthread_mutex_unlock(&fetch->mutex);
}

/* --- what libcurl calls -------------------------------------------------- */

static int status_of(CURL *curl)
{
    long status = 0;

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static bool is_for_sink(const struct exchange *exchange)
{
    int status = status_of(exchange->curl);

    return exchange->request->sink != NULL && status >= 200 && status < 300;
}

static size_t take_body(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    const struct fetch_request *request = exchange->request;
    struct bytes piece = {(const uint8_t *)data, size * count};
    struct buf *body = &exchange->reply->body;

    if (is_for_sink(exchange)) {
        exchange->rc = request->sink(request->sink_user, piece, exchange->err);
    } else {
        buf_add(body, piece.data, piece.len);
        if (body->is_full)
            exchange->rc = err_set(exchange->err, ERR_TOO_LARGE,
                                   "the answer is longer than %zu bytes",
                                   request->body_len_max);
        else
            exchange->rc = buf_check(body, exchange->err);
    }
    return exchange->rc ? 0 : piece.len;
}

/* Keeps "name: value\n"; a status line begins anew, because those of 1xx come
 * before the real ones. */
static size_t take_header(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    struct buf *headers = &exchange->reply->headers;
    size_t len = size * count, end = len, at = 0, i;

    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        buf_clear(headers);
        return len;
    }
    while (at < len && data[at] != ':')
        at++;
    while (end > at && strchr(" \t\r\n", data[end - 1]) != NULL)
        end--;
    if (at == len || end <= at)
        return len;
    for (i = 0; i < at; i++)
        buf_add_char(headers, data[i] >= 'A' && data[i] <= 'Z'
                                  ? (char)(data[i] - 'A' + 'a')
                                  : data[i]);
    for (at++; at < end && (data[at] == ' ' || data[at] == '\t');)
        at++;
    buf_add_text(headers, ": ");
    buf_add(headers, data + at, end - at);
    buf_add_char(headers, '\n');
    if (headers->is_full)
        exchange->rc = err_set(exchange->err, ERR_TOO_LARGE,
                               "the answer's header is longer than %d bytes",
                               HEADERS_LEN_MAX);
    else
        exchange->rc = buf_check(headers, exchange->err);
    return exchange->rc ? 0 : len;
}

static size_t give_body(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    struct bytes body = exchange->request->body;
    curl_off_t left = exchange->len - exchange->at;
    size_t room = size * count;
    ssize_t got;

    if ((curl_off_t)room > left)
        room = (size_t)left;
    if (room == 0)
        return 0;
    if (exchange->body_fd < 0) {
        memcpy(data, body.data + exchange->at, room);
        got = (ssize_t)room;
    } else {
        do {
            got = pread(exchange->body_fd, data, room, (off_t)exchange->at);
        } while (got < 0 && errno == EINTR);
    }
    if (got <= 0) {
        exchange->rc = err_set(exchange->err, ERR_IO, "cannot read '%s': %s",
                               exchange->request->body_file,
                               got < 0 ? strerror(errno)
                                       : "it became shorter while it was sent");
        return CURL_READFUNC_ABORT;
    }
    exchange->at += got;
    return (size_t)got;
}

/* libcurl begins the body anew when a kept connection turns out dead. */
static int rewind_body(void *user, curl_off_t offset, int origin)
{
    struct exchange *exchange = user;

    if (origin != SEEK_SET || offset < 0 || offset > exchange->len)
        return CURL_SEEKFUNC_FAIL;
    exchange->at = offset;
    return CURL_SEEKFUNC_OK;
}

/* --- preparing an exchange ----------------------------------------------- */

static int open_body(struct exchange *exchange, struct err *err)
{
    const char *path = exchange->request->body_file;
    struct stat about;

    exchange->len = (curl_off_t)exchange->request->body.len;
    if (path == NULL)
        return 0;
    exchange->body_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (exchange->body_fd < 0 || fstat(exchange->body_fd, &about) != 0)
        return err_set(err, ERR_IO, "cannot read '%s': %s", path,
                       strerror(errno));
    if (!S_ISREG(about.st_mode))
        return err_set(err, ERR_IO, "'%s' is not a file", path);
    exchange->len = about.st_size;
    return 0;
}

static int add_header(struct exchange *exchange, const char *line,
                      struct err *err)
{
    struct curl_slist *longer;
    const char *p;

    for (p = line; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 && *p != '\t')
            return err_set(err, ERR_INVALID,
                           "a header has a control character");
    longer = curl_slist_append(exchange->headers, line);
    if (longer == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a request");
    exchange->headers = longer;
    return 0;
}

static int add_headers(struct exchange *exchange, struct err *err)
{
    const struct fetch_request *request = exchange->request;
    int i, rc;

    /* No pause for a "100 Continue" that many servers never send. */
    rc = add_header(exchange, "Expect:", err);
    for (i = 0; rc == 0 && i < request->header_count; i++)
        rc = add_header(exchange, request->headers[i], err);
    return rc;
}

#define SET(option, value) \
    (code = code != CURLE_OK ? code : curl_easy_setopt(curl, option, value))

static CURLcode set_transport(const struct fetch *fetch,
                              const struct exchange *exchange, long left_ms)
{
    const struct fetch_request *request = exchange->request;
    CURL *curl = exchange->curl;
    CURLcode code = CURLE_OK;
    long connect_ms = request->connect_timeout_ms > 0
                          ? request->connect_timeout_ms
                          : CONNECT_TIMEOUT_MS;

    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    SET(CURLOPT_TIMEOUT_MS, left_ms);
    SET(CURLOPT_SSL_VERIFYPEER, fetch->is_insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, fetch->is_insecure ? 0L : 2L);
    if (fetch->ca_file != NULL)
        SET(CURLOPT_CAINFO, fetch->ca_file);
    return code;
}

static CURLcode set_message(struct exchange *exchange)
{
    const struct fetch_request *request = exchange->request;
    const char *method = request->method != NULL ? request->method : "GET";
    CURL *curl = exchange->curl;
    CURLcode code = CURLE_OK;

    if (strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (exchange->len > 0 || strcmp(method, "PUT") == 0 ||
               strcmp(method, "POST") == 0) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, exchange->len);
        SET(CURLOPT_READFUNCTION, give_body);
        SET(CURLOPT_READDATA, exchange);
        SET(CURLOPT_SEEKFUNCTION, rewind_body);
        SET(CURLOPT_SEEKDATA, exchange);
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    SET(CURLOPT_HTTPHEADER, exchange->headers);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, exchange);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, exchange);
    return code;
}

/* --- its end ------------------------------------------------------------- */

/* "host:port" of a URL; what may be secret stands before '@' or after '/'. */
static void name_host(const char *url, char out[HOST_LEN_MAX])
{
    const char *at = strstr(url, "://"), *sign;
    size_t len;

    at = at != NULL ? at + 3 : url;
    len = strcspn(at, "/?#");
    sign = memrchr(at, '@', len);
    if (sign != NULL) {
        len -= (size_t)(sign + 1 - at);
        at = sign + 1;
    }
    snprintf(out, HOST_LEN_MAX, "%.*s", (int)(len < 180 ? len : 180), at);
}

static int fetch_fail(CURLcode code, const char *url, long timeout_ms,
                      struct err *err)
{
    char host[HOST_LEN_MAX];

    name_host(url, host);
    switch (code) {
    case CURLE_URL_MALFORMAT:
        return err_set(err, ERR_INVALID, "the URL of '%s' is none", host);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return err_set(err, ERR_UNAVAILABLE, "what '%s' answers is not HTTP",
                       host);
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_TIMEOUT, "'%s' did not answer within %ld ms",
                       host, timeout_ms);
    case CURLE_COULDNT_RESOLVE_HOST:
        return err_set(err, ERR_UNAVAILABLE, "no address is known for '%s'",
                       host);
    case CURLE_COULDNT_CONNECT:
        return err_set(err, ERR_UNAVAILABLE, "nobody answers at '%s'", host);
    case CURLE_PEER_FAILED_VERIFICATION:
        return err_set(err, ERR_UNAVAILABLE,
                       "the certificate of '%s' is not trusted", host);
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(err, ERR_UNAVAILABLE,
                       "the file of authorities for '%s' cannot be read", host);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return err_set(err, ERR_UNAVAILABLE, "'%s' cut the exchange short",
                       host);
    case CURLE_OUT_OF_MEMORY:
        return err_set(err, ERR_UNAVAILABLE, "no memory for a request");
    default:
        return err_set(err, ERR_UNAVAILABLE,
                       "the exchange with '%s' failed (libcurl's code %d)",
                       host, (int)code);
    }
}

static int timeout_of(const struct fetch_request *request)
{
    return request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS;
}

static int perform(struct fetch *fetch, struct exchange *exchange,
                   int64_t deadline_us, struct err *err)
{
    const struct fetch_request *request = exchange->request;
    int64_t left_ms = (deadline_us - clock_us()) / 1000;
    CURLcode code;
    int rc;

    rc = open_body(exchange, err);
    if (rc == 0)
        rc = add_headers(exchange, err);
    if (rc)
        return rc;
    /* libcurl takes 0 for no timeout. */
    code = set_transport(fetch, exchange, left_ms > 0 ? (long)left_ms : 1);
    if (code == CURLE_OK)
        code = set_message(exchange);
    if (code == CURLE_OK)
        code = curl_easy_perform(exchange->curl);
    if (exchange->rc)
        return exchange->rc;
    if (code != CURLE_OK)
        return fetch_fail(code, request->url, timeout_of(request), err);
    exchange->reply->status = status_of(exchange->curl);
    return 0;
}

int fetch_run(struct fetch *fetch, const struct fetch_request *request,
              struct fetch_reply *out, struct err *err)
{
    int64_t deadline_us = clock_us() + timeout_of(request) * INT64_C(1000);
    struct exchange exchange = {
        .request = request, .reply = out, .err = err, .body_fd = -1};
    int rc;

    assert(request->body.len == 0 || request->body_file == NULL);
    out->status = 0;
    buf_init(&out->body, request->body_len_max);
    buf_init(&out->headers, HEADERS_LEN_MAX);
    if (strncasecmp(request->url, "http://", 7) != 0 &&
        strncasecmp(request->url, "https://", 8) != 0)
        return err_set(err, ERR_INVALID,
                       "a URL begins with http:// or https://");
    if (!acquire(fetch, deadline_us, &exchange.curl))
        return err_set(err, ERR_TIMEOUT,
                       "all %d connections were busy for %d ms",
                       fetch->connection_max, timeout_of(request));
    if (exchange.curl != NULL)
        rc = perform(fetch, &exchange, deadline_us, err);
    else
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for a request");
    /* Forgets the pointers into this frame; connections stay. */
    if (exchange.curl != NULL)
        curl_easy_reset(exchange.curl);
    release(fetch, exchange.curl);
    curl_slist_free_all(exchange.headers);
    if (exchange.body_fd >= 0)
        close(exchange.body_fd);
    if (rc)
        fetch_reply_release(out);
    return rc;
}

void fetch_reply_release(struct fetch_reply *reply)
{
    reply->status = 0;
    buf_release(&reply->body);
    buf_release(&reply->headers);
}

bool fetch_header(const struct fetch_reply *reply, const char *name, char *out,
                  size_t size)
{
    const char *line = reply->headers.data, *end;
    const char *past = line;
    size_t name_len = strlen(name), len;

    if (reply->headers.len > 0)
        past += reply->headers.len;
    for (; line < past; line = end + 1) {
        end = memchr(line, '\n', (size_t)(past - line));
        len = (size_t)(end - line);
        if (len < name_len + 2 || memcmp(line, name, name_len) != 0 ||
            line[name_len] != ':')
            continue;
        line += name_len + 2;
        len -= name_len + 2;
        if (len >= size)
            return false;
        memcpy(out, line, len);
        out[len] = '\0';
        return true;
    }
    return false;
}
