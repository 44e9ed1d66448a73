/* SPDX-License-Identifier: Apache-2.0 */
/* A sync that fails. The kernel takes the pages that it could not write for
 * clean then: they are read as they were meant until memory gets short or the
 * power fails, the next sync returns 0, and none of them is on the disk. So the
 * log's disk is played here: it has what was written between two syncs only if
 * the second of them did not fail. */
#include "set_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vectors/engine_parts.h"
#include "vectors/vecstore_backend.h"

enum { DIM = 8, COUNT = 60, DISK_LEN = 1 << 20, SECTOR = 512 };

static const struct vec_options options = {
    .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_FLAT};

/* --- the disk -------------------------------------------------------------
 */

/* What a sync that fails has written all the same. */
enum loss { LOST, HALF, KEPT, LOSSES };

static struct disk {
    pthread_mutex_t mutex; /* guards what follows */
    char path[256];        /* of the log; "": nothing is played */
    uint8_t bytes[DISK_LEN];
    bool is_dirty[DISK_LEN]; /* written, and not yet on the disk */
    int64_t len;
    enum loss loss;
    int syncs, fail_at; /* the sync of that number; 0: none */

    /* Not NULL: before the next sync ends, two more writers shall wait; then
     * files may not be longer than room_max (0: as long as they like). */
    struct vecengine *awaited;
    int64_t room_max;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool is_log(int fd)
{
    struct stat mine, named;

    return disk.path[0] != '\0' && fstat(fd, &mine) == 0 &&
           stat(disk.path, &named) == 0 && mine.st_ino == named.st_ino &&
           mine.st_dev == named.st_dev;
}

/* Everything written is on the disk, some of it, or nothing. */
static void write_back(int fd, enum loss loss)
{
    static uint8_t now[DISK_LEN];
    int64_t len = pread(fd, now, sizeof now, 0), i;

    if (loss != LOST && len > disk.len)
        disk.len = len;
    for (i = 0; i < len; i++)
        if (disk.is_dirty[i] &&
            (loss == KEPT || (loss == HALF && i / SECTOR % 2 == 0)))
            disk.bytes[i] = now[i];
    memset(disk.is_dirty, 0, sizeof disk.is_dirty);
    if (loss != KEPT || len < 0)
        return;
    disk.len = len;
    memset(disk.bytes + len, 0, sizeof disk.bytes - (size_t)len);
}

static void limit_files(rlim_t len)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = len;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void await_writers(struct vecengine *engine)
{
    bool are_there = false;

    while (!are_there) {
        sched_yield();
        pthread_mutex_lock(&engine->queueing);
        are_there = engine->first != engine->last;
        pthread_mutex_unlock(&engine->queueing);
    }
}

/* The program's own calls come here. */
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    const struct iovec part = {(void *)(uintptr_t)data, len};
    ssize_t done = pwritev(fd, &part, 1, offset);
    int number = errno;

    pthread_mutex_lock(&disk.mutex);
    if (done > 0 && is_log(fd) && offset + done <= DISK_LEN)
        memset(disk.is_dirty + offset, 1, (size_t)done);
    pthread_mutex_unlock(&disk.mutex);
    errno = number;
    return done;
}

int fdatasync(int fd)
{
    struct vecengine *awaited = NULL;
    bool fails = false;

    pthread_mutex_lock(&disk.mutex);
    if (is_log(fd)) {
        fails = ++disk.syncs == disk.fail_at;
        write_back(fd, fails ? disk.loss : KEPT);
        awaited = disk.awaited;
        disk.awaited = NULL;
    }
    pthread_mutex_unlock(&disk.mutex);
    if (awaited != NULL) {
        await_writers(awaited);
        if (disk.room_max > 0)
            limit_files((rlim_t)disk.room_max);
    }
    if (fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* A new disk for the log of that path, which is not there yet. */
static void begin_disk(const char *path)
{
    pthread_mutex_lock(&disk.mutex);
    snprintf(disk.path, sizeof disk.path, "%s", path);
    memset(disk.bytes, 0, sizeof disk.bytes);
    memset(disk.is_dirty, 0, sizeof disk.is_dirty);
    disk.len = 0;
    disk.syncs = disk.fail_at = 0;
    pthread_mutex_unlock(&disk.mutex);
}

/* The sync of that number from now on fails. */
static void fail_sync(int number, enum loss loss)
{
    pthread_mutex_lock(&disk.mutex);
    disk.fail_at = disk.syncs + number;
    disk.loss = loss;
    pthread_mutex_unlock(&disk.mutex);
}

static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[DISK_LEN];
    size_t len;
    FILE *file = fopen(from, "rb");

    unlink(to);
    if (file == NULL)
        return;
    len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    file = fopen(to, "wb");
    CHECK(file != NULL);
    CHECK_INT(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

/* The set as a loss of power would leave it now, under another name. */
static struct vecstore *open_lost(void)
{
    char from[256];
    FILE *file = fopen(set_file("lost"), "wb");

    CHECK(file != NULL);
    CHECK_INT(fwrite(disk.bytes, 1, (size_t)disk.len, file), disk.len);
    fclose(file);
    snprintf(from, sizeof from, "%s", set_file("x.checkpoint"));
    copy_file(from, set_file("lost.checkpoint"));
    return set_open(set_file("lost"), VEC_WRITE, &options);
}

/* --- one change after another ---------------------------------------------
 */

struct step {
    int first, count, version; /* version 0: removed */
    bool is_new;
};

static int do_step(struct vecstore *store, const struct step *step,
                   struct err *err)
{
    if (step->version == 0)
        return set_remove(store, step->first, step->count, err);
    return set_put(store, step->first, step->count, step->version, DIM,
                   step->is_new, err);
}

static void note_step(const struct step *step, int *versions)
{
    int i;

    for (i = 0; i < step->count; i++)
        versions[step->first + i] = step->version;
}

/* All that was acknowledged is there, and of `open`, which was not, all or
 * nothing; that goes into the versions when it is found. */
static void check_left(struct vecstore *store, const struct step *open,
                       int *versions)
{
    struct err err = {0};

    if (open != NULL &&
        set_look(store, open->first, open->version, DIM, &err) == 0)
        note_step(open, versions);
    set_check(store, versions, COUNT, DIM);
}

static void check_lost(const struct step *open, const int *versions)
{
    struct vecstore *store = open_lost();
    struct err err = {0};
    int left[COUNT];

    memcpy(left, versions, sizeof left);
    check_left(store, open, left);
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    vecstore_close(store);
}

static void check_refused(struct vecstore *store)
{
    const struct step add = {50, 2, 1, true}, drop = {20, 1, 0, false};
    struct err err = {0};

    CHECK_ERR(do_step(store, &add, &err), ERR_IO);
    CHECK_HAS(err.text, "open it again");
    err = (struct err){0};
    CHECK_ERR(do_step(store, &drop, &err), ERR_IO);
    CHECK_HAS(err.text, "open it again");
    err = (struct err){0};
    CHECK_ERR(vecstore_settle(store, NULL, NULL, &err), ERR_IO);
}

TEST(engine_takes_no_more_after_a_failed_sync_and_loses_nothing)
{
    static const struct step before[] = {
        {0, 20, 1, true}, {20, 1, 1, true}, {4, 3, 2, false}, {7, 2, 0, false}};
    static const struct step open = {30, 5, 1, true};
    static const struct step after[] = {{40, 4, 1, true}, {9, 1, 2, false}};
    int loss;
    size_t i;

    for (loss = 0; loss < LOSSES; loss++) {
        int versions[COUNT] = {0};
        struct err err = {0};
        struct vecstore *store = NULL;

        unlink(set_file("x"));
        begin_disk(set_file("x"));
        store = set_open(set_file("x"), VEC_WRITE, &options);
        for (i = 0; i < sizeof before / sizeof before[0]; i++) {
            CHECK_OK(do_step(store, &before[i], &err), err);
            note_step(&before[i], versions);
        }
        fail_sync(1, (enum loss)loss);
        CHECK_ERR(do_step(store, &open, &err), ERR_IO);
        CHECK_HAS(err.text, "sync");
        check_refused(store);
        set_check(store, versions, COUNT, DIM);
        vecstore_close(store);
        check_lost(&open, versions);
        store = set_open(set_file("x"), VEC_WRITE, &options);
        check_left(store, &open, versions);
        for (i = 0; i < sizeof after / sizeof after[0]; i++) {
            CHECK_OK(do_step(store, &after[i], &err), err);
            note_step(&after[i], versions);
            check_lost(NULL, versions);
        }
        vecstore_close(store);
        check_lost(NULL, versions);
    }
}

/* --- each sync in turn ----------------------------------------------------
 */

static const struct step steps[] = {
    {0, 6, 1, true}, {6, 1, 1, true},  {2, 3, 2, false}, {1, 2, 0, false},
    {7, 4, 1, true}, {6, 1, 2, false}, {20, 9, 1, true}, {3, 1, 0, false},
};
enum { STEPS = sizeof steps / sizeof steps[0], SETTLE_AFTER = 4 };

/* Opens the set and takes the steps; *out_open is the one that failed. */
static int take_steps(int *versions, const struct step **out_open,
                      struct err *err)
{
    struct vecstore *store = NULL;
    int i, rc = vecstore_open(set_file("x"), VEC_WRITE, &options, &store, err);

    *out_open = NULL;
    for (i = 0; rc == 0 && i < STEPS; i++) {
        rc = do_step(store, &steps[i], err);
        if (rc)
            *out_open = &steps[i];
        else
            note_step(&steps[i], versions);
        if (rc == 0 && i == SETTLE_AFTER)
            rc = vecstore_settle(store, NULL, NULL, err);
    }
    vecstore_close(store);
    return rc;
}

/* false: no sync has that number. */
static bool check_sync(int number, enum loss loss)
{
    static const struct step last = {50, 3, 1, true};
    const struct step *open = NULL;
    int versions[COUNT] = {0}, rc;
    struct vecstore *store = NULL;
    struct err err = {0};

    unlink(set_file("x"));
    unlink(set_file("x.checkpoint"));
    begin_disk(set_file("x"));
    fail_sync(number, loss);
    rc = take_steps(versions, &open, &err);
    if (rc == 0)
        return false;
    CHECK_ERR(rc, ERR_IO);
    CHECK_HAS(err.text, "sync");
    check_lost(open, versions);
    err = (struct err){0};
    store = set_open(set_file("x"), VEC_WRITE, &options);
    check_left(store, open, versions);
    CHECK_OK(do_step(store, &last, &err), err);
    note_step(&last, versions);
    check_lost(NULL, versions);
    vecstore_close(store);
    check_lost(NULL, versions);
    return true;
}

TEST(engine_torture_loses_nothing_whichever_sync_fails)
{
    int number, loss;

    for (loss = 0; loss < LOSSES; loss++) {
        for (number = 1; check_sync(number, (enum loss)loss); number++)
            continue;
        CHECK(number > STEPS + 3);
    }
}

/* --- compacting -----------------------------------------------------------
 */

TEST(engine_is_as_it_was_when_a_sync_fails_while_it_compacts)
{
    const struct step all = {0, 40, 1, true}, some = {0, 20, 0, false};
    const struct step open = {40, 2, 1, true};
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &options);
    int versions[COUNT] = {0}, number, rc = ERR_IO;
    char path[256];

    snprintf(path, sizeof path, "%s", set_file("x.compact"));
    for (number = 1; rc != 0; number++) {
        struct err err = {0};

        CHECK_OK(do_step(store, &all, &err), err);
        CHECK_OK(do_step(store, &some, &err), err);
        note_step(&all, versions);
        note_step(&some, versions);
        begin_disk(path);
        fail_sync(number, LOST);
        rc = vecstore_compact(store, NULL, NULL, &err);
        if (rc)
            CHECK_ERR(rc, ERR_IO);
        set_check(store, versions, COUNT, DIM);
        if (rc)
            CHECK_OK(set_remove(store, 20, 20, &err), err);
    }
    CHECK(number > 3);
    CHECK_INT(set_info(store).removed, 0);
    begin_disk(set_file("x"));
    fail_sync(1, LOST);
    CHECK_ERR(do_step(store, &open, &(struct err){0}), ERR_IO);
    check_refused(store);
    set_check(store, versions, COUNT, DIM);
    vecstore_close(store);
}

/* --- writers who wait -----------------------------------------------------
 */

struct writer {
    struct vecengine *engine;
    pthread_t thread;
    int64_t id;
    int rc;
    struct err err;
};

static void *upsert(void *argument)
{
    struct writer *writer = argument;
    float vector[DIM];
    const struct vec_entry entry = {.id = writer->id, .vector = vector};

    set_vector(writer->id, 1, DIM, vector);
    writer->rc =
        vecengine_write(writer->engine, &entry, 1, true, NULL, &writer->err);
    return NULL;
}

static struct vecengine *open_engine(void)
{
    struct err err = {0};
    void *engine = NULL;
    enum vecindex_metric metric;
    int dim;

    CHECK_OK(vecstore_engine_open(set_file("x"), VEC_WRITE, &options, &engine,
                                  &dim, &metric, &err),
             err);
    return engine;
}

/* While one writer's sync lasts two more come, who are served after it. */
static void write_beside(struct vecengine *engine, int64_t second,
                         int64_t third, struct writer *writers)
{
    const int64_t ids[] = {1, second, third};
    bool is_under_way = false;
    int i;

    pthread_mutex_lock(&disk.mutex);
    disk.awaited = engine;
    pthread_mutex_unlock(&disk.mutex);
    for (i = 0; i < 3; i++) {
        writers[i] = (struct writer){.engine = engine, .id = ids[i]};
        CHECK_INT(pthread_create(&writers[i].thread, NULL, upsert, &writers[i]),
                  0);
        while (!is_under_way) {
            sched_yield();
            pthread_mutex_lock(&disk.mutex);
            is_under_way = disk.awaited == NULL;
            pthread_mutex_unlock(&disk.mutex);
        }
    }
    for (i = 0; i < 3; i++)
        CHECK_INT(pthread_join(writers[i].thread, NULL), 0);
}

/* The first was acknowledged, the others were told why they were not. */
static void check_told(const struct writer *writers, const char *second,
                       const char *third)
{
    CHECK_OK(writers[0].rc, writers[0].err);
    CHECK_ERR(writers[1].rc, ERR_IO);
    CHECK_HAS(writers[1].err.text, second);
    CHECK_ERR(writers[2].rc, ERR_IO);
    CHECK_HAS(writers[2].err.text, third);
}

TEST(engine_tells_all_who_wait_for_a_sync_that_fails)
{
    struct writer writers[3], late = {.id = 9};
    int is_apart;

    for (is_apart = 0; is_apart < 2; is_apart++) {
        struct vecengine *engine = NULL;
        struct vecstore *store = NULL;
        int64_t count;
        int syncs;

        unlink(set_file("x"));
        begin_disk(set_file("x"));
        engine = open_engine();
        syncs = disk.syncs;
        fail_sync(2, LOST);
        /* Who changes the same entry goes into a group of its own. */
        write_beside(engine, 2, is_apart ? 2 : 3, writers);
        if (writers[1].rc == ERR_IO && is_apart &&
            strstr(writers[1].err.text, "sync:") == NULL)
            check_told(writers, "open it again", "sync:");
        else
            check_told(writers, "sync:", is_apart ? "open it again" : "sync:");
        CHECK_INT(disk.syncs - syncs, 2);
        late.engine = engine;
        (void)upsert(&late);
        CHECK_ERR(late.rc, ERR_IO);
        CHECK_INT(engine->current->count, 1);
        vecstore_engine.close(engine);
        store = open_lost();
        CHECK_INT(set_info(store).count, 1);
        vecstore_close(store);
        store = set_open(set_file("x"), VEC_WRITE, &options);
        count = set_info(store).count;
        CHECK(count == 1 || count == (is_apart ? 2 : 3));
        vecstore_close(store);
    }
}

TEST(engine_tells_all_who_wait_when_the_disk_gets_full)
{
    struct writer writers[3];
    int is_apart, i;

    signal(SIGXFSZ, SIG_IGN);
    for (is_apart = 0; is_apart < 2; is_apart++) {
        struct vecengine *engine = NULL;
        struct vecstore *store = NULL;

        unlink(set_file("x"));
        begin_disk(set_file("x"));
        engine = open_engine();
        disk.room_max = 1;
        write_beside(engine, 2, is_apart ? 2 : 3, writers);
        disk.room_max = 0;
        limit_files(RLIM_INFINITY);
        check_told(writers, "write:", "write:");
        CHECK_INT(engine->current->count, 1);
        for (i = 1; i < 3; i++) {
            (void)upsert(&writers[i]);
            CHECK_INT(writers[i].rc, 0);
        }
        vecstore_engine.close(engine);
        store = open_lost();
        CHECK_INT(set_info(store).count, is_apart ? 2 : 3);
        vecstore_close(store);
    }
    signal(SIGXFSZ, SIG_DFL);
}
