/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 backend before a server of the test's, which errs as it likes. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "blob/blob.h"
#include "fake.h"
#include "obs/metrics.h"

enum { ASKED_MAX = 6 };

static char asked[ASKED_MAX][4096]; /* the requests, in order */
static const char *const *answers;  /* one for each connection */
static int answer_count;
static struct blob *blob;
static char endpoint[100];

static void answer(int fd, int nth)
{
    const char *text = fake_read(fd);

    if (nth < ASKED_MAX)
        snprintf(asked[nth], sizeof asked[nth], "%s", text);
    if (nth < answer_count)
        fake_send(fd, "%s", answers[nth]);
}

static struct blob_options usual(void)
{
    return (struct blob_options){
        .url = "s3://photos",
        .endpoint = endpoint,
        .access_key = "AKID",
        .secret_key = "hush-hush",
        .timeout_ms = 120000,
        .retry_max = 2,
    };
}

static void begin(const char *const *texts, int count)
{
    int port;

    answers = texts;
    answer_count = count;
    memset(asked, 0, sizeof asked);
    port = fake_start(answer);
    snprintf(endpoint, sizeof endpoint, "http://%s:%d", "127.0.0.1", port);
}

static void open_with(const struct blob_options *options)
{
    struct err err = {0};

    blob = NULL;
    CHECK_OK(blob_open(options, &blob, &err), err);
}

static void end(void)
{
    blob_close(blob);
    blob = NULL;
    fake_stop();
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define HELLO OK_HEAD "Content-Length: 5\r\n\r\nhello"
#define NOTHING OK_HEAD "Content-Length: 0\r\n\r\n"
#define FAILED(status)                                      \
    "HTTP/1.1 " status "\r\nConnection: close\r\n"          \
    "Content-Length: 58\r\n\r\n<Error><Code>TheCode</Code>" \
    "<Message>Why.</Message></Error>"

static const char *got(int *out_rc)
{
    static char text[400];
    struct err err = {0};
    struct buf out;

    buf_init(&out, 100);
    *out_rc = blob_read(blob, "a b/c.jpg", &out, &err);
    snprintf(text, sizeof text, "%s", *out_rc ? err.text : out.data);
    buf_release(&out);
    return text;
}

TEST(blob_s3_signs_what_it_asks)
{
    static const char *const texts[] = {HELLO};
    struct blob_options options;
    int rc;

    begin(texts, 1);
    options = usual();
    open_with(&options);
    CHECK_TEXT(got(&rc), "hello");
    CHECK_HAS(asked[0], "GET /photos/a%20b/c.jpg HTTP/1.1\r\n");
    CHECK_HAS(asked[0], "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKID/");
    CHECK_HAS(asked[0], "SignedHeaders=host;x-amz-content-sha256;x-amz-date");
    CHECK_HAS(asked[0], "\r\nx-amz-content-sha256: e3b0c44298fc1c149afbf4c8996"
                        "fb92427ae41e4649b934ca495991b7852b855\r\n");
    CHECK_HAS(asked[0], "\r\nx-amz-date: 20");
    CHECK(strstr(asked[0], "hush") == NULL);
    end();
}

TEST(blob_s3_without_keys_signs_nothing)
{
    static const char *const texts[] = {HELLO};
    struct blob_options options;
    int rc;

    begin(texts, 1);
    options = usual();
    options.access_key = options.secret_key = NULL;
    open_with(&options);
    CHECK_TEXT(got(&rc), "hello");
    CHECK(strstr(asked[0], "Authorization") == NULL);
    end();
}

TEST(blob_s3_sends_bytes_with_their_hash_and_type)
{
    static const char *const texts[] = {NOTHING, NOTHING};
    struct blob_options options;
    struct err err = {0};
    char path[FILE_PATH_MAX];

    begin(texts, 2);
    options = usual();
    open_with(&options);
    CHECK_OK(blob_write(blob, "k", bytes_of_text("abc"), "image/png", &err),
             err);
    CHECK_HAS(asked[0], "PUT /photos/k HTTP/1.1\r\n");
    CHECK_HAS(asked[0], "\r\ncontent-type: image/png\r\n");
    CHECK_HAS(asked[0], "SignedHeaders=content-type;host;");
    CHECK_HAS(asked[0],
              "\r\nx-amz-content-sha256: ba7816bf8f01cfea414140de5dae2"
              "223b00361a396177a9cb410ff61f20015ad\r\n");
    CHECK_HAS(asked[0], "\r\n\r\nabc");
    CHECK_OK(file_join(test_dir(), "file", path, &err), err);
    CHECK_OK(file_write(path, bytes_of_text("abc"), &err), err);
    CHECK_OK(blob_write_file(blob, "k", path, NULL, &err), err);
    CHECK_HAS(asked[1],
              "\r\nx-amz-content-sha256: ba7816bf8f01cfea414140de5dae2"
              "223b00361a396177a9cb410ff61f20015ad\r\n");
    CHECK(strstr(asked[1], "ontent-type") == NULL);
    CHECK_HAS(asked[1], "\r\n\r\nabc");
    end();
}

TEST(blob_s3_asks_again_when_the_server_is_unwell)
{
    static const char *const texts[] = {FAILED("503 Slow Down"), "", HELLO};
    double retries = metrics_get(METRIC_BLOB_RETRIES, NULL, NULL);
    struct blob_options options;
    int rc;

    begin(texts, 3);
    options = usual();
    open_with(&options);
    CHECK_TEXT(got(&rc), "hello");
    CHECK_INT(fake_count(), 3);
    CHECK_INT(metrics_get(METRIC_BLOB_RETRIES, NULL, NULL), retries + 2);
    end();
}

/* What came of the first try is not in the answer. */
TEST(blob_s3_begins_anew_after_a_cut_body)
{
    static const char *const texts[] = {
        OK_HEAD "Content-Length: 50\r\n\r\nhalf of it", HELLO};
    struct blob_options options;
    struct err err = {0};
    struct buf out;

    begin(texts, 2);
    options = usual();
    open_with(&options);
    buf_init(&out, 100);
    buf_add_text(&out, "> ");
    CHECK_OK(blob_read(blob, "k", &out, &err), err);
    CHECK_TEXT(out.data, "> hello");
    buf_release(&out);
    end();
}

TEST(blob_s3_begins_a_file_anew_after_a_cut_body)
{
    static const char *const texts[] = {
        OK_HEAD "Content-Length: 50\r\n\r\nhalf of it", HELLO};
    struct blob_options options;
    char path[FILE_PATH_MAX];
    struct err err = {0};
    struct buf out;

    begin(texts, 2);
    options = usual();
    open_with(&options);
    CHECK_OK(file_join(test_dir(), "file", path, &err), err);
    CHECK_OK(blob_read_file(blob, "k", path, 100, &err), err);
    buf_init(&out, 100);
    CHECK_OK(file_read(path, &out, &err), err);
    CHECK_TEXT(out.data, "hello");
    buf_release(&out);
    end();
}

TEST(blob_s3_gives_up_after_its_retries)
{
    static const char *const texts[] = {FAILED("500 No"), FAILED("502 No"),
                                        FAILED("504 No"), HELLO};
    struct blob_options options;
    int rc;

    begin(texts, 4);
    options = usual();
    open_with(&options);
    CHECK_TEXT(got(&rc), "bucket 'photos', key 'a b/c.jpg': the object store "
                         "answers 504: TheCode: Why.");
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    CHECK_INT(fake_count(), 3);
    end();
}

TEST(blob_s3_asks_once_when_the_answer_is_clear)
{
    static const struct {
        const char *text;
        enum err_code code;
    } clear[] = {
        {FAILED("403 Forbidden"), ERR_FORBIDDEN},
        {FAILED("401 Unauthorized"), ERR_FORBIDDEN},
        {FAILED("404 Not Found"), ERR_NOT_FOUND},
        {FAILED("400 Bad Request"), ERR_UNPROCESSABLE},
        {FAILED("301 Moved"), ERR_UNPROCESSABLE},
        {FAILED("501 No"), ERR_UNPROCESSABLE},
    };
    struct blob_options options;
    size_t i;
    int rc;

    for (i = 0; i < sizeof clear / sizeof clear[0]; i++) {
        begin(&clear[i].text, 1);
        options = usual();
        open_with(&options);
        CHECK_HAS(got(&rc), "bucket 'photos', key 'a b/c.jpg'");
        CHECK_ERR(rc, clear[i].code);
        CHECK_INT(fake_count(), 1);
        end();
    }
}

/* Half of the time for the first try, half of the rest for the second. */
TEST(blob_s3_ends_at_its_time_with_all_tries)
{
    struct blob_options options;
    double errors = metrics_get(METRIC_BLOB_ERRORS, "read", "TIMEOUT");
    double retries = metrics_get(METRIC_BLOB_RETRIES, NULL, NULL);
    int rc;

    snprintf(endpoint, sizeof endpoint, "http://%s:%d", "127.0.0.1",
             fake_start_silent());
    options = usual();
    options.timeout_ms = 1000;
    options.retry_max = 10;
    open_with(&options);
    CHECK_HAS(got(&rc), "did not answer within");
    CHECK_ERR(rc, ERR_TIMEOUT);
    CHECK_INT(metrics_get(METRIC_BLOB_ERRORS, "read", "TIMEOUT"), errors + 1);
    CHECK(metrics_get(METRIC_BLOB_RETRIES, NULL, NULL) > retries);
    end();
}

TEST(blob_s3_reads_no_more_than_fits)
{
    static const char *const texts[] = {HELLO};
    struct blob_options options;
    struct err err = {0};
    struct buf out;

    begin(texts, 1);
    options = usual();
    open_with(&options);
    buf_init(&out, 4);
    CHECK_ERR(blob_read(blob, "k", &out, &err), ERR_TOO_LARGE);
    CHECK_TEXT(err.text, "bucket 'photos', key 'k': it is larger than 4 bytes");
    CHECK_INT(out.len, 0);
    CHECK_INT(fake_count(), 1);
    buf_release(&out);
    end();
}

TEST(blob_s3_finds_without_reading)
{
    static const char *const texts[] = {
        OK_HEAD "Content-Length: 123456\r\n"
                "Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n"};
    struct blob_options options;
    struct blob_item item;
    struct err err = {0};
    bool is_found = false;

    begin(texts, 3);
    options = usual();
    open_with(&options);
    CHECK_OK(blob_find(blob, "k", &is_found, &item, &err), err);
    CHECK(is_found);
    CHECK_INT(item.len, 123456);
    CHECK_INT(item.modified_ms, 1795262400000);
    CHECK_HAS(asked[0], "HEAD /photos/k HTTP/1.1\r\n");
    CHECK_OK(blob_find(blob, "k", &is_found, &item, &err), err);
    CHECK(!is_found);
    CHECK_ERR(blob_find(blob, "k", &is_found, &item, &err), ERR_FORBIDDEN);
    end();
}

static int count_item(void *user, const struct blob_item *item, struct err *err)
{
    (void)item;
    (void)err;
    ++*(int *)user;
    return 0;
}

#define LIST(more, key)                                                      \
    OK_HEAD "\r\n<IsTruncated>" more "</IsTruncated><NextContinuationToken>" \
            "a+b/=" key "</NextContinuationToken><Contents><Key>in/" key     \
            "</Key></Contents>"

TEST(blob_s3_lists_page_after_page)
{
    static const char *const texts[] = {LIST("true", "1"), LIST("true", "2"),
                                        LIST("false", "3")};
    struct blob_options options;
    struct err err = {0};
    int count = 0;

    begin(texts, 3);
    options = usual();
    options.url = "s3://photos/in";
    open_with(&options);
    CHECK_OK(blob_list(blob, "x y", count_item, &count, &err), err);
    CHECK_INT(count, 3);
    CHECK_HAS(asked[0], "GET /photos?encoding-type=url&list-type=2&"
                        "prefix=in%2Fx%20y HTTP/1.1");
    CHECK_HAS(asked[2], "GET /photos?continuation-token=a%2Bb%2F%3D2&"
                        "encoding-type=url&list-type=2&");
    end();
}

TEST(blob_s3_does_not_list_in_circles)
{
    static const char *const texts[] = {LIST("true", "1"), LIST("true", "1"),
                                        LIST("true", "1")};
    struct blob_options options;
    struct err err = {0};
    int count = 0;

    begin(texts, 3);
    options = usual();
    open_with(&options);
    CHECK_ERR(blob_list(blob, "", count_item, &count, &err), ERR_UNPROCESSABLE);
    CHECK_INT(fake_count(), 2);
    end();
}

TEST(blob_s3_names_hosts_and_ports_as_they_are_reached)
{
    struct blob_options options = {
        .url = "s3://photos/in", .access_key = "AKID", .secret_key = "hush"};
    struct err err = {0};
    char url[BLOB_URL_MAX];

    open_with(&options);
    CHECK_OK(blob_presign(blob, "k", 60, url, sizeof url, &err), err);
    CHECK_HAS(url, "//s3.us-east-1.amazonaws.com/photos/in/k?X-Amz-");
    CHECK_HAS(url, "&X-Amz-Expires=60&");
    CHECK(strstr(url, "hush") == NULL);
    blob_close(blob);
    options.is_virtual_host = true;
    options.region = "sa-east-1";
    open_with(&options);
    CHECK_OK(blob_presign(blob, "k", 60, url, sizeof url, &err), err);
    CHECK_HAS(url, "//photos.s3.sa-east-1.amazonaws.com/in/k?X-Amz-");
    blob_close(blob);
    options.endpoint = "http://minio.test:9000";
    options.public_endpoint = "https://files.test/";
    open_with(&options);
    CHECK_OK(blob_presign(blob, "k", 60, url, sizeof url, &err), err);
    CHECK_HAS(url, "https://photos.files.test/in/k?X-Amz-");
    blob_close(blob);
    options.access_key = options.secret_key = NULL;
    options.is_virtual_host = false;
    open_with(&options);
    CHECK_OK(blob_presign(blob, "k l", 60, url, sizeof url, &err), err);
    CHECK_TEXT(url, "https://files.test/photos/in/k%20l");
    blob_close(blob);
}

TEST(blob_s3_signs_urls_for_a_week_at_most)
{
    struct blob_options options = {
        .url = "s3://photos", .access_key = "AKID", .secret_key = "hush"};
    struct err err = {0};
    char url[BLOB_URL_MAX] = "untouched", small[100] = "untouched";

    open_with(&options);
    CHECK_ERR(blob_presign(blob, "k", 0, url, sizeof url, &err), ERR_INVALID);
    CHECK_ERR(
        blob_presign(blob, "k", BLOB_EXPIRES_MAX_S + 1, url, sizeof url, &err),
        ERR_INVALID);
    CHECK_ERR(blob_presign(blob, "k", 60, small, sizeof small, &err),
              ERR_TOO_LARGE);
    CHECK_TEXT(url, "untouched");
    CHECK_TEXT(small, "untouched");
    blob_close(blob);
}

TEST(blob_s3_keys_with_their_prefix_are_bounded)
{
    struct blob_options options = {.url = "s3://photos/0123456789"};
    char key[BLOB_KEY_MAX + 1], url[BLOB_URL_MAX];
    struct err err = {0};

    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    open_with(&options);
    CHECK_ERR(blob_presign(blob, key, 60, url, sizeof url, &err), ERR_INVALID);
    key[BLOB_KEY_MAX - 11] = '\0';
    err = (struct err){0};
    CHECK_OK(blob_presign(blob, key, 60, url, sizeof url, &err), err);
    blob_close(blob);
}

TEST(blob_s3_puts_the_bucket_in_the_host_when_told_to)
{
    static const char *const texts[] = {HELLO};
    struct blob_options options;
    char host[100];
    int rc;

    begin(texts, 1);
    snprintf(host, sizeof host, "http://%s%s", "localhost",
             strrchr(endpoint, ':'));
    options = usual();
    options.endpoint = host;
    options.is_virtual_host = true;
    open_with(&options);
    CHECK_TEXT(got(&rc), "hello");
    CHECK_HAS(asked[0], "GET /a%20b/c.jpg HTTP/1.1\r\nHost: photos.localhost:");
    end();
}
