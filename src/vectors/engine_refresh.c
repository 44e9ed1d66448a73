/* SPDX-License-Identifier: Apache-2.0 */
/* A reader takes in what another process has changed. One thread does so and
 * the others go on with what is there, but when that was written over: then
 * there is nothing to go on with. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "vectors/engine_parts.h"

/* A reader's settings are constant: who wants others opens the set anew. */
static int check_settings(const struct vecengine *engine,
                          const struct log_settings *has, struct err *err)
{
    struct log_settings settings = *has;

    settings.next_id = engine->opened.next_id;
    if (memcmp(&settings, &engine->opened, sizeof settings) == 0)
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "index %s has other settings than when it was opened",
                   engine->path);
}

static int check_log(const struct vecengine *engine, const struct log_file *log,
                     struct err *err)
{
    const char *model = log_file_shape(log)->model;
    struct log_settings first;

    if (strcmp(model, engine->shape.model) != 0)
        return err_set(err, ERR_CONFLICT,
                       "index %s has vectors of model '%s'; not '%s'",
                       engine->path, model, engine->shape.model);
    log_file_first_settings(log, &first);
    return check_settings(engine, &first, err);
}

static int read_more(struct generation *generation, struct err *err)
{
    struct generation_reader *reader = NULL;
    int rc = generation_read_new(generation, true, &reader, err);

    if (rc == 0)
        rc = log_file_refresh(generation->log, generation_visit, reader, err);
    generation_read_free(reader);
    return rc;
}

/* The rest of another set is beside another file. */
static int check_place(const struct vecengine *engine, struct err *err)
{
    char path[FILE_PATH_MAX];

    if (strcmp(engine->where, engine->path) == 0 ||
        (realpath(engine->where, path) != NULL &&
         strcmp(path, engine->path) == 0))
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "index %s leads to another file than when it was opened",
                   engine->where);
}

/* Another file has the name, or was written over this one. */
static int reopen(struct vecengine *engine, struct err *err)
{
    const struct log_file *old = engine->current->log;
    struct generation *generation = NULL;
    struct log_file *log = NULL;
    int rc = log_file_open(engine->where, VEC_READ, &engine->shape, &log, err);

    if (rc == 0)
        rc = check_place(engine, err);
    if (rc == 0)
        rc = check_log(engine, log, err);
    if (rc == 0) {
        rc = generation_open(engine, log, NULL, &generation, err);
        if (rc == 0)
            vecengine_set_generation(engine, generation);
        return rc;
    }
    log_file_close(log);
    if (rc == ERR_CONFLICT && log_file_is_overwritten(old))
        return err->code = ERR_NOT_FOUND;
    /* It was removed, and its successor is still without its header. */
    if (rc == ERR_NOT_FOUND) {
        *err = (struct err){0};
        return 0;
    }
    return rc;
}

static int take_in(struct vecengine *engine, struct err *err)
{
    struct generation *generation = engine->current;
    bool has_more = false, is_replaced = false;
    int rc = log_file_has_more(generation->log, &has_more, &is_replaced, err);

    if (rc == 0 && is_replaced)
        return reopen(engine, err);
    if (rc == 0 && has_more)
        rc = read_more(generation, err);
    return rc ? rc : check_settings(engine, &generation->settings, err);
}

int vecengine_refresh(void *self, struct err *err)
{
    struct vecengine *engine = self;
    bool has_more = false, is_replaced = false, is_gone = false;
    struct engine_view view;
    int rc;

    vecengine_take(engine, &view);
    rc = log_file_has_more(view.generation->log, &has_more, &is_replaced, err);
    if (rc == 0 && is_replaced)
        is_gone = log_file_is_overwritten(view.generation->log);
    vecengine_give(engine, &view);
    if (rc || engine->mode == VEC_WRITE)
        return rc;
    if (is_gone)
        vecengine_keep(engine);
    else if (!vecengine_try_keep(engine))
        return 0;
    if (has_more || is_replaced) {
        vecengine_lead(engine);
        rc = take_in(engine, err);
        vecengine_unlead(engine);
    }
    if (rc == 0)
        rc = vecengine_reload_index(engine, err);
    vecengine_unkeep(engine);
    return rc;
}
