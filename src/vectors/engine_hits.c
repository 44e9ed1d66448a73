/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/engine_hits.h"

#include <string.h>

#include "base/mem.h"

static int fail_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for the entries found");
}

static const char *copy_text(struct arena *arena, const char *text)
{
    return arena_text(arena, text, strlen(text));
}

static int copy_tags(const struct log_record *record, struct arena *arena,
                     struct vec_hit *out, struct err *err)
{
    struct vec_tag *tags = NULL, tag;
    const char *at = NULL;
    int count = 0, i;

    while (log_record_tag(record, &at, &tag))
        count++;
    if (count == 0)
        return 0;
    tags = arena_try(arena, (size_t)count, sizeof *tags);
    if (tags == NULL)
        return fail_memory(err);
    at = NULL;
    for (i = 0; log_record_tag(record, &at, &tag); i++) {
        tags[i].name = copy_text(arena, tag.name);
        tags[i].value = copy_text(arena, tag.value);
        if (tags[i].name == NULL || tags[i].value == NULL)
            return fail_memory(err);
    }
    out->tags = tags;
    out->tag_count = count;
    return 0;
}

int hit_fill(struct generation *generation, int64_t slot, float distance,
             struct arena *arena, struct vec_hit *out, struct err *err)
{
    struct log_record record;
    struct vec_hit hit = {.id = generation_slot(generation, slot)->id,
                          .distance = distance};
    int rc = generation_record(generation, slot, &record, err);

    if (rc)
        return rc;
    hit.key = copy_text(arena, record.key);
    hit.path = copy_text(arena, record.path);
    if (hit.key == NULL || hit.path == NULL)
        return fail_memory(err);
    rc = copy_tags(&record, arena, &hit, err);
    if (rc == 0)
        *out = hit;
    return rc;
}

static int copy_row(struct generation *generation, int64_t slot, float *out,
                    struct err *err)
{
    const float *row = NULL;
    int rc = codes_row(generation->codes, slot, &row, err);

    if (rc == 0)
        memcpy(out, (const void *)row,
               (size_t)codes_dim(generation->codes) * sizeof *out);
    return rc;
}

int vecengine_get(void *self, int64_t id, struct arena *arena,
                  struct vec_hit *out, float *out_vector, struct err *err)
{
    struct vecengine *engine = self;
    struct engine_view view;
    struct vec_hit hit = {0};
    int64_t slot;
    int rc;

    vecengine_take(engine, &view);
    rc = log_file_check_len(view.generation->log, err);
    if (rc)
        goto out;
    slot = generation_find_id(view.generation, id, INT64_MAX);
    if (slot == SLOT_NONE) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no entry %lld",
                     (long long)id);
        goto out;
    }
    rc = hit_fill(view.generation, slot, 0, arena, &hit, err);
    if (rc == 0 && out_vector != NULL)
        rc = copy_row(view.generation, slot, out_vector, err);
    if (rc == 0)
        *out = hit;
out:
    vecengine_give(engine, &view);
    return rc;
}

/* --- list ------------------------------------------------------------- */

/* The lowest ids after `after`, as many as `nearest` takes. Rows that come
 * meanwhile are looked at too: they may replace what was not yet looked at. An
 * entry that is being replaced may be there twice. */
static void find_lowest(struct engine_view *view, int64_t after,
                        struct nearest *nearest)
{
    const struct generation *generation = view->generation;
    int64_t slot = 0;

    do {
        view->count =
            atomic_load_explicit(&generation->count, memory_order_acquire);
        for (; slot < view->count; slot++) {
            const struct near hit = {.id =
                                         generation_slot(generation, slot)->id};

            if (hit.id > after && !slot_is_removed(&generation->removed, slot))
                nearest_offer(nearest, &hit);
        }
    } while (view->count !=
             atomic_load_explicit(&generation->count, memory_order_acquire));
    nearest_sort(nearest);
}

/* The hits of a page of at most `max`; *out_count: how many, *out_is_whole:
 * nothing that was found to be gone or there twice has taken their room. */
static int fill_page(const struct engine_view *view,
                     const struct nearest *nearest, struct arena *arena,
                     struct vec_hit *hits, int max, int *out_count,
                     float *out_vectors, bool *out_is_whole, struct err *err)
{
    struct generation *generation = view->generation;
    size_t dim = (size_t)codes_dim(generation->codes);
    int i, count = 0, rc = 0;

    for (i = 0; rc == 0 && i < nearest->count && count < max; i++) {
        int64_t id = nearest->hits[i].id, slot;

        /* One that was removed since is left out. */
        slot = generation_find_id(generation, id, INT64_MAX);
        if (slot == SLOT_NONE || (i > 0 && nearest->hits[i - 1].id == id))
            continue;
        rc = hit_fill(generation, slot, 0, arena, &hits[count], err);
        if (rc == 0 && out_vectors != NULL)
            rc = copy_row(generation, slot, out_vectors + (size_t)count * dim,
                          err);
        count++;
    }
    *out_count = count;
    *out_is_whole = count == max || nearest->count < nearest->k;
    return rc;
}

int vecengine_list(void *self, int64_t after, int max, struct arena *arena,
                   struct vec_hits *out, float *out_vectors, struct err *err)
{
    struct vecengine *engine = self;
    struct vec_hit *hits = arena_try(arena, (size_t)max, sizeof *hits);
    bool is_whole = false;
    int room, count = 0, rc = 0;

    if (hits == NULL)
        return fail_memory(err);
    /* A short page means the end, so one that writers have made short is taken
     * again, from more. */
    for (room = max; rc == 0 && !is_whole; room *= 2) {
        struct nearest nearest = {.k = room};
        struct engine_view view;

        nearest.hits = mem_try((size_t)room, sizeof *nearest.hits);
        if (nearest.hits == NULL)
            return fail_memory(err);
        vecengine_take(engine, &view);
        rc = log_file_check_len(view.generation->log, err);
        if (rc == 0)
            find_lowest(&view, after, &nearest);
        if (rc == 0)
            rc = fill_page(&view, &nearest, arena, hits, max, &count,
                           out_vectors, &is_whole, err);
        vecengine_give(engine, &view);
        mem_free(nearest.hits);
    }
    if (rc == 0)
        *out = (struct vec_hits){hits, count, true};
    return rc;
}
