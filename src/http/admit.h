/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a request is let in, by its header alone. As thread-safe as the
 * exchange it is about. */
#ifndef OLHO_HTTP_ADMIT_H
#define OLHO_HTTP_ADMIT_H

#include "http/exchange.h"

/* Finds out how long the body is, which route it is for, whether the key will
 * do, and begins the body. Fails with the code of the reply;
 * exchange->is_framed is then false when the connection cannot go on.
 * Parameters as those of exchange_begin. */
MUST_CHECK int admit(struct exchange *exchange, const char *url,
                     size_t header_len, struct err *err);

#endif
