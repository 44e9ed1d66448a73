/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of an index when the disk is full, its writer is killed, or
 * memory runs out. */
#include "flat_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

enum { DIM = 19 };

static uint8_t bytes[1 << 16];

/* --- a full disk ------------------------------------------------------ */

/* RLIMIT_FSIZE makes writes past it come up short and then fail. */
static void limit_files(rlim_t len)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(flat_stays_usable_when_the_disk_is_full)
{
    const char *path = fixture_file("x");
    struct flat *index = NULL;
    float vector[DIM];
    struct err err = {0};
    bool is_new = false;
    size_t len, room;
    int i;

    signal(SIGXFSZ, SIG_IGN);
    index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    for (i = 0; i < 3; i++)
        fixture_add(index, DIM, (uint64_t)i);
    len = fixture_read(path, bytes, sizeof bytes);
    fixture_vector(3, DIM, vector);
    for (room = 0; room < 200; room += 7) {
        int rc;

        limit_files(len + room);
        rc = flat_add(index, vector, fixture_path(3), fixture_sha256(3),
                      "label", &is_new, &err);
        limit_files(RLIM_INFINITY);
        CHECK_ERR(rc, ERR_IO);
        CHECK_HAS(err.text, "write");
        CHECK_INT(fixture_count(index), 3);
        CHECK_INT(fixture_read(path, bytes, sizeof bytes), len);
        CHECK(!is_new && !flat_has(index, fixture_sha256(3)));
        fixture_check(index, DIM, 3);
    }
    fixture_add(index, DIM, 3);
    fixture_check(index, DIM, 4);
    flat_close(index);
    index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    fixture_check(index, DIM, 4);
    flat_close(index);
    signal(SIGXFSZ, SIG_DFL);
}

TEST(flat_makes_no_half_index_when_the_disk_is_full)
{
    const char *path = fixture_file("x");
    struct flat *index = NULL;
    struct err err = {0};
    int rc;

    signal(SIGXFSZ, SIG_IGN);
    limit_files(100);
    rc = flat_open(path, FLAT_WRITE, DIM, FLAT_L2, NULL, &index, &err);
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    CHECK_ERR(rc, ERR_IO);
    CHECK_INT(fixture_read(path, bytes, sizeof bytes), 0);
    index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    fixture_add(index, DIM, 0);
    flat_close(index);
}

/* --- a killed writer -------------------------------------------------- */

enum { KILL_COUNT = 50, BATCH_LEN = 8 };

/* Adds entries from `first` on and, when one (or a batch of them) is
 * acknowledged, writes the number of entries to fd. Never returns. */
static void add_until_killed(const char *path, int64_t first, bool is_batch,
                             int fd)
{
    struct flat *index = NULL;
    struct err err = {0};
    float vector[DIM];
    int64_t next = first;

    if (flat_open(path, FLAT_WRITE, DIM, FLAT_L2, NULL, &index, &err) != 0)
        _exit(1);
    for (;;) {
        int i, count = is_batch ? BATCH_LEN : 1;

        if (is_batch && flat_begin(index, &err) != 0)
            _exit(2);
        for (i = 0; i < count; i++, next++) {
            fixture_vector((uint64_t)next, DIM, vector);
            if (flat_add(index, vector, fixture_path((uint64_t)next),
                         fixture_sha256((uint64_t)next), "label", NULL,
                         &err) != 0)
                _exit(3);
        }
        if (is_batch && flat_commit(index, &err) != 0)
            _exit(4);
        if (write(fd, &next, sizeof next) != (ssize_t)sizeof next)
            _exit(5);
    }
}

/* Kills a writer some way into what follows its acknowledgement number
 * `ack_count`; returns the last number it acknowledged. */
static int64_t kill_one(const char *path, int64_t first, bool is_batch,
                        uint64_t random)
{
    volatile uint64_t turns = random % 200000;
    uint64_t ack_count = 1 + random / 200000 % 6;
    int64_t acknowledged = first, got;
    int ends[2], status;
    pid_t child;

    CHECK_INT(pipe(ends), 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        add_until_killed(path, first, is_batch, ends[1]);
    }
    close(ends[1]);
    while (ack_count-- > 0 && read(ends[0], &got, sizeof got) == sizeof got)
        acknowledged = got;
    while (turns > 0)
        turns--;
    kill(child, SIGKILL);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    while (read(ends[0], &got, sizeof got) == sizeof got)
        acknowledged = got;
    close(ends[0]);
    return acknowledged;
}

TEST(flat_keeps_all_that_was_acknowledged_when_its_writer_is_killed)
{
    const char *path = fixture_file("x");
    uint64_t state = 88172645463325252U;
    int64_t count = 0;
    int i;

    for (i = 0; i < KILL_COUNT; i++) {
        struct flat *index = NULL;
        int64_t acknowledged;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        acknowledged = kill_one(path, count, i % 2 == 1, state >> 16);
        index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
        count = fixture_count(index);
        CHECK(count >= acknowledged);
        fixture_check(index, DIM, count);
        flat_close(index);
    }
    CHECK(count >= KILL_COUNT);
}

/* --- no memory -------------------------------------------------------- */

static int add_two(struct flat *index, struct err *err)
{
    float vector[DIM];
    int i, rc = 0;

    for (i = 0; rc == 0 && i < 2; i++) {
        fixture_vector((uint64_t)i, DIM, vector);
        rc = flat_add(index, vector, fixture_path((uint64_t)i),
                      fixture_sha256((uint64_t)i), "label", NULL, err);
    }
    return rc;
}

/* Makes, fills, searches, opens for reading and refreshes. */
static int use_all(const char *path, struct err *err)
{
    struct flat *index = NULL, *reader = NULL;
    struct flat_hit hits[2];
    float query[DIM];
    int count = 0;
    int rc;

    rc = flat_open(path, FLAT_WRITE, DIM, FLAT_L2, NULL, &index, err);
    if (rc == 0)
        rc = flat_open(path, FLAT_READ, DIM, FLAT_L2, NULL, &reader, err);
    if (rc == 0)
        rc = add_two(index, err);
    if (rc == 0)
        rc = flat_refresh(reader, err);
    fixture_vector(1, DIM, query);
    if (rc == 0)
        rc = flat_search(reader, query, DIM, 2, NULL, hits, &count, err);
    if (rc == 0 && count != 2)
        rc = err_set(err, ERR_INTERNAL, "%d hits", count);
    flat_close(index);
    flat_close(reader);
    return rc;
}

TEST(flat_torture_fails_cleanly_at_every_allocation)
{
    const char *path = fixture_file("x");
    struct err err = {0};
    long tries, nth;
    int rc;

    mem_fail_at(0);
    CHECK_OK(use_all(path, &err), err);
    tries = mem_tries();
    CHECK(tries > 5);
    for (nth = 1; nth <= tries; nth++) {
        struct flat *index = NULL;

        unlink(path);
        mem_fail_at(nth);
        rc = use_all(path, &err);
        mem_fail_at(0);
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK_OK(use_all(path, &err), err);
        index = fixture_open(path, FLAT_READ, DIM, FLAT_L2);
        fixture_check(index, DIM, 2);
        flat_close(index);
    }
}
