/* SPDX-License-Identifier: Apache-2.0 */
/* The header of one part of a form (RFC 7578, 4.2 and 4.8). Thread-safe. */
#ifndef OLHO_HTTP_PART_HEADER_H
#define OLHO_HTTP_PART_HEADER_H

#include "http/multipart.h"

/* Reads lines that each end with CRLF; text may be empty. Fills name, filename,
 * content_type and is_file of *out, in the arena. ERR_INVALID names the part
 * by its number: without a name, not form-data, names that are not clean
 * UTF-8, itself multipart, or encoded otherwise than binary. */
MUST_CHECK int part_header_read(struct bytes text, int number,
                                struct arena *arena, struct multipart_part *out,
                                struct err *err);

#endif
