/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: one table of names, counted from any thread, printed in the
 * Prometheus text format (exposition format 0.0.4).
 *
 *     metrics_add(METRIC_HTTP_REQUESTS, "/api/classify", "200", 1);
 *     metrics_observe(METRIC_PHASE_SECONDS, "decode", NULL, seconds);
 *
 * Label values must come from small fixed sets (a route of the table, never a
 * path as sent); past METRICS_SERIES_MAX series of one metric, further ones
 * are counted under "other". Thread-safe without a lock once a series is
 * there. */
#ifndef OLHO_OBS_METRICS_H
#define OLHO_OBS_METRICS_H

#include <stdint.h>

#include "base/buf.h"

enum { METRICS_SERIES_MAX = 256 };

/* A SECONDS or RATIO metric is a histogram with buckets made for seconds, or
 * for values of 0..1. */
/* clang-format off */
/*    name               kind       exposed name, labels, help */
#define METRICS(X) \
    X(HTTP_REQUESTS,     COUNTER,   "olho_http_requests_total", "route", "status", "Requests answered.") \
    X(HTTP_SECONDS,      SECONDS,   "olho_http_request_seconds", "route", NULL, "Seconds from the last byte of a request to its answer.") \
    X(PHASE_SECONDS,     SECONDS,   "olho_phase_seconds", "phase", NULL, "Seconds spent in each phase of a request.") \
    X(HTTP_BYTES_IN,     COUNTER,   "olho_http_received_bytes_total", NULL, NULL, "Bytes of request bodies received.") \
    X(HTTP_BYTES_OUT,    COUNTER,   "olho_http_sent_bytes_total", NULL, NULL, "Bytes of reply bodies made.") \
    X(HTTP_CONNECTIONS,  GAUGE,     "olho_http_connections", NULL, NULL, "Connections open now.") \
    X(HTTP_SHED,         COUNTER,   "olho_http_shed_total", "reason", NULL, "Requests refused because a limit was reached.") \
    X(QUEUE_WAITING,     GAUGE,     "olho_queue_waiting", NULL, NULL, "Requests that wait for a worker now.") \
    X(QUEUE_SECONDS,     SECONDS,   "olho_queue_seconds", NULL, NULL, "Seconds a request waited for a worker.") \
    X(UPLOAD_BYTES,      GAUGE,     "olho_upload_bytes", NULL, NULL, "Memory held by request bodies now.") \
    X(PREDICTIONS,       COUNTER,   "olho_predictions_total", "model", "accepted", "Images classified.") \
    X(CONFIDENCE,        RATIO,     "olho_prediction_confidence", "model", NULL, "Confidence of the first class.") \
    X(INDEX_ITEMS,       GAUGE,     "olho_index_items", NULL, NULL, "Images in the index.") \
    X(BLOB_SECONDS,      SECONDS,   "olho_blob_seconds", "operation", NULL, "Seconds of one operation on stored files.") \
    X(BLOB_ERRORS,       COUNTER,   "olho_blob_errors_total", "operation", "error", "Operations on stored files that failed; absence is not counted.") \
    X(BLOB_RETRIES,      COUNTER,   "olho_blob_retries_total", NULL, NULL, "Requests sent to the object store once more.") \
    X(CACHE_REQUESTS,    COUNTER,   "olho_cache_requests_total", "backend", "result", "Answers looked up in the cache: hit or miss.") \
    X(CACHE_ERRORS,      COUNTER,   "olho_cache_errors_total", "backend", NULL, "Commands that the cache failed.") \
    X(CACHE_UP,          GAUGE,     "olho_cache_up", "backend", NULL, "1 when the cache answers.") \
    X(CACHE_BYTES,       GAUGE,     "olho_cache_bytes", "backend", NULL, "Bytes held by the cache of this process.") \
    X(FLIGHT,            COUNTER,   "olho_flight_total", "outcome", NULL, "Answers computed (lead), shared with an identical request (share), or not waited for (timeout).") \
    X(SHADOW_SKIPPED,    COUNTER,   "olho_shadow_skipped_total", NULL, NULL, "Requests that the version which only watches was not asked, because its queue was full.") \
    X(CHECK_WARNINGS,    COUNTER,   "olho_check_warnings_total", "check", NULL, "Images that failed a check.") \
    X(MODEL_UPDATES,     COUNTER,   "olho_model_updates_total", "outcome", NULL, "Updates of the model while it served: ok or failed.") \
    X(ROLLBACKS,         COUNTER,   "olho_ab_rollbacks_total", "model", NULL, "Versions taken out because they were worse.") \
    X(TRACES,            COUNTER,   "olho_traces_total", "outcome", NULL, "Traces of requests: sent, or dropped because the collector was away or the queue full.") \
    X(MODEL_READY,       GAUGE,     "olho_model_ready", "model", NULL, "1 when the model is loaded.") \
    X(STORE_ROWS,        COUNTER,   "olho_store_rows_total", "outcome", NULL, "Rows for the database: written, spilled to the file, rejected by it, dropped, or damaged in the file.") \
    X(STORE_WAITING,     GAUGE,     "olho_store_waiting", NULL, NULL, "Rows that wait in memory for the database now.") \
    X(STORE_SPILL_ROWS,  GAUGE,     "olho_store_spill_rows", NULL, NULL, "Rows that wait in the spill file now.") \
    X(STORE_SPILL_BYTES, GAUGE,     "olho_store_spill_bytes", NULL, NULL, "Bytes of the spill file now; 0 when no row waits in it.") \
    X(STORE_AWAY,        GAUGE,     "olho_store_away", NULL, NULL, "1 when the last attempt to write found no database.") \
    X(STORE_BATCH_SECONDS, SECONDS, "olho_store_batch_seconds", NULL, NULL, "Seconds the database took for one batch of rows.")
/* clang-format on */

enum metric {
#define X(name, kind, exposed, label1, label2, help) METRIC_##name,
    METRICS(X)
#undef X
        METRIC_COUNT
};

/* Labels are copied, and NULL where the table has none. Counters only grow;
 * a gauge may be given a negative amount. */
void metrics_add(enum metric metric, const char *label1, const char *label2,
                 int64_t amount);
void metrics_set(enum metric metric, const char *label1, const char *label2,
                 double value);

/* Puts a value (seconds, or 0..1) into a histogram; one that is not finite is
 * left out. */
void metrics_observe(enum metric metric, const char *label1, const char *label2,
                     double value);

/* The value of a counter or gauge; the count of a histogram; 0 when the
 * series was never touched. */
double metrics_get(enum metric metric, const char *label1, const char *label2);

/* Appends all metrics, with process_* figures (resident memory, CPU seconds,
 * open files, start time). */
void metrics_print(struct buf *out);

/* Appends the table as Markdown, for docs/metrics.md. */
void metrics_document(struct buf *out);

#endif
