/* SPDX-License-Identifier: Apache-2.0 */
/* Which version of the model answers a request. Thread-safe. */
#ifndef OLHO_APPS_PICK_H
#define OLHO_APPS_PICK_H

#include "apps/app.h"
#include "http/http.h"

struct pick {
    int arm;
    int shadow_arm;                /* -1: none */
    struct model_version *version; /* held */
};

/* Chooses an arm: always the same for requests that carry the same key (the
 * argument "ab_key" or "user_id"), else by weight. request NULL: arm 0. Ended
 * with pick_end. */
void pick_begin(const struct app *app, const struct http_request *request,
                struct pick *out);
void pick_end(struct pick *pick); /* also of a zeroed one */

#endif
