/* SPDX-License-Identifier: Apache-2.0 */
/* A finished trace is copied into the ring under the mutex; the exporter's
 * thread takes all that is there, writes one document and sends it without the
 * mutex. What cannot be sent is dropped: traces are for looking at, not for
 * keeping. */
#include "obs/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/fetch.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "obs/metrics.h"

enum {
    URL_LEN_MAX = 1024,
    BODY_LEN_MAX = 16 << 20,
    FLUSH_US = 1000000,
    SEND_TIMEOUT_MS = 2000,
    KIND_INTERNAL = 1, /* of opentelemetry.proto.trace.v1.Span.SpanKind */
    KIND_SERVER = 2,
    STATUS_ERROR = 2,
};

struct finished {
    struct trace trace;
    int64_t end_us;
    int status;
    char method[16], route[TRACE_TEXT_MAX], request_id[TRACE_TEXT_MAX];
    char error[TRACE_TEXT_MAX]; /* "": none */
};

struct exporter {
    struct fetch *fetch;
    char url[URL_LEN_MAX];
    char service_name[TRACE_TEXT_MAX];
    double ratio;
    int64_t wall_offset_us; /* wall clock minus clock_us */
    pthread_t thread;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    bool is_stopping;
    int first, count;
    struct finished ring[TRACE_QUEUE_MAX];
};

/* Set before requests run and cleared after they have ended. */
static struct exporter *exporter;
static _Thread_local struct trace *current;

/* --- ids --- */

static void make_id(uint8_t *out, size_t len)
{
    /* A call of at most 256 bytes is neither cut nor interrupted. */
    if (getrandom(out, len, 0) != (ssize_t)len)
        memset(out, 1, len);
}

static bool read_hex(const char *text, uint8_t *out, size_t len)
{
    bool is_zero = true;
    size_t i;

    for (i = 0; i < len; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

        /* strspn stops at the end of the text, too. */
        if (strspn(pair, "0123456789abcdef") != 2)
            return false;
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
        is_zero = is_zero && out[i] == 0;
    }
    return !is_zero;
}

/* "00-<32 hex>-<16 hex>-<2 hex>"; a later version may go on after it. */
static bool read_parent(struct trace *trace, const char *text,
                        bool *out_is_sampled)
{
    enum { TRACE_AT = 3, PARENT_AT = 36, FLAGS_AT = 53, LEN = 55 };
    size_t len = strnlen(text, 256);
    char *end;

    if (len < LEN ||
        (len > LEN && (text[LEN] != '-' || strncmp(text, "00", 2) == 0)) ||
        strncmp(text, "ff", 2) == 0 || text[2] != '-' ||
        text[PARENT_AT - 1] != '-' || text[FLAGS_AT - 1] != '-' ||
        !read_hex(text + TRACE_AT, trace->trace_id, sizeof trace->trace_id) ||
        !read_hex(text + PARENT_AT, trace->parent_id, sizeof trace->parent_id))
        return false;
    *out_is_sampled = strtoul(text + FLAGS_AT, &end, 16) & 1;
    return true;
}

static bool is_drawn(double ratio)
{
    uint32_t number;

    if (ratio >= 1 || ratio <= 0)
        return ratio >= 1;
    make_id((uint8_t *)&number, sizeof number);
    return number < ratio * 4294967296.0;
}

void trace_begin(struct trace *trace, const char *traceparent, int64_t begin_us)
{
    trace->is_on = false;
    if (exporter == NULL)
        return;
    trace->has_parent =
        traceparent != NULL && read_parent(trace, traceparent, &trace->is_on);
    if (!trace->has_parent)
        trace->is_on = is_drawn(exporter->ratio);
    if (!trace->is_on)
        return;
    if (!trace->has_parent)
        make_id(trace->trace_id, sizeof trace->trace_id);
    make_id(trace->span_id, sizeof trace->span_id);
    trace->begin_us = begin_us;
    trace->span_count = 0;
    current = trace;
}

void trace_phase(const char *name, int64_t begin_us, int64_t end_us)
{
    struct trace *trace = current;

    metrics_observe(METRIC_PHASE_SECONDS, name, NULL,
                    (double)(end_us - begin_us) / 1e6);
    if (trace == NULL || trace->span_count == TRACE_SPANS_MAX)
        return;
    trace->spans[trace->span_count].name = name;
    trace->spans[trace->span_count].begin_us = begin_us;
    trace->spans[trace->span_count].end_us = end_us;
    trace->span_count++;
}

void trace_end(struct trace *trace, const struct trace_request *request)
{
    struct finished *slot;

    current = NULL;
    if (!trace->is_on)
        return;
    trace->is_on = false;
    pthread_mutex_lock(&exporter->mutex);
    if (exporter->count == TRACE_QUEUE_MAX) {
        pthread_mutex_unlock(&exporter->mutex);
        metrics_add(METRIC_TRACES, "dropped", NULL, 1);
        return;
    }
    slot =
        &exporter->ring[(exporter->first + exporter->count) % TRACE_QUEUE_MAX];
    exporter->count++;
    slot->trace = *trace;
    slot->end_us = clock_us();
    slot->status = request->status;
    snprintf(slot->method, sizeof slot->method, "%s", request->method);
    snprintf(slot->route, sizeof slot->route, "%s", request->route);
    snprintf(slot->request_id, sizeof slot->request_id, "%s",
             request->request_id);
    snprintf(slot->error, sizeof slot->error, "%s",
             request->error != NULL ? request->error : "");
    if (exporter->count == TRACE_QUEUE_MAX / 2)
        pthread_cond_signal(&exporter->wake);
    pthread_mutex_unlock(&exporter->mutex);
}

/* --- the document --- */

static void put_hex(struct json_writer *json, const char *key,
                    const uint8_t *bytes, size_t len)
{
    char text[2 * 16 + 1];

    hash_to_hex(bytes, len, text);
    json_key(json, key);
    json_put_text(json, text);
}

/* A fixed64 is a text in OTLP's JSON. */
static void put_time(struct json_writer *json, const char *key, int64_t us)
{
    char text[32];

    snprintf(text, sizeof text, "%lld000",
             (long long)(us + exporter->wall_offset_us));
    json_key(json, key);
    json_put_text(json, text);
}

static void put_attribute(struct json_writer *json, const char *key,
                          const char *text, int64_t number)
{
    char digits[32];

    json_object_begin(json);
    json_key(json, "key");
    json_put_text(json, key);
    json_key(json, "value");
    json_object_begin(json);
    if (text != NULL) {
        json_key(json, "stringValue");
        json_put_text(json, text);
    } else {
        snprintf(digits, sizeof digits, "%lld", (long long)number);
        json_key(json, "intValue");
        json_put_text(json, digits);
    }
    json_object_end(json);
    json_object_end(json);
}

static void begin_span(struct json_writer *json, const struct trace *trace,
                       const uint8_t *id, const uint8_t *parent,
                       const char *name, int kind)
{
    json_object_begin(json);
    put_hex(json, "traceId", trace->trace_id, sizeof trace->trace_id);
    put_hex(json, "spanId", id, sizeof trace->span_id);
    if (parent != NULL)
        put_hex(json, "parentSpanId", parent, sizeof trace->span_id);
    json_key(json, "name");
    json_put_text(json, name);
    json_key(json, "kind");
    json_put_integer(json, kind);
}

static void put_root(struct json_writer *json, const struct finished *finished)
{
    const struct trace *trace = &finished->trace;
    char name[sizeof finished->method + TRACE_TEXT_MAX];

    snprintf(name, sizeof name, "%s %s", finished->method, finished->route);
    begin_span(json, trace, trace->span_id,
               trace->has_parent ? trace->parent_id : NULL, name, KIND_SERVER);
    put_time(json, "startTimeUnixNano", trace->begin_us);
    put_time(json, "endTimeUnixNano", finished->end_us);
    json_key(json, "attributes");
    json_array_begin(json);
    put_attribute(json, "http.request.method", finished->method, 0);
    put_attribute(json, "http.route", finished->route, 0);
    put_attribute(json, "http.response.status_code", NULL, finished->status);
    put_attribute(json, "request_id", finished->request_id, 0);
    json_array_end(json);
    json_key(json, "status");
    json_object_begin(json);
    if (finished->status >= 500) {
        json_key(json, "code");
        json_put_integer(json, STATUS_ERROR);
        json_key(json, "message");
        json_put_text(json, finished->error);
    }
    json_object_end(json);
    json_object_end(json);
}

static void put_trace(struct json_writer *json, const struct finished *finished)
{
    const struct trace *trace = &finished->trace;
    uint8_t id[sizeof trace->span_id];
    int i;

    put_root(json, finished);
    for (i = 0; i < trace->span_count; i++) {
        make_id(id, sizeof id);
        begin_span(json, trace, id, trace->span_id, trace->spans[i].name,
                   KIND_INTERNAL);
        put_time(json, "startTimeUnixNano", trace->spans[i].begin_us);
        put_time(json, "endTimeUnixNano", trace->spans[i].end_us);
        json_object_end(json);
    }
}

static void write_document(struct buf *out, const struct finished *list,
                           int count)
{
    struct json_writer json;
    int i;

    json_writer_init(&json, out);
    json_object_begin(&json);
    json_key(&json, "resourceSpans");
    json_array_begin(&json);
    json_object_begin(&json);
    json_key(&json, "resource");
    json_object_begin(&json);
    json_key(&json, "attributes");
    json_array_begin(&json);
    put_attribute(&json, "service.name", exporter->service_name, 0);
    put_attribute(&json, "service.version", OLHO_VERSION, 0);
    json_array_end(&json);
    json_object_end(&json);
    json_key(&json, "scopeSpans");
    json_array_begin(&json);
    json_object_begin(&json);
    json_key(&json, "scope");
    json_object_begin(&json);
    json_key(&json, "name");
    json_put_text(&json, "olho");
    json_object_end(&json);
    json_key(&json, "spans");
    json_array_begin(&json);
    for (i = 0; i < count; i++)
        put_trace(&json, &list[i]);
    json_array_end(&json);
    json_object_end(&json);
    json_array_end(&json);
    json_object_end(&json);
    json_array_end(&json);
    json_object_end(&json);
}

static int post(struct bytes body, struct err *err)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    struct fetch_request request = {
        .method = "POST",
        .url = exporter->url,
        .headers = headers,
        .header_count = 1,
        .body = body,
        .timeout_ms = SEND_TIMEOUT_MS,
        .body_len_max = 1 << 16,
    };
    struct fetch_reply reply = {0};
    int status, rc;

    rc = fetch_run(exporter->fetch, &request, &reply, err);
    if (rc)
        return rc;
    status = reply.status;
    fetch_reply_release(&reply);
    if (status / 100 != 2)
        return err_set(err, ERR_UNAVAILABLE,
                       "the collector of traces answered %d", status);
    return 0;
}

/* Tells the log that sending fails, and that it works again, not each time. */
static void report(int rc, const struct err *err)
{
    static bool is_failing;

    if ((rc != 0) != is_failing) {
        if (rc != 0)
            log_write(LOG_WARN, "traces are lost", log_text("why", err->text));
        else
            log_write(LOG_INFO, "traces are sent again");
    }
    is_failing = rc != 0;
}

static void send_all(const struct finished *list, int count)
{
    struct err err = {0};
    struct buf body;
    int rc;

    buf_init(&body, BODY_LEN_MAX);
    write_document(&body, list, count);
    rc = buf_check(&body, &err);
    if (rc == 0)
        rc = post(buf_bytes(&body), &err);
    buf_release(&body);
    metrics_add(METRIC_TRACES, rc == 0 ? "sent" : "dropped", NULL, count);
    report(rc, &err);
}

/* Moves what is in the ring to list; with the mutex held. */
static int take(struct finished *list)
{
    int i, count = exporter->count;

    for (i = 0; i < count; i++)
        list[i] = exporter->ring[(exporter->first + i) % TRACE_QUEUE_MAX];
    exporter->first = (exporter->first + count) % TRACE_QUEUE_MAX;
    exporter->count = 0;
    return count;
}

static void *export_all(void *list)
{
    struct timespec until;
    bool is_stopping = false;
    int count;

    while (!is_stopping) {
        until = clock_timespec(clock_us() + FLUSH_US);
        pthread_mutex_lock(&exporter->mutex);
        while (!exporter->is_stopping &&
               exporter->count < TRACE_QUEUE_MAX / 2 &&
               pthread_cond_timedwait(&exporter->wake, &exporter->mutex,
                                      &until) == 0)
            continue;
        is_stopping = exporter->is_stopping;
        count = take(list);
        pthread_mutex_unlock(&exporter->mutex);
        if (count > 0)
            send_all(list, count);
    }
    mem_free(list);
    return NULL;
}

static void exporter_free(struct exporter *ended)
{
    fetch_free(ended->fetch);
    pthread_cond_destroy(&ended->wake);
    pthread_mutex_destroy(&ended->mutex);
    mem_free(ended);
}

int trace_open(const struct trace_options *options, struct err *err)
{
    struct fetch_options fetch_options = {.connection_max = 1};
    struct exporter *started;
    pthread_condattr_t monotonic;
    struct finished *list;
    int rc;

    if (options->endpoint[0] == '\0')
        return 0;
    if (strncmp(options->endpoint, "http://", 7) != 0 &&
        strncmp(options->endpoint, "https://", 8) != 0)
        return err_set(err, ERR_INVALID,
                       "OTEL_EXPORTER_OTLP_ENDPOINT is \"%.100s\"; it must "
                       "begin with http:// or https://",
                       options->endpoint);
    started = mem_new(sizeof *started);
    list = mem_try(TRACE_QUEUE_MAX, sizeof *list);
    pthread_mutex_init(&started->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&started->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    started->ratio = options->ratio;
    started->wall_offset_us = clock_wall_ms() * 1000 - clock_us();
    snprintf(started->url, sizeof started->url, "%.900s/v1/traces",
             options->endpoint);
    snprintf(started->service_name, sizeof started->service_name, "%s",
             options->service_name);
    rc = list == NULL ? err_set(err, ERR_UNAVAILABLE, "no memory for traces")
                      : fetch_new(&fetch_options, &started->fetch, err);
    if (rc == 0) {
        exporter = started;
        if (pthread_create(&started->thread, NULL, export_all, list) != 0)
            rc = err_set(err, ERR_UNAVAILABLE, "no thread can start");
    }
    if (rc) {
        exporter = NULL;
        mem_free(list);
        exporter_free(started);
    }
    return rc;
}

void trace_close(void)
{
    struct exporter *ended = exporter;

    if (ended == NULL)
        return;
    pthread_mutex_lock(&ended->mutex);
    ended->is_stopping = true;
    pthread_cond_signal(&ended->wake);
    pthread_mutex_unlock(&ended->mutex);
    pthread_join(ended->thread, NULL);
    exporter = NULL;
    exporter_free(ended);
}
