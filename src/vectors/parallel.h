/* SPDX-License-Identifier: Apache-2.0 */
/* One piece of work over many items, cut up among threads. Thread-safe. */
#ifndef OLHO_VECTORS_PARALLEL_H
#define OLHO_VECTORS_PARALLEL_H

#include <stdint.h>

/* Does the items begin..end-1; worker is 0..thread_count-1, a different one
 * in each of the calls that run at the same time. */
typedef void parallel_fn(void *user, int worker, int64_t begin, int64_t end);

/* Calls fn until all `count` items are done, `step` at most in a call, in
 * their order when thread_count is 1. The caller's thread works too; where a
 * thread cannot be started the others do its part. */
void parallel_run(int thread_count, int64_t count, int64_t step,
                  parallel_fn *fn, void *user);

/* 0: as many as there are processors, up to a limit. */
int parallel_threads(int wanted);

#endif
