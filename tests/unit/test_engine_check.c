/* SPDX-License-Identifier: Apache-2.0 */
/* A check of a set that others work on finds nothing wrong with it. */
#include "set_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "vectors/engine_group.h"
#include "vectors/engine_parts.h"
#include "vectors/vecstore_backend.h"

enum { DIM = 4, COUNT = 2, YIELDS = 20000 };

static const struct vec_options options = {
    .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_FLAT};

/* --- half of a change -----------------------------------------------------
 */

/* A writer that is stopped while it publishes: entry 0 is replaced by a row
 * that is counted, to which the table may lead already, and the old row is not
 * marked yet. It goes on on a thread of its own, once whoever does not wait for
 * it has had time to go wrong. */
struct change {
    struct vecengine *engine;
    bool is_in_table;
    _Atomic bool is_seen;
    struct group group;
    pthread_t thread;
};

static bool is_slot(const void *user, int64_t slot)
{
    return *(const int64_t *)user == slot;
}

static void *end_change(void *argument)
{
    struct change *change = argument;
    int i;

    for (i = 0; i < YIELDS && !change->is_seen; i++)
        sched_yield();
    change->group.generation->count--;
    group_publish(&change->group);
    vecengine_unlead(change->engine);
    return NULL;
}

static void begin_change(struct change *change)
{
    static const struct vec_entry entry = {.id = 0};
    const int64_t old = 0;
    struct generation *generation = NULL;
    struct group *group = &change->group;
    struct engine_slot *slot = NULL;
    struct err err = {0};

    vecengine_lead(change->engine);
    generation = change->engine->current;
    slot = generation_slot(generation, old);
    group_init(group, generation);
    CHECK_OK(group_reserve(group, 1, 1, &err), err);
    group->rows[group->row_count++] = (struct group_row){.id = slot->id,
                                                         .replaced = old,
                                                         .record = slot->record,
                                                         .vector = slot->vector,
                                                         .key = "",
                                                         .entry = &entry};
    group->vectors[0] =
        log_file_find(generation->log, slot->vector, DIM * sizeof(float));
    group->gone[group->gone_count++] = (int32_t)old;
    CHECK_OK(group_prepare(group, &err), err);
    generation->count++;
    if (change->is_in_table)
        slot_table_put(&generation->ids, slot_hash_id(slot->id), COUNT, is_slot,
                       &old);
    CHECK_INT(pthread_create(&change->thread, NULL, end_change, change), 0);
}

/* Once the check knows how many rows there are. */
static int begin_at_first(void *user, int64_t done, int64_t total)
{
    struct change *change = user;

    (void)done;
    (void)total;
    if (change->group.generation == NULL)
        begin_change(change);
    return 0;
}

static struct vecengine *open_two(void)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &options);
    enum vecindex_metric metric;
    void *engine = NULL;
    struct err err = {0};
    int dim = 0;

    CHECK_OK(set_put(store, 0, COUNT, 1, DIM, true, &err), err);
    vecstore_close(store);
    CHECK_OK(vecstore_engine_open(set_file("x"), VEC_WRITE, &options, &engine,
                                  &dim, &metric, &err),
             err);
    return engine;
}

static void end_check(struct change *change, int rc, const struct err *err)
{
    change->is_seen = true;
    pthread_join(change->thread, NULL);
    CHECK_OK(rc, *err);
    group_release(&change->group);
    vecstore_engine.close(change->engine);
}

TEST(engine_check_waits_for_the_mark_of_a_row_that_is_being_replaced)
{
    struct change change = {.engine = open_two(), .is_in_table = true};
    struct err err = {0};
    int rc = vecengine_check(change.engine, begin_at_first, &change, &err);

    end_check(&change, rc, &err);
}

TEST(engine_check_waits_for_the_table_to_lead_to_a_row_that_is_new)
{
    struct change change = {.engine = open_two()};
    struct err err = {0};
    int rc;

    begin_change(&change);
    rc = vecengine_check(change.engine, NULL, NULL, &err);
    end_check(&change, rc, &err);
}
