/* SPDX-License-Identifier: Apache-2.0 */
/* What a request of the collector API brings: an image in one of its forms,
 * and arguments. One thread at a time. */
#ifndef OLHO_APPS_COLLECTOR_INPUT_H
#define OLHO_APPS_COLLECTOR_INPUT_H

#include <stdbool.h>

#include "apps/app.h"
#include "base/buf.h"
#include "http/http.h"

struct collector_image {
    struct bytes file; /* borrowed from the request, or from `stored` */
    const char *path;  /* of the stored image, the part's filename, or "" */
    struct buf stored; /* what was read from the blob store */
};

/* Finds the one image of a request: a part of a form, the body itself, or
 * {"image_path": "bucket/key"}. Ended with collector_image_release, also after
 * a failure (of a zeroed one). */
MUST_CHECK int collector_find_image(const struct app *app,
                                    const struct http_request *request,
                                    struct collector_image *out,
                                    struct err *err);
void collector_image_release(struct collector_image *image);

/* Whether a part of a form is an image by its name. */
bool collector_is_image(const struct http_part *part);

/* A yes-or-no argument; preset when it is absent. */
MUST_CHECK int collector_flag(const struct http_request *request,
                              const char *name, bool preset, bool *out,
                              struct err *err);

#endif
