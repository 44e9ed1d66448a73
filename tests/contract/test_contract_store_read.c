/* SPDX-License-Identifier: Apache-2.0 */
/* Items, answers, comparisons and figures. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "store_fixture.h"

struct items {
    struct store_item list[8];
    char names[8][64];
    int count;
};

static int note_item(void *user, const struct store_item *item, struct err *err)
{
    struct items *items = user;

    (void)err;
    snprintf(items->names[items->count], 64, "%s|%s|%s", item->name,
             item->category, item->photo);
    items->list[items->count++] = *item;
    return 0;
}

EVERY_STORE(an_item_is_added_and_then_changed)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_item item = {.item_id = 101,
                              .embedding_id = -1,
                              .name = "Ferrari 250",
                              .category = "carros",
                              .photo = "b//f.jpg"};
    struct items items = {0};
    struct err err = {0};

    CHECK_OK(store_put_item(store, &item, &err), err);
    item.name = "Ferrari 250 GTO";
    item.embedding_id = 3;
    CHECK_OK(store_put_item(store, &item, &err), err);
    item.item_id = 5000000000;
    CHECK_OK(store_put_item(store, &item, &err), err);
    CHECK_OK(store_scan_items(store, note_item, &items, &err), err);
    CHECK_INT(items.count, 2);
    CHECK_TEXT(items.names[0], "Ferrari 250 GTO|carros|b//f.jpg");
    CHECK_INT(items.list[0].embedding_id, 3);
    CHECK_INT(items.list[1].item_id, 5000000000);
    store_close(store);
}

static int count_item(void *user, const struct store_item *item,
                      struct err *err)
{
    int64_t *count = user;

    if (item->item_id != *count)
        return err_set(err, ERR_INTERNAL, "item %lld is not in its place",
                       (long long)item->item_id);
    ++*count;
    return 0;
}

EVERY_STORE(items_of_several_pages_come_in_order)
{
    enum { COUNT = 230 };
    struct store *store = store_fixture_migrated(fixture);
    char sql[16384];
    int64_t count = 0;
    struct err err = {0};
    int i, len;

    len = snprintf(sql, sizeof sql, "INSERT INTO items (item_id) VALUES (0)");
    for (i = 1; i < COUNT; i++)
        len += snprintf(sql + len, sizeof sql - (size_t)len, ", (%d)", i);
    store_fixture_sql(store, sql);
    CHECK_OK(store_scan_items(store, count_item, &count, &err), err);
    CHECK_INT(count, COUNT);
    count = 1;
    CHECK_ERR(store_scan_items(store, count_item, &count, &err), ERR_INTERNAL);
    CHECK_TEXT(err.text, "item 0 is not in its place");
    store_close(store);
}

EVERY_STORE(an_answer_is_found_by_its_request)
{
    struct store *store = store_fixture_migrated(fixture);
    const struct store_row rows[] = {
        store_fixture_log,
        store_fixture_ab("only-ab", "v3", "moto", 0.75, "success"),
        store_fixture_ab("only-shadow", "v3", "moto", 0.75, "shadow")};
    struct store_answer answer;
    struct err err = {0};

    CHECK_OK(store_write(store, rows, 3, &err), err);
    CHECK_OK(store_find_answer(store, store_fixture_log.as.log.request_id,
                               &answer, &err),
             err);
    CHECK_TEXT(answer.class_name, "carro");
    CHECK_TEXT(answer.model_version, "v2");
    CHECK_NEAR(answer.confidence, 0.92, 1e-9);
    CHECK_OK(store_find_answer(store, "only-ab", &answer, &err), err);
    CHECK_TEXT(answer.class_name, "moto");
    CHECK_NEAR(answer.confidence, 0.75, 1e-9);
    CHECK_ERR(store_find_answer(store, "only-shadow", &answer, &err),
              ERR_NOT_FOUND);
    CHECK_TEXT(answer.class_name, "moto");
    store_close(store);
}

struct totals {
    struct store_ab_total list[4];
    int count;
};

static int note_total(void *user, const struct store_ab_total *total,
                      struct err *err)
{
    struct totals *totals = user;

    (void)err;
    totals->list[totals->count++] = *total;
    return 0;
}

EVERY_STORE(versions_are_compared_with_the_last_feedback)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_row rows[] = {
        store_fixture_ab("r1", "v1", "carro", 0.5, "success"),
        store_fixture_ab("r2", "v1", "moto", 0.75, "success"),
        store_fixture_ab("r3", "v1", NULL, NAN, "error"),
        store_fixture_ab("r1", "v2", "moto", 0.25, "shadow"),
        store_fixture_feedback("r1", "moto"),
        store_fixture_feedback("r1", "carro"),
        store_fixture_feedback("r2", "carro"),
        store_fixture_feedback("r3", "carro"),
        store_fixture_ab("r0", "v1", "carro", 1, "success"),
    };
    struct totals totals = {0};
    struct err err = {0};

    rows[8].created_ms = STORE_FIXTURE_NOON_MS - 1;
    CHECK_OK(store_write(store, rows, 9, &err), err);
    CHECK_OK(
        store_scan_ab(store, STORE_FIXTURE_NOON_MS, note_total, &totals, &err),
        err);
    CHECK_INT(totals.count, 2);
    CHECK_TEXT(totals.list[0].model_version, "v1");
    CHECK_INT(totals.list[0].request_count, 3);
    CHECK_INT(totals.list[0].error_count, 1);
    CHECK_NEAR(totals.list[0].confidence_sum, 1.25, 1e-9);
    CHECK_INT(totals.list[0].feedback_count, 2);
    CHECK_INT(totals.list[0].correct_count, 1);
    CHECK_TEXT(totals.list[1].model_version, "v2");
    CHECK_INT(totals.list[1].request_count, 1);
    CHECK_NEAR(totals.list[1].confidence_sum, 0.25, 1e-9);
    CHECK_INT(totals.list[1].feedback_count, 1);
    CHECK_INT(totals.list[1].correct_count, 0);
    store_close(store);
}

EVERY_STORE(metrics_replace_those_of_their_version)
{
    struct store *store = store_fixture_migrated(fixture);
    struct store_metrics metrics = {.model_version = "v2",
                                    .accuracy = 0.87654,
                                    .precision = NAN,
                                    .recall = 1,
                                    .f1_score = NAN,
                                    .class_count = 50,
                                    .training_sample_count = 12000,
                                    .index_size = 11000,
                                    .inference_avg_ms = 4.256,
                                    .trained_ms = STORE_FIXTURE_NOON_MS};
    struct store_metrics found = {.class_count = -1};
    struct store_state state;
    struct err err = {0};

    CHECK_ERR(store_find_metrics(store, "v2", &found, &err), ERR_NOT_FOUND);
    CHECK_INT(found.class_count, -1);
    err = (struct err){0};
    CHECK_OK(store_put_metrics(store, &metrics, &err), err);
    metrics.accuracy = 0.9;
    CHECK_OK(store_put_metrics(store, &metrics, &err), err);
    CHECK_OK(store_find_metrics(store, "v2", &found, &err), err);
    CHECK_NEAR(found.accuracy, 0.9, 1e-9);
    CHECK(isnan(found.precision));
    CHECK_NEAR(found.recall, 1, 1e-9);
    CHECK_INT(found.class_count, 50);
    CHECK_INT(found.training_sample_count, 12000);
    CHECK_INT(found.index_size, 11000);
    CHECK_NEAR(found.inference_avg_ms, 4.26, 1e-9);
    CHECK_INT(found.trained_ms, STORE_FIXTURE_NOON_MS);
    CHECK_INT(found.loaded_ms, 0);
    CHECK_OK(store_state(store, &state, &err), err);
    CHECK_INT(state.metrics, 1);
    store_close(store);
}
