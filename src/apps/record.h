/* SPDX-License-Identifier: Apache-2.0 */
/* What a request leaves behind: rows for the database, which the writer takes
 * without waiting, and figures of the version that answered. Thread-safe. */
#ifndef OLHO_APPS_RECORD_H
#define OLHO_APPS_RECORD_H

#include "apps/classify.h"
#include "apps/pick.h"

struct record {
    const char *request_id;
    const char *image_path; /* where the image came from; "": sent as it is */
    int64_t user_id;        /* 0: not said */
    int64_t item_id;        /* row of items that the image shows; 0: unknown */
    int64_t latency_us;     /* of the whole request until now */
};

/* Fills a record from a request: its id, the argument user_id, its time. */
struct record record_of(const struct http_request *request,
                        const char *image_path);

/* The rows of predictions, inference_logs and, with more versions than one,
 * ab_test_results. */
void record_answer(const struct app *app, const struct pick *pick,
                   const struct record *record, const struct answer *answer);

/* A request that failed after its version was chosen. Only what is the
 * version's or the server's fault counts against the version. */
void record_failure(const struct app *app, const struct pick *pick,
                    const struct record *record, const struct err *err);

/* What a version answered that only watches. agreed: with the one that
 * served. answer NULL: it failed. */
void record_shadow(const struct app *app, const struct model_version *version,
                   int arm, const struct record *record,
                   const struct answer *answer, bool agreed);

#endif
