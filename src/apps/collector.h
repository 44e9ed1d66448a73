/* SPDX-License-Identifier: Apache-2.0 */
/* The collector API: classification of collectibles under /api. Its clients
 * are older than olho; names and forms are theirs. */
#ifndef OLHO_APPS_COLLECTOR_H
#define OLHO_APPS_COLLECTOR_H

#include "http/http.h"

extern const struct http_api collector_api;

/* {"erro", "error", "request_id"}: old clients read either of the two. */
void collector_error(const struct http_request *request, const struct err *err,
                     struct http_reply *reply);

/* The handlers that have a file of their own: collector_batch.c,
 * collector_similarity.c and collector_model.c. */
http_handler_fn collector_batch, collector_similarity, collector_model_classes,
    collector_model_status, collector_model_update;

#endif
