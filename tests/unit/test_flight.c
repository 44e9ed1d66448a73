/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cache/flight.h"

enum { FOLLOWERS = 5, PATIENCE_US = 120000000, ROUNDS = 400, THREADS = 4 };

static struct flight *flight;

struct follower {
    pthread_t thread;
    int64_t deadline_us;
    int rc;
    bool is_leader;
    char text[32];
};

/* Begins; who leads ends with "second", which the others then get. */
static void *follow(void *user)
{
    struct follower *follower = user;
    struct bytes second = bytes_of_text("second");
    struct err err = {0};
    struct buf out;

    buf_init(&out, sizeof follower->text - 1);
    follower->rc = flight_begin(flight, "key", follower->deadline_us,
                                &follower->is_leader, &out, &err);
    if (follower->rc == 0 && follower->is_leader)
        flight_end(flight, "key", &second);
    else if (follower->rc == 0)
        snprintf(follower->text, sizeof follower->text, "%s", out.data);
    buf_release(&out);
    return NULL;
}

static void lead(const char *key)
{
    struct err err = {0};
    struct buf out;
    bool is_leader = false;

    buf_init(&out, 10);
    CHECK_OK(flight_begin(flight, key, 0, &is_leader, &out, &err), err);
    CHECK(is_leader);
    CHECK_INT(out.len, 0);
}

static void start(struct follower *followers, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        followers[i] =
            (struct follower){.deadline_us = clock_us() + PATIENCE_US};
        CHECK_INT(
            pthread_create(&followers[i].thread, NULL, follow, &followers[i]),
            0);
    }
}

/* Whether they were in time to wait, or came after the end and led one by one,
 * is the scheduler's choice; both are right. */
static void join(struct follower *followers, int count, const char *first)
{
    int i;

    for (i = 0; i < count; i++)
        pthread_join(followers[i].thread, NULL);
    for (i = 0; i < count; i++) {
        CHECK_INT(followers[i].rc, 0);
        if (!followers[i].is_leader && strcmp(followers[i].text, first) != 0)
            CHECK_TEXT(followers[i].text, "second");
    }
}

TEST(flight_leaders_of_different_keys_do_not_wait)
{
    struct bytes value = bytes_of_text("v");

    flight = flight_new();
    lead("a");
    lead("b");
    flight_end(flight, "a", &value);
    lead("a");
    flight_end(flight, "a", NULL);
    flight_end(flight, "b", &value);
    flight_free(flight);
}

TEST(flight_gives_the_leaders_value_to_those_who_wait)
{
    struct follower followers[FOLLOWERS];
    struct bytes value = bytes_of_text("first");

    flight = flight_new();
    lead("key");
    start(followers, FOLLOWERS);
    flight_end(flight, "key", &value);
    join(followers, FOLLOWERS, "first");
    flight_free(flight);
}

/* Nobody who waits gets a failure, and all get "second" or led to it. */
TEST(flight_lets_the_next_lead_when_the_leader_failed)
{
    struct follower followers[FOLLOWERS];

    flight = flight_new();
    lead("key");
    start(followers, FOLLOWERS);
    flight_end(flight, "key", NULL);
    join(followers, FOLLOWERS, "second");
    flight_free(flight);
}

TEST(flight_ends_the_wait_at_the_deadline)
{
    struct bytes value = bytes_of_text("late");
    struct err err = {0};
    struct buf out;
    bool is_leader = true;

    flight = flight_new();
    lead("key");
    buf_init(&out, 10);
    CHECK_ERR(
        flight_begin(flight, "key", clock_us() + 1000, &is_leader, &out, &err),
        ERR_TIMEOUT);
    CHECK(!is_leader);
    CHECK_INT(out.len, 0);
    flight_end(flight, "key", &value);
    lead("key");
    flight_end(flight, "key", NULL);
    flight_free(flight);
}

/* --- what a waiter gets, with the moment of its coming made certain --------
 */

static struct follower held;
static atomic_bool is_waiting;

static void *say_and_follow(void *user)
{
    (void)user;
    atomic_store(&is_waiting, true);
    follow(&held);
    return NULL;
}

/* Leads, has one come, and ends with text; again until that one did not come
 * too late. is_torture: the first memory that is asked for is refused. */
static void share_with_one(const char *text, bool is_torture)
{
    struct bytes value = bytes_of_text(text);
    int64_t until_us = clock_us() + PATIENCE_US;
    pthread_t thread;
    int i;

    do {
        lead("key");
        atomic_store(&is_waiting, false);
        held = (struct follower){.deadline_us = until_us};
        CHECK_INT(pthread_create(&thread, NULL, say_and_follow, NULL), 0);
        while (!atomic_load(&is_waiting))
            sched_yield();
        for (i = 0; i < 1000; i++)
            sched_yield();
        mem_fail_at(is_torture ? 1 : 0);
        flight_end(flight, "key", &value);
        pthread_join(thread, NULL);
        mem_fail_at(0);
    } while (held.is_leader && clock_us() < until_us);
    CHECK(!held.is_leader);
}

TEST(flight_shares_with_a_waiter)
{
    flight = flight_new();
    share_with_one("first", false);
    CHECK_INT(held.rc, 0);
    CHECK_TEXT(held.text, "first");
    flight_free(flight);
}

TEST(flight_tells_a_waiter_that_its_buffer_is_too_small)
{
    flight = flight_new();
    share_with_one("a text that is longer than the buffer is", false);
    CHECK_ERR(held.rc, ERR_TOO_LARGE);
    flight_free(flight);
}

TEST(torture_flight_shares_nothing_without_memory)
{
    flight = flight_new();
    share_with_one("first", true);
    CHECK_ERR(held.rc, ERR_UNAVAILABLE);
    flight_free(flight);
}

/* --- many at once -------------------------------------------------------- */

static atomic_int computing[8], computed, shared_count;

struct flier {
    pthread_t thread;
    uint32_t random;
    const char *why; /* NULL: all went well */
};

static void *fly(void *user)
{
    struct flier *flier = user;
    uint32_t random = flier->random;
    char key[16];
    int i;

    for (i = 0; i < ROUNDS; i++) {
        struct err err = {0};
        struct buf out;
        bool is_leader = false;
        int n, rc;

        random = random * 1664525u + 1013904223u;
        n = (int)(random >> 29);
        snprintf(key, sizeof key, "key %d", n);
        buf_init(&out, 100);
        rc = flight_begin(flight, key, clock_us() + PATIENCE_US, &is_leader,
                          &out, &err);
        if (rc != 0)
            flier->why = "a wait failed";
        if (rc == 0 && is_leader) {
            struct bytes value = bytes_of_text(key);

            if (atomic_fetch_add(&computing[n], 1) != 0)
                flier->why = "two compute at once";
            sched_yield();
            atomic_fetch_sub(&computing[n], 1);
            atomic_fetch_add(&computed, 1);
            flight_end(flight, key, random & 0x100 ? &value : NULL);
        } else if (rc == 0) {
            if (strcmp(out.data, key) != 0)
                flier->why = "another key's value";
            atomic_fetch_add(&shared_count, 1);
        }
        buf_release(&out);
    }
    return NULL;
}

TEST(flight_has_one_leader_a_key_at_any_moment)
{
    struct flier fliers[THREADS] = {0};
    int i;

    flight = flight_new();
    atomic_store(&computed, 0);
    atomic_store(&shared_count, 0);
    for (i = 0; i < THREADS; i++) {
        fliers[i].random = (uint32_t)i * 77;
        CHECK_INT(pthread_create(&fliers[i].thread, NULL, fly, &fliers[i]), 0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(fliers[i].thread, NULL);
    for (i = 0; i < THREADS; i++) {
        if (fliers[i].why != NULL)
            test_fail(__FILE__, __LINE__, "%s", fliers[i].why);
    }
    CHECK_INT(atomic_load(&computed) + atomic_load(&shared_count),
              THREADS * ROUNDS);
    flight_free(flight);
}
