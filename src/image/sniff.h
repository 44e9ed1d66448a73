/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is by its first bytes. Stateless and thread-safe. */
#ifndef OLHO_IMAGE_SNIFF_H
#define OLHO_IMAGE_SNIFF_H

#include "base/buf.h"
#include "image/decode.h"

/* IMAGE_FORMAT_COUNT when it is none of ours. */
enum image_format sniff_image(struct bytes file);

/* What else it looks like, with its article ("a PDF file"), or NULL. */
const char *sniff_other(struct bytes file);

#endif
