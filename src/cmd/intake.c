/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/intake.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum { GROUP_LEN_MAX = 64 << 20, ARENA_LEN_MAX = 256 << 20 };

struct waiting {
    int64_t number;
    enum intake_outcome outcome;
    struct err why; /* of INTAKE_FAILED */
};

struct intake {
    struct vecstore *store;
    struct vec_info info;
    intake_fn *fn;
    void *user;
    int cap, count;
    float *vectors;            /* owned; cap * dim */
    struct vec_entry *entries; /* owned */
    struct waiting *waiting;   /* owned; of each entry */
    struct arena *arena;       /* of their texts */
    int64_t counts[INTAKE_OUTCOMES];
};

typedef int write_fn(struct vecstore *store, const struct vec_entry *entries,
                     int count, int64_t *out_ids, struct err *err);

int intake_new(struct vecstore *store, int group_max, intake_fn *fn, void *user,
               struct intake **out, struct err *err)
{
    struct intake *intake = mem_new(sizeof *intake);
    size_t row_len, cap;
    int rc;

    assert(group_max >= 1 && group_max <= VEC_BATCH_MAX);
    intake->store = store;
    intake->fn = fn;
    intake->user = user;
    intake->arena = arena_new(ARENA_LEN_MAX);
    rc = vecstore_info(store, &intake->info, err);
    if (rc)
        goto fail;
    row_len = (size_t)intake->info.dim * sizeof(float);
    cap = GROUP_LEN_MAX / row_len;
    intake->cap = cap > (size_t)group_max ? group_max : (int)cap;
    intake->vectors = mem_try((size_t)intake->cap, row_len);
    intake->entries = mem_try((size_t)intake->cap, sizeof *intake->entries);
    intake->waiting = mem_try((size_t)intake->cap, sizeof *intake->waiting);
    if (intake->vectors == NULL || intake->entries == NULL ||
        intake->waiting == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %d entries",
                     intake->cap);
        goto fail;
    }
    *out = intake;
    return 0;
fail:
    intake_free(intake);
    return rc;
}

void intake_free(struct intake *intake)
{
    if (intake == NULL)
        return;
    mem_free(intake->vectors);
    mem_free(intake->entries);
    mem_free(intake->waiting);
    arena_free(intake->arena);
    mem_free(intake);
}

int intake_waiting(const struct intake *intake)
{
    return intake->count;
}

int64_t intake_count(const struct intake *intake, enum intake_outcome outcome)
{
    return intake->counts[outcome];
}

/* --- writing -------------------------------------------------------------- */

/* Whether an error is of the entries, so that others may go in. */
static bool is_of_entry(int rc)
{
    return rc == ERR_INVALID || rc == ERR_CONFLICT || rc == ERR_TOO_LARGE;
}

/* Writes a range; when something in it is wrong, its halves, down to the
 * entries that are. */
static int write_range(struct intake *intake, write_fn *write, int first,
                       int count, enum intake_outcome fine, struct err *err)
{
    struct err own = {0};
    int i,
        rc = write(intake->store, intake->entries + first, count, NULL, &own);

    if (rc == 0) {
        for (i = first; i < first + count; i++) {
            intake->waiting[i].outcome = fine;
            intake->waiting[i].why.code = ERR_OK;
            intake->waiting[i].why.text[0] = '\0';
        }
        return 0;
    }
    if (!is_of_entry(rc)) {
        *err = own;
        return rc;
    }
    if (count == 1) {
        intake->waiting[first].outcome = INTAKE_FAILED;
        intake->waiting[first].why = own;
        return 0;
    }
    rc = write_range(intake, write, first, count / 2, fine, err);
    if (rc)
        return rc;
    return write_range(intake, write, first + count / 2, count - count / 2,
                       fine, err);
}

static bool is_there_already(const struct waiting *waiting)
{
    return waiting->outcome == INTAKE_FAILED &&
           waiting->why.code == ERR_CONFLICT;
}

/* Replaces what could not be added because it is there. */
static int replace(struct intake *intake, struct err *err)
{
    int first, end, rc = 0;

    for (first = 0; rc == 0 && first < intake->count; first = end + 1) {
        for (end = first;
             end < intake->count && is_there_already(&intake->waiting[end]);)
            end++;
        if (end > first)
            rc = write_range(intake, vecstore_upsert, first, end - first,
                             INTAKE_REPLACED, err);
    }
    return rc;
}

static void tell(struct intake *intake)
{
    int i;

    for (i = 0; i < intake->count; i++) {
        const struct waiting *waiting = &intake->waiting[i];

        intake->counts[waiting->outcome]++;
        intake->fn(intake->user, &intake->entries[i], waiting->number,
                   waiting->outcome, &waiting->why);
    }
    intake->count = 0;
    arena_reset(intake->arena);
}

/* A server is asked less: it would take a call for each half to find out
 * which entries it has. */
int intake_flush(struct intake *intake, struct err *err)
{
    int rc;

    if (intake->count == 0)
        return 0;
    if (strcmp(intake->info.backend, "olho") != 0) {
        rc = write_range(intake, vecstore_upsert, 0, intake->count,
                         INTAKE_WRITTEN, err);
    } else {
        rc = write_range(intake, vecstore_add, 0, intake->count, INTAKE_ADDED,
                         err);
        if (rc == 0)
            rc = replace(intake, err);
    }
    if (rc == 0)
        tell(intake);
    return rc;
}

/* --- taking --------------------------------------------------------------- */

static const char *copy_text(struct intake *intake, const char *text,
                             bool *is_short)
{
    const char *copy;

    if (text == NULL)
        return NULL;
    copy = arena_text(intake->arena, text, strlen(text));
    *is_short |= copy == NULL;
    return copy;
}

static int copy_entry(struct intake *intake, const struct vec_entry *entry,
                      struct vec_entry *out, struct err *err)
{
    size_t dim = (size_t)intake->info.dim;
    float *vector = intake->vectors + (size_t)intake->count * dim;
    struct vec_tag *tags =
        arena_try(intake->arena, (size_t)entry->tag_count, sizeof *tags);
    bool is_short = tags == NULL && entry->tag_count > 0;
    int i;

    memcpy(vector, entry->vector, dim * sizeof *vector);
    *out = (struct vec_entry){
        .id = entry->id,
        .vector = vector,
        .key = copy_text(intake, entry->key, &is_short),
        .path = copy_text(intake, entry->path, &is_short),
        .tags = tags,
        .tag_count = entry->tag_count,
    };
    for (i = 0; !is_short && i < entry->tag_count; i++) {
        tags[i].name = copy_text(intake, entry->tags[i].name, &is_short);
        tags[i].value = copy_text(intake, entry->tags[i].value, &is_short);
    }
    return is_short ? err_set(err, ERR_UNAVAILABLE, "no memory for an entry")
                    : 0;
}

int intake_add(struct intake *intake, const struct vec_entry *entry, int dim,
               int64_t number, struct err *err)
{
    struct err why = {0};
    int rc;

    if (dim != intake->info.dim) {
        err_set(&why, ERR_INVALID,
                "the vector has %d values; those of the index have %d", dim,
                intake->info.dim);
        intake->counts[INTAKE_FAILED]++;
        intake->fn(intake->user, entry, number, INTAKE_FAILED, &why);
        return 0;
    }
    rc = copy_entry(intake, entry, &intake->entries[intake->count], err);
    if (rc)
        return rc;
    intake->waiting[intake->count++] = (struct waiting){.number = number};
    return intake->count == intake->cap ? intake_flush(intake, err) : 0;
}
