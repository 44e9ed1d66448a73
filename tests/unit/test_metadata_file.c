/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/mem.h"
#include "models/metadata_file.h"
#include "test.h"

static void put(const char *name, const char *text)
{
    char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, path, &err), err);
    CHECK_OK(file_write(path, bytes_of_text(text), &err), err);
}

static void check_text(const char *want)
{
    char path[FILE_PATH_MAX];
    struct err err = {0};
    struct buf text;

    buf_init(&text, 1 << 20);
    CHECK_OK(file_join(test_dir(), "metadata.json", path, &err), err);
    CHECK_OK(file_read(path, &text, &err), err);
    CHECK_TEXT(text.data, want);
    buf_release(&text);
}

static void set(const char *key, const char *value)
{
    struct err err = {0};

    CHECK_OK(metadata_file_set(test_dir(), key, bytes_of_text(value), &err),
             err);
}

TEST(metadata_file_that_is_absent_is_no_document)
{
    struct json_value *document = (struct json_value *)&document;
    struct err err = {0};

    CHECK_OK(metadata_file_read(test_dir(), &document, &err), err);
    CHECK(document == NULL);
    CHECK_OK(metadata_file_check_sums(test_dir(), document, &err), err);
}

TEST(metadata_file_takes_a_member_and_keeps_the_others)
{
    put("metadata.json",
        "{\"name\":\"a \\\"b\\\"\",\"accuracy\":0.885,\"input\":"
        "{\"width\":224,\"mean\":[0.5,1,1e-7]},\"none\":null,\"yes\":true,"
        "\"empty\":{},\"list\":[]}");
    set("sample", "{\"seed\":1,\"score\":0.25}");
    check_text("{\n"
               "  \"name\": \"a \\\"b\\\"\",\n"
               "  \"accuracy\": 0.885,\n"
               "  \"input\": {\n"
               "    \"width\": 224,\n"
               "    \"mean\": [0.5, 1, 1e-07]\n"
               "  },\n"
               "  \"none\": null,\n"
               "  \"yes\": true,\n"
               "  \"empty\": {},\n"
               "  \"list\": [],\n"
               "  \"sample\": {\n"
               "    \"seed\": 1,\n"
               "    \"score\": 0.25\n"
               "  }\n"
               "}\n");
}

TEST(metadata_file_replaces_a_member_in_its_place)
{
    put("metadata.json", "{\"a\":1,\"sample\":{\"x\":2},\"b\":3}");
    set("sample", "5");
    check_text("{\n  \"a\": 1,\n  \"sample\": 5,\n  \"b\": 3\n}\n");
}

TEST(metadata_file_is_made_when_it_is_absent)
{
    set("sample", "{}");
    check_text("{\n  \"sample\": {}\n}\n");
}

TEST(metadata_file_that_cannot_be_read_is_left_alone)
{
    static const char *const texts[] = {"{\"a\":", "[1]", ""};
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err err = {0};

        put("metadata.json", texts[i]);
        CHECK_ERR(
            metadata_file_set(test_dir(), "sample", bytes_of_text("{}"), &err),
            ERR_UNPROCESSABLE);
        check_text(texts[i]);
    }
}

TEST(metadata_file_survives_torture)
{
    static const char old[] = "{\"a\":[1,{\"b\":\"c\"}]}";
    long nth, tries = 0;

    for (nth = 1; nth < 200; nth++) {
        struct err err = {0};
        int rc;

        put("metadata.json", old);
        mem_fail_at(nth);
        rc = metadata_file_set(test_dir(), "s", bytes_of_text("[2]"), &err);
        tries = mem_tries();
        mem_fail_at(0);
        CHECK(rc == 0 || err.text[0] != '\0');
        if (rc != 0)
            check_text(old);
        if (tries < nth)
            break;
    }
    CHECK(nth > 1 && nth < 200);
    check_text("{\n  \"a\": [1, {\n    \"b\": \"c\"\n  }],\n  \"s\": [2]\n}\n");
}

TEST(metadata_file_checks_every_file_it_names)
{
    static const char good[] =
        "{\"sha256\":{\"a\":"
        "\"f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022"
        "da52e6ccc26fd2\"}}";
    struct json_value *document = NULL;
    struct err err = {0};

    put("a", "test\n");
    put("metadata.json", good);
    CHECK_OK(metadata_file_read(test_dir(), &document, &err), err);
    CHECK_OK(metadata_file_check_sums(test_dir(), document, &err), err);
    put("a", "Test\n");
    CHECK_ERR(metadata_file_check_sums(test_dir(), document, &err),
              ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "f2ca1bb6c7e9");
    json_free(document);
}

TEST(metadata_file_refuses_checksums_that_cannot_be)
{
    static const char *const texts[] = {
        "{\"sha256\":{\"a\":1}}", "{\"sha256\":{\"a\":\"12\"}}",
        "{\"sha256\":{\"../a\":\"f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b76"
        "05022da52e6ccc26fd2\"}}"};
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_value *document = NULL;
        struct err err = {0};

        put("metadata.json", texts[i]);
        CHECK_OK(metadata_file_read(test_dir(), &document, &err), err);
        CHECK_ERR(metadata_file_check_sums(test_dir(), document, &err),
                  ERR_UNPROCESSABLE);
        CHECK_HAS(err.text, "no checksum");
        json_free(document);
    }
}
