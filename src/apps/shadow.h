/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the version that only watches, after the one that serves has answered,
 * on threads of its own: nobody waits for it. Thread-safe. */
#ifndef OLHO_APPS_SHADOW_H
#define OLHO_APPS_SHADOW_H

#include "apps/record.h"

enum { SHADOW_QUEUE_MAX = 64, SHADOW_LEN_MAX = 64 << 20 };

/* Queues a copy of the image when pick names a shadow; when the queue is full,
 * or SHADOW_LEN_MAX bytes of images wait, this request is not compared, which
 * is counted. */
void shadow_begin(const struct app *app, const struct pick *pick,
                  const struct record *record, const struct answer *served,
                  const struct classify_options *options, struct bytes file);

#endif
