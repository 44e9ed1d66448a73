/* SPDX-License-Identifier: Apache-2.0 */
/* Links, pipes and folders in the way of keys. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "blob/blob.h"
#include "blob/blob_folder.h"

/* test_dir()/in is the blobs' folder, test_dir()/out is not in it. */
static struct blob *blob;

static const char *path_of(const char *name)
{
    static char paths[4][FILE_PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, path, &err), err);
    return path;
}

static void begin(void)
{
    struct blob_options options = {.url = path_of("in")};
    struct err err = {0};

    blob = NULL;
    CHECK_OK(blob_open(&options, &blob, &err), err);
    CHECK_OK(file_make_dir(path_of("out"), &err), err);
    CHECK_OK(file_make_dir(path_of("in/sub"), &err), err);
    CHECK_OK(file_write(path_of("out/secret"), bytes_of_text("no"), &err), err);
    CHECK_OK(file_write(path_of("in/sub/file"), bytes_of_text("yes"), &err),
             err);
}

static void link_to(const char *target, const char *name)
{
    CHECK_INT(symlink(target, path_of(name)), 0);
}

static const char *got(const char *key)
{
    static char text[100];
    struct err err = {0};
    struct buf out;
    int rc;

    buf_init(&out, sizeof text - 1);
    rc = blob_read(blob, key, &out, &err);
    snprintf(text, sizeof text, "%s",
             rc ? err_name((enum err_code)rc) : out.data);
    buf_release(&out);
    return text;
}

TEST(blob_folder_follows_no_link_that_leads_out)
{
    begin();
    link_to(path_of("out/secret"), "in/absolute");
    link_to("../out/secret", "in/relative");
    link_to("../out", "in/folder");
    link_to("../../out/secret", "in/sub/deep");
    link_to("relative", "in/chain");
    link_to("/proc/self/root", "in/root");
    CHECK_TEXT(got("absolute"), "FORBIDDEN");
    CHECK_TEXT(got("relative"), "FORBIDDEN");
    CHECK_TEXT(got("folder/secret"), "FORBIDDEN");
    CHECK_TEXT(got("sub/deep"), "FORBIDDEN");
    CHECK_TEXT(got("chain"), "FORBIDDEN");
    CHECK_TEXT(got("root/etc/passwd"), "FORBIDDEN");
    CHECK_TEXT(got("sub/file"), "yes");
    blob_close(blob);
}

TEST(blob_folder_writes_through_no_link)
{
    struct err err = {0};
    struct buf text;

    begin();
    link_to("../out", "in/folder");
    link_to("sub", "in/inside");
    link_to("../out/secret", "in/file");
    CHECK_ERR(blob_write(blob, "folder/new", bytes_of_text("x"), NULL, &err),
              ERR_FORBIDDEN);
    CHECK_ERR(blob_write(blob, "folder/a/b", bytes_of_text("x"), NULL, &err),
              ERR_FORBIDDEN);
    CHECK_ERR(blob_write(blob, "inside/new", bytes_of_text("x"), NULL, &err),
              ERR_FORBIDDEN);
    CHECK(!file_exists(path_of("out/new")));
    CHECK(!file_exists(path_of("out/a")));
    /* The link is replaced, and not what it leads to. */
    err = (struct err){0};
    CHECK_OK(blob_write(blob, "file", bytes_of_text("mine"), NULL, &err), err);
    CHECK_TEXT(got("file"), "mine");
    buf_init(&text, 100);
    CHECK_OK(file_read(path_of("out/secret"), &text, &err), err);
    CHECK_TEXT(text.data, "no");
    buf_release(&text);
    blob_close(blob);
}

/* The way without openat2, on which no link is followed. */
TEST(blob_folder_walks_part_by_part_without_links)
{
    int root, fd;
    char text[4] = "";

    begin();
    link_to("../out", "in/folder");
    link_to("sub/file", "in/inside");
    root = open(path_of("in"), O_RDONLY | O_DIRECTORY);
    CHECK(root >= 0);
    fd = blob_folder_walk_open(root, "sub/file", O_RDONLY);
    CHECK(fd >= 0);
    CHECK_INT(read(fd, text, 3), 3);
    CHECK_TEXT(text, "yes");
    close(fd);
    CHECK_INT(blob_folder_walk_open(root, "folder/secret", O_RDONLY), -ELOOP);
    CHECK_INT(blob_folder_walk_open(root, "inside", O_RDONLY), -ELOOP);
    CHECK_INT(blob_folder_walk_open(root, "sub/none", O_RDONLY), -ENOENT);
    CHECK_INT(blob_folder_walk_open(root, "none/file", O_RDONLY), -ENOENT);
    CHECK_INT(blob_folder_walk_open(root, "sub/file/x", O_RDONLY), -ENOTDIR);
    CHECK_INT(blob_folder_walk_open(root, "sub//file", O_RDONLY), -ENOENT);
    close(root);
    blob_close(blob);
}

TEST(blob_folder_reads_files_only)
{
    begin();
    CHECK_INT(mkfifo(path_of("in/pipe"), 0600), 0);
    CHECK_TEXT(got("pipe"), "NOT_FOUND");
    CHECK_TEXT(got("sub"), "NOT_FOUND");
    CHECK_TEXT(got("sub/file/x"), "NOT_FOUND");
    blob_close(blob);
}

TEST(blob_folder_tells_a_file_from_a_folder_of_that_name)
{
    struct err err = {0};

    begin();
    CHECK_ERR(blob_write(blob, "sub", bytes_of_text("x"), NULL, &err),
              ERR_CONFLICT);
    CHECK_ERR(blob_write(blob, "sub/file/x", bytes_of_text("x"), NULL, &err),
              ERR_CONFLICT);
    CHECK_TEXT(got("sub/file"), "yes");
    blob_close(blob);
}

TEST(blob_folder_refuses_parts_longer_than_names_may_be)
{
    char key[400];
    struct err err = {0};

    begin();
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    CHECK_ERR(blob_write(blob, key, bytes_of_text("x"), NULL, &err),
              ERR_INVALID);
    CHECK_TEXT(got(key), "INVALID");
    blob_close(blob);
}

static int note(void *user, const struct blob_item *item, struct err *err)
{
    (void)err;
    buf_printf(user, "%s ", item->key);
    return 0;
}

static int note_path(void *user, const char *path, struct err *err)
{
    (void)err;
    buf_printf(user, "%s ", strrchr(path, '/') + 1);
    return 0;
}

TEST(blob_folder_lists_files_and_links_that_stay_inside)
{
    struct err err = {0};
    struct buf keys;

    begin();
    link_to("../out/secret", "in/a-out");
    link_to("../out", "in/b-folder-out");
    link_to("sub", "in/c-folder-in");
    link_to("sub/file", "in/d-in");
    link_to("nowhere", "in/e-broken");
    link_to(".", "in/f-self");
    CHECK_INT(mkfifo(path_of("in/g-pipe"), 0600), 0);
    CHECK_OK(file_write(path_of("in/" BLOB_FOLDER_PART "0123"),
                        bytes_of_text("half"), &err),
             err);
    CHECK_OK(file_write(path_of("in/.hidden"), bytes_of_text("x"), &err), err);
    CHECK_OK(file_write(path_of("in/a\\b"), bytes_of_text("x"), &err), err);
    buf_init(&keys, 1000);
    CHECK_OK(blob_list(blob, "", note, &keys, &err), err);
    CHECK_TEXT(keys.data, ".hidden d-in sub/file ");
    buf_release(&keys);
    err = (struct err){0};
    buf_init(&keys, 10);
    CHECK_ERR(blob_list(blob, "a\n", note, &keys, &err), ERR_INVALID);
    blob_close(blob);
}

TEST(blob_folder_refuses_to_list_too_deep_a_tree)
{
    char name[FILE_PATH_MAX] = "in";
    struct err err = {0};
    struct buf keys;
    size_t len;
    int i;

    begin();
    for (i = 0; i < 40; i++) {
        len = strlen(name);
        snprintf(name + len, sizeof name - len, "/d");
    }
    CHECK_OK(file_make_dir(path_of(name), &err), err);
    buf_init(&keys, 1000);
    CHECK_ERR(blob_list(blob, "", note, &keys, &err), ERR_INVALID);
    CHECK_HAS(err.text, "32 folders");
    buf_release(&keys);
    blob_close(blob);
}

TEST(blob_folder_may_be_exchanged_while_it_is_open)
{
    struct err err = {0};
    char moved[FILE_PATH_MAX];

    begin();
    snprintf(moved, sizeof moved, "%s", path_of("moved"));
    CHECK_INT(rename(path_of("in"), moved), 0);
    CHECK_TEXT(got("sub/file"), "IO");
    CHECK_OK(file_make_dir(path_of("in/sub"), &err), err);
    CHECK_TEXT(got("sub/file"), "NOT_FOUND");
    CHECK_OK(blob_write(blob, "sub/file", bytes_of_text("new"), NULL, &err),
             err);
    CHECK_TEXT(got("sub/file"), "new");
    blob_close(blob);
}

TEST(blob_folder_of_a_file_url_is_that_folder)
{
    char url[FILE_PATH_MAX];
    struct blob_options options = {.url = url};
    struct err err = {0};

    snprintf(url, sizeof url, "file://%s", path_of("with%20space"));
    CHECK_OK(blob_open(&options, &blob, &err), err);
    CHECK_OK(blob_write(blob, "a", bytes_of_text("x"), NULL, &err), err);
    CHECK(file_exists(path_of("with space/a")));
    CHECK_TEXT(blob_backend(blob), "folder");
    blob_close(blob);
}

TEST(blob_folder_has_no_urls)
{
    struct err err = {0};
    char url[100] = "untouched";

    begin();
    CHECK_ERR(blob_presign(blob, "sub/file", 60, url, sizeof url, &err),
              ERR_UNSUPPORTED);
    CHECK_TEXT(url, "untouched");
    blob_close(blob);
}

/* A disk that is full, played by the longest file a process may write. */
TEST(blob_folder_leaves_the_old_when_the_disk_is_full)
{
    struct rlimit before, small;
    struct err err = {0};
    struct buf keys;
    char large[5000], target[FILE_PATH_MAX];
    int rc, rc_file;

    begin();
    snprintf(target, sizeof target, "%s", path_of("out/secret"));
    memset(large, 'x', sizeof large);
    CHECK_OK(blob_write(blob, "large",
                        (struct bytes){(uint8_t *)large, sizeof large}, NULL,
                        &err),
             err);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = blob_write(blob, "sub/file",
                    (struct bytes){(uint8_t *)large, sizeof large}, NULL, &err);
    rc_file = blob_read_file(blob, "large", target, sizeof large, &err);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_ERR(rc, ERR_IO);
    CHECK_ERR(rc_file, ERR_IO);
    CHECK_TEXT(got("sub/file"), "yes");
    buf_init(&keys, 1000);
    CHECK_OK(file_walk(path_of("out"), note_path, &keys, &err), err);
    CHECK_TEXT(keys.data, "secret ");
    buf_release(&keys);
    buf_init(&keys, 1000);
    CHECK_OK(blob_list(blob, "", note, &keys, &err), err);
    CHECK_TEXT(keys.data, "large sub/file ");
    buf_release(&keys);
    blob_close(blob);
}

TEST(torture_blob_folder_without_memory)
{
    struct err err = {0};
    struct buf keys;
    long nth;
    int rc = 1;

    begin();
    for (nth = 1; rc != 0; nth++) {
        CHECK(nth < 100);
        err = (struct err){0};
        buf_init(&keys, 1000);
        mem_fail_at(nth);
        rc = blob_list(blob, "", note, &keys, &err);
        if (rc == 0)
            rc = blob_read(blob, "sub/file", &keys, &err);
        if (rc == 0)
            rc = blob_write_file(blob, "copy", path_of("out/secret"), NULL,
                                 &err);
        mem_fail_at(0);
        CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
        buf_release(&keys);
    }
    CHECK(nth > 5);
    blob_close(blob);
}
