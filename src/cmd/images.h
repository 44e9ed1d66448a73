/* SPDX-License-Identifier: Apache-2.0 */
/* Many image files through the classifier on every core, their answers in the
 * order given. Called from one thread, which also gets the answers. */
#ifndef OLHO_CMD_IMAGES_H
#define OLHO_CMD_IMAGES_H

#include "apps/classify.h"
#include "base/hash.h"

/* One finished image. */
struct image_result {
    const char *path;
    bool is_walked;       /* found in a folder, not named by the user */
    struct answer answer; /* when err.code is ERR_OK */
    char sha256[HASH_HEX_LEN + 1];
    struct err err;
};

/* Gets each result in order; what it points to ends with the call. Answers 0
 * to go on. */
typedef int images_fn(void *user, const struct image_result *result,
                      struct err *err);

/* Runs all files that `words` name: files, folders (walked) and "-" for
 * standard input. Shows progress. Returns 0, or what fn answered. */
MUST_CHECK int images_run(const struct app *app, const char *const *words,
                          int word_count,
                          const struct classify_options *options, images_fn *fn,
                          void *user, struct err *err);

#endif
