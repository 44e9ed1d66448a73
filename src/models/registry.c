/* SPDX-License-Identifier: Apache-2.0 */
#include "models/registry.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>

#include "base/mem.h"
#include "models/source.h"
#include "obs/metrics.h"

struct registry {
    pthread_mutex_t mutex; /* guards what follows, never held while loading */
    struct model_version *arms[REGISTRY_ARMS_MAX];
};

int model_version_open(const struct config *config, const char *model_path,
                       const char *embeddings_path, struct model_version **out,
                       struct err *err)
{
    struct model_version *version = mem_new(sizeof *version);
    struct source source;
    int rc;

    version->uses = 1;
    version->stored_accuracy = NAN;
    rc = source_prepare(config, model_path, embeddings_path, &source, err);
    if (rc == 0)
        rc = bundle_open(source.dir, config, &version->bundle, err);
    if (rc == 0)
        rc = collection_new(config, version->bundle, source.index,
                            &version->collection, err);
    if (rc) {
        model_version_release(version);
        return rc;
    }
    *out = version;
    return 0;
}

struct model_version *model_version_hold(struct model_version *version)
{
    __atomic_add_fetch(&version->uses, 1, __ATOMIC_RELAXED);
    return version;
}

/* Acquire and release order: whoever frees it sees all that the other holders
 * did with it. */
void model_version_release(struct model_version *version)
{
    if (version == NULL ||
        __atomic_sub_fetch(&version->uses, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    collection_free(version->collection);
    bundle_close(version->bundle);
    mem_free(version);
    mem_trim();
}

const char *model_version_name(const struct model_version *version)
{
    return version->bundle->metadata.version;
}

struct registry *registry_new(void)
{
    struct registry *registry = mem_new(sizeof *registry);

    pthread_mutex_init(&registry->mutex, NULL);
    return registry;
}

void registry_free(struct registry *registry)
{
    int i;

    if (registry == NULL)
        return;
    for (i = 0; i < REGISTRY_ARMS_MAX; i++)
        model_version_release(registry->arms[i]);
    pthread_mutex_destroy(&registry->mutex);
    mem_free(registry);
}

void registry_put(struct registry *registry, int arm,
                  struct model_version *version)
{
    struct model_version *before;

    assert(arm >= 0 && arm < REGISTRY_ARMS_MAX);
    pthread_mutex_lock(&registry->mutex);
    before = registry->arms[arm];
    registry->arms[arm] = version;
    pthread_mutex_unlock(&registry->mutex);
    if (before != NULL)
        metrics_set(METRIC_MODEL_READY, model_version_name(before), NULL, 0);
    if (version != NULL)
        metrics_set(METRIC_MODEL_READY, model_version_name(version), NULL, 1);
    model_version_release(before);
}

struct model_version *registry_acquire(struct registry *registry, int arm)
{
    struct model_version *version;

    assert(arm >= 0 && arm < REGISTRY_ARMS_MAX);
    pthread_mutex_lock(&registry->mutex);
    version = registry->arms[arm];
    if (version != NULL)
        (void)model_version_hold(version);
    pthread_mutex_unlock(&registry->mutex);
    return version;
}
