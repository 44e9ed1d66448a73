/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "store/spill.h"

enum { LEN_MAX = 1 << 20, RECORDS = 5 };

static char path[256];

static const char *fresh_path(void)
{
    snprintf(path, sizeof path, "%s/spill", test_dir());
    return path;
}

/* Record i: i + 1 times its own letter, with marks of records in between. */
static struct bytes record(int i)
{
    static uint8_t bytes[64];
    static const uint8_t mark[] = {0x6d, 0xf0, 0xa7, 0x52};

    memset(bytes, 'a' + i, sizeof bytes);
    memcpy(bytes + 2, mark, sizeof mark);
    return (struct bytes){bytes, 8 + (size_t)i};
}

static struct spill *opened(void)
{
    struct spill *spill = NULL;
    struct err err = {0};

    CHECK_OK(spill_open(path, LEN_MAX, &spill, &err), err);
    return spill;
}

static void add(struct spill *spill, int from, int to)
{
    struct err err = {0};
    int i;

    for (i = from; i < to; i++)
        CHECK_OK(spill_add(spill, record(i), &err), err);
}

static struct spill_info info_of(const struct spill *spill)
{
    struct spill_info info;

    spill_info(spill, &info);
    return info;
}

/* Reads all records and answers the letters of those that are as they were
 * written; '?' for one that is not. */
static const char *read_all(struct spill *spill)
{
    static char letters[32];
    int64_t offset = spill_first(spill);
    struct err err = {0};
    struct buf out;
    int count = 0;

    buf_init(&out, SPILL_RECORD_MAX + 1);
    for (;;) {
        struct bytes want;

        CHECK_OK(spill_read(spill, &offset, &out, &err), err);
        if (out.len == 0)
            break;
        want = record(out.data[0] - 'a');
        letters[count++] =
            out.len == want.len && memcmp(out.data, want.data, want.len) == 0
                ? out.data[0]
                : '?';
        CHECK(count < (int)sizeof letters - 1);
    }
    letters[count] = '\0';
    buf_release(&out);
    return letters;
}

static void patch(int64_t offset, const void *data, size_t len)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);

    CHECK(file >= 0);
    CHECK_INT(pwrite(file, data, len, offset), len);
    close(file);
}

static int64_t offset_of(int i)
{
    int64_t offset = SPILL_HEAD_LEN;
    int j;

    for (j = 0; j < i; j++)
        offset += SPILL_RECORD_HEAD_LEN + (int64_t)record(j).len;
    return offset;
}

/* A closed file with RECORDS records. */
static void make_file(void)
{
    struct spill *spill;

    unlink(fresh_path());
    spill = opened();
    add(spill, 0, RECORDS);
    CHECK_INT(info_of(spill).len, offset_of(RECORDS));
    spill_close(spill);
}

TEST(spill_gives_records_back_in_order_to_a_later_process)
{
    struct spill *spill;

    make_file();
    spill = opened();
    CHECK_INT(info_of(spill).record_count, RECORDS);
    CHECK_INT(info_of(spill).cut_len, 0);
    CHECK_INT(info_of(spill).damaged, 0);
    add(spill, RECORDS, RECORDS + 1);
    CHECK_TEXT(read_all(spill), "abcdef");
    spill_close(spill);
}

TEST(spill_forgets_what_is_done_with_and_ends_empty)
{
    struct spill *spill;
    struct err err = {0};

    make_file();
    spill = opened();
    CHECK_OK(spill_forget(spill, offset_of(2), 2, &err), err);
    CHECK_TEXT(read_all(spill), "cde");
    spill_close(spill);
    spill = opened();
    CHECK_INT(info_of(spill).record_count, 3);
    CHECK_TEXT(read_all(spill), "cde");
    CHECK_OK(spill_forget(spill, offset_of(RECORDS), 3, &err), err);
    CHECK_INT(info_of(spill).record_count, 0);
    CHECK_INT(info_of(spill).len, 0);
    CHECK_TEXT(read_all(spill), "");
    add(spill, 1, 2);
    CHECK_TEXT(read_all(spill), "b");
    spill_close(spill);
    spill = opened();
    CHECK_TEXT(read_all(spill), "b");
    spill_close(spill);
}

TEST(spill_cuts_a_torn_end_at_every_length)
{
    int64_t len;

    make_file();
    for (len = offset_of(RECORDS) - 1; len >= SPILL_HEAD_LEN; len--) {
        struct spill *spill;
        int whole = 0;

        make_file();
        CHECK_INT(truncate(path, len), 0);
        while (offset_of(whole + 1) <= len)
            whole++;
        spill = opened();
        CHECK_INT(info_of(spill).record_count, whole);
        CHECK_INT(info_of(spill).cut_len, len - offset_of(whole));
        CHECK_INT(info_of(spill).damaged, 0);
        add(spill, RECORDS, RECORDS + 1);
        CHECK_INT(strlen(read_all(spill)), whole + 1);
        CHECK(strchr(read_all(spill), '?') == NULL);
        spill_close(spill);
    }
}

TEST(spill_loses_only_the_record_that_was_damaged)
{
    int64_t at;

    make_file();
    for (at = offset_of(1); at < offset_of(RECORDS - 1); at++) {
        uint8_t byte = 0xee; /* none of what is there */
        struct spill *spill;
        int i = 1;

        while (offset_of(i + 1) <= at)
            i++;
        make_file();
        patch(at, &byte, 1);
        spill = opened();
        CHECK_INT(info_of(spill).record_count, RECORDS - 1);
        CHECK_INT(info_of(spill).damaged, 1);
        CHECK_INT(strlen(read_all(spill)), RECORDS - 1);
        CHECK(strchr(read_all(spill), 'a' + i) == NULL);
        CHECK(strchr(read_all(spill), '?') == NULL);
        CHECK_INT(info_of(spill).damaged, 1);
        spill_close(spill);
    }
}

TEST(spill_with_a_damaged_head_gives_all_its_records_again)
{
    int64_t at;

    for (at = 8; at < SPILL_HEAD_LEN; at++) {
        uint8_t byte = 0xee;
        struct spill *spill;

        make_file();
        patch(at, &byte, 1);
        spill = opened();
        CHECK_INT(info_of(spill).damaged, 1);
        CHECK_TEXT(read_all(spill), "abcde");
        spill_close(spill);
        spill = opened();
        CHECK_INT(info_of(spill).damaged, 0);
        spill_close(spill);
    }
}

TEST(spill_leaves_a_file_that_is_none_of_its_own)
{
    struct spill *spill = NULL;
    struct err err = {0};
    struct buf out;

    CHECK_OK(file_write(fresh_path(), bytes_of_text("my photographs"), &err),
             err);
    CHECK_ERR(spill_open(path, LEN_MAX, &spill, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "is no spill file");
    CHECK(spill == NULL);
    buf_init(&out, 100);
    CHECK_OK(file_read(path, &out, &err), err);
    CHECK_TEXT(out.data, "my photographs");
    buf_release(&out);
}

TEST(spill_belongs_to_one_process)
{
    struct spill *spill, *other = NULL;
    struct err err = {0};

    make_file();
    spill = opened();
    CHECK_ERR(spill_open(path, LEN_MAX, &other, &err), ERR_CONFLICT);
    spill_close(spill);
    spill_close(opened());
}

TEST(spill_takes_no_more_than_its_bound)
{
    struct spill *spill = NULL;
    struct err err = {0};
    int count = 0;

    CHECK_OK(spill_open(fresh_path(), SPILL_LEN_MIN, &spill, &err), err);
    while (spill_add(spill, record(0), &err) == 0)
        count++;
    CHECK_ERR(err.code, ERR_TOO_LARGE);
    CHECK_HAS(err.text, "may have 4096");
    CHECK_INT(count, (SPILL_LEN_MIN - SPILL_HEAD_LEN) / 20);
    CHECK_INT(info_of(spill).record_count, count);
    spill_close(spill);
}

/* RLIMIT_FSIZE makes writes past it come up short and then fail. */
static void limit_files(rlim_t len)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(spill_is_as_before_when_the_disk_is_full)
{
    struct spill *spill;
    int64_t len;

    make_file();
    signal(SIGXFSZ, SIG_IGN);
    spill = opened();
    for (len = offset_of(RECORDS); len < offset_of(RECORDS + 1); len++) {
        struct err err = {0};
        int rc;

        limit_files((rlim_t)len);
        rc = spill_add(spill, record(RECORDS), &err);
        limit_files(RLIM_INFINITY);
        CHECK_ERR(rc, ERR_IO);
        CHECK_HAS(err.text, "cannot write");
        CHECK_INT(info_of(spill).record_count, RECORDS);
        CHECK_TEXT(read_all(spill), "abcde");
    }
    add(spill, RECORDS, RECORDS + 1);
    CHECK_TEXT(read_all(spill), "abcdef");
    spill_close(spill);
    signal(SIGXFSZ, SIG_DFL);
}

/* What a kill between cutting the file and writing its head leaves. */
TEST(spill_that_was_cut_before_its_head_was_written_is_empty)
{
    struct spill *spill;
    struct err err = {0};

    make_file();
    spill = opened();
    CHECK_OK(spill_forget(spill, offset_of(4), 4, &err), err);
    spill_close(spill);
    CHECK_INT(truncate(path, offset_of(1)), 0);
    spill = opened();
    CHECK_TEXT(read_all(spill), "");
    CHECK_INT(info_of(spill).len, 0);
    spill_close(spill);
}
