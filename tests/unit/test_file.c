/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* test_dir()/name; four may be in use at once. */
static const char *path_of(const char *name)
{
    static char paths[4][FILE_PATH_MAX];
    static int slot;
    struct err err = {0};

    slot = (slot + 1) % 4;
    CHECK_OK(file_join(test_dir(), name, paths[slot], &err), err);
    return paths[slot];
}

static void put(const char *name, const char *text)
{
    struct err err = {0};

    CHECK_OK(file_write(path_of(name), bytes_of_text(text), &err), err);
}

TEST(file_reads_back_what_it_wrote)
{
    struct err err = {0};
    struct buf out;

    put("a", "first");
    put("a", "second");
    buf_init(&out, 100);
    buf_add_text(&out, "> ");
    CHECK_OK(file_read(path_of("a"), &out, &err), err);
    CHECK_TEXT(out.data, "> second");
    buf_release(&out);
}

TEST(file_write_leaves_nothing_else_behind)
{
    struct err err = {0};

    put("a", "text");
    CHECK_INT(unlink(path_of("a")), 0);
    /* An empty folder can be removed, one with a left-over cannot. */
    CHECK_INT(rmdir(test_dir()), 0);
    CHECK_OK(file_make_dir(test_dir(), &err), err);
}

TEST(file_write_that_fails_keeps_the_old_file)
{
    struct err err = {0};

    CHECK_OK(file_make_dir(path_of("folder"), &err), err);
    put("folder/a", "x");
    CHECK_ERR(file_write(path_of("folder"), bytes_of_text("y"), &err), ERR_IO);
    CHECK(file_exists(path_of("folder/a")));
    err = (struct err){0};
    CHECK_ERR(file_write(path_of("none/a"), bytes_of_text("y"), &err),
              ERR_NOT_FOUND);
    CHECK_HAS(err.text, "none/a");
}

TEST(file_read_takes_an_empty_file_and_an_exact_fit)
{
    struct err err = {0};
    struct buf out;

    put("empty", "");
    put("four", "four");
    buf_init(&out, 4);
    CHECK_OK(file_read(path_of("empty"), &out, &err), err);
    CHECK_TEXT(out.data, "");
    CHECK_OK(file_read(path_of("four"), &out, &err), err);
    CHECK_TEXT(out.data, "four");
    buf_release(&out);
}

TEST(file_read_refuses_what_is_over_the_limit)
{
    struct err err = {0};
    struct buf out;

    put("five", "12345");
    buf_init(&out, 4);
    CHECK_ERR(file_read(path_of("five"), &out, &err), ERR_TOO_LARGE);
    CHECK_HAS(err.text, "5 bytes");
    err = (struct err){0};
    /* No length is known before here. */
    CHECK_ERR(file_read("/dev/zero", &out, &err), ERR_TOO_LARGE);
    buf_release(&out);
}

TEST(file_read_names_what_is_missing_or_a_folder)
{
    struct err err = {0};
    struct buf out;

    buf_init(&out, 100);
    CHECK_ERR(file_read("no/such/file", &out, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "'no/such/file'");
    err = (struct err){0};
    CHECK_ERR(file_read(test_dir(), &out, &err), ERR_IO);
    CHECK_INT(out.len, 0);
    buf_release(&out);
}

TEST(torture_file_read_says_that_memory_ran_out)
{
    struct err err = {0};
    struct buf out;
    int rc;

    put("a", "text");
    buf_init(&out, 100);
    mem_fail_at(1);
    rc = file_read(path_of("a"), &out, &err);
    mem_fail_at(0);
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    buf_release(&out);
}

TEST(file_make_dir_makes_all_levels_and_may_be_repeated)
{
    struct err err = {0};

    CHECK_OK(file_make_dir(path_of("a/b//c/"), &err), err);
    CHECK(file_is_dir(path_of("a/b/c")));
    CHECK_OK(file_make_dir(path_of("a/b/c"), &err), err);
    CHECK_OK(file_make_dir("/", &err), err);
}

TEST(file_make_dir_refuses_a_file_in_the_way)
{
    struct err err = {0};

    put("a", "text");
    CHECK(file_make_dir(path_of("a"), &err) != 0);
    err = (struct err){0};
    CHECK(file_make_dir(path_of("a/b"), &err) != 0);
    err = (struct err){0};
    CHECK_ERR(file_make_dir("", &err), ERR_INVALID);
}

TEST(file_join_puts_one_slash)
{
    char out[FILE_PATH_MAX], name[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join("a", "b", out, &err), err);
    CHECK_TEXT(out, "a/b");
    CHECK_OK(file_join("a/", "b", out, &err), err);
    CHECK_TEXT(out, "a/b");
    CHECK_OK(file_join("", "b", out, &err), err);
    CHECK_TEXT(out, "b");
    memset(name, 'x', sizeof name);
    name[FILE_PATH_MAX - 3] = '\0';
    CHECK_OK(file_join("a", name, out, &err), err);
    name[FILE_PATH_MAX - 3] = 'x';
    name[FILE_PATH_MAX - 2] = '\0';
    CHECK_ERR(file_join("a", name, out, &err), ERR_TOO_LARGE);
}

/* Notes the last part of each path. */
static int note(void *user, const char *path, struct err *err)
{
    struct buf *seen = user;

    (void)err;
    buf_printf(seen, "%s ", strrchr(path, '/') + 1);
    return seen->len > 1000 ? ERR_TOO_LARGE : 0;
}

TEST(file_walk_goes_in_name_order_and_skips_what_is_hidden)
{
    struct err err = {0};
    struct buf seen;

    CHECK_OK(file_make_dir(path_of("walk/b/deep"), &err), err);
    CHECK_OK(file_make_dir(path_of("walk/.hidden"), &err), err);
    put("walk/c", "");
    put("walk/a", "");
    put("walk/B", "");
    put("walk/.dot", "");
    put("walk/.hidden/x", "");
    put("walk/b/2", "");
    put("walk/b/deep/1", "");
    buf_init(&seen, 2000);
    CHECK_OK(file_walk(path_of("walk"), note, &seen, &err), err);
    CHECK_TEXT(seen.data, "B a 2 1 c ");
    buf_release(&seen);
}

TEST(file_walk_follows_links_to_files_but_not_to_folders)
{
    struct err err = {0};
    struct buf seen;

    CHECK_OK(file_make_dir(path_of("walk"), &err), err);
    put("real", "");
    CHECK_INT(symlink("../real", path_of("walk/file-link")), 0);
    CHECK_INT(symlink("..", path_of("walk/folder-link")), 0);
    CHECK_INT(symlink("nothing", path_of("walk/loose-link")), 0);
    CHECK_INT(mkfifo(path_of("walk/pipe"), 0600), 0);
    buf_init(&seen, 2000);
    CHECK_OK(file_walk(path_of("walk"), note, &seen, &err), err);
    CHECK_TEXT(seen.data, "file-link ");
    buf_release(&seen);
}

static int stop(void *user, const char *path, struct err *err)
{
    int *calls = user;

    (*calls)++;
    return err_set(err, ERR_INVALID, "stop at %s", strrchr(path, '/') + 1);
}

TEST(file_walk_stops_where_it_is_told)
{
    struct err err = {0};
    int calls = 0;

    put("a", "");
    put("b", "");
    CHECK_ERR(file_walk(test_dir(), stop, &calls, &err), ERR_INVALID);
    CHECK_INT(calls, 1);
    CHECK_TEXT(err.text, "stop at a");
}

TEST(file_walk_refuses_folders_that_are_too_deep)
{
    struct err err = {0};
    struct buf path, seen;
    int i;

    buf_init(&path, FILE_PATH_MAX);
    buf_add_text(&path, test_dir());
    for (i = 0; i < 32; i++)
        buf_add_text(&path, "/d");
    CHECK_OK(file_make_dir(path.data, &err), err);
    buf_release(&path);
    buf_init(&seen, 2000);
    CHECK_ERR(file_walk(test_dir(), note, &seen, &err), ERR_INVALID);
    CHECK_HAS(err.text, "32");
    err = (struct err){0};
    CHECK_ERR(file_walk("no/such/folder", note, &seen, &err), ERR_NOT_FOUND);
    buf_release(&seen);
}

TEST(torture_file_walk_says_that_memory_ran_out)
{
    struct err err = {0};
    struct buf seen;
    int rc;

    put("a", "");
    buf_init(&seen, 2000);
    mem_fail_at(1);
    rc = file_walk(test_dir(), note, &seen, &err);
    mem_fail_at(0);
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    CHECK_INT(seen.len, 0);
    buf_release(&seen);
}
