/* SPDX-License-Identifier: Apache-2.0 */
/* base/work.c once more, under other names and with a pthread_create that
 * fails when told. */
#include "test.h"

#include <errno.h>
#include <pthread.h>

static int threads_left;

static int create_or_fail(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *argument)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left--;
    return pthread_create(thread, attributes, run, argument);
}

#define work_new short_work_new
#define work_add short_work_add
#define work_waiting short_work_waiting
#define work_running short_work_running
#define work_drain short_work_drain
#define work_free short_work_free
#define pthread_create create_or_fail
#include "base/work.c"

TEST(work_new_that_gets_too_few_threads_ends_those_it_got)
{
    struct work_pool *pool = NULL;
    struct err err = {0};

    for (threads_left = 0; threads_left < 4;) {
        int before = threads_left;

        CHECK_ERR(work_new("short", 5, 10, &pool, &err), ERR_UNAVAILABLE);
        CHECK_HAS(err.text, "of 5");
        CHECK(pool == NULL);
        CHECK_INT(threads_left, 0);
        threads_left = before + 1;
        err = (struct err){0};
    }
    threads_left = 5;
    CHECK_OK(work_new("short", 5, 10, &pool, &err), err);
    work_free(pool);
}
