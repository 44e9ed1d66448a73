/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "cmd/intake.h"
#include "test.h"

enum { DIM = 3, TOLD_MAX = 64 };

/* What became of the entries, by their number. */
struct told {
    enum intake_outcome outcomes[TOLD_MAX];
    int count;
};

static void tell(void *user, const struct vec_entry *entry, int64_t number,
                 enum intake_outcome outcome, const struct err *why)
{
    struct told *told = user;

    (void)entry;
    CHECK(number >= 0 && number < TOLD_MAX);
    CHECK((outcome == INTAKE_FAILED) == (why->text[0] != '\0'));
    told->outcomes[number] = outcome;
    told->count++;
}

static struct vecstore *open_store(void)
{
    const struct vec_options options = {.dim = DIM, .metric = VECINDEX_COSINE};
    struct vecstore *store = NULL;
    struct err err = {0};
    char path[FILE_PATH_MAX];

    CHECK_OK(file_join(test_dir(), "set.olho", path, &err), err);
    CHECK_OK(vecstore_open(path, VEC_WRITE, &options, &store, &err), err);
    return store;
}

static void put(struct intake *intake, int64_t number, const char *key,
                float first)
{
    const float vector[DIM] = {first, 1, 0};
    const struct vec_entry entry = {
        .id = VEC_ID_NEW, .vector = vector, .key = key};
    struct err err = {0};

    CHECK_OK(intake_add(intake, &entry, DIM, number, &err), err);
}

static int64_t entries_of(struct vecstore *store)
{
    struct vec_info info;
    struct err err = {0};

    CHECK_OK(vecstore_info(store, &info, &err), err);
    return info.count;
}

TEST(intake_writes_groups_and_what_is_left_on_flush)
{
    struct vecstore *store = open_store();
    struct intake *intake = NULL;
    struct told told = {.count = 0};
    struct err err = {0};
    int i;

    CHECK_OK(intake_new(store, 4, tell, &told, &intake, &err), err);
    for (i = 0; i < 10; i++)
        put(intake, i, NULL, (float)i);
    CHECK_INT(told.count, 8);
    CHECK_INT(intake_waiting(intake), 2);
    CHECK_OK(intake_flush(intake, &err), err);
    CHECK_OK(intake_flush(intake, &err), err);
    CHECK_INT(told.count, 10);
    CHECK_INT(intake_count(intake, INTAKE_ADDED), 10);
    CHECK_INT(entries_of(store), 10);
    intake_free(intake);
    vecstore_close(store);
}

TEST(intake_keeps_one_bad_entry_from_no_other)
{
    const float zero[DIM] = {0}, wide[DIM + 1] = {1};
    const struct vec_entry of_zeros = {.id = VEC_ID_NEW, .vector = zero};
    const struct vec_entry too_wide = {.id = VEC_ID_NEW, .vector = wide};
    struct vecstore *store = open_store();
    struct intake *intake = NULL;
    struct told told = {.count = 0};
    struct err err = {0};
    int i;

    CHECK_OK(intake_new(store, 32, tell, &told, &intake, &err), err);
    for (i = 0; i < 20; i++)
        if (i == 5)
            CHECK_OK(intake_add(intake, &of_zeros, DIM, i, &err), err);
        else if (i == 9)
            CHECK_OK(intake_add(intake, &too_wide, DIM + 1, i, &err), err);
        else
            put(intake, i, NULL, i == 13 ? NAN : (float)i);
    CHECK_OK(intake_flush(intake, &err), err);
    CHECK_INT(told.count, 20);
    for (i = 0; i < 20; i++)
        CHECK((told.outcomes[i] == INTAKE_FAILED) ==
              (i == 5 || i == 9 || i == 13));
    CHECK_INT(entries_of(store), 17);
    intake_free(intake);
    vecstore_close(store);
}

TEST(intake_replaces_what_is_there_the_last_one_wins)
{
    struct vecstore *store = open_store();
    struct intake *intake = NULL;
    struct told told = {.count = 0};
    struct arena *arena = arena_new(1 << 20);
    const float target[DIM] = {7, 1, 0};
    struct vec_query query = {.vector = target, .dim = DIM, .k = 1};
    struct vec_hits hits;
    struct err err = {0};

    CHECK_OK(intake_new(store, 32, tell, &told, &intake, &err), err);
    put(intake, 0, "a", 1);
    put(intake, 1, "b", 2);
    CHECK_OK(intake_flush(intake, &err), err);
    put(intake, 2, "b", 3);
    put(intake, 3, "c", 4);
    put(intake, 4, "a", 5);
    put(intake, 5, "c", 6);
    put(intake, 6, "b", 7);
    CHECK_OK(intake_flush(intake, &err), err);
    CHECK_INT(told.outcomes[3], INTAKE_ADDED);
    CHECK_INT(told.outcomes[2], INTAKE_REPLACED);
    CHECK_INT(told.outcomes[4], INTAKE_REPLACED);
    CHECK_INT(told.outcomes[5], INTAKE_REPLACED);
    CHECK_INT(told.outcomes[6], INTAKE_REPLACED);
    CHECK_INT(entries_of(store), 3);
    CHECK_OK(vecstore_search(store, &query, arena, &hits, &err), err);
    CHECK_TEXT(hits.list[0].key, "b");
    CHECK_NEAR(hits.list[0].distance, 1, 1e-6);
    arena_free(arena);
    intake_free(intake);
    vecstore_close(store);
}

TEST(intake_survives_torture)
{
    struct vecstore *store = open_store();
    long nth = 0, tries = 0;

    do {
        struct intake *intake = NULL;
        struct told told = {.count = 0};
        struct err err = {0};
        const float vector[DIM] = {(float)nth, 1, 0};
        const struct vec_tag tag = {"label", "cat"};
        const struct vec_entry entry = {.id = VEC_ID_NEW,
                                        .vector = vector,
                                        .path = "a.jpg",
                                        .tags = &tag,
                                        .tag_count = 1};
        int rc;

        mem_fail_at(++nth);
        rc = intake_new(store, 4, tell, &told, &intake, &err);
        if (rc == 0)
            rc = intake_add(intake, &entry, DIM, 0, &err);
        if (rc == 0)
            rc = intake_flush(intake, &err);
        tries = mem_tries();
        mem_fail_at(0);
        CHECK(rc == 0 ? told.count == 1 : rc == ERR_UNAVAILABLE);
        intake_free(intake);
    } while (nth <= tries);
    CHECK(nth > 4);
    vecstore_close(store);
}
