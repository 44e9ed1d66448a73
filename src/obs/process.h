/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of this process from the kernel, under the names that Prometheus
 * clients use. Thread-safe. */
#ifndef OLHO_OBS_PROCESS_H
#define OLHO_OBS_PROCESS_H

#include "base/buf.h"

/* Appends them in the Prometheus text format. What the kernel does not tell
 * is left out. */
void process_print(struct buf *out);

/* Appends their rows of a Markdown table: name, kind, labels, help. */
void process_document(struct buf *out);

#endif
