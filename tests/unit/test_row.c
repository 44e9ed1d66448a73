/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <math.h>
#include <stdalign.h>
#include <string.h>

#include "base/mem.h"
#include "store/row.h"
#include "store/row_queue.h"

enum { VALUES = 5 };

static const float embedding[VALUES] = {0, -1.5f, 0.25f, 1e-30f, 3e30f};

static const struct store_row samples[] = {
    {.table = STORE_PREDICTIONS,
     .created_ms = 1700000000123,
     .as.prediction = {.image_path = "fotos/\xc3\xa7.jpg",
                       .class_name = "carro",
                       .class_id = -3,
                       .confidence = 0.92,
                       .embedding = embedding,
                       .embedding_len = VALUES,
                       .inference_ms = 12,
                       .model_version = "v2",
                       .item_id = 1ll << 40}},
    {.table = STORE_PREDICTIONS, .as.prediction = {.image_path = ""}},
    {.table = STORE_LOGS,
     .created_ms = -1,
     .as.log = {.request_id = "r1",
                .image_hash = "00ff",
                .top_k_json = "[{\"classe\":\"a\"}]",
                .confidence = 1,
                .user_id = 7,
                .status = "error",
                .error_message = "line\nline"}},
    {.table = STORE_AB,
     .as.ab = {.request_id = "r2", .latency_ms = 1.25, .status = "shadow"}},
    {.table = STORE_FEEDBACK,
     .as.feedback = {.request_id = "r3", .class_name = "moto"}},
};
enum { SAMPLE_COUNT = sizeof samples / sizeof *samples };

static void print(const struct store_row *row, struct buf *out)
{
    struct json_writer json;

    buf_clear(out);
    json_writer_init(&json, out);
    json_object_begin(&json);
    row_print(row, &json);
    json_object_end(&json);
}

/* The row as it is said to be, which compares every field of it. */
static void check_same(const struct store_row *got,
                       const struct store_row *want)
{
    struct buf a, b;

    buf_init(&a, 1 << 16);
    buf_init(&b, 1 << 16);
    print(got, &a);
    print(want, &b);
    CHECK_TEXT(a.data, b.data);
    buf_release(&a);
    buf_release(&b);
}

TEST(row_comes_back_as_it_was)
{
    int i;

    for (i = 0; i < SAMPLE_COUNT; i++) {
        struct row_node *node = row_node_new(&samples[i]);
        struct store_row row;
        struct err err = {0};

        CHECK(node != NULL);
        CHECK_INT(node->len, row_len(&samples[i]));
        CHECK_OK(row_decode((struct bytes){node->bytes, node->len}, &row, &err),
                 err);
        check_same(&row, &samples[i]);
        mem_free(node);
    }
}

TEST(row_prints_its_table_and_columns)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    print(&samples[0], &out);
    CHECK_TEXT(out.data,
               "{\"table\":\"predictions\",\"created_ms\":1700000000123,"
               "\"image_path\":\"fotos/\xc3\xa7.jpg\",\"classe\":\"carro\","
               "\"classe_numerica\":-3,\"confianca\":0.92,"
               "\"inference_time_ms\":12,\"model_version\":\"v2\","
               "\"item_id\":1099511627776,"
               "\"embedding\":[0.0,-1.5,0.25,1e-30,3e30]}");
    buf_release(&out);
}

TEST(row_that_is_cut_short_or_has_more_is_corrupt)
{
    int i;

    for (i = 0; i < SAMPLE_COUNT; i++) {
        struct row_node *node = row_node_new(&samples[i]);
        struct row_node *longer = row_node_of_len(node->len + 1);
        struct store_row row = {.created_ms = 77};
        struct err err = {0};
        size_t len;

        memcpy(longer->bytes, node->bytes, node->len);
        for (len = 0; len <= longer->len; len++) {
            if (len == node->len)
                continue;
            CHECK_ERR(
                row_decode((struct bytes){longer->bytes, len}, &row, &err),
                ERR_CORRUPT);
            CHECK_INT(row.created_ms, 77);
        }
        mem_free(node);
        mem_free(longer);
    }
}

/* The sanitizers watch what is read. */
TEST(row_with_any_byte_changed_is_read_within_its_bounds)
{
    int i, bit, refused = 0;

    for (i = 0; i < SAMPLE_COUNT; i++) {
        struct row_node *node = row_node_new(&samples[i]);
        struct bytes bytes = {node->bytes, node->len};
        struct store_row row;
        struct buf out;
        size_t at;

        buf_init(&out, 1 << 20);
        for (at = 0; at < node->len; at++)
            for (bit = 0; bit < 8; bit++) {
                struct err err = {0};

                node->bytes[at] ^= (uint8_t)(1 << bit);
                if (row_decode(bytes, &row, &err) == 0)
                    print(&row, &out);
                else
                    refused++;
                node->bytes[at] ^= (uint8_t)(1 << bit);
            }
        buf_release(&out);
        mem_free(node);
    }
    CHECK(refused > 0);
}

TEST(row_that_is_too_large_is_not_taken)
{
    struct store_row row = {.table = STORE_PREDICTIONS};
    char *text = mem_new(ROW_LEN_MAX + 1);

    memset(text, 'x', ROW_LEN_MAX);
    row.as.prediction.image_path = text;
    CHECK(row_len(&row) > ROW_LEN_MAX);
    CHECK(row_node_new(&row) == NULL);
    text[ROW_LEN_MAX - 200] = '\0';
    mem_free(row_node_new(&row));
    CHECK(row_len(&row) <= ROW_LEN_MAX);
    row.as.prediction.image_path = NULL;
    row.as.prediction.embedding = embedding;
    row.as.prediction.embedding_len = ROW_EMBEDDING_MAX + 1;
    CHECK(row_node_new(&row) == NULL);
    mem_free(text);
}

TEST(row_queue_keeps_order_and_both_bounds)
{
    size_t each = sizeof(struct row_node) + row_len(&samples[4]);
    struct row_queue queue = {.count_max = 3, .len_max = 1 << 20};
    struct row_node *nodes[4];
    int i;

    for (i = 0; i < 4; i++)
        nodes[i] = row_node_new(&samples[4]);
    for (i = 0; i < 3; i++)
        CHECK(row_queue_add(&queue, nodes[i]));
    CHECK(!row_queue_add(&queue, nodes[3]));
    CHECK_INT(queue.len, 3 * each);
    CHECK(row_queue_take(&queue) == nodes[0]);
    queue.len_max = 3 * each - 1;
    CHECK(!row_queue_add(&queue, nodes[3]));
    queue.len_max = 3 * each;
    CHECK(row_queue_add(&queue, nodes[3]));
    CHECK(row_queue_take(&queue) == nodes[1]);
    row_queue_release(&queue);
    CHECK_INT(queue.count, 0);
    CHECK_INT(queue.len, 0);
    mem_free(nodes[0]);
    mem_free(nodes[1]);
}
