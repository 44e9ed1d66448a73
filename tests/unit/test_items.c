/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "apps/items.h"
#include "base/clock.h"
#include "test.h"

struct fixture {
    struct config config;
    struct database *database;
    struct store *store;
    struct items *items;
    struct err err;
};

static void put(struct fixture *fixture, int64_t item_id, int64_t place,
                const char *name, const char *photo)
{
    struct store_item item = {.item_id = item_id,
                              .embedding_id = place,
                              .name = name,
                              .category = "",
                              .photo = photo};

    CHECK_OK(store_put_item(fixture->store, &item, &fixture->err),
             fixture->err);
}

static void open_fixture(struct fixture *fixture)
{
    char path[4096];

    *fixture = (struct fixture){0};
    snprintf(path, sizeof path, "%s/olho.db", test_dir());
    option_preset(config_options, config_option_count, &fixture->config);
    CHECK_OK(option_set(
                 option_find(config_options, config_option_count, "STORE_URL"),
                 &fixture->config, path, &fixture->err),
             fixture->err);
    CHECK_OK(database_new(&fixture->config, &fixture->database, &fixture->err),
             fixture->err);
    CHECK_OK(database_reach(fixture->database, &fixture->store, &fixture->err),
             fixture->err);
    put(fixture, 101, 7, "Ferrari 250", "fotos//carros/1.jpg");
    put(fixture, 102, 8, "Porsche 911", "fotos/carros/2.jpg");
    put(fixture, 103, -1, "sem foto", "");
    CHECK_OK(items_new(fixture->database, 3600, &fixture->items, &fixture->err),
             fixture->err);
}

static void close_fixture(struct fixture *fixture)
{
    items_free(fixture->items);
    database_free(fixture->database);
    config_release(&fixture->config);
}

/* The first reading comes from another thread. */
static struct items_view *wait_for_view(struct items *items)
{
    int64_t end_us = clock_us() + 60000000;
    struct items_view *view;

    do
        view = items_acquire(items);
    while (view == NULL && clock_us() < end_us);
    CHECK(view != NULL);
    return view;
}

static const struct item *find(const struct items_view *view, const char *path,
                               int64_t id)
{
    struct neighbour neighbour = {.id = id, .path = path};

    return items_find(view, &neighbour);
}

TEST(items_are_found_by_the_path_of_their_photo_in_any_of_its_forms)
{
    struct fixture fixture;
    struct items_view *view;

    open_fixture(&fixture);
    view = wait_for_view(fixture.items);
    CHECK_INT(find(view, "fotos/carros/1.jpg", 99)->item_id, 101);
    CHECK_INT(find(view, "fotos//carros/1.jpg", 99)->item_id, 101);
    CHECK_INT(find(view, "s3://fotos/carros/2.jpg", 99)->item_id, 102);
    CHECK_TEXT(find(view, "fotos/carros/2.jpg", 99)->name, "Porsche 911");
    items_release(view);
    close_fixture(&fixture);
}

TEST(items_are_found_by_their_place_when_the_path_is_another)
{
    struct fixture fixture;
    struct items_view *view;

    open_fixture(&fixture);
    view = wait_for_view(fixture.items);
    CHECK_INT(find(view, "#7", 7)->item_id, 101);
    CHECK_INT(find(view, "#8", 8)->item_id, 102);
    CHECK(find(view, "#9", 9) == NULL);
    CHECK(find(view, "", -1) == NULL);
    items_release(view);
    close_fixture(&fixture);
}

TEST(items_that_are_held_outlive_the_table)
{
    struct fixture fixture;
    struct items_view *view;

    open_fixture(&fixture);
    view = wait_for_view(fixture.items);
    close_fixture(&fixture);
    CHECK_TEXT(find(view, "fotos/carros/1.jpg", 0)->name, "Ferrari 250");
    items_release(view);
}
