/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of jobs and the threads that run them.
 *
 * A job belongs to its caller until work_add takes it, and to the pool until
 * its `run` is called, once and exactly once, on one of the pool's threads (or,
 * for jobs that never started, inside work_free). Jobs are linked through
 * themselves, so that queueing takes no memory. Thread-safe. */
#ifndef OLHO_BASE_WORK_H
#define OLHO_BASE_WORK_H

#include <stdint.h>

#include "base/err.h"

enum work_outcome {
    WORK_RUN,     /* do it */
    WORK_EXPIRED, /* its deadline passed while it waited: answer so */
    WORK_STOPPED, /* the pool ends before its turn: answer so */
};

struct work_job;
typedef void work_fn(struct work_job *job, enum work_outcome outcome);

struct work_job {
    work_fn *run;
    int64_t deadline_us;   /* monotonic (clock_us); 0: none */
    struct work_job *next; /* the pool's */
};

struct work_pool;

/* Starts thread_count (1..256) threads named `name` behind a queue of at most
 * queue_max jobs. The caller owns *out. ERR_UNAVAILABLE when a thread cannot
 * start. */
MUST_CHECK int work_new(const char *name, int thread_count, int queue_max,
                        struct work_pool **out, struct err *err);

/* Queues a job. ERR_BUSY when queue_max jobs wait or the pool is stopping; the
 * job then still belongs to the caller. */
MUST_CHECK int work_add(struct work_pool *pool, struct work_job *job,
                        struct err *err);

int work_waiting(struct work_pool *pool); /* jobs in the queue now */
int work_running(struct work_pool *pool); /* jobs on a thread now */

/* Waits until nothing waits or runs, at most until deadline_us; true when it
 * is so. New jobs are refused from the first call on. */
_Bool work_drain(struct work_pool *pool, int64_t deadline_us);

/* Ends the waiting jobs with WORK_STOPPED, waits for those that run, joins
 * the threads. NULL is allowed. */
void work_free(struct work_pool *pool);

#endif
