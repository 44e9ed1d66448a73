/* SPDX-License-Identifier: Apache-2.0 */
/* Puts another version of the model in the place of the one that serves, while
 * it serves. Thread-safe; one update at a time. */
#ifndef OLHO_APPS_UPDATE_H
#define OLHO_APPS_UPDATE_H

#include "apps/app.h"

struct update_result {
    char previous[METADATA_NAME_MAX], now[METADATA_NAME_MAX];
    bool is_changed; /* false: what is there is what was loaded before */
};

/* Loads the model at model_path with its index (embeddings_path "": by the
 * rules of collection_new), tries both, and puts them into arm 0; requests
 * under way end on the old version. Paths are relative to MODEL_ROOT, or
 * s3://bucket/key in the bucket of MODEL_PATH, EMBEDDINGS_PATH or the images.
 * ERR_FORBIDDEN: outside of them; ERR_CONFLICT: an update is under way;
 * ERR_UNPROCESSABLE: the model or its index cannot be used, and the old one
 * serves on. */
MUST_CHECK int update_model(struct app *app, const char *model_path,
                            const char *embeddings_path,
                            struct update_result *out, struct err *err);

/* What tells whether model or index have changed on disk since. */
void update_mark(const struct model_version *version,
                 char out[HASH_HEX_LEN + 1]);

/* The same with the paths of the settings, if what they name has changed since
 * it was loaded from there: for SIGHUP. A model that a client has put in its
 * place meanwhile serves on otherwise. */
MUST_CHECK int update_reload(struct app *app, struct update_result *out,
                             struct err *err);

/* Makes requests that are alone use every core, unless the settings say how
 * many threads a run has. Takes as long as loading. */
void update_widen(const struct app *app, const struct model_version *version);

#endif
