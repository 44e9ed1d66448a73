/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/multipart.h"

enum { FILE_MAX = 100, OUT_MAX = 1 << 16 };

static const char plain_type[] = "multipart/form-data; boundary=XyZ";

/* Scans the body in pieces that end at `cut` and at the end (cut 0: byte by
 * byte), each time in fresh memory of exactly that length, so that a step over
 * the end is found and a kept address is too. Writes name|filename|type|data;
 * of each part, or the error, into out. */
static int scan(const char *type, struct bytes body, size_t cut, char *out)
{
    struct arena *arena = arena_new(1 << 20);
    struct multipart multipart;
    const struct http_part *parts = NULL;
    struct err err = {0};
    struct buf text;
    uint8_t *piece = NULL;
    size_t len = 0;
    int count = 0, i, rc;

    buf_init(&text, OUT_MAX - 1);
    rc = multipart_init(&multipart, type, FILE_MAX, arena, &err);
    while (rc == 0 && len < body.len) {
        len = cut == 0 ? len + 1 : len < cut ? cut : body.len;
        mem_free(piece);
        piece = mem_try(len, 1);
        CHECK(piece != NULL);
        memcpy(piece, body.data, len);
        rc = multipart_scan(&multipart, (struct bytes){piece, len}, &err);
    }
    if (rc == 0)
        rc = multipart_finish(&multipart, (struct bytes){piece, len}, &parts,
                              &count, &err);
    for (i = 0; i < count; i++) {
        buf_printf(&text, "%s|%s|%s|", parts[i].name,
                   parts[i].filename != NULL ? parts[i].filename : "-",
                   parts[i].content_type);
        buf_add(&text, parts[i].data.data, parts[i].data.len);
        buf_add_char(&text, ';');
    }
    if (rc != 0)
        buf_add_text(&text, err.text);
    memcpy(out, text.len > 0 ? text.data : "", text.len + 1);
    buf_release(&text);
    mem_free(piece);
    arena_free(arena);
    return rc;
}

static int scan_text(const char *body, char *out)
{
    return scan(plain_type, bytes_of_text(body), strlen(body), out);
}

static const char two_parts[] =
    "a preamble --XyZ\r\n"
    "--XyZ\r\n"
    "Content-Disposition: form-data; name=\"image\"; filename=\"a b.jpg\"\r\n"
    "Content-Type: image/jpeg\r\n"
    "\r\n"
    "\xff\xd8 --XyZ \r\n--XyY\r\n--XyZZ\r\n-- end\r"
    "\r\n--XyZ \t\r\n"
    "content-disposition:form-data;name=top_k\r\n"
    "\r\n"
    "5"
    "\r\n--XyZ--\r\nan epilogue\r\n--XyZ\r\n";
static const char two_parts_read[] =
    "image|a b.jpg|image/jpeg|\xff\xd8 --XyZ \r\n--XyY\r\n--XyZZ\r\n-- end\r;"
    "top_k|-||5;";

TEST(multipart_gives_the_parts_and_leaves_out_what_is_around)
{
    char out[OUT_MAX];

    CHECK_INT(scan_text(two_parts, out), 0);
    CHECK_TEXT(out, two_parts_read);
}

TEST(multipart_gives_the_same_parts_however_the_body_is_cut)
{
    struct bytes body = bytes_of_text(two_parts);
    char out[OUT_MAX];
    size_t cut;

    for (cut = 0; cut <= body.len; cut++) {
        CHECK_INT(scan(plain_type, body, cut, out), 0);
        CHECK_TEXT(out, two_parts_read);
    }
}

TEST(multipart_refuses_every_body_that_is_cut_short)
{
    size_t end = (size_t)(strstr(two_parts, "--XyZ--") - two_parts) + 7;
    char out[OUT_MAX];
    size_t len;

    for (len = 1; len < end; len++)
        CHECK_ERR(scan(plain_type,
                       (struct bytes){(const uint8_t *)two_parts, len}, 0, out),
                  ERR_INVALID);
    CHECK_INT(scan(plain_type, (struct bytes){(const uint8_t *)two_parts, end},
                   0, out),
              0);
}

TEST(multipart_reads_quoted_boundaries)
{
    static const char body[] = "--a b=?\r\n"
                               "Content-Disposition: form-data; name=x\r\n\r\n"
                               "1\r\n--a b=?--";
    char out[OUT_MAX];

    CHECK_INT(scan("multipart/form-data; charset=utf-8; Boundary=\"a b=?\"",
                   bytes_of_text(body), 0, out),
              0);
    CHECK_TEXT(out, "x|-||1;");
}

TEST(multipart_refuses_boundaries_that_cannot_be)
{
    static const char *const types[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"unclosed",
        "multipart/form-data; boundary=\"ends with \"",
        "multipart/form-data; boundary=a\x7f",
        "multipart/form-data; boundary="
        "12345678901234567890123456789012345678901234567890"
        "123456789012345678901",
    };
    char out[OUT_MAX];
    size_t i;

    for (i = 0; i < sizeof types / sizeof types[0]; i++)
        CHECK_ERR(scan(types[i], bytes_of_text("--a--"), 0, out), ERR_INVALID);
}

TEST(multipart_takes_an_empty_form_and_empty_parts)
{
    char out[OUT_MAX];

    CHECK_INT(scan_text("--XyZ--", out), 0);
    CHECK_TEXT(out, "");
    CHECK_INT(scan_text("--XyZ\r\nContent-Disposition: form-data; name=a\r\n"
                        "\r\n\r\n--XyZ--",
                        out),
              0);
    CHECK_TEXT(out, "a|-||;");
    /* RFC 2046, 5.1.1: the data may be missing with the CRLF before it. */
    CHECK_INT(scan_text("--XyZ\r\nContent-Disposition: form-data; name=a\r\n"
                        "\r\n--XyZ--",
                        out),
              0);
    CHECK_TEXT(out, "a|-||;");
}

static int scan_disposition(const char *disposition, char *out)
{
    struct buf body;
    int rc;

    buf_init(&body, OUT_MAX);
    buf_printf(&body, "--XyZ\r\nContent-Disposition: %s\r\n\r\n1\r\n--XyZ--",
               disposition);
    rc = scan(plain_type, buf_bytes(&body), 0, out);
    buf_release(&body);
    return rc;
}

TEST(multipart_reads_names_as_clients_write_them)
{
    static const struct {
        const char *disposition, *want;
    } cases[] = {
        {"form-data; name=\"a\\\"b\\\\c\"", "a\"b\\c|-||1;"},
        {"form-data; name=a; filename=\"C:\\dir\\x.jpg\"",
         "a|C:\\dir\\x.jpg||1;"},
        {"form-data; name=a; filename=\"\"", "a|||1;"},
        {"FORM-DATA ;  NAME = \"a\" ;FileName=x.jpg", "a|x.jpg||1;"},
        {"form-data; name=\"a;b=c\"", "a;b=c|-||1;"},
        {"form-data;\r\n\tname=a;\r\n filename=b", "a|b||1;"},
        {"form-data; name=a; filename*=UTF-8''n%C3%A3o.jpg",
         "a|n\xc3\xa3o.jpg||1;"},
        {"form-data; name=a; filename=plain; filename*=UTF-8''star",
         "a|plain||1;"},
        {"form-data; name=a; filename*=latin-1''n%E3o.jpg", "a|||1;"},
        {"form-data; name=a; filename*=utf-8''%ff", "a|||1;"},
        {"form-data; name=\"\"", "|-||1;"},
    };
    char out[OUT_MAX];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_INT(scan_disposition(cases[i].disposition, out), 0);
        CHECK_TEXT(out, cases[i].want);
    }
}

TEST(multipart_refuses_parts_that_are_not_form_data)
{
    static const struct {
        const char *disposition, *says;
    } cases[] = {
        {"form-data", "part 1 of the form has no name"},
        {"attachment; name=a", "only form-data"},
        {"form-data; name=\"a", "closing quote"},
        {"form-data; name=\"a\xff\"", "name of part 1 is not clean UTF-8"},
        {"form-data; name=\"a\tb\"", "name of part 1 is not clean UTF-8"},
        {"form-data; name=a; filename=\"\xc3\"", "filename of part 1"},
        {"form-data; name=a\r\nContent-Type: multipart/mixed; boundary=b",
         "itself multipart"},
        {"form-data; name=a\r\nContent-Transfer-Encoding: base64", "base64"},
        {"form-data; name=a\r\nno colon", "without a colon"},
        {"form-data; name=a\r\n: no name", "without a colon"},
    };
    char out[OUT_MAX];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_ERR(scan_disposition(cases[i].disposition, out), ERR_INVALID);
        CHECK_HAS(out, cases[i].says);
    }
    CHECK_ERR(scan_text("--XyZ\r\n\r\n1\r\n--XyZ--", out), ERR_INVALID);
    CHECK_ERR(scan_text("--XyZ\r\nA:\n\r\n\r\n1\r\n--XyZ--", out), ERR_INVALID);
}

TEST(multipart_stops_reading_a_part_that_is_too_large)
{
    struct arena *arena = arena_new(1 << 20);
    struct multipart multipart;
    struct err err = {0};
    struct buf body;
    int rc;

    buf_init(&body, OUT_MAX);
    buf_add_text(&body, "--XyZ\r\nContent-Disposition: form-data; name=image; "
                        "filename=a\r\n\r\n");
    rc = multipart_init(&multipart, plain_type, FILE_MAX, arena, &err);
    while (rc == 0 && body.len < OUT_MAX) {
        buf_add_char(&body, 'x');
        rc = multipart_scan(&multipart, buf_bytes(&body), &err);
    }
    CHECK_ERR(rc, ERR_TOO_LARGE);
    CHECK_TEXT(err.text, "part 'image' has 101 bytes or more; the limit for a "
                         "file is 100");
    CHECK(body.len < 200);
    buf_release(&body);
    arena_free(arena);
}

TEST(multipart_takes_a_file_of_exactly_the_limit)
{
    struct buf body;
    char out[OUT_MAX];
    size_t len;

    for (len = FILE_MAX; len <= FILE_MAX + 1; len++) {
        size_t i;

        buf_init(&body, OUT_MAX);
        buf_add_text(&body, "--XyZ\r\nContent-Disposition: form-data; name=a; "
                            "filename=a\r\n\r\n");
        for (i = 0; i < len; i++)
            buf_add_char(&body, 'x');
        buf_add_text(&body, "\r\n--XyZ--");
        CHECK_INT(scan(plain_type, buf_bytes(&body), 0, out),
                  len == FILE_MAX ? 0 : ERR_TOO_LARGE);
        buf_release(&body);
    }
}

TEST(multipart_limits_the_header_of_a_part)
{
    struct buf body;
    char out[OUT_MAX];
    int i;

    buf_init(&body, OUT_MAX);
    buf_add_text(&body, "--XyZ\r\nX: ");
    for (i = 0; i <= MULTIPART_HEADER_LEN_MAX; i++)
        buf_add_char(&body, 'x');
    CHECK_ERR(scan(plain_type, buf_bytes(&body), body.len, out), ERR_TOO_LARGE);
    CHECK_HAS(out, "header of more than 8192 bytes");
    buf_add_text(&body, "\r\n\r\n");
    CHECK_ERR(scan(plain_type, buf_bytes(&body), body.len, out), ERR_TOO_LARGE);
    buf_release(&body);
}

TEST(multipart_limits_the_number_of_parts)
{
    struct buf body;
    char out[OUT_MAX];
    int count, i;

    for (count = HTTP_PARTS_MAX; count <= HTTP_PARTS_MAX + 1; count++) {
        buf_init(&body, OUT_MAX);
        for (i = 0; i < count; i++)
            buf_add_text(&body, "--XyZ\r\nContent-Disposition: form-data; "
                                "name=a\r\n\r\n\r\n");
        buf_add_text(&body, "--XyZ--\r\n");
        CHECK_INT(scan(plain_type, buf_bytes(&body), body.len, out),
                  count == HTTP_PARTS_MAX ? 0 : ERR_TOO_LARGE);
        buf_release(&body);
    }
    CHECK_HAS(out, "more than 256 parts");
}

TEST(multipart_survives_an_arena_that_is_full)
{
    struct arena *arena = arena_new(100);
    struct multipart multipart;
    struct err err = {0};
    int rc = multipart_init(&multipart, plain_type, FILE_MAX, arena, &err);

    if (rc == 0)
        rc = multipart_scan(&multipart, bytes_of_text(two_parts), &err);
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    arena_free(arena);
}
