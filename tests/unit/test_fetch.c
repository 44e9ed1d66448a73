/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fetch.h"
#include "base/file.h"
#include "fake.h"

enum { BODY_MAX = 1000 };

static char asked[4096]; /* the request as the server saw it */
static struct fetch *fetch;
static struct fetch_reply reply;
static struct err err;
static char url[200];

static void begin(fake_fn *serve)
{
    struct fetch_options options = {.connection_max = 2};

    snprintf(url, sizeof url, "http://%s:%d/a/b?c=d", "127.0.0.1",
             fake_start(serve));
    err = (struct err){0};
    CHECK_OK(fetch_new(&options, &fetch, &err), err);
}

static void end(void)
{
    fetch_reply_release(&reply);
    fetch_free(fetch);
    fetch = NULL;
    fake_stop();
}

static int get(int timeout_ms)
{
    struct fetch_request request = {
        .url = url, .timeout_ms = timeout_ms, .body_len_max = BODY_MAX};

    fetch_reply_release(&reply);
    return fetch_run(fetch, &request, &reply, &err);
}

static void note(int fd)
{
    snprintf(asked, sizeof asked, "%s", fake_read(fd));
}

/* --- good answers -------------------------------------------------------- */

static void answer_hello(int fd, int nth)
{
    (void)nth;
    note(fd);
    fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                  "X-Thing:  some value \r\nETag: \"x\"\r\n\r\nhello");
}

TEST(fetch_gives_status_headers_and_body)
{
    char value[20];

    begin(answer_hello);
    CHECK_OK(get(0), err);
    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.body.data, "hello");
    CHECK(fetch_header(&reply, "x-thing", value, sizeof value));
    CHECK_TEXT(value, "some value");
    CHECK(!fetch_header(&reply, "x-thin", value, sizeof value));
    CHECK(!fetch_header(&reply, "thing", value, sizeof value));
    CHECK(!fetch_header(&reply, "x-thing", value, 10));
    CHECK(fetch_header(&reply, "x-thing", value, 11));
    CHECK_HAS(asked, "GET /a/b?c=d HTTP/1.1\r\n");
    end();
}

TEST(fetch_of_a_header_that_is_not_there_gives_nothing)
{
    struct fetch_reply none = {0};
    char value[20];

    CHECK(!fetch_header(&none, "x", value, sizeof value));
}

static void answer_status(int fd, int nth)
{
    (void)nth;
    fake_read(fd);
    fake_send(fd, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
                  "HTTP/1.1 503 Slow Down\r\nContent-Length: 2\r\n"
                  "X-Late: 2\r\n\r\nno");
}

TEST(fetch_takes_any_status_and_its_headers_only)
{
    char value[8];

    begin(answer_status);
    CHECK_OK(get(0), err);
    CHECK_INT(reply.status, 503);
    CHECK_TEXT(reply.body.data, "no");
    CHECK(!fetch_header(&reply, "x-early", value, sizeof value));
    CHECK(fetch_header(&reply, "x-late", value, sizeof value));
    end();
}

static void answer_elsewhere(int fd, int nth)
{
    (void)nth;
    fake_read(fd);
    fake_send(fd, "HTTP/1.1 302 Found\r\nLocation: /other\r\n"
                  "Content-Length: 0\r\n\r\n");
}

TEST(fetch_follows_no_redirect)
{
    begin(answer_elsewhere);
    CHECK_OK(get(0), err);
    CHECK_INT(reply.status, 302);
    CHECK_INT(fake_count(), 1);
    end();
}

static void answer_twice(int fd, int nth)
{
    (void)nth;
    while (fake_read(fd)[0] != '\0')
        fake_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST(fetch_keeps_its_connection)
{
    int i;

    begin(answer_twice);
    for (i = 0; i < 5; i++)
        CHECK_OK(get(0), err);
    CHECK_INT(fake_count(), 1);
    end();
}

/* --- bodies that are sent ------------------------------------------------ */

TEST(fetch_sends_bytes_with_their_length_and_headers)
{
    static const char *const headers[] = {"X-One: 1", "Content-Type: a/b"};
    struct fetch_request request = {.method = "PUT",
                                    .headers = headers,
                                    .header_count = 2,
                                    .body = bytes_of_text("0123456789"),
                                    .body_len_max = BODY_MAX};

    begin(answer_hello);
    request.url = url;
    CHECK_OK(fetch_run(fetch, &request, &reply, &err), err);
    CHECK_HAS(asked, "PUT /a/b?c=d HTTP/1.1\r\n");
    CHECK_HAS(asked, "\r\nX-One: 1\r\n");
    CHECK_HAS(asked, "\r\nContent-Type: a/b\r\n");
    CHECK_HAS(asked, "\r\nContent-Length: 10\r\n");
    CHECK_HAS(asked, "\r\n\r\n0123456789");
    CHECK(strstr(asked, "Expect") == NULL);
    CHECK(strstr(asked, "chunked") == NULL);
    end();
}

TEST(fetch_says_that_an_empty_body_is_empty)
{
    struct fetch_request request = {.method = "PUT", .body_len_max = BODY_MAX};

    begin(answer_hello);
    request.url = url;
    CHECK_OK(fetch_run(fetch, &request, &reply, &err), err);
    CHECK_HAS(asked, "\r\nContent-Length: 0\r\n");
    CHECK(strstr(asked, "Content-Type") == NULL);
    end();
}

TEST(fetch_streams_a_file)
{
    char path[FILE_PATH_MAX];
    struct fetch_request request = {
        .method = "POST", .body_file = path, .body_len_max = BODY_MAX};

    begin(answer_hello);
    request.url = url;
    CHECK_OK(file_join(test_dir(), "file", path, &err), err);
    CHECK_OK(file_write(path, bytes_of_text("from a file"), &err), err);
    CHECK_OK(fetch_run(fetch, &request, &reply, &err), err);
    CHECK_HAS(asked, "\r\nContent-Length: 11\r\n");
    CHECK_HAS(asked, "\r\n\r\nfrom a file");
    end();
}

TEST(fetch_of_a_file_that_is_not_there_fails)
{
    struct fetch_request request = {.method = "POST", .body_file = "no/file"};

    begin(answer_hello);
    request.url = url;
    CHECK_ERR(fetch_run(fetch, &request, &reply, &err), ERR_IO);
    CHECK_HAS(err.text, "no/file");
    err = (struct err){0};
    request.body_file = test_dir();
    CHECK_ERR(fetch_run(fetch, &request, &reply, &err), ERR_IO);
    CHECK_INT(fake_count(), 0);
    end();
}

/* The first connection is closed after the answer, without a word of it in the
 * answer; the body is sent anew on the next. */
static void answer_and_close(int fd, int nth)
{
    (void)nth;
    note(fd);
    fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST(fetch_sends_the_whole_body_on_a_new_connection)
{
    struct fetch_request request = {.method = "PUT",
                                    .body = bytes_of_text("the whole"),
                                    .body_len_max = BODY_MAX};
    int i;

    begin(answer_and_close);
    request.url = url;
    for (i = 0; i < 20; i++) {
        fetch_reply_release(&reply);
        CHECK_OK(fetch_run(fetch, &request, &reply, &err), err);
        CHECK_HAS(asked, "\r\n\r\nthe whole");
    }
    end();
}

/* --- bad answers --------------------------------------------------------- */

TEST(fetch_ends_at_its_deadline)
{
    struct fetch_options options = {.connection_max = 1};

    snprintf(url, sizeof url, "http://%s:%d/secret", "127.0.0.1",
             fake_start_silent());
    err = (struct err){0};
    CHECK_OK(fetch_new(&options, &fetch, &err), err);
    CHECK_ERR(get(50), ERR_TIMEOUT);
    CHECK_HAS(err.text, "127.0.0.1");
    CHECK_HAS(err.text, "50 ms");
    CHECK(strstr(err.text, "secret") == NULL);
    CHECK(reply.body.data == NULL);
    end();
}

/* A byte now and then, and never the end. */
static void drip(int fd, int nth)
{
    (void)nth;
    fake_read(fd);
    fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc");
    fake_is_ended(fd);
}

TEST(fetch_ends_at_its_deadline_in_the_middle_of_a_body)
{
    begin(drip);
    CHECK_ERR(get(50), ERR_TIMEOUT);
    CHECK(reply.body.data == NULL);
    CHECK(reply.headers.data == NULL);
    end();
}

static void cut(int fd, int nth)
{
    static const char *const parts[] = {
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    };

    fake_read(fd);
    fake_send(fd, "%s", parts[nth % 4]);
}

TEST(fetch_does_not_take_a_part_for_the_whole)
{
    int i, rc;

    begin(cut);
    for (i = 0; i < 4; i++) {
        err = (struct err){0};
        rc = get(0);
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK_HAS(err.text, "127.0.0.1");
    }
    end();
}

static void answer_garbage(int fd, int nth)
{
    static const char *const parts[] = {
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };

    fake_read(fd);
    fake_send(fd, "%s", parts[nth % 4]);
}

TEST(fetch_refuses_what_is_no_http)
{
    int i;

    begin(answer_garbage);
    for (i = 0; i < 4; i++) {
        err = (struct err){0};
        CHECK_ERR(get(0), ERR_UNAVAILABLE);
        CHECK(reply.status == 0);
    }
    end();
}

static void answer_huge(int fd, int nth)
{
    char piece[4096];
    int i;

    (void)nth;
    memset(piece, 'x', sizeof piece);
    fake_read(fd);
    fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    for (i = 0; i < 1000; i++)
        fake_send_bytes(fd, piece, sizeof piece);
}

TEST(fetch_stops_reading_at_its_limit)
{
    begin(answer_huge);
    CHECK_ERR(get(0), ERR_TOO_LARGE);
    CHECK_HAS(err.text, "1000 bytes");
    CHECK(reply.body.data == NULL);
    end();
}

static void answer_long_header(int fd, int nth)
{
    char line[1000];
    int i;

    (void)nth;
    memset(line, 'x', sizeof line);
    memcpy(line, "X-A: ", 5);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    fake_read(fd);
    fake_send(fd, "HTTP/1.1 200 OK\r\n");
    for (i = 0; i < 100; i++)
        fake_send_bytes(fd, line, sizeof line);
    fake_send(fd, "\r\n");
}

TEST(fetch_refuses_an_endless_header)
{
    begin(answer_long_header);
    CHECK_ERR(get(0), ERR_TOO_LARGE);
    end();
}

TEST(fetch_says_that_nobody_answers)
{
    struct fetch_options options = {.connection_max = 1};

    snprintf(url, sizeof url, "http://%s@127.0.0.1:%d/", "me:hush",
             fake_start_closed());
    err = (struct err){0};
    CHECK_OK(fetch_new(&options, &fetch, &err), err);
    CHECK_ERR(get(0), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "127.0.0.1");
    CHECK(strstr(err.text, "hush") == NULL);
    end();
}

/* --- what cannot be asked ------------------------------------------------ */

TEST(fetch_refuses_other_schemes_and_broken_lines)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/",
                                       "gopher://x/", "http://", ""};
    static const char *const broken[] = {"X-A: 1\r\nX-B: 2"};
    struct fetch_request request = {.headers = broken, .header_count = 1};
    size_t i;

    begin(answer_hello);
    for (i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct fetch_request other = {.url = urls[i]};

        err = (struct err){0};
        CHECK_ERR(fetch_run(fetch, &other, &reply, &err), ERR_INVALID);
    }
    request.url = url;
    err = (struct err){0};
    CHECK_ERR(fetch_run(fetch, &request, &reply, &err), ERR_INVALID);
    CHECK_INT(fake_count(), 0);
    end();
}

TEST(fetch_of_impossible_options_fails)
{
    struct fetch_options options = {.connection_max = 0};
    struct fetch *none = NULL;
    struct err why = {0};

    CHECK_ERR(fetch_new(&options, &none, &why), ERR_INVALID);
    options.connection_max = 257;
    why = (struct err){0};
    CHECK_ERR(fetch_new(&options, &none, &why), ERR_INVALID);
    CHECK(none == NULL);
    fetch_free(NULL);
}

/* --- sinks --------------------------------------------------------------- */

static int keep(void *user, struct bytes piece, struct err *why)
{
    struct buf *kept = user;

    buf_add(kept, piece.data, piece.len);
    return buf_check(kept, why);
}

TEST(fetch_gives_a_good_body_to_the_sink)
{
    struct buf kept;
    struct fetch_request request = {.sink = keep, .sink_user = &kept};

    begin(answer_hello);
    request.url = url;
    buf_init(&kept, 100);
    CHECK_OK(fetch_run(fetch, &request, &reply, &err), err);
    CHECK_TEXT(kept.data, "hello");
    CHECK_INT(reply.body.len, 0);
    buf_release(&kept);
    end();
}

TEST(fetch_gives_an_error_to_the_reply)
{
    struct buf kept;
    struct fetch_request request = {
        .sink = keep, .sink_user = &kept, .body_len_max = BODY_MAX};

    begin(answer_status);
    request.url = url;
    buf_init(&kept, 100);
    CHECK_OK(fetch_run(fetch, &request, &reply, &err), err);
    CHECK_INT(kept.len, 0);
    CHECK_TEXT(reply.body.data, "no");
    end();
}

TEST(fetch_ends_with_the_sinks_error)
{
    struct buf kept;
    struct fetch_request request = {.sink = keep, .sink_user = &kept};

    begin(answer_hello);
    request.url = url;
    buf_init(&kept, 3);
    CHECK_ERR(fetch_run(fetch, &request, &reply, &err), ERR_TOO_LARGE);
    buf_release(&kept);
    end();
}

/* --- a file that changes while it is sent -------------------------------- */

enum { FILE_LEN = 32 << 20 }; /* more than sockets hold */

static char cut_path[FILE_PATH_MAX];

/* Shortens the file before it takes the body. */
static void cut_file(int fd, int nth)
{
    static char taken[1 << 16];

    (void)nth;
    if (truncate(cut_path, 100) == 0)
        while (recv(fd, taken, sizeof taken, 0) > 0)
            continue;
}

TEST(fetch_fails_when_a_file_becomes_shorter)
{
    struct fetch_request request = {.method = "PUT", .body_file = cut_path};
    FILE *file;

    CHECK_OK(file_join(test_dir(), "file", cut_path, &err), err);
    file = fopen(cut_path, "w");
    CHECK(file != NULL);
    CHECK_INT(ftruncate(fileno(file), FILE_LEN), 0);
    fclose(file);
    begin(cut_file);
    request.url = url;
    CHECK_ERR(fetch_run(fetch, &request, &reply, &err), ERR_IO);
    CHECK_HAS(err.text, "became shorter");
    CHECK_HAS(err.text, cut_path);
    end();
}
