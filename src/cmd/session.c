/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/session.h"

#include <sched.h>

#include "apps/collection.h"
#include "base/clock.h"
#include "base/file.h"

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
    char dir[FILE_PATH_MAX];
    int rc;

    *app = (struct app){.config = config, .started_ms = clock_wall_ms()};
    app->worker_count = session_worker_count(config);
    rc = bundle_find(config->model_path, dir, err);
    if (rc == 0)
        rc = bundle_open(dir, config, &app->bundle, err);
    if (rc == 0)
        rc = collection_new(config, app->bundle, &app->collection, err);
    if (rc)
        session_close(app);
    return rc;
}

void session_close(struct app *app)
{
    collection_free(app->collection);
    bundle_close(app->bundle);
    *app = (struct app){0};
}
