/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "apps/database.h"
#include "base/clock.h"
#include "test.h"

static struct database *new_database(struct config *config)
{
    struct database *database = NULL;
    struct err err = {0};
    char path[4096];

    snprintf(path, sizeof path, "%s/olho.db", test_dir());
    option_preset(config_options, config_option_count, config);
    CHECK_OK(option_set(
                 option_find(config_options, config_option_count, "STORE_URL"),
                 config, path, &err),
             err);
    CHECK_OK(database_new(config, &database, &err), err);
    return database;
}

TEST(database_that_nobody_opened_makes_the_writer_wait_for_nothing)
{
    struct store_row row = {
        .table = STORE_FEEDBACK,
        .created_ms = clock_wall_ms(),
        .as.feedback = {"r1", "carro"},
    };
    struct config config = {0};
    struct database *database = new_database(&config);
    struct store *store = NULL;
    struct err err = {0};
    char state[ERR_TEXT_MAX];

    CHECK_ERR(database_write(database, &row, 1, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "not opened yet");
    err = (struct err){0};
    CHECK_OK(database_reach(database, &store, &err), err);
    CHECK_OK(database_write(database, &row, 1, &err), err);
    database_state(database, state, sizeof state);
    CHECK_TEXT(state, "ok");
    database_free(database);
    config_release(&config);
}

TEST(database_says_why_it_is_not_open)
{
    struct config config = {0};
    struct database *database = NULL;
    struct store *store = NULL;
    struct err err = {0};
    char state[ERR_TEXT_MAX];

    option_preset(config_options, config_option_count, &config);
    CHECK_OK(option_set(
                 option_find(config_options, config_option_count, "STORE_URL"),
                 &config, "/proc/none/olho.db", &err),
             err);
    CHECK_OK(database_new(&config, &database, &err), err);
    CHECK(database_reach(database, &store, &err) != 0);
    CHECK(store == NULL);
    err = (struct err){0};
    CHECK_ERR(database_get(database, &store, &err), ERR_UNAVAILABLE);
    database_state(database, state, sizeof state);
    CHECK_HAS(err.text, "the database is away");
    CHECK_HAS(err.text, state);
    database_free(database);
    config_release(&config);
}
