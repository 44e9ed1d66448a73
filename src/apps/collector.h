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

/* POST /api/classify/batch, in collector_batch.c. */
int collector_batch(struct app *app, struct http_request *request,
                    struct http_reply *reply, struct err *err);

/* Whether a part is an image by its name: image, images, images[] or file. */
bool collector_is_image(const struct http_part *part);

/* Reads `name` as a yes or no; anything else is ERR_INVALID. */
MUST_CHECK int collector_flag(const struct http_request *request,
                              const char *name, bool preset, bool *out,
                              struct err *err);

#endif
