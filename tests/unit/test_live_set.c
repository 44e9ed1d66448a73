/* SPDX-License-Identifier: Apache-2.0 */
/* Includes the source, under other names, to stand where another thread would:
 * between the beginning and the end of an opening. */
#define live_set_new own_live_set_new
#define live_set_free own_live_set_free
#define live_set_acquire own_live_set_acquire
#define live_set_release own_live_set_release
#include "models/live_set.c"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "set_fixture.h"

enum { DIM = 8, COUNT = 100, THREADS = 4, PATIENCE_S = 120 };

static const int64_t hour_us = 3600LL * 1000 * 1000;

static const struct vec_options flat = {
    .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_FLAT};
static const struct vec_options product = {
    .dim = DIM, .metric = VECINDEX_IP, .type = VECINDEX_FLAT};
static const struct vec_options wider = {.dim = DIM + 1, .metric = VECINDEX_L2};
static const struct vec_options searching = {.dim = DIM, .model = "ours 1"};

static void make(const char *name, const struct vec_options *options, int count)
{
    struct vecstore *store = set_open(set_file(name), VEC_WRITE, options);
    struct err err = {0};

    CHECK_OK(set_put(store, 0, count, 1, options->dim, true, &err), err);
    vecstore_close(store);
}

/* As an operator does it: removed, and made anew. */
static void make_anew(const char *name, const struct vec_options *options,
                      int count)
{
    struct err err = {0};

    CHECK_OK(vecstore_drop(set_file(name), &(struct vec_options){0}, &err),
             err);
    make(name, options, count);
}

static struct live_set *set_new(void)
{
    static char path[256];

    snprintf(path, sizeof path, "%s", set_file("x"));
    return live_set_new(path, &searching);
}

/* The file y takes the place of x. */
static void take_place(void)
{
    char from[256];

    snprintf(from, sizeof from, "%s", set_file("y"));
    CHECK_INT(rename(from, set_file("x")), 0);
}

static struct live_store *get(struct live_set *set)
{
    struct live_store *live = NULL;
    struct err err = {0};

    CHECK_OK(live_set_acquire(set, &live, &err), err);
    CHECK(live != NULL);
    return live;
}

static void check_is(struct live_set *set, enum vecindex_metric metric,
                     int count)
{
    struct live_store *live = get(set);
    struct vec_info info = set_info(live->store);

    CHECK_INT(info.metric, metric);
    CHECK_INT(info.count, count);
    live_set_release(set, live);
}

static void check_refused(struct live_set *set, enum err_code code,
                          const char *part)
{
    struct live_store *live = NULL;
    struct err err = {0};

    CHECK_ERR(live_set_acquire(set, &live, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(live == NULL);
}

/* --- what is there -------------------------------------------------------- */

TEST(live_set_is_nothing_until_it_appears_and_stays_when_it_is_removed)
{
    struct live_set *set = set_new();
    struct live_store *live = NULL;
    struct err err = {0};

    CHECK_OK(live_set_acquire(set, &live, &err), err);
    CHECK(live == NULL);
    make("x", &flat, COUNT);
    check_is(set, VECINDEX_L2, COUNT);
    CHECK_OK(vecstore_drop(set_file("x"), &flat, &err), err);
    check_is(set, VECINDEX_L2, COUNT);
    live_set_free(set);
}

TEST(live_set_takes_a_set_that_was_made_anew_with_another_metric)
{
    struct live_set *set = set_new();
    struct live_store *old = NULL;
    struct err err = {0};

    make("x", &flat, COUNT);
    old = get(set);
    make_anew("x", &product, COUNT + 1);
    check_is(set, VECINDEX_IP, COUNT + 1);
    /* Who was searching goes on until it has ended. */
    CHECK_OK(set_look(old->store, COUNT - 1, 1, DIM, &err), err);
    CHECK_INT(set_info(old->store).metric, VECINDEX_L2);
    live_set_release(set, old);
    check_is(set, VECINDEX_IP, COUNT + 1);
    live_set_free(set);
}

TEST(live_set_goes_by_settings_that_a_writer_changed)
{
    static const struct vec_options half = {.dim = DIM, .storage = VEC_FLOAT16};
    struct live_set *set = set_new();
    struct live_store *live = NULL;

    make("x", &flat, COUNT);
    check_is(set, VECINDEX_L2, COUNT);
    vecstore_close(set_open(set_file("x"), VEC_WRITE, &half));
    live = get(set);
    CHECK_INT(set_info(live->store).storage, VEC_FLOAT16);
    live_set_release(set, live);
    live_set_free(set);
}

TEST(live_set_says_what_does_not_fit_and_recovers_by_itself)
{
    struct vec_options other = flat;
    struct live_set *set = set_new();

    make("x", &flat, COUNT);
    check_is(set, VECINDEX_L2, COUNT);
    make_anew("x", &wider, COUNT);
    check_refused(set, ERR_CONFLICT, "vectors of 9 floats; not 8");
    other.model = "theirs 2";
    make_anew("x", &other, COUNT);
    check_refused(set, ERR_CONFLICT, "model 'theirs 2'; not 'ours 1'");
    make_anew("x", &product, COUNT);
    check_is(set, VECINDEX_IP, COUNT);
    make_anew("x", &wider, COUNT);
    check_refused(set, ERR_CONFLICT, "vectors of 9 floats; not 8");
    make_anew("x", &product, COUNT + 2);
    check_is(set, VECINDEX_IP, COUNT + 2);
    live_set_free(set);
}

/* --- beside another thread ------------------------------------------------ */

TEST(live_set_keeps_nobody_waiting_while_another_thread_opens_what_is_new)
{
    struct live_set *set = set_new();
    struct live_store *live = NULL, *fresh = NULL;
    struct err err = {0};

    make("x", &flat, COUNT);
    live = get(set);
    make_anew("x", &product, COUNT + 1);
    /* The other thread is at it; a wait for it would have no end. */
    alarm(PATIENCE_S);
    CHECK_INT(begin_opening(set, live, true), OPEN_IT);
    check_is(set, VECINDEX_L2, COUNT);
    CHECK_OK(open_it(set, &(struct file_state){0}, &fresh, &err), err);
    check_is(set, VECINDEX_IP, COUNT + 1);
    live_set_release(set, fresh);
    live_set_release(set, live);
    live_set_free(set);
}

struct crowd {
    struct live_set *set;
    _Atomic bool is_over;
    _Atomic int failed, met[2]; /* metrics */
};

static void *search_on(void *argument)
{
    struct crowd *crowd = argument;
    struct live_store *live = NULL;
    struct err err = {0};

    while (!crowd->is_over && crowd->failed == 0) {
        if (live_set_acquire(crowd->set, &live, &err) != 0 || live == NULL ||
            set_look(live->store, 7, 1, DIM, &err) != 0) {
            fprintf(stderr, "%s\n", err.text);
            crowd->failed++;
            return NULL;
        }
        crowd->met[set_info(live->store).metric == VECINDEX_IP]++;
        live_set_release(crowd->set, live);
    }
    return NULL;
}

/* What an operator does that no search may notice: the new set has the place of
 * the old at once. */
TEST(live_set_is_searched_by_many_while_it_is_made_anew_again_and_again)
{
    struct crowd crowd = {.set = set_new()};
    pthread_t threads[THREADS];
    int i, rounds = set_rounds(20), before;

    make("x", &flat, COUNT);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, search_on, &crowd), 0);
    for (i = 1; i <= rounds; i++) {
        before = crowd.met[i % 2];
        make("y", i % 2 == 1 ? &product : &flat, COUNT);
        take_place();
        while (crowd.met[i % 2] == before && crowd.failed == 0)
            sched_yield();
    }
    crowd.is_over = true;
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(crowd.failed, 0);
    CHECK(crowd.met[0] > 0 && crowd.met[1] > 0);
    live_set_free(crowd.set);
}

static void *acquire_once(void *argument)
{
    struct crowd *crowd = argument;
    struct live_store *live = NULL;
    struct err err = {0};

    if (live_set_acquire(crowd->set, &live, &err) != 0 || live == NULL)
        crowd->failed++;
    else
        live_set_release(crowd->set, live);
    return NULL;
}

TEST(live_set_is_opened_once_for_all_who_come_first)
{
    struct crowd crowd = {.set = set_new()};
    struct live_store *live = NULL;
    pthread_t threads[THREADS];
    struct err err = {0};
    int i;

    make("x", &flat, COUNT);
    CHECK_INT(begin_opening(crowd.set, NULL, false), OPEN_IT);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, acquire_once, &crowd), 0);
    CHECK_OK(open_it(crowd.set, &(struct file_state){0}, &live, &err), err);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(crowd.failed, 0);
    CHECK(crowd.set->current == live);
    CHECK_INT(live->ref_count, 2);
    live_set_release(crowd.set, live);
    live_set_free(crowd.set);
}

/* --- what fails ----------------------------------------------------------- */

/* Which time it is for the failure, whose second is not waited for. */
static void shift(struct live_set *set, int64_t by_us)
{
    CHECK(set->failure.failed_us != 0);
    set->failure.failed_us = clock_us() + by_us;
}

TEST(live_set_does_not_read_a_damaged_file_for_each_who_comes)
{
    struct live_set *set = set_new();

    make("x", &flat, COUNT);
    set_flip(set_file("x"), 300);
    check_refused(set, ERR_CORRUPT, set_file("x"));
    shift(set, hour_us);
    set_flip(set_file("x"), 300);
    check_refused(set, ERR_CORRUPT, set_file("x"));
    shift(set, -hour_us);
    check_is(set, VECINDEX_L2, COUNT);
    CHECK_INT(set->failure.failed_us, 0);
    live_set_free(set);
}

TEST(live_set_reads_a_damaged_file_at_once_when_it_has_changed)
{
    struct live_set *set = set_new();
    const struct timespec times[] = {{.tv_sec = 1}, {.tv_sec = 1}};

    make("x", &flat, COUNT);
    set_flip(set_file("x"), 300);
    check_refused(set, ERR_CORRUPT, set_file("x"));
    shift(set, hour_us);
    set_flip(set_file("x"), 300);
    CHECK_INT(utimensat(AT_FDCWD, set_file("x"), times, 0), 0);
    check_is(set, VECINDEX_L2, COUNT);
    live_set_free(set);
}

TEST(live_set_tells_all_others_the_same_while_one_tries_again)
{
    struct live_set *set = set_new();
    struct live_store *live = NULL;
    struct file_state state;
    struct err err = {0};
    bool is_retry = false;

    make("x", &flat, COUNT);
    set_flip(set_file("x"), 300);
    check_refused(set, ERR_CORRUPT, set_file("x"));
    shift(set, -hour_us);
    state = look(set);
    CHECK_OK(take(set, &state, &live, &is_retry, &err), err);
    CHECK(live == NULL && is_retry);
    CHECK(clock_us() - set->failure.failed_us < hour_us / 2);
    live_set_free(set);
}

TEST(live_set_does_not_read_damage_that_took_its_place_for_each_who_comes)
{
    struct live_set *set = set_new();

    make("x", &flat, COUNT);
    check_is(set, VECINDEX_L2, COUNT);
    make("y", &flat, COUNT + 1);
    set_flip(set_file("y"), 300);
    take_place();
    check_refused(set, ERR_CORRUPT, set_file("x"));
    shift(set, hour_us);
    set_flip(set_file("x"), 300);
    check_refused(set, ERR_CORRUPT, set_file("x"));
    shift(set, -hour_us);
    check_is(set, VECINDEX_L2, COUNT + 1);
    CHECK_INT(set->failure.failed_us, 0);
    live_set_free(set);
}
