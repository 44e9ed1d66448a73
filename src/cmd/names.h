/* SPDX-License-Identifier: Apache-2.0 */
/* Names of vectors by their number, in a JSON array of texts or in .npy.
 * One thread. */
#ifndef OLHO_CMD_NAMES_H
#define OLHO_CMD_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/npy.h"

struct names {
    struct npy_texts texts;
    struct json_value *document; /* owned; NULL: texts */
};

bool path_ends_with(const char *path, const char *end);

/* Reads a file of as many names as are wanted (else ERR_INVALID says how many
 * there are). Ended with names_release, also after a failure. */
MUST_CHECK int names_read(const char *path, int64_t wanted, struct names *out,
                          struct err *err);
void names_release(struct names *names); /* also of zeroed ones */

int64_t names_count(const struct names *names);
const char *names_get(const struct names *names, int64_t i);

/* Writes them; there whole or not at all. */
MUST_CHECK int names_write(const char *path, const char *const *names,
                           int64_t count, struct err *err);

#endif
