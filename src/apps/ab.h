/* SPDX-License-Identifier: Apache-2.0 */
/* Versions side by side: how they compare, and what people say of their
 * answers. GET /api/ab and POST /api/feedback. */
#ifndef OLHO_APPS_AB_H
#define OLHO_APPS_AB_H

#include "http/http.h"

extern const struct http_api ab_api;

#endif
