/* SPDX-License-Identifier: Apache-2.0 */
/* A set that is opened through a symbolic link. */
#include "set_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"

enum { DIM = 8, COUNT = 300, BATCH = 100 };

static const struct vec_options hnsw = {.dim = DIM,
                                        .metric = VECINDEX_L2,
                                        .type = VECINDEX_HNSW,
                                        .links = 8,
                                        .ef_construction = 40};
static const struct vec_options any = {.dim = DIM};

static void make(const char *name, int count)
{
    struct vecstore *store = set_open(set_file(name), VEC_WRITE, &hnsw);
    struct err err = {0};
    int i;

    for (i = 0; i < count; i += BATCH)
        CHECK_OK(set_put(store, i, BATCH, 1, DIM, true, &err), err);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    vecstore_close(store);
}

static void lead(const char *link, const char *to)
{
    unlink(set_file(link));
    CHECK_INT(symlink(to, set_file(link)), 0);
}

static void touch(const char *name)
{
    FILE *file = fopen(set_file(name), "wb");

    CHECK(file != NULL);
    CHECK_INT(fclose(file), 0);
}

TEST(engine_reads_the_checkpoint_of_what_a_link_leads_to)
{
    struct vecstore *reader = NULL;

    make("x", COUNT);
    lead("link", "x");
    reader = set_open(set_file("link"), VEC_READ, &any);
    CHECK_INT(set_info(reader).type, VECINDEX_HNSW);
    CHECK_INT(set_info(reader).pending, 0);
    vecstore_close(reader);
}

TEST(engine_reader_follows_compacting_of_what_a_link_leads_to)
{
    struct vecstore *store = NULL, *reader = NULL;
    struct err err = {0};

    make("x", COUNT);
    lead("link", "x");
    reader = set_open(set_file("link"), VEC_READ, &any);
    store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    CHECK_OK(set_remove(store, 0, BATCH, &err), err);
    CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
    vecstore_close(store);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_INT(set_info(reader).count, COUNT - BATCH);
    CHECK_INT(set_info(reader).removed, 0);
    CHECK_INT(set_info(reader).type, VECINDEX_HNSW);
    vecstore_close(reader);
}

TEST(engine_reader_says_that_a_link_leads_elsewhere)
{
    struct vecstore *reader = NULL;
    struct err err = {0};

    make("x", COUNT);
    make("y", COUNT + BATCH);
    lead("link", "x");
    reader = set_open(set_file("link"), VEC_READ, &any);
    lead("link", "y");
    CHECK_ERR(vecstore_refresh(reader, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "leads to another file");
    CHECK_INT(set_info(reader).count, COUNT);
    vecstore_close(reader);
    reader = set_open(set_file("link"), VEC_READ, &any);
    CHECK_INT(set_info(reader).count, COUNT + BATCH);
    vecstore_close(reader);
}

TEST(engine_drops_what_a_link_leads_to_and_the_link)
{
    static const char *const names[] = {"link",
                                        "x",
                                        "x.checkpoint",
                                        "x.checkpoint.new",
                                        "x.compact",
                                        "x.compact.checkpoint",
                                        "x.compact.checkpoint.new"};
    struct err err = {0};
    size_t i;

    make("x", COUNT);
    for (i = 3; i < sizeof names / sizeof names[0]; i++)
        touch(names[i]);
    touch("x.other");
    lead("link", "x");
    CHECK_OK(vecstore_drop(set_file("link"), &any, &err), err);
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_INT(
            faccessat(AT_FDCWD, set_file(names[i]), F_OK, AT_SYMLINK_NOFOLLOW),
            -1);
    CHECK(file_exists(set_file("x.other")));
}
