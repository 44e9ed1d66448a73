/* SPDX-License-Identifier: Apache-2.0 */
/* What the index keeps: duplicates, restarts, other handles, locks, and
 * searches beside a writer. */
#include "flat_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- entries ---------------------------------------------------------- */

TEST(flat_keeps_a_duplicate_once_with_its_last_path_and_label)
{
    const char *path = fixture_file("x");
    struct flat *index = fixture_open(path, FLAT_WRITE, 4, FLAT_L2);
    struct flat *reader = fixture_open(path, FLAT_READ, 4, FLAT_L2);
    float vector[4];
    char capitals[HASH_HEX_LEN + 1];
    struct flat_hit hit;
    struct err err = {0};
    bool is_new = true;
    int i, count = 0;

    for (i = 0; i < 5; i++)
        fixture_add(index, 4, (uint64_t)i);
    CHECK_OK(flat_refresh(reader, &err), err);
    for (i = 0; i <= HASH_HEX_LEN; i++) {
        char c = fixture_sha256(3)[i];

        capitals[i] = (char)(c >= 'a' ? c - 'a' + 'A' : c);
    }
    fixture_vector(3, 4, vector);
    CHECK_OK(
        flat_add(index, vector, "moved.jpg", capitals, "hat", &is_new, &err),
        err);
    CHECK(!is_new);
    CHECK_INT(fixture_count(index), 5);
    CHECK_OK(flat_refresh(reader, &err), err);
    CHECK_OK(flat_search(reader, vector, 4, 1, NULL, &hit, &count, &err), err);
    CHECK_TEXT(hit.entry.path, "moved.jpg");
    flat_close(reader);
    flat_close(index);
    index = fixture_open(path, FLAT_WRITE, 4, FLAT_L2);
    CHECK_INT(fixture_count(index), 5);
    CHECK_OK(flat_search(index, vector, 4, 1, NULL, &hit, &count, &err), err);
    CHECK_INT(hit.entry.id, 3);
    CHECK_TEXT(hit.entry.path, "moved.jpg");
    CHECK_TEXT(hit.entry.label, "hat");
    CHECK_TEXT(hit.entry.sha256, fixture_sha256(3));
    CHECK(flat_has(index, fixture_sha256(3)) && flat_has(index, capitals));
    CHECK(!flat_has(index, fixture_sha256(9)) && !flat_has(index, ""));
    flat_close(index);
}

TEST(flat_writes_nothing_for_a_duplicate_that_is_the_same)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_L2);
    struct flat_info before, after;
    float vector[4];
    struct err err = {0};
    bool is_new = true;

    fixture_add(index, 4, 1);
    flat_info(index, &before);
    fixture_vector(1, 4, vector);
    CHECK_OK(flat_add(index, vector, fixture_path(1), fixture_sha256(1),
                      "label", &is_new, &err),
             err);
    flat_info(index, &after);
    CHECK(!is_new);
    CHECK_INT(after.file_len, before.file_len);
    flat_close(index);
}

TEST(flat_entries_without_sha256_are_never_duplicates)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 2, FLAT_L2);
    const float vector[] = {1, 2};
    struct err err = {0};
    bool is_new = false;

    CHECK_OK(flat_add(index, vector, "x", "", "", NULL, &err), err);
    CHECK_OK(flat_add(index, vector, "x", NULL, NULL, &is_new, &err), err);
    CHECK(is_new);
    CHECK_INT(fixture_count(index), 2);
    flat_close(index);
}

TEST(flat_search_leaves_the_excluded_image_out)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_COSINE);
    struct flat_hit hits[10];
    float query[4];
    struct err err = {0};
    int i, count = 0;

    for (i = 0; i < 10; i++)
        fixture_add(index, 4, (uint64_t)i);
    fixture_vector(6, 4, query);
    CHECK_OK(flat_search(index, query, 4, 10, NULL, hits, &count, &err), err);
    CHECK_INT(count, 10);
    CHECK_INT(hits[0].entry.id, 6);
    CHECK_OK(
        flat_search(index, query, 4, 10, fixture_sha256(6), hits, &count, &err),
        err);
    CHECK_INT(count, 9);
    for (i = 0; i < count; i++)
        CHECK(hits[i].entry.id != 6);
    CHECK_OK(flat_search(index, query, 4, 10, fixture_sha256(77), hits, &count,
                         &err),
             err);
    CHECK_INT(count, 10);
    flat_close(index);
}

/* --- files and processes ---------------------------------------------- */

TEST(flat_keeps_its_entries_over_a_restart)
{
    const char *path = fixture_file("x");
    int64_t round, i;

    for (round = 0; round < 4; round++) {
        struct flat *index = fixture_open(path, FLAT_WRITE, 33, FLAT_L2);

        fixture_check(index, 33, 7 * round);
        for (i = 0; i < 7; i++)
            fixture_add(index, 33, (uint64_t)(7 * round + i));
        fixture_check(index, 33, 7 * (round + 1));
        flat_close(index);
    }
}

TEST(flat_refresh_shows_what_another_handle_added)
{
    const char *path = fixture_file("x");
    struct flat *writer = fixture_open(path, FLAT_WRITE, 20, FLAT_L2);
    struct flat *reader = fixture_open(path, FLAT_READ, 20, FLAT_L2);
    struct err err = {0};
    int64_t i;

    for (i = 0; i < 30; i++) {
        CHECK_INT(fixture_count(reader), i);
        fixture_add(writer, 20, (uint64_t)i);
        CHECK_INT(fixture_count(reader), i);
        CHECK_OK(flat_refresh(reader, &err), err);
        CHECK_OK(flat_refresh(reader, &err), err);
        CHECK_OK(flat_refresh(writer, &err), err);
    }
    CHECK_OK(flat_begin(writer, &err), err);
    for (; i < 1500; i++)
        fixture_add(writer, 20, (uint64_t)i);
    CHECK_OK(flat_commit(writer, &err), err);
    CHECK_OK(flat_refresh(reader, &err), err);
    fixture_check(reader, 20, 1500);
    CHECK(flat_has(reader, fixture_sha256(1499)));
    flat_close(writer);
    CHECK_OK(flat_refresh(reader, &err), err);
    CHECK_INT(fixture_count(reader), 1500);
    flat_close(reader);
}

TEST(flat_batches_are_begun_once_and_committed_once)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_L2);
    struct err err = {0};

    CHECK_ERR(flat_commit(index, &err), ERR_INVALID);
    CHECK_OK(flat_begin(index, &err), err);
    CHECK_ERR(flat_begin(index, &err), ERR_CONFLICT);
    CHECK_OK(flat_commit(index, &err), err);
    CHECK_ERR(flat_commit(index, &err), ERR_INVALID);
    CHECK_OK(flat_begin(index, &err), err);
    fixture_add(index, 4, 0);
    fixture_add(index, 4, 1);
    CHECK_OK(flat_commit(index, &err), err);
    fixture_add(index, 4, 2);
    flat_close(index);
    index = fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_L2);
    fixture_check(index, 4, 3);
    flat_close(index);
}

TEST(flat_refuses_a_second_writer_until_the_first_is_gone)
{
    const char *path = fixture_file("x");
    struct flat *index = NULL;
    struct err err = {0};
    int ready[2];
    char byte;
    pid_t child;
    int status;

    CHECK_INT(pipe(ready), 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int rc = flat_open(path, FLAT_WRITE, 4, FLAT_L2, NULL, &index, &err);

        if (rc != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    CHECK_INT(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    CHECK_ERR(flat_open(path, FLAT_WRITE, 4, FLAT_L2, NULL, &index, &err),
              ERR_CONFLICT);
    CHECK_HAS(err.text, "another process");
    flat_close(fixture_open(path, FLAT_READ, 4, FLAT_L2));
    kill(child, SIGKILL);
    CHECK_INT(waitpid(child, &status, 0), child);
    flat_close(fixture_open(path, FLAT_WRITE, 4, FLAT_L2));
}

/* --- threads ---------------------------------------------------------- */

enum { THREAD_DIM = 24, THREAD_ROWS = 2500, SEARCHER_COUNT = 3 };

struct shared {
    struct flat *index, *reader;
    atomic_bool is_done;
    atomic_int wrong_count;
};

/* Entry `wanted` is there, is found, and is not found when left out. */
static bool is_right(struct flat *index, int64_t wanted)
{
    const char *sha256 = fixture_sha256((uint64_t)wanted);
    float query[THREAD_DIM];
    struct flat_hit hits[3];
    struct err err = {0};
    int count = 0;

    fixture_vector((uint64_t)wanted, THREAD_DIM, query);
    if (!flat_has(index, sha256) ||
        flat_search(index, query, THREAD_DIM, 3, NULL, hits, &count, &err) != 0)
        return false;
    if (count < 1 || hits[0].entry.id != wanted || hits[0].distance > 1e-5F ||
        strncmp(hits[0].entry.path, "photos/", 7) != 0)
        return false;
    if (flat_search(index, query, THREAD_DIM, 3, sha256, hits, &count, &err) !=
        0)
        return false;
    return count == 0 || hits[0].entry.id != wanted;
}

/* What was seen once stays, and is right. The number of entries is asked for
 * now and then only: asking takes a mutex, which would hide a race. */
static void *search_on(void *user)
{
    struct shared *shared = user;
    struct flat *index = NULL;
    int64_t count = 0;
    int64_t round = 0;

    while (!atomic_load(&shared->is_done)) {
        if (round++ % 64 == 0) {
            index = index == shared->index ? shared->reader : shared->index;
            count = fixture_count(index);
        }
        if (count > 0 && !is_right(index, count - 1 - round % count))
            atomic_fetch_add(&shared->wrong_count, 1);
    }
    return NULL;
}

static void *refresh_on(void *user)
{
    struct shared *shared = user;
    struct err err = {0};

    while (!atomic_load(&shared->is_done)) {
        if (flat_refresh(shared->reader, &err) != 0)
            atomic_fetch_add(&shared->wrong_count, 1);
    }
    return NULL;
}

static void add_on(struct flat *index)
{
    float vector[THREAD_DIM];
    struct err err = {0};
    uint64_t i;

    CHECK_OK(flat_begin(index, &err), err);
    for (i = 0; i < THREAD_ROWS; i++) {
        fixture_add(index, THREAD_DIM, i);
        if (i % 5 == 0) {
            fixture_vector(i, THREAD_DIM, vector);
            CHECK_OK(flat_add(index, vector, "photos/moved", fixture_sha256(i),
                              "moved", NULL, &err),
                     err);
        }
    }
    CHECK_OK(flat_commit(index, &err), err);
}

TEST(flat_searches_are_right_beside_a_writer_and_refreshes)
{
    struct shared shared = {0};
    pthread_t threads[SEARCHER_COUNT + 2];
    int i;

    shared.index =
        fixture_open(fixture_file("x"), FLAT_WRITE, THREAD_DIM, FLAT_L2);
    shared.reader =
        fixture_open(fixture_file("x"), FLAT_READ, THREAD_DIM, FLAT_L2);
    for (i = 0; i < SEARCHER_COUNT + 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL,
                                 i < SEARCHER_COUNT ? search_on : refresh_on,
                                 &shared),
                  0);
    add_on(shared.index);
    atomic_store(&shared.is_done, true);
    for (i = 0; i < SEARCHER_COUNT + 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&shared.wrong_count), 0);
    CHECK_INT(fixture_count(shared.index), THREAD_ROWS);
    flat_close(shared.reader);
    flat_close(shared.index);
}
