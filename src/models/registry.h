/* SPDX-License-Identifier: Apache-2.0 */
/* The versions of the model that are loaded, each in its place (an arm): arm 0
 * answers, others take their share of the requests or only watch
 * (models/rollout.h chooses). A version is replaced while it serves: requests
 * under way keep the old one until they end, and the last one frees it.
 *
 *     version = registry_acquire(registry, 0);
 *     ... version->bundle ...
 *     model_version_release(version);
 *
 * Thread-safe. */
#ifndef OLHO_MODELS_REGISTRY_H
#define OLHO_MODELS_REGISTRY_H

#include "base/config.h"
#include "base/err.h"
#include "models/bundle.h"
#include "models/collection.h"

enum { REGISTRY_ARMS_MAX = 8 };

/* Counted. Read-only while others hold it. */
struct model_version {
    struct bundle *bundle;         /* owned */
    struct collection *collection; /* owned: the index that goes with it */
    int uses;                      /* atomic: who holds it */
    double stored_accuracy; /* atomic: of model_metrics; NaN: not known */
};

/* Finds and loads a model and names its index (an empty path: by the rules of
 * collection_new). The caller holds *out. */
MUST_CHECK int model_version_open(const struct config *config,
                                  const char *model_path,
                                  const char *embeddings_path,
                                  struct model_version **out, struct err *err);

/* One more use of a version that the caller holds. */
struct model_version *model_version_hold(struct model_version *version);

/* Lets go of one use; the last one frees it. NULL is allowed. */
void model_version_release(struct model_version *version);

/* How a version is called: "v2". */
const char *model_version_name(const struct model_version *version);

struct registry;

struct registry *registry_new(void) __attribute__((returns_nonnull));
void registry_free(struct registry *registry); /* NULL is allowed */

/* Puts a version into an arm (0..REGISTRY_ARMS_MAX - 1) in place of the one
 * there. The registry takes the caller's hold over. */
void registry_put(struct registry *registry, int arm,
                  struct model_version *version);

/* The version in an arm, held for the caller; NULL when the arm is empty. */
struct model_version *registry_acquire(struct registry *registry, int arm);

#endif
