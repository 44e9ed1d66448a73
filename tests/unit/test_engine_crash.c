/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of a set when its writer is killed: at any moment under load,
 * and between the renames of a compaction. */
#include "set_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

enum {
    DIM = 8,
    WRITERS = 3,
    IDS = 40, /* of each writer, who touches no others */
    COUNT = WRITERS * IDS,
    BATCH_MAX = 8,
    KILLS = 200,
};

static const struct vec_options options = {.dim = DIM,
                                           .metric = VECINDEX_L2,
                                           .type = VECINDEX_HNSW,
                                           .links = 4,
                                           .ef_construction = 16};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 16;
}

/* --- the writer that is killed --------------------------------------------
 */

enum { WILL, DID };

/* From child to parent, before and after each call. */
struct event {
    int what, writer;
    int first, count, version; /* version 0: removed */
};

struct writer {
    struct vecstore *store;
    int fd, number, version;
    uint64_t random;
    int versions[COUNT]; /* as the writer knows its own */
    pthread_t thread;
};

static bool has_none(const struct writer *writer, const struct event *event)
{
    int i;

    for (i = 0; i < event->count; i++)
        if (writer->versions[event->first + i] != 0)
            return false;
    return true;
}

/* Nobody is told of a failure but by the exit status. */
static void tell(const struct writer *writer, struct event *event, int what)
{
    event->what = what;
    if (write(writer->fd, event, sizeof *event) != (ssize_t)sizeof *event)
        _exit(11);
}

static void write_once(struct writer *writer)
{
    struct event event = {.writer = writer->number};
    int place = (int)(next_random(&writer->random) % IDS), i, rc;
    struct err err = {0};

    event.count = 1 + (int)(next_random(&writer->random) % BATCH_MAX);
    if (event.count > IDS - place)
        event.count = IDS - place;
    event.first = writer->number * IDS + place;
    writer->version += WRITERS;
    event.version = next_random(&writer->random) % 3 == 0 ? 0 : writer->version;
    tell(writer, &event, WILL);
    if (event.version == 0)
        rc = set_remove(writer->store, event.first, event.count, &err);
    else
        rc = set_put(writer->store, event.first, event.count, event.version,
                     DIM, has_none(writer, &event), &err);
    if (rc)
        _exit(12);
    for (i = 0; i < event.count; i++)
        writer->versions[event.first + i] = event.version;
    tell(writer, &event, DID);
}

static void *write_on(void *argument)
{
    for (;;)
        write_once(argument);
    return NULL;
}

/* Opens the set and has it written, settled and compacted. Never returns. */
static void work_until_killed(const char *path, const int *versions,
                              uint64_t random, int fd)
{
    static struct writer writers[WRITERS];
    struct vecstore *store = NULL;
    struct err err = {0};
    int i, version = 0;

    if (vecstore_open(path, VEC_WRITE, &options, &store, &err) != 0)
        _exit(13);
    for (i = 0; i < COUNT; i++)
        version = versions[i] > version ? versions[i] : version;
    for (i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = store,
                                     .fd = fd,
                                     .number = i,
                                     .version = version + i,
                                     .random = random + (uint64_t)i + 1};
        memcpy(writers[i].versions, versions, sizeof writers[i].versions);
        if (pthread_create(&writers[i].thread, NULL, write_on, &writers[i]))
            _exit(14);
    }
    for (;;)
        if ((next_random(&random) % 2 == 0
                 ? vecstore_settle(store, NULL, NULL, &err)
                 : vecstore_compact(store, NULL, NULL, &err)) != 0)
            _exit(15);
}

/* --- what must be there ---------------------------------------------------
 */

struct expected {
    int versions[COUNT];           /* of what was acknowledged */
    struct event pending[WRITERS]; /* count 0: nothing is under way */
};

static void apply(const struct event *event, int *versions)
{
    int i;

    for (i = 0; i < event->count; i++)
        versions[event->first + i] = event->version;
}

static void take_event(struct expected *expected, const struct event *event)
{
    expected->pending[event->writer] = *event;
    if (event->what == DID) {
        apply(event, expected->versions);
        expected->pending[event->writer].count = 0;
    }
}

/* Whether the entries of a writer are as `versions` says. */
static bool is_so(struct vecstore *store, const struct event *event,
                  const int *versions)
{
    struct err err = {0};
    int i;

    for (i = 0; i < event->count; i++)
        if (set_look(store, event->first + i, versions[event->first + i], DIM,
                     &err) != 0)
            return false;
    return true;
}

/* A call that was under way is there as a whole or not at all. */
static void check_expected(struct vecstore *store, struct expected *expected)
{
    int versions[COUNT], i;

    for (i = 0; i < WRITERS; i++) {
        const struct event *event = &expected->pending[i];

        memcpy(versions, expected->versions, sizeof versions);
        apply(event, versions);
        if (is_so(store, event, versions))
            memcpy(expected->versions, versions, sizeof versions);
    }
    memset(expected->pending, 0, sizeof expected->pending);
    set_check(store, expected->versions, COUNT, DIM);
}

/* Kills a child some way into what follows its acknowledgement number
 * `done_count`. */
static void kill_one(const char *path, struct expected *expected,
                     uint64_t random)
{
    volatile uint64_t turns = random % 300000;
    uint64_t done_count = random / 300000 % 30;
    struct event event;
    int ends[2], status;
    pid_t child;

    CHECK_INT(pipe(ends), 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        work_until_killed(path, expected->versions, random, ends[1]);
    }
    close(ends[1]);
    while (done_count > 0 &&
           read(ends[0], &event, sizeof event) == (ssize_t)sizeof event) {
        take_event(expected, &event);
        done_count -= event.what == DID;
    }
    while (turns > 0)
        turns--;
    kill(child, SIGKILL);
    CHECK_INT(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        test_fail(__FILE__, __LINE__, "the writer ended with status %d",
                  WEXITSTATUS(status));
    while (read(ends[0], &event, sizeof event) == (ssize_t)sizeof event)
        take_event(expected, &event);
    close(ends[0]);
}

TEST(engine_keeps_all_that_was_acknowledged_when_its_writer_is_killed)
{
    static struct expected expected;
    const char *path = set_file("x");
    uint64_t state = 88172645463325252U;
    struct err err = {0};
    int i, kills = set_rounds(KILLS);

    vecstore_close(set_open(path, VEC_WRITE, &options));
    for (i = 0; i < kills; i++) {
        struct vecstore *store = NULL;

        kill_one(path, &expected, next_random(&state));
        /* A reader leaves the next writer what this one left. */
        store = set_open(path, i % 2 == 0 ? VEC_READ : VEC_WRITE, &options);
        check_expected(store, &expected);
        if (i % 10 == 0)
            CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
        vecstore_close(store);
    }
}

/* --- between the renames --------------------------------------------------
 */

/* The program's own calls of rename come here. In a child that is to die, one
 * of them is the last thing it does. */
static _Atomic int calls_left; /* 0: any number */
static _Atomic bool is_done_first;

int rename(const char *from, const char *to)
{
    bool is_last = calls_left > 0 && atomic_fetch_sub(&calls_left, 1) == 1;
    int rc;

    if (is_last && !is_done_first)
        raise(SIGKILL);
    rc = renameat(AT_FDCWD, from, AT_FDCWD, to);
    if (is_last)
        raise(SIGKILL);
    return rc;
}

enum { RENAMES = 3 }; /* the checkpoint's own, the log's, the checkpoint's */

static void compact_and_die(const char *path, int number, bool is_after)
{
    struct vecstore *store = NULL;
    struct err err = {0};

    if (vecstore_open(path, VEC_WRITE, &options, &store, &err) != 0)
        _exit(1);
    is_done_first = is_after;
    calls_left = number;
    if (vecstore_compact(store, NULL, NULL, &err) != 0)
        _exit(2);
    _exit(3);
}

/* A settled set of COUNT entries, a third of which were removed. */
static void make_set(const char *path, int *versions)
{
    struct vecstore *store = set_open(path, VEC_WRITE, &options);
    struct err err = {0};
    int i;

    CHECK_OK(set_put(store, 0, COUNT, 1, DIM, true, &err), err);
    for (i = 0; i < COUNT; i++) {
        versions[i] = 1;
        if (i % 3 == 0) {
            CHECK_OK(set_remove(store, i, 1, &err), err);
            versions[i] = 0;
        }
    }
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    vecstore_close(store);
}

static void check_survived(const char *path, const int *versions,
                           bool is_compact)
{
    struct vecstore *store = set_open(path, VEC_READ, &options);

    set_check(store, versions, COUNT, DIM);
    CHECK_INT(set_info(store).removed, is_compact ? 0 : COUNT / 3);
    CHECK_INT(set_info(store).pending, 0);
    vecstore_close(store);
    store = set_open(path, VEC_WRITE, &options);
    set_check(store, versions, COUNT, DIM);
    CHECK_INT(set_info(store).removed, is_compact ? 0 : COUNT / 3);
    vecstore_close(store);
    CHECK(!file_exists(set_file("x.compact")));
    CHECK(!file_exists(set_file("x.compact.checkpoint")));
    CHECK(!file_exists(set_file("x.checkpoint.new")));
    store = set_open(set_file("x"), VEC_READ, &options);
    CHECK_INT(set_info(store).pending, 0);
    vecstore_close(store);
}

TEST(engine_is_whole_when_its_writer_is_killed_at_any_rename_of_compaction)
{
    int versions[COUNT], number, is_after, status;
    char path[256];
    pid_t child;

    snprintf(path, sizeof path, "%s", set_file("x"));
    for (number = 1; number <= RENAMES; number++)
        for (is_after = 0; is_after < 2; is_after++) {
            unlink(path);
            unlink(set_file("x.checkpoint"));
            make_set(path, versions);
            child = fork();
            CHECK(child >= 0);
            if (child == 0)
                compact_and_die(path, number, is_after);
            CHECK_INT(waitpid(child, &status, 0), child);
            CHECK(WIFSIGNALED(status));
            check_survived(path, versions, number + is_after > 2);
        }
}
