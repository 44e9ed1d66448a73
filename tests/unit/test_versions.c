/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "models/versions.h"
#include "test.h"

static const char *path_of(const char *name)
{
    static char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, path, &err), err);
    return path;
}

static void put(const char *name, const char *text)
{
    struct err err = {0};

    CHECK_OK(file_write(path_of(name), bytes_of_text(text), &err), err);
}

/* A version with that metadata; it is never loaded here. */
static void add_version(const char *name, const char *metadata)
{
    char file[256];
    struct err err = {0};

    CHECK_OK(file_make_dir(path_of(name), &err), err);
    snprintf(file, sizeof file, "%s/metadata.json", name);
    put(file, metadata);
}

static void add_three(void)
{
    add_version("v1", "{}");
    add_version("v9", "{}");
    add_version("v10", "{}");
}

/* The name of the current version. */
static const char *current(void)
{
    static char dir[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(versions_current(test_dir(), dir, &err), err);
    return strrchr(dir, '/') + 1;
}

static void promote(const char *name)
{
    struct err err = {0};

    CHECK_OK(versions_promote(test_dir(), name, &err), err);
}

static void check_choice(const char *want)
{
    struct err err = {0};
    struct buf text;

    buf_init(&text, 1 << 16);
    CHECK_OK(file_read(path_of("current.json"), &text, &err), err);
    CHECK_TEXT(text.data, want);
    buf_release(&text);
}

TEST(versions_without_a_choice_serve_the_highest)
{
    add_three();
    CHECK_TEXT(current(), "v10");
}

TEST(versions_that_are_not_there_are_not_found)
{
    char dir[FILE_PATH_MAX] = "as it was";
    struct err err = {0};

    CHECK_ERR(versions_current(test_dir(), dir, &err), ERR_NOT_FOUND);
    CHECK_TEXT(dir, "as it was");
    err = (struct err){0};
    CHECK_ERR(versions_current(path_of("absent"), dir, &err), ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(versions_dir(test_dir(), "v1", dir, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "\"v1\"");
}

TEST(versions_promoted_are_remembered_in_order)
{
    add_three();
    promote("v1");
    CHECK_TEXT(current(), "v1");
    check_choice("{\"version\":\"v1\",\"history\":[\"v10\"]}\n");
    promote("v9");
    promote("v10");
    check_choice("{\"version\":\"v10\",\"history\":[\"v9\",\"v1\"]}\n");
    promote("v10");
    check_choice("{\"version\":\"v10\",\"history\":[\"v9\",\"v1\"]}\n");
}

TEST(versions_pin_the_highest_when_it_is_promoted)
{
    add_three();
    promote("v10");
    add_version("v11", "{}");
    CHECK_TEXT(current(), "v10");
}

TEST(versions_roll_back_step_by_step)
{
    char name[VERSION_NAME_MAX] = "";
    struct err err = {0};

    add_three();
    promote("v1");
    promote("v9");
    CHECK_OK(versions_rollback(test_dir(), name, &err), err);
    CHECK_TEXT(name, "v1");
    CHECK_TEXT(current(), "v1");
    CHECK_OK(versions_rollback(test_dir(), name, &err), err);
    CHECK_TEXT(name, "v10");
    CHECK_ERR(versions_rollback(test_dir(), name, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "before \"v10\"");
    CHECK_TEXT(name, "v10");
}

TEST(versions_do_not_roll_back_to_what_is_gone)
{
    char name[VERSION_NAME_MAX] = "";
    struct err err = {0};

    add_three();
    promote("v1");
    promote("v9");
    CHECK_INT(unlink(path_of("v1/metadata.json")), 0);
    CHECK_INT(rmdir(path_of("v1")), 0);
    CHECK_ERR(versions_rollback(test_dir(), name, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "\"v1\"");
    CHECK_TEXT(current(), "v9");
}

TEST(versions_remember_no_more_than_their_maximum)
{
    char name[VERSION_NAME_MAX];
    struct err err = {0};
    int i;

    for (i = 0; i < VERSIONS_HISTORY_MAX + 5; i++) {
        snprintf(name, sizeof name, "v%d", i);
        add_version(name, "{}");
        promote(name);
    }
    for (i = VERSIONS_HISTORY_MAX + 3; i >= 4; i--) {
        char want[VERSION_NAME_MAX];

        CHECK_OK(versions_rollback(test_dir(), name, &err), err);
        snprintf(want, sizeof want, "v%d", i);
        CHECK_TEXT(name, want);
    }
    CHECK_ERR(versions_rollback(test_dir(), name, &err), ERR_CONFLICT);
}

TEST(versions_removed_are_gone_from_disk_and_history)
{
    struct err err = {0};

    add_three();
    CHECK_OK(file_make_dir(path_of("v1/deep/er"), &err), err);
    put("v1/deep/er/file", "x");
    put("kept", "x");
    CHECK_INT(symlink("../../kept", path_of("v1/deep/link")), 0);
    promote("v1");
    promote("v9");
    CHECK_OK(versions_remove(test_dir(), "v1", &err), err);
    CHECK(!file_exists(path_of("v1")));
    CHECK(!file_exists(path_of(".removed-v1")));
    CHECK(file_exists(path_of("kept")));
    check_choice("{\"version\":\"v9\",\"history\":[\"v10\"]}\n");
}

TEST(versions_that_are_links_lose_the_link_only)
{
    char target[FILE_PATH_MAX];
    struct err err = {0};

    add_three();
    add_version("elsewhere", "{}");
    snprintf(target, sizeof target, "%s", path_of("elsewhere"));
    CHECK_INT(symlink(target, path_of("v0")), 0);
    CHECK_OK(versions_remove(test_dir(), "v0", &err), err);
    CHECK(!file_exists(path_of("v0")));
    CHECK(file_exists(path_of("elsewhere/metadata.json")));
}

TEST(versions_refuse_to_remove_the_current_one)
{
    struct err err = {0};

    add_three();
    CHECK_ERR(versions_remove(test_dir(), "v10", &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "\"v10\" is the current one");
    CHECK(file_exists(path_of("v10/metadata.json")));
}

TEST(versions_finish_a_removal_that_was_cut_short)
{
    struct err err = {0};

    add_three();
    CHECK_OK(file_make_dir(path_of(".removed-v1/half"), &err), err);
    put(".removed-v1/half/file", "x");
    CHECK_OK(versions_remove(test_dir(), "v1", &err), err);
    CHECK(!file_exists(path_of("v1")));
    CHECK(!file_exists(path_of(".removed-v1")));
}

TEST(versions_have_plain_names)
{
    static const char *const names[] = {"",    ".",   "..",      "../v1",
                                        "v1/", "a/b", ".hidden", "v\n1"};
    char dir[FILE_PATH_MAX] = "";
    size_t i;

    add_three();
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct err err = {0};

        CHECK_ERR(versions_dir(test_dir(), names[i], dir, &err), ERR_INVALID);
        err = (struct err){0};
        CHECK_ERR(versions_promote(test_dir(), names[i], &err), ERR_INVALID);
        err = (struct err){0};
        CHECK_ERR(versions_remove(test_dir(), names[i], &err), ERR_INVALID);
        CHECK_TEXT(dir, "");
    }
    CHECK(!file_exists(path_of("current.json")));
}

TEST(versions_refuse_a_damaged_choice)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{\"version\":1}",
                                        "{\"version\":\"../v1\"}",
                                        "{\"version\":\"gone\"}",
                                        "{\"version\":\"v1\",\"history\":[2]}",
                                        "{\"version\":\"v1\",\"history\":{}}"};
    char dir[FILE_PATH_MAX];
    size_t i;

    add_three();
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err err = {0};

        put("current.json", texts[i]);
        CHECK_ERR(versions_current(test_dir(), dir, &err), ERR_CORRUPT);
        CHECK_HAS(err.text, "current.json");
    }
}

TEST(versions_tell_a_root_from_a_model)
{
    char model[FILE_PATH_MAX];
    struct err err = {0};

    CHECK(!versions_is_root(test_dir()));
    CHECK(!versions_is_root(path_of("absent")));
    add_version("v1", "{}");
    CHECK(versions_is_root(test_dir()));
    snprintf(model, sizeof model, "%s", path_of("v1"));
    CHECK(!versions_is_root(model));
    CHECK_OK(file_make_dir(path_of("empty"), &err), err);
    snprintf(model, sizeof model, "%s", path_of("empty"));
    CHECK(!versions_is_root(model));
    put("empty/current.json", "{}");
    CHECK(versions_is_root(model));
}

/* What the scan shows, a line for each. */
static int describe(void *user, const struct version *version, struct err *err)
{
    (void)err;
    buf_printf(user, "%s %s%s %s %lld %g %d %s\n", version->name,
               version->is_current ? "current" : "",
               version->is_previous ? "previous" : "", version->created,
               (long long)version->class_count, version->accuracy,
               (int)version->sums, version->problem[0] != '\0' ? "bad" : "");
    return 0;
}

TEST(versions_scan_says_what_is_there)
{
    struct err err = {0};
    struct buf text;

    buf_init(&text, 1 << 16);
    add_version("v1", "{\"created\":\"2025-01-02\",\"accuracy\":0.5,"
                      "\"classes\":7}");
    add_version("v2", "{\"created\":\"2025-01-03\",\"accuracy\":0.75,"
                      "\"sha256\":{\"labels.txt\":\"f2ca1bb6c7e907d06dafe4687e5"
                      "79fce76b37e4e93b7605022da52e6ccc26fd2\"}}");
    put("v2/labels.txt", "test\n");
    add_version("v3", "{\"created\":\"2025-01-04\",\"accuracy\":0.25,"
                      "\"sha256\":{\"labels.txt\":\"f2ca1bb6c7e907d06dafe4687e5"
                      "79fce76b37e4e93b7605022da52e6ccc26fd2\"}}");
    put("v3/labels.txt", "other\nand more");
    add_version("v4", "{\"created\":");
    CHECK_OK(file_make_dir(path_of("no-model"), &err), err);
    promote("v1");
    promote("v2");
    CHECK_OK(versions_scan(test_dir(), true, describe, &text, &err), err);
    CHECK_HAS(text.data, "v1 previous 2025-01-02 7 0.5 0 \n"
                         "v2 current 2025-01-03 1 0.75 1 \n"
                         "v3  2025-01-04 2 0.25 2 bad\n"
                         "v4  20");
    CHECK_HAS(text.data, "nan 0 bad\n");
    buf_clear(&text);
    CHECK_OK(versions_scan(test_dir(), false, describe, &text, &err), err);
    CHECK_HAS(text.data, "v3  2025-01-04 2 0.25 3 \n");
    buf_release(&text);
}

TEST(versions_count_classes_wherever_they_are_said)
{
    static const struct {
        const char *metadata, *file, *text, *want;
    } cases[] = {
        {"{\"classes\":[\"a\",\"b\",\"c\"]}", "labels.txt", "a\n", " 3 "},
        {"{\"classes\":0}", "labels.txt", "a\nb\n", " 2 "},
        {"{}", "class_indices.json", "{\"a\":0,\"b\":1}", " 2 "},
        {"{}", "class_indices.json", "{\"a\":", " 0 "},
        {"{\"labels\":\"names\"}", "names", "a\nb\nc\nd", " 4 "},
        {"{}", "labels.txt", "", " 0 "},
        {"{}", "nothing", "", " 0 "},
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[64], file[128];
        struct err err = {0};
        struct buf text;

        buf_init(&text, 1 << 16);
        add_version("v1", cases[i].metadata);
        snprintf(file, sizeof file, "v1/%s", cases[i].file);
        put(file, cases[i].text);
        CHECK_OK(versions_scan(test_dir(), false, describe, &text, &err), err);
        snprintf(name, sizeof name, "%s", cases[i].want);
        CHECK_HAS(text.data, name);
        CHECK_INT(unlink(path_of(file)), 0);
        buf_release(&text);
    }
}

TEST(versions_of_a_root_that_is_not_there_are_not_found)
{
    char root[FILE_PATH_MAX], name[VERSION_NAME_MAX];
    struct err err = {0};

    snprintf(root, sizeof root, "%s", path_of("absent"));
    CHECK_ERR(versions_promote(root, "v1", &err), ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(versions_rollback(root, name, &err), ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(versions_remove(root, "v1", &err), ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(versions_scan(root, false, describe, NULL, &err), ERR_NOT_FOUND);
}

TEST(versions_are_bounded_in_number)
{
    char name[VERSION_NAME_MAX], dir[FILE_PATH_MAX];
    struct err err = {0};
    int i;

    add_version("v0", "{}");
    for (i = 1; i <= VERSIONS_MAX; i++) {
        if (i == VERSIONS_MAX)
            CHECK_TEXT(current(), "v999");
        snprintf(name, sizeof name, "v%d", i);
        CHECK_INT(symlink("v0", path_of(name)), 0);
    }
    CHECK_ERR(versions_current(test_dir(), dir, &err), ERR_TOO_LARGE);
    CHECK_HAS(err.text, "1000");
}

/* Runs a change with each allocation failing in turn, until none does. */
static void torture(int (*change)(struct err *err))
{
    long nth, tries;

    for (nth = 1; nth < 100; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = change(&err);
        tries = mem_tries();
        mem_fail_at(0);
        CHECK(rc == 0 || err.text[0] != '\0');
        if (tries < nth)
            break;
        CHECK(file_exists(path_of("v1")));
        CHECK(current()[0] == 'v');
    }
    CHECK(nth > 1 && nth < 100);
}

static int promote_both(struct err *err)
{
    int rc = versions_promote(test_dir(), "v1", err);

    return rc ? rc : versions_promote(test_dir(), "v9", err);
}

static int roll_back(struct err *err)
{
    char name[VERSION_NAME_MAX];
    int rc = promote_both(err);

    return rc ? rc : versions_rollback(test_dir(), name, err);
}

static int scan(struct err *err)
{
    struct buf text;
    int rc;

    buf_init(&text, 1 << 16);
    rc = versions_scan(test_dir(), true, describe, &text, err);
    buf_release(&text);
    return rc;
}

TEST(versions_survive_torture)
{
    add_three();
    put("v1/labels.txt", "a\nb\n");
    torture(promote_both);
    torture(roll_back);
    torture(scan);
}

/* --- the trainer's layout --- */

TEST(trainer_files_are_the_newest_by_the_time_in_their_names)
{
    struct trainer_files files = {0};

    CHECK(trainer_files_offer(&files, "b/classifier_20250101_090000.keras", 9));
    CHECK(trainer_files_offer(&files, "b/classifier_20250301_080000.keras", 1));
    CHECK(trainer_files_offer(&files, "b/classifier_20250201_235959.keras", 5));
    CHECK_TEXT(files.of[TRAINER_CLASSIFIER].path,
               "b/classifier_20250301_080000.keras");
    CHECK_INT(files.of[TRAINER_CLASSIFIER].stamp, 20250301080000);
    CHECK(trainer_files_offer(&files, "class_indices_2025-03-01T08:00:00.json",
                              1));
    CHECK_INT(files.of[TRAINER_CLASSES].stamp, 20250301080000);
    CHECK(trainer_files_offer(&files, "index_original_1740816000.faiss", 1));
    CHECK_INT(files.of[TRAINER_INDEX].stamp, 20250301080000);
    CHECK(trainer_files_offer(&files, "labels_original_1740816000123.npy", 1));
    CHECK_INT(files.of[TRAINER_LABELS].stamp, 20250301080000);
    CHECK(trainer_files_belong(&files));
    CHECK(trainer_files_offer(&files, "index_original_20250302.faiss", 1));
    CHECK_INT(files.of[TRAINER_INDEX].stamp, 20250302000000);
    CHECK(!trainer_files_belong(&files));
}

TEST(trainer_files_without_a_time_go_by_modification_then_by_name)
{
    struct trainer_files files = {0};

    CHECK(trainer_files_offer(&files, "classifier_v9.keras", 100));
    CHECK(trainer_files_offer(&files, "classifier_v2.keras", 200));
    CHECK(trainer_files_offer(&files, "classifier_v3.keras", 150));
    CHECK_TEXT(files.of[TRAINER_CLASSIFIER].path, "classifier_v2.keras");
    CHECK(trainer_files_offer(&files, "classifier_v10.keras", 200));
    CHECK(trainer_files_offer(&files, "classifier_v9.keras", 200));
    CHECK_TEXT(files.of[TRAINER_CLASSIFIER].path, "classifier_v10.keras");
    CHECK(trainer_files_offer(&files, "classifier_20200101.keras", 1));
    CHECK_TEXT(files.of[TRAINER_CLASSIFIER].path, "classifier_20200101.keras");
}

TEST(trainer_files_leave_other_names_out)
{
    static const char *const names[] = {"classifier.keras",
                                        "classifier_.keras",
                                        "classifier_1.h5",
                                        "my_classifier_1.keras",
                                        "class_indices_1.yaml",
                                        "index_original_1.faiss.part",
                                        "",
                                        "classifier_1.keras/"};
    struct trainer_files files = {0};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(!trainer_files_offer(&files, names[i], 1));
}

TEST(trainer_files_are_found_in_a_folder)
{
    struct trainer_files files = {.of = {{.stamp = 5}}};
    struct err err = {0};

    CHECK_ERR(versions_find_trainer(test_dir(), &files, &err), ERR_NOT_FOUND);
    CHECK_INT(files.of[0].stamp, 5);
    err = (struct err){0};
    CHECK_ERR(versions_find_trainer(path_of("absent"), &files, &err),
              ERR_NOT_FOUND);
    put("classifier_20250101_000000.keras", "x");
    put("classifier_20250102_000000.keras", "x");
    put("index_original_20250102_000000.faiss", "x");
    err = (struct err){0};
    CHECK_OK(file_make_dir(path_of("classifier_20260101_000000.keras"), &err),
             err);
    CHECK_OK(versions_find_trainer(test_dir(), &files, &err), err);
    CHECK_TEXT(files.of[TRAINER_CLASSIFIER].path,
               path_of("classifier_20250102_000000.keras"));
    CHECK_TEXT(files.of[TRAINER_CLASSES].path, "");
    CHECK(trainer_files_belong(&files));
}
