/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/session.h"

#include <sched.h>

#include "apps/update.h"
#include "base/clock.h"

enum { WORKERS_MAX = 256 };

int session_worker_count(const struct config *config)
{
    cpu_set_t set;
    int count = 1;

    if (config->worker_count > 0)
        return (int)config->worker_count;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
    return count > WORKERS_MAX ? WORKERS_MAX : count;
}

int session_open(const struct config *config, struct app *app, struct err *err)
{
    struct model_version *version = NULL;
    int rc;

    *app = (struct app){.config = config, .started_ms = clock_wall_ms()};
    app->worker_count = session_worker_count(config);
    rc = model_version_open(config, config->model_path, config->embeddings_path,
                            &version, err);
    if (rc)
        return rc;
    app->registry = registry_new();
    update_mark(version, app->model_mark);
    registry_put(app->registry, 0, version);
    return 0;
}

void session_close(struct app *app)
{
    registry_free(app->registry);
    *app = (struct app){0};
}
