/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "image/recent.h"

static struct recent *open_recent(int count_max)
{
    struct recent *recent = NULL;
    struct err err = {0};

    CHECK_OK(recent_open(count_max, &recent, &err), err);
    return recent;
}

TEST(recent_finds_the_nearest_within_the_distance)
{
    struct recent *recent = open_recent(8);
    struct recent_match match;

    recent_find(recent, 0, "new", 64, &match);
    CHECK_INT(match.distance, -1);
    recent_add(recent, 0xff, "eight");
    recent_add(recent, 0x07, "three");
    recent_find(recent, 0, "new", 8, &match);
    CHECK_INT(match.distance, 3);
    CHECK_TEXT(match.name, "three");
    recent_find(recent, 0, "new", 2, &match);
    CHECK_INT(match.distance, -1);
    recent_find(recent, 0xff, "new", 0, &match);
    CHECK_INT(match.distance, 0);
    CHECK_TEXT(match.name, "eight");
    recent_close(recent);
}

TEST(recent_names_the_newest_of_equals_and_forgets_the_oldest)
{
    struct recent *recent = open_recent(2);
    struct recent_match match;

    recent_add(recent, 1, "first");
    recent_add(recent, 2, "second");
    recent_add(recent, 2, "third");
    recent_find(recent, 2, "new", 0, &match);
    CHECK_TEXT(match.name, "third");
    recent_find(recent, 1, "new", 0, &match);
    CHECK_INT(match.distance, -1);
    recent_close(recent);
}

TEST(recent_does_not_compare_a_request_with_itself)
{
    struct recent *recent = open_recent(2);
    struct recent_match match;

    recent_add(recent, 1, "other");
    recent_add(recent, 2, "same");
    recent_add(recent, 2, "same");
    recent_find(recent, 2, "same", 64, &match);
    CHECK_TEXT(match.name, "other");
    CHECK_INT(match.distance, 2);
    recent_find(recent, 2, "new", 0, &match);
    CHECK_TEXT(match.name, "same");
    recent_close(recent);
}

TEST(recent_cuts_a_name_that_is_too_long)
{
    struct recent *recent = open_recent(1);
    struct recent_match match;
    char name[200];

    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    recent_add(recent, 5, name);
    recent_find(recent, 5, "new", 0, &match);
    CHECK_INT(strlen(match.name), RECENT_NAME_LEN - 1);
    recent_close(recent);
}

enum { THREADS = 4, ROUNDS = 2000 };

/* What is found is whole: hash and name were added together. */
static void *add_and_find(void *state)
{
    struct recent *recent = state;

    for (int i = 0; i < ROUNDS; i++) {
        struct recent_match match;
        char name[32];
        uint64_t hash = (uint64_t)(i % 7);

        snprintf(name, sizeof name, "%d", i % 7);
        recent_add(recent, hash, name);
        recent_find(recent, hash, "new", 0, &match);
        if (match.distance == 0 && strcmp(match.name, name) != 0)
            return (void *)1;
    }
    return NULL;
}

TEST(recent_is_shared_by_threads)
{
    struct recent *recent = open_recent(16);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, add_and_find, recent), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;

        CHECK_INT(pthread_join(threads[i], &failed), 0);
        CHECK(failed == NULL);
    }
    recent_close(recent);
}

TEST(recent_survives_torture)
{
    for (int nth = 1; nth <= 2; nth++) {
        struct recent *recent = NULL;
        struct err err = {0};

        mem_fail_at(nth);
        CHECK_ERR(recent_open(16, &recent, &err), ERR_UNAVAILABLE);
        CHECK(recent == NULL);
    }
    mem_fail_at(0);
}
