/* SPDX-License-Identifier: Apache-2.0 */
/* Traces: where the time of a request went, sent to an OpenTelemetry collector
 * as OTLP over HTTP in JSON (OTLP 1.0, /v1/traces).
 *
 *     trace_begin(&trace, traceparent, received_us);
 *     trace_phase("decode", begin_us, clock_us());   on the same thread
 *     trace_end(&trace, &request);
 *
 * A trace goes on from the caller's when the request has a traceparent header
 * (W3C Trace Context 1). One exporter for the process, like the metrics;
 * without it all of this costs a comparison. Thread-safe: a trace belongs to
 * the thread that began it; finished ones go to the exporter's thread through a
 * bounded queue, and are dropped and counted when it is full. */
#ifndef OLHO_OBS_TRACE_H
#define OLHO_OBS_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { TRACE_SPANS_MAX = 16, TRACE_QUEUE_MAX = 2048, TRACE_TEXT_MAX = 96 };

struct trace_options {
    const char *endpoint;     /* "http://127.0.0.1:4318"; "": no traces */
    const char *service_name; /* copied */
    double ratio; /* of requests without a traceparent that are traced, 0..1 */
};

/* Starts the exporter. ERR_INVALID: the endpoint cannot be. Before requests
 * run. */
MUST_CHECK int trace_open(const struct trace_options *options, struct err *err);
/* Waits for what is being sent and sends what is left, each for two seconds at
 * most. No trace is open. */
void trace_close(void);

struct trace {
    bool is_on;
    bool has_parent;
    uint8_t trace_id[16];
    uint8_t span_id[8], parent_id[8];
    int64_t begin_us;
    int span_count;
    struct {
        const char *name; /* static */
        int64_t begin_us, end_us;
    } spans[TRACE_SPANS_MAX];
};

/* Decides whether this request is traced, and makes it the thread's trace.
 * traceparent NULL, or not of the standard's form: a new trace. */
void trace_begin(struct trace *trace, const char *traceparent,
                 int64_t begin_us);

/* One phase of a request: observed in olho_phase_seconds, and a span of the
 * thread's trace, when there is one with room. name is static. */
void trace_phase(const char *name, int64_t begin_us, int64_t end_us);

/* What is told of a request; texts are copied, and cut to TRACE_TEXT_MAX. */
struct trace_request {
    const char *method, *route, *request_id;
    int status;
    const char *error; /* NULL: none */
};
void trace_end(struct trace *trace, const struct trace_request *request);

#endif
