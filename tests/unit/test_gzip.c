/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>
#include <zlib.h>

#include "base/gzip.h"
#include "base/mem.h"

/* Uncompresses `in` with zlib and compares. */
static void check_same(struct bytes in, struct bytes want)
{
    z_stream stream = {0};
    uint8_t *out = mem_try(want.len + 1, 1);

    CHECK(out != NULL);
    CHECK_INT(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)in.data;
    stream.avail_in = (uInt)in.len;
    stream.next_out = out;
    stream.avail_out = (uInt)want.len + 1;
    CHECK_INT(inflate(&stream, Z_FINISH), Z_STREAM_END);
    CHECK_INT(stream.total_out, want.len);
    CHECK_INT(stream.avail_in, 0);
    CHECK(want.len == 0 || memcmp(out, want.data, want.len) == 0);
    inflateEnd(&stream);
    mem_free(out);
}

TEST(gzip_appends_what_zlib_reads_back)
{
    uint8_t data[5000];
    struct err err = {0};
    struct buf out;
    size_t i;
    int level;

    for (i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)("json,"[i % 5] + i % 7);
    for (level = 1; level <= 9; level += 4) {
        buf_init(&out, 1 << 20);
        buf_add_text(&out, "before");
        CHECK_OK(
            gzip_compress((struct bytes){data, sizeof data}, level, &out, &err),
            err);
        CHECK(out.len < sizeof data / 4);
        CHECK(memcmp(out.data, "before\x1f\x8b", 8) == 0);
        check_same((struct bytes){(uint8_t *)out.data + 6, out.len - 6},
                   (struct bytes){data, sizeof data});
        buf_release(&out);
    }
}

TEST(gzip_compresses_nothing_at_all)
{
    struct err err = {0};
    struct buf out;

    buf_init(&out, 1000);
    CHECK_OK(gzip_compress((struct bytes){NULL, 0}, 6, &out, &err), err);
    check_same(buf_bytes(&out), (struct bytes){NULL, 0});
    buf_release(&out);
}

TEST(gzip_stops_at_the_maximum_of_the_buffer)
{
    struct err err = {0};
    struct buf out;

    buf_init(&out, 20);
    CHECK_ERR(gzip_compress(bytes_of_text("some text"), 6, &out, &err),
              ERR_TOO_LARGE);
    CHECK_INT(out.len, 0);
    buf_release(&out);
}

TEST(torture_gzip_says_that_memory_ran_out)
{
    struct err err = {0};
    struct buf out;
    int rc;

    buf_init(&out, 1000);
    mem_fail_at(1);
    rc = gzip_compress(bytes_of_text("some text"), 6, &out, &err);
    mem_fail_at(0);
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    buf_release(&out);
}
