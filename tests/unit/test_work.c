/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/work.h"

enum { JOBS_MAX = 1000 };

/* A gate that jobs wait at, so that a test decides when a thread is busy. */
struct gate {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    int arrived;
    bool is_open;
};

static void gate_init(struct gate *gate)
{
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->changed, NULL);
    gate->arrived = 0;
    gate->is_open = false;
}

static void gate_pass(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->arrived++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->is_open)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

static void gate_wait_for(struct gate *gate, int count)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->arrived < count)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->is_open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

/* A job that notes what became of it. */
struct note {
    struct work_job job; /* first: a job is its note */
    struct gate *gate;   /* NULL: does not wait */
    atomic_int runs;
    enum work_outcome outcome;
    int place; /* in the order of all runs */
};

static atomic_int next_place;

static void run_note(struct work_job *job, enum work_outcome outcome)
{
    struct note *note = (struct note *)job;

    note->outcome = outcome;
    note->place = atomic_fetch_add(&next_place, 1);
    if (note->gate != NULL && outcome == WORK_RUN)
        gate_pass(note->gate);
    atomic_fetch_add(&note->runs, 1);
}

static void note_init(struct note *note, struct gate *gate)
{
    *note = (struct note){.job = {.run = run_note}, .gate = gate};
}

static struct work_pool *pool_of(int threads, int queue_max)
{
    struct work_pool *pool = NULL;
    struct err err = {0};

    atomic_store(&next_place, 0);
    CHECK_OK(work_new("test", threads, queue_max, &pool, &err), err);
    return pool;
}

static void add(struct work_pool *pool, struct note *note)
{
    struct err err = {0};

    CHECK_OK(work_add(pool, &note->job, &err), err);
}

/* Long enough never to pass in a test, so nothing is timed by it. */
static int64_t far_away(void)
{
    return clock_us() + (int64_t)3600 * 1000000;
}

TEST(work_runs_each_job_once_on_several_threads)
{
    static struct note notes[JOBS_MAX];
    struct work_pool *pool = pool_of(4, JOBS_MAX);
    int i;

    for (i = 0; i < JOBS_MAX; i++) {
        note_init(&notes[i], NULL);
        add(pool, &notes[i]);
    }
    CHECK(work_drain(pool, far_away()));
    CHECK_INT(work_waiting(pool), 0);
    CHECK_INT(work_running(pool), 0);
    work_free(pool);
    for (i = 0; i < JOBS_MAX; i++) {
        CHECK_INT(notes[i].runs, 1);
        CHECK_INT(notes[i].outcome, WORK_RUN);
    }
}

TEST(work_keeps_the_order_of_its_queue)
{
    struct work_pool *pool = pool_of(1, 100);
    struct note notes[50];
    int i;

    for (i = 0; i < 50; i++) {
        note_init(&notes[i], NULL);
        add(pool, &notes[i]);
    }
    CHECK(work_drain(pool, far_away()));
    work_free(pool);
    for (i = 0; i < 50; i++)
        CHECK_INT(notes[i].place, i);
}

TEST(work_refuses_a_job_when_the_queue_is_full)
{
    struct work_pool *pool = pool_of(1, 2);
    struct note busy, waiting[2], refused;
    struct err err = {0};
    struct gate gate;

    gate_init(&gate);
    note_init(&busy, &gate);
    note_init(&waiting[0], NULL);
    note_init(&waiting[1], NULL);
    note_init(&refused, NULL);
    add(pool, &busy);
    gate_wait_for(&gate, 1);
    add(pool, &waiting[0]);
    add(pool, &waiting[1]);
    CHECK_INT(work_running(pool), 1);
    CHECK_INT(work_waiting(pool), 2);
    CHECK_ERR(work_add(pool, &refused.job, &err), ERR_BUSY);
    CHECK_TEXT(err.text, "2 requests wait already; at most 2 may");
    gate_open(&gate);
    CHECK(work_drain(pool, far_away()));
    work_free(pool);
    CHECK_INT(refused.runs, 0);
    CHECK_INT(waiting[1].runs, 1);
}

TEST(work_tells_a_job_that_its_deadline_passed_while_it_waited)
{
    struct work_pool *pool = pool_of(1, 10);
    struct note busy, late, in_time;
    struct gate gate;

    gate_init(&gate);
    note_init(&busy, &gate);
    note_init(&late, NULL);
    note_init(&in_time, NULL);
    late.job.deadline_us = clock_us();
    in_time.job.deadline_us = far_away();
    add(pool, &busy);
    gate_wait_for(&gate, 1);
    add(pool, &late);
    add(pool, &in_time);
    gate_open(&gate);
    CHECK(work_drain(pool, far_away()));
    work_free(pool);
    CHECK_INT(late.outcome, WORK_EXPIRED);
    CHECK_INT(late.runs, 1);
    CHECK_INT(in_time.outcome, WORK_RUN);
}

TEST(work_drain_gives_up_at_its_deadline_and_refuses_new_jobs)
{
    struct work_pool *pool = pool_of(1, 10);
    struct note busy, refused;
    struct err err = {0};
    struct gate gate;

    gate_init(&gate);
    note_init(&busy, &gate);
    note_init(&refused, NULL);
    add(pool, &busy);
    gate_wait_for(&gate, 1);
    CHECK(!work_drain(pool, clock_us()));
    CHECK_ERR(work_add(pool, &refused.job, &err), ERR_BUSY);
    CHECK_TEXT(err.text, "the server is stopping");
    gate_open(&gate);
    CHECK(work_drain(pool, far_away()));
    work_free(pool);
    CHECK_INT(busy.runs, 1);
    CHECK_INT(refused.runs, 0);
}

static void *free_pool(void *pool)
{
    work_free(pool);
    return NULL;
}

/* Returns once the pool is ending: it then refuses jobs. */
static void wait_until_ending(struct work_pool *pool, struct gate *gate,
                              struct note *probes, int *added)
{
    struct err err = {0};

    for (;;) {
        struct note *probe = &probes[*added];

        note_init(probe, NULL);
        if (work_add(pool, &probe->job, &err) != 0 &&
            strcmp(err.text, "the server is stopping") == 0)
            break;
        if (err.code == ERR_OK && *added < JOBS_MAX - 1)
            (*added)++;
        err = (struct err){0};
    }
    gate_open(gate);
}

TEST(work_free_ends_waiting_jobs_as_stopped)
{
    static struct note probes[JOBS_MAX];
    struct work_pool *pool = pool_of(1, 100);
    struct note busy, waiting;
    pthread_t ending;
    struct gate gate;
    int added = 0, i;

    gate_init(&gate);
    note_init(&busy, &gate);
    note_init(&waiting, NULL);
    add(pool, &busy);
    gate_wait_for(&gate, 1);
    add(pool, &waiting);
    CHECK_INT(pthread_create(&ending, NULL, free_pool, pool), 0);
    wait_until_ending(pool, &gate, probes, &added);
    pthread_join(ending, NULL);
    CHECK_INT(busy.outcome, WORK_RUN);
    CHECK_INT(waiting.outcome, WORK_STOPPED);
    CHECK_INT(waiting.runs, 1);
    for (i = 0; i < added; i++)
        CHECK_INT(probes[i].runs, 1);
    work_free(NULL);
}

/* A job that queues another one from its own thread. */
struct chain {
    struct work_job job;
    struct work_pool *pool;
    struct note *next;
};

static void add_next(struct work_job *job, enum work_outcome outcome)
{
    struct chain *chain = (struct chain *)job;
    struct err err = {0};

    if (outcome == WORK_RUN && work_add(chain->pool, &chain->next->job, &err))
        chain->next = NULL;
}

TEST(work_lets_a_job_queue_another_one)
{
    struct work_pool *pool = pool_of(1, 1);
    struct chain chain = {.job = {.run = add_next}, .pool = pool};
    struct note next;
    struct err err = {0};
    struct gate gate;

    gate_init(&gate);
    note_init(&next, &gate);
    chain.next = &next;
    CHECK_OK(work_add(pool, &chain.job, &err), err);
    gate_wait_for(&gate, 1);
    gate_open(&gate);
    CHECK(work_drain(pool, far_away()));
    work_free(pool);
    CHECK(chain.next == &next);
    CHECK_INT(next.runs, 1);
}

struct named {
    struct work_job job;
    char name[16];
};

static void note_name(struct work_job *job, enum work_outcome outcome)
{
    struct named *named = (struct named *)job;

    (void)outcome;
    pthread_getname_np(pthread_self(), named->name, sizeof named->name);
}

TEST(work_names_its_threads)
{
    struct named named = {.job = {.run = note_name}};
    struct work_pool *pool = pool_of(1, 1);
    struct err err = {0};

    CHECK_OK(work_add(pool, &named.job, &err), err);
    CHECK(work_drain(pool, far_away()));
    work_free(pool);
    CHECK_TEXT(named.name, "test");
}
