/* SPDX-License-Identifier: Apache-2.0 */
/* Includes the source, under other names, to move the time of a failure instead
 * of waiting. */
#define collection_new own_collection_new
#define collection_free own_collection_free
#define collection_path own_collection_path
#define collection_is_foreign own_collection_is_foreign
#define collection_info(...) own_collection_info(__VA_ARGS__)
#define collection_search own_collection_search
#define collection_open_store own_collection_open_store
#include "models/collection.c"

#include "set_fixture.h"

enum { DIM = 4, COUNT = 3 };

static void write_rows(const char *path)
{
    static const unsigned char magic[] = "\x93NUMPY\x01\x00\x76\x00";
    static const float rows[COUNT][DIM] = {{1}, {2}, {3}};
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_INT(fwrite(magic, 1, sizeof magic - 1, file), sizeof magic - 1);
    CHECK_INT(fprintf(file, "%-117s\n",
                      "{'descr': '<f4', 'fortran_order': False, "
                      "'shape': (3, 4), }"),
              0x76);
    CHECK_INT(fwrite(rows, 1, sizeof rows, file), sizeof rows);
    CHECK_INT(fclose(file), 0);
}

TEST(collection_does_not_read_a_damaged_foreign_file_for_each_who_comes)
{
    const int64_t hour_us = 3600LL * 1000 * 1000;
    const char *path = set_file("x.npy");
    char nowhere[] = "";
    struct config config = {.vectors_url = nowhere};
    struct bundle bundle = {.embedding_len = DIM};
    struct collection *collection = NULL;
    struct collection_info info = {0};
    struct err err = {0}, again = {0};

    write_rows(path);
    set_flip(path, 0);
    CHECK_OK(collection_new(&config, &bundle, path, &collection, &err), err);
    CHECK(collection_info(collection, &info, &err) != 0);
    CHECK(collection->failure.failed_us != 0);
    collection->failure.failed_us = clock_us() + hour_us;
    set_flip(path, 0);
    CHECK_ERR(collection_info(collection, &info, &again), err.code);
    CHECK_TEXT(again.text, err.text);
    collection->failure.failed_us = clock_us() - hour_us;
    again = (struct err){0};
    CHECK_OK(collection_info(collection, &info, &again), again);
    CHECK_INT(info.count, COUNT);
    collection_free(collection);
}
