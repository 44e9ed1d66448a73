/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at everything that a set has: its files, as they are on the disk, and
 * what was made of them in memory. */
#include "vectors/engine_keeper.h"

enum { REPORT_EVERY = 4096 }; /* slots */

/* A missing checkpoint is no damage. */
static int check_file(const char *path, struct err *err)
{
    struct checkpoint *checkpoint = NULL;
    int rc = checkpoint_open(path, &checkpoint, err);

    checkpoint_close(checkpoint);
    if (rc == ERR_NOT_FOUND) {
        *err = (struct err){0};
        rc = 0;
    }
    return rc;
}

/* Whether the id of a row that can be found leads to the row; *out_found: to
 * where else. */
static bool is_led_to(struct generation *generation, int64_t slot,
                      int64_t *out_found)
{
    int64_t id = generation_slot(generation, slot)->id;

    *out_found = generation_find_id(generation, id, INT64_MAX);
    /* It may have been removed since it was looked at. */
    return *out_found == slot || slot_is_removed(&generation->removed, slot);
}

/* A slot that can be found has records that are whole, and its id leads to it.
 * While a writer publishes rows some are there to which no id leads yet, and
 * some that it replaces are not marked yet; to the lead nothing is half done.
 */
static int check_slot(struct vecengine *engine, struct generation *generation,
                      int64_t slot, struct err *err)
{
    int64_t found = SLOT_NONE;
    bool is_right;
    int rc;

    if (slot_is_removed(&generation->removed, slot))
        return 0;
    rc = generation_check_slot(generation, slot, err);
    if (rc || is_led_to(generation, slot, &found))
        return rc;
    vecengine_lead(engine);
    is_right = is_led_to(generation, slot, &found);
    vecengine_unlead(engine);
    if (is_right)
        return 0;
    return err_set(err, ERR_CORRUPT,
                   "id %lld is in row %lld, and the table of ids leads to %lld",
                   (long long)generation_slot(generation, slot)->id,
                   (long long)slot, (long long)found);
}

static int check_slots(struct vecengine *engine, const struct engine_view *view,
                       vec_progress_fn *progress, void *user, struct err *err)
{
    int64_t slot;
    int rc = 0;

    for (slot = 0; rc == 0 && slot < view->count; slot++) {
        rc = check_slot(engine, view->generation, slot, err);
        if (rc == 0 && slot % REPORT_EVERY == 0 && progress != NULL &&
            progress(user, slot, view->count) != 0)
            rc = err_set(err, ERR_UNAVAILABLE, "the check was stopped");
    }
    return rc;
}

int keeper_check_index(struct vecengine *engine, struct err *err)
{
    struct engine_view view;
    int rc = 0;

    vecengine_take(engine, &view);
    if (view.index->graph != NULL)
        rc = graph_check(view.index->graph, err);
    if (rc == 0 && view.index->lists != NULL)
        rc = lists_check(view.index->lists, err);
    vecengine_give(engine, &view);
    return rc;
}

int vecengine_check(void *self, vec_progress_fn *progress, void *user,
                    struct err *err)
{
    struct vecengine *engine = self;
    struct engine_view view;
    int rc;

    vecengine_take(engine, &view);
    rc = log_file_check(view.generation->log, progress, user, err);
    if (rc == 0)
        rc = check_file(engine->checkpoint_path, err);
    if (rc == 0)
        rc = check_slots(engine, &view, progress, user, err);
    vecengine_give(engine, &view);
    return rc ? rc : keeper_check(engine, err);
}
