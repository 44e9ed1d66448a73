/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/parallel.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

enum { THREADS_MAX = 256 };

struct shared {
    parallel_fn *fn;
    void *user;
    int64_t count, step;
    atomic_llong next; /* relaxed: it only hands out numbers; joining a thread
                        * makes its work visible */
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    int number;
    bool is_started;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    int64_t begin, end;

    for (;;) {
        begin = atomic_fetch_add_explicit(&shared->next, shared->step,
                                          memory_order_relaxed);
        if (begin >= shared->count)
            return NULL;
        end = shared->count - begin < shared->step ? shared->count
                                                   : begin + shared->step;
        shared->fn(shared->user, worker->number, begin, end);
    }
}

void parallel_run(int thread_count, int64_t count, int64_t step,
                  parallel_fn *fn, void *user)
{
    struct shared shared = {
        .fn = fn, .user = user, .count = count, .step = step};
    struct worker workers[THREADS_MAX];
    int i;

    assert(thread_count >= 1 && thread_count <= THREADS_MAX);
    assert(step >= 1);
    for (i = 0; i < thread_count; i++)
        workers[i] = (struct worker){.shared = &shared, .number = i};
    for (i = 1; i < thread_count; i++)
        workers[i].is_started =
            pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
    work(&workers[0]);
    for (i = 1; i < thread_count; i++)
        if (workers[i].is_started)
            pthread_join(workers[i].thread, NULL);
}

int parallel_threads(int wanted)
{
    long count = wanted > 0 ? wanted : sysconf(_SC_NPROCESSORS_ONLN);

    return count < 1 ? 1 : count > THREADS_MAX ? THREADS_MAX : (int)count;
}
