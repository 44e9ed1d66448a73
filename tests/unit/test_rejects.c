/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/rejects.h"

static char path[256];

static const struct store_row row = {
    .table = STORE_FEEDBACK,
    .created_ms = 5,
    .as.feedback = {.request_id = "r1", .class_name = "mo\"to\n"},
};
static const char line[] =
    "{\"rejected\":\"2023-11-14T22:13:20.123Z\",\"error\":\"why \\\"not\\\"\","
    "\"table\":\"feedback\",\"created_ms\":5,\"request_id\":\"r1\","
    "\"classe\":\"mo\\\"to\\n\"}\n";

static int add(struct err *err)
{
    return rejects_add(path, &row, "why \"not\"", 1700000000123, err);
}

static void fresh(void)
{
    snprintf(path, sizeof path, "%s/rejected", test_dir());
}

static int64_t file_len(void)
{
    struct stat st;

    CHECK_INT(stat(path, &st), 0);
    return st.st_size;
}

TEST(rejects_are_one_json_object_a_line)
{
    struct err err = {0};
    char want[2 * sizeof line];
    struct buf text;

    fresh();
    CHECK_OK(add(&err), err);
    CHECK_OK(add(&err), err);
    buf_init(&text, 10000);
    CHECK_OK(file_read(path, &text, &err), err);
    snprintf(want, sizeof want, "%s%s", line, line);
    CHECK_TEXT(text.data, want);
    buf_release(&text);
}

TEST(rejects_stop_at_their_bound)
{
    struct err err = {0};
    int file;

    fresh();
    file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(file >= 0);
    close(file);
    CHECK_INT(truncate(path, REJECTS_LEN_MAX - (int64_t)sizeof line + 1), 0);
    CHECK_OK(add(&err), err);
    CHECK_INT(file_len(), REJECTS_LEN_MAX);
    CHECK_ERR(add(&err), ERR_TOO_LARGE);
    CHECK_HAS(err.text, "16777216");
    CHECK_INT(file_len(), REJECTS_LEN_MAX);
}

TEST(rejects_leave_no_half_line_on_a_full_disk)
{
    struct rlimit limit;
    struct err err = {0};
    int rc;

    fresh();
    CHECK_OK(add(&err), err);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = sizeof line + 20;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    rc = add(&err);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_DFL);
    CHECK_ERR(rc, ERR_IO);
    CHECK_HAS(err.text, "cannot write");
    CHECK_INT(file_len(), sizeof line - 1);
}

TEST(rejects_say_which_file_they_cannot_write)
{
    struct err err = {0};

    snprintf(path, sizeof path, "%s", test_dir());
    CHECK_ERR(add(&err), ERR_IO);
    CHECK_HAS(err.text, path);
}

TEST(torture_rejects_need_memory)
{
    struct err err = {0};

    fresh();
    mem_fail_at(1);
    CHECK_ERR(add(&err), ERR_UNAVAILABLE);
    mem_fail_at(0);
    CHECK(!file_exists(path));
}
