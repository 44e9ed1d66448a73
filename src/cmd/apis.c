/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/apis.h"

#include "apps/ab.h"
#include "apps/admin.h"
#include "apps/collector.h"

/* The first API words the errors of paths that belong to none. */
const struct http_api *const apis[] = {&collector_api, &ab_api, &admin_api};
const int api_count = sizeof apis / sizeof apis[0];

const char *scope_name(enum http_scope scope)
{
    static const char *const names[] = {"open", "read", "write", "admin"};

    return names[scope];
}

const char *body_name(enum http_body body)
{
    static const char *const names[BODY_COUNT] = {
        [BODY_NONE] = "none",
        [BODY_SMALL] = "1 MB",
        [BODY_IMAGE] = "MAX_IMAGE_SIZE_MB",
        [BODY_BATCH] = "MAX_BATCH_SIZE_MB",
    };

    return names[body];
}
