/* SPDX-License-Identifier: Apache-2.0 */
/* The APIs that olho serves, for the server and for the documentation. */
#ifndef OLHO_CMD_APIS_H
#define OLHO_CMD_APIS_H

#include "http/http.h"

extern const struct http_api *const apis[];
extern const int api_count;

const char *scope_name(enum http_scope scope); /* "read" */
const char *body_name(enum http_body body);    /* "MAX_IMAGE_SIZE_MB" */

#endif
