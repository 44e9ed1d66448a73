/* SPDX-License-Identifier: Apache-2.0 */
/* `olho store migrate` and `olho store status`. */
#include <stdio.h>

#include "base/json_write.h"
#include "cmd/command.h"
#include "cmd/settings_store.h"

static int print_migrated(struct store *store, struct err *err)
{
    struct store_state before, after;
    int applied = 0, rc = store_state(store, &before, err);

    if (rc == 0)
        rc = store_migrate(store, &applied, err);
    if (rc == 0)
        rc = store_state(store, &after, err);
    if (rc)
        return rc;
    if (applied == 0)
        printf("%s is at version %d already\n", store_name(store),
               after.version);
    else
        printf("%s went from version %d to %d%s\n", store_name(store),
               before.version, after.version,
               after.is_adopted ? "; the tables that were there were adopted"
                                : "");
    return 0;
}

int command_store_migrate(struct arguments *arguments, struct err *err)
{
    struct store *store = NULL;
    int rc = settings_store_open(&arguments->config, false, &store, err);

    if (rc == 0)
        rc = print_migrated(store, err);
    store_close(store);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

static const char *const counted[STORE_TABLE_COUNT] = {
    [STORE_PREDICTIONS] = "predictions",
    [STORE_LOGS] = "inference_logs",
    [STORE_AB] = "ab_test_results",
    [STORE_FEEDBACK] = "feedback",
};

static void print_state(const char *name, const struct store_state *state)
{
    int i;

    printf("%-16s %s\n", "database", name);
    printf("%-16s %d of %d%s\n", "version", state->version,
           state->version_latest,
           state->version < state->version_latest
               ? "; `olho store migrate` brings it up"
           : state->version > state->version_latest ? "; a newer olho made it"
                                                    : "");
    printf("%-16s %s\n", "tables",
           state->is_adopted    ? "adopted from another program"
           : state->version > 0 ? "made by olho"
                                : "none");
    printf("%-16s %lld\n", "items", (long long)state->items);
    for (i = 0; i < STORE_TABLE_COUNT; i++)
        printf("%-16s %lld\n", counted[i], (long long)state->rows[i]);
    printf("%-16s %lld\n", "model_metrics", (long long)state->metrics);
}

static void print_state_json(const char *name, const struct store_state *state)
{
    struct json_writer json;
    struct buf line;
    int i;

    buf_init(&line, 1 << 16);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    json_key(&json, "database");
    json_put_text(&json, name);
    json_key(&json, "version");
    json_put_integer(&json, state->version);
    json_key(&json, "version_latest");
    json_put_integer(&json, state->version_latest);
    json_key(&json, "adopted");
    json_put_bool(&json, state->is_adopted);
    json_key(&json, "rows");
    json_object_begin(&json);
    json_key(&json, "items");
    json_put_integer(&json, state->items);
    for (i = 0; i < STORE_TABLE_COUNT; i++) {
        json_key(&json, counted[i]);
        json_put_integer(&json, state->rows[i]);
    }
    json_key(&json, "model_metrics");
    json_put_integer(&json, state->metrics);
    json_object_end(&json);
    json_object_end(&json);
    printf("%s\n", line.data);
    buf_release(&line);
}

int command_store_status(struct arguments *arguments, struct err *err)
{
    struct store *store = NULL;
    struct store_state state;
    int rc = settings_store_open(&arguments->config, true, &store, err);

    if (rc == 0)
        rc = store_state(store, &state, err);
    if (rc == 0 && arguments_flag(arguments, "json") != NULL)
        print_state_json(store_name(store), &state);
    else if (rc == 0)
        print_state(store_name(store), &state);
    store_close(store);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
