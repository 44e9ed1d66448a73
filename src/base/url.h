/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding (RFC 3986) and application/x-www-form-urlencoded.
 * Thread-safe. */
#ifndef OLHO_BASE_URL_H
#define OLHO_BASE_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Decodes `len` bytes of text in place and puts a NUL behind; '+' becomes a
 * space when is_form. Returns the new length. A '%' without two hexadecimal
 * digits stays as it is. text needs room for the NUL. */
size_t url_decode(char *text, size_t len, bool is_form);

/* Whether `len` bytes are UTF-8 (RFC 3629) without NUL and control
 * characters. */
bool url_is_clean_text(const char *text, size_t len);

/* "milvus://user:secret@host/faces" into out as "milvus://host/faces": what may
 * be shown of it. A text that is no URL stays as it is. */
void url_show(const char *url, char *out, size_t size);

#endif
