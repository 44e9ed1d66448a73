/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "models/labels.h"
#include "test.h"

static void write_file(const char *name, const char *text)
{
    char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, path, &err), err);
    CHECK_OK(file_write(path, bytes_of_text(text), &err), err);
}

TEST(labels_come_one_a_line)
{
    struct labels labels = {0};
    struct err err = {0};
    bool is_made_up = true;

    write_file("labels.txt", "carro\r\nmoeda antiga\nselo");
    CHECK_OK(labels_read(test_dir(), "", 3, &labels, &is_made_up, &err), err);
    CHECK(!is_made_up);
    CHECK_TEXT(labels.names[0], "carro");
    CHECK_TEXT(labels.names[1], "moeda antiga");
    CHECK_TEXT(labels.names[2], "selo");
    labels_release(&labels);
}

TEST(labels_come_from_the_class_indices_of_keras)
{
    struct labels labels = {0};
    struct err err = {0};
    bool is_made_up = true;

    write_file("class_indices.json", "{\"selo\":1,\"carro\":0}");
    CHECK_OK(labels_read(test_dir(), "", 2, &labels, &is_made_up, &err), err);
    CHECK_TEXT(labels.names[0], "carro");
    CHECK_TEXT(labels.names[1], "selo");
    labels_release(&labels);
}

TEST(labels_are_made_up_without_a_file)
{
    struct labels labels = {0};
    struct err err = {0};
    bool is_made_up = false;

    CHECK_OK(labels_read(test_dir(), "", 2, &labels, &is_made_up, &err), err);
    CHECK(is_made_up);
    CHECK_TEXT(labels.names[1], "class 1");
    labels_release(&labels);
}

TEST(labels_that_do_not_fit_the_model_are_refused)
{
    static const struct {
        const char *file, *text, *part;
    } cases[] = {
        {"labels.txt", "a\nb\n", "2 labels; the model has 3"},
        {"labels.txt", "a\n\nc\n", "label 1 has 0 bytes"},
        {"labels.txt", "a\nb\xff\nc\n", "label 1 has 2 bytes"},
        {"class_indices.json", "{\"a\":0,\"b\":1}", "2 classes"},
        {"class_indices.json", "{\"a\":0,\"b\":1,\"c\":1}", "numbered 1"},
        {"class_indices.json", "{\"a\":0,\"b\":1,\"c\":3}", "numbered 3"},
        {"class_indices.json", "{\"a\":0,\"b\":1,\"c\":\"2\"}", "\"c\""},
        {"class_indices.json", "[0,1,2]", "classes"},
        {"class_indices.json", "{\"a\":0", "class_indices.json"},
    };
    struct labels labels = {0};
    bool is_made_up = false;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};

        write_file(cases[i].file, cases[i].text);
        CHECK(labels_read(test_dir(), cases[i].file, 3, &labels, &is_made_up,
                          &err) != 0);
        CHECK_HAS(err.text, cases[i].part);
        CHECK(labels.names == NULL);
    }
}

TEST(labels_survive_torture)
{
    struct labels labels = {0};
    bool is_made_up;
    long nth;

    write_file("labels.txt", "a\nb\nc\n");
    for (nth = 1; nth < 100; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = labels_read(test_dir(), "", 3, &labels, &is_made_up, &err);
        mem_fail_at(0);
        if (rc == 0)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK(labels.names == NULL);
    }
    CHECK(nth > 1 && nth < 100);
    labels_release(&labels);
}
