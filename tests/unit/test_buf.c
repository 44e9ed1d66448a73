/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/buf.h"
#include "base/mem.h"

TEST(buf_refuses_what_is_over_its_maximum)
{
    struct buf buf;
    struct err err = {0};

    buf_init(&buf, 4);
    buf_add_text(&buf, "four");
    CHECK_OK(buf_check(&buf, &err), err);
    buf_add_char(&buf, '!');
    CHECK_ERR(buf_check(&buf, &err), ERR_TOO_LARGE);
    CHECK_TEXT(buf.data, "four");
    CHECK_INT(buf.len, 4);
    buf_release(&buf);
}

TEST(buf_stays_failed_until_cleared)
{
    struct buf buf;
    struct err err = {0};

    buf_init(&buf, 3);
    buf_add_text(&buf, "four");
    buf_add_text(&buf, "one");
    CHECK_INT(buf.len, 0);
    buf_clear(&buf);
    buf_printf(&buf, "%d", 123);
    CHECK_OK(buf_check(&buf, &err), err);
    CHECK_TEXT(buf.data, "123");
    buf_release(&buf);
}

TEST(buf_hands_its_bytes_over)
{
    struct buf buf;
    char *text;

    buf_init(&buf, 100);
    buf_add_text(&buf, "mine");
    text = buf_detach(&buf);
    CHECK_TEXT(text, "mine");
    CHECK(buf.data == NULL && buf.len == 0);
    mem_free(text);
}

TEST(buf_reports_that_memory_ran_out)
{
    struct buf buf;
    struct err err = {0};

    buf_init(&buf, 100);
    mem_fail_at(1);
    buf_add_text(&buf, "x");
    mem_fail_at(0);
    CHECK_ERR(buf_check(&buf, &err), ERR_UNAVAILABLE);
    buf_release(&buf);
}
