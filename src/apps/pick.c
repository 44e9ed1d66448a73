/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/pick.h"

#include <assert.h>

#include "models/rollout.h"

void pick_begin(const struct app *app, const struct http_request *request,
                struct pick *out)
{
    struct rollout_choice choice = {0, -1};
    const char *key = NULL;

    if (app->rollout != NULL && request != NULL) {
        key = http_argument(request, "ab_key");
        if (key == NULL)
            key = http_argument(request, "user_id");
        rollout_pick(app->rollout, key, &choice);
    }
    out->arm = choice.arm;
    out->shadow_arm = choice.shadow;
    out->version = registry_acquire(app->registry, choice.arm);
    assert(out->version != NULL);
}

void pick_end(struct pick *pick)
{
    model_version_release(pick->version);
    pick->version = NULL;
}
