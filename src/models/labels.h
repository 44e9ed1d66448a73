/* SPDX-License-Identifier: Apache-2.0 */
/* The names of a model's classes, from labels.txt (one a line) or from
 * class_indices.json ({"carro": 0, ...}, as Keras writes it).
 *
 * Read-only after it is made, so any number of threads may read. */
#ifndef OLHO_MODELS_LABELS_H
#define OLHO_MODELS_LABELS_H

#include <stdbool.h>

#include "base/err.h"

enum { LABELS_COUNT_MAX = 1 << 20, LABEL_LEN_MAX = 1024 };

struct labels {
    int count;
    char **names; /* owned, UTF-8, none empty */
};

/* Reads `file` of the folder, or, when file is "", labels.txt or
 * class_indices.json, whichever is there; neither: "class 0", "class 1" ...,
 * and *is_made_up is true. ERR_UNPROCESSABLE when the number of names is not
 * count, naming both, or when a name is empty, doubled or no UTF-8. */
MUST_CHECK int labels_read(const char *dir, const char *file, int count,
                           struct labels *out, bool *is_made_up,
                           struct err *err);
void labels_release(struct labels *labels); /* also of a zeroed one */

#endif
