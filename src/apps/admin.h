/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator asks: is it alive, is it ready, what are its figures. */
#ifndef OLHO_APPS_ADMIN_H
#define OLHO_APPS_ADMIN_H

#include "http/http.h"

extern const struct http_api admin_api;

#endif
