/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files that lie, made field by field in the protobuf wire format. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "models/onnx_graph.h"
#include "test.h"

/* --- protobuf ------------------------------------------------------------- */

static void put_varint(struct buf *out, uint64_t value)
{
    while (value >= 0x80) {
        buf_add_char(out, (char)(value | 0x80));
        value >>= 7;
    }
    buf_add_char(out, (char)value);
}

static void put_number(struct buf *out, int field, int64_t value)
{
    put_varint(out, (uint64_t)field << 3);
    put_varint(out, (uint64_t)value);
}

static void put_bytes(struct buf *out, int field, const void *data, size_t len)
{
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, len);
    buf_add(out, data, len);
}

static void put_text(struct buf *out, int field, const char *text)
{
    put_bytes(out, field, text, strlen(text));
}

/* Ends the inner message and puts it into the outer one. */
static void put_message(struct buf *out, int field, struct buf *inner)
{
    put_bytes(out, field, inner->data, inner->len);
    buf_release(inner);
}

static struct buf message(void)
{
    struct buf out;

    buf_init(&out, 64 << 20);
    return out;
}

/* The model around a graph; ends the graph. */
static struct buf make_file(struct buf *graph, int64_t ir_version,
                            int64_t opset)
{
    struct buf file = message(), set = message();

    put_number(&file, 1, ir_version);
    put_text(&set, 1, "");
    put_number(&set, 2, opset);
    put_message(&file, 8, &set);
    put_message(&file, 7, graph);
    return file;
}

static struct buf make_tensor(const char *name, int type, const int64_t *dims,
                              int rank)
{
    struct buf tensor = message();
    int i;

    for (i = 0; i < rank; i++)
        put_number(&tensor, 1, dims[i]);
    put_number(&tensor, 2, type);
    put_text(&tensor, 8, name);
    return tensor;
}

/* Reads a file, which ends; a failure says why and leaves out alone. */
static int read_file(struct buf *file, struct onnx_graph **out, struct err *err)
{
    int rc;

    *out = NULL;
    rc = onnx_read_bytes(buf_bytes(file), out, err);
    CHECK((rc == 0) == (*out != NULL));
    CHECK((rc == 0) == (err->text[0] == '\0'));
    buf_release(file);
    return rc;
}

static void check_refused(struct buf *file, const char *part)
{
    struct onnx_graph *graph;
    struct err err = {0};

    CHECK_ERR(read_file(file, &graph, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, part);
}

static void check_tensor_refused(struct buf *tensor, const char *part)
{
    struct buf graph = message(), file;

    put_message(&graph, 5, tensor);
    file = make_file(&graph, 8, 17);
    check_refused(&file, part);
}

/* --- tests ---------------------------------------------------------------- */

TEST(onnx_read_refuses_what_is_no_model)
{
    struct buf file = message(), graph = message();

    check_refused(&file, "operator set");
    file = message();
    buf_add_text(&file, "this is no network");
    check_refused(&file, "no ONNX model");
    file = message();
    put_number(&file, 1, 8);
    put_bytes(&file, 8, "\x10\x11", 2);
    check_refused(&file, "no graph");
    file = make_file(&graph, 0, 17);
    check_refused(&file, "IR version 0");
    graph = message();
    file = make_file(&graph, 8, 1000);
    check_refused(&file, "operator set 1000");
    graph = message();
    file = make_file(&graph, 8, -1);
    check_refused(&file, "operator set -1");
}

TEST(onnx_read_checks_a_shape_against_the_bytes_that_are_there)
{
    static const struct {
        int64_t dims[9];
        int rank;
        size_t len;
        const char *part;
    } cases[] = {
        {{2, 3}, 2, 23, "needs 6"},
        {{2, 3}, 2, 20, "needs 6"},
        {{2, 3}, 2, 28, "needs 6"},
        {{2, 3}, 2, 0, "needs 6"},
        {{-1, 3}, 2, 12, "shape"},
        {{1 << 20, 1 << 20}, 2, 12, "shape"},
        {{INT64_MAX, INT64_MAX, 4}, 3, 12, "shape"},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, 4, "rank 9"},
    };
    static const char zeros[64];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf tensor =
            make_tensor("w", ONNX_FLOAT, cases[i].dims, cases[i].rank);

        put_bytes(&tensor, 9, zeros, cases[i].len);
        check_tensor_refused(&tensor, cases[i].part);
    }
}

TEST(onnx_read_takes_values_from_the_list_of_their_type)
{
    static const float real = 1.5f;
    static const double precise = -2.5;
    struct buf graph = message(), tensor, file;
    struct onnx_graph *out;
    struct err err = {0};

    tensor = make_tensor("float", ONNX_FLOAT, (int64_t[]){1}, 1);
    put_bytes(&tensor, 4, &real, sizeof real);
    put_message(&graph, 5, &tensor);
    tensor = make_tensor("int8", ONNX_INT8, (int64_t[]){2}, 1);
    put_number(&tensor, 5, -128);
    put_number(&tensor, 5, 127);
    put_message(&graph, 5, &tensor);
    tensor = make_tensor("half", ONNX_FLOAT16, (int64_t[]){1}, 1);
    put_bytes(&tensor, 5, "\x80\x78", 2);
    put_message(&graph, 5, &tensor);
    tensor = make_tensor("int64", ONNX_INT64, (int64_t[]){1}, 1);
    put_number(&tensor, 7, INT64_MIN);
    put_message(&graph, 5, &tensor);
    tensor = make_tensor("int32", ONNX_INT32, NULL, 0);
    put_number(&tensor, 5, INT32_MIN);
    put_message(&graph, 5, &tensor);
    tensor = make_tensor("double", ONNX_DOUBLE, (int64_t[]){1}, 1);
    put_bytes(&tensor, 10, &precise, sizeof precise);
    put_message(&graph, 5, &tensor);
    file = make_file(&graph, 8, 17);
    CHECK_OK(read_file(&file, &out, &err), err);
    CHECK(*(float *)onnx_find_tensor(out, "float")->data == 1.5f);
    CHECK_INT(((int8_t *)onnx_find_tensor(out, "int8")->data)[0], -128);
    CHECK_INT(((int8_t *)onnx_find_tensor(out, "int8")->data)[1], 127);
    CHECK_INT(*(uint16_t *)onnx_find_tensor(out, "half")->data, 0x3c00);
    CHECK(*(int64_t *)onnx_find_tensor(out, "int64")->data == INT64_MIN);
    CHECK_INT(*(int32_t *)onnx_find_tensor(out, "int32")->data, INT32_MIN);
    CHECK(*(double *)onnx_find_tensor(out, "double")->data == -2.5);
    onnx_free(out);
}

TEST(onnx_read_refuses_tensors_that_are_not_kept)
{
    static const int64_t one[] = {1};
    struct buf tensor;

    tensor = make_tensor("bytes", ONNX_UINT8, one, 1);
    put_number(&tensor, 5, 256);
    check_tensor_refused(&tensor, "value 0 of tensor 'bytes' is 256");
    tensor = make_tensor("small", ONNX_INT8, one, 1);
    put_number(&tensor, 5, -129);
    check_tensor_refused(&tensor, "-129");
    tensor = make_tensor("texts", 8, one, 1);
    check_tensor_refused(&tensor, "'texts' is of type 8");
    tensor = make_tensor("none", 0, one, 1);
    check_tensor_refused(&tensor, "'none'");
    tensor = make_tensor("odd", INT32_MAX, one, 1);
    check_tensor_refused(&tensor, "2147483647");
    tensor = make_tensor("far", ONNX_FLOAT, one, 1);
    put_text(&tensor, 13, "");
    check_tensor_refused(&tensor, "'far' lies in another file");
    tensor = make_tensor("far", ONNX_FLOAT, one, 1);
    put_number(&tensor, 14, 1);
    check_tensor_refused(&tensor, "'far' lies in another file");
}

static void check_node_refused(struct buf *node, const char *part)
{
    struct buf graph = message(), file;

    put_message(&graph, 1, node);
    file = make_file(&graph, 8, 17);
    check_refused(&file, part);
}

static struct buf make_node(void)
{
    struct buf node = message();

    put_text(&node, 3, "loop");
    put_text(&node, 4, "Loop");
    return node;
}

TEST(onnx_read_refuses_kinds_of_attributes_by_name)
{
    static const struct {
        int kind;
        const char *part;
    } cases[] = {{0, "'body' of node 'loop' (Loop) is of no known type"},
                 {5, "'body' of node 'loop' (Loop) is a graph"},
                 {8, "list of texts"},
                 {10, "graphs"},
                 {11, "sparse"},
                 {99, "no known type"}};
    struct buf node, attribute;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        node = make_node();
        attribute = message();
        put_text(&attribute, 1, "body");
        put_number(&attribute, 20, cases[i].kind);
        put_message(&node, 5, &attribute);
        check_node_refused(&node, cases[i].part);
    }
    node = make_node();
    attribute = message();
    put_text(&attribute, 21, "outer");
    put_message(&node, 5, &attribute);
    check_node_refused(&node, "'outer'");
    node = make_node();
    attribute = message();
    put_text(&attribute, 1, "value");
    put_number(&attribute, 20, ONNX_ATTRIBUTE_TENSOR);
    put_message(&node, 5, &attribute);
    check_node_refused(&node, "'value' is empty");
    node = make_node();
    attribute = message();
    put_text(&attribute, 1, "mode");
    put_number(&attribute, 20, ONNX_ATTRIBUTE_TEXT);
    put_bytes(&attribute, 4, "a\0b", 3);
    put_message(&node, 5, &attribute);
    check_node_refused(&node, "'mode' has 3 bytes");
}

TEST(onnx_read_refuses_other_domains_functions_and_sparse_weights)
{
    struct buf node = make_node(), graph = message(), file;

    put_text(&node, 7, "org.elsewhere");
    check_node_refused(&node, "'org.elsewhere'");
    put_text(&graph, 15, "");
    file = make_file(&graph, 8, 17);
    check_refused(&file, "1 sparse");
    graph = message();
    file = make_file(&graph, 8, 17);
    put_text(&file, 25, "");
    check_refused(&file, "1 functions");
    graph = message();
    node = message();
    put_text(&node, 1, "x");
    put_message(&graph, 11, &node);
    file = make_file(&graph, 8, 17);
    check_refused(&file, "'x' is no tensor");
}

TEST(onnx_read_bounds_how_many_there_are)
{
    struct buf node = message(), graph = message(), file, text = message();
    int i;

    for (i = 0; i <= ONNX_NODES_MAX; i++)
        put_text(&graph, 1, "");
    file = make_file(&graph, 8, 17);
    check_refused(&file, "65537 nodes");
    for (i = 0; i <= ONNX_LINKS_MAX; i++)
        put_text(&node, 1, "x");
    check_node_refused(&node, "1025 inputs");
    node = message();
    for (i = 0; i <= ONNX_ATTRIBUTES_MAX; i++)
        put_text(&node, 5, "");
    check_node_refused(&node, "65 attributes");
    for (i = 0; i <= ONNX_TEXT_MAX; i++)
        buf_add_char(&text, 'n');
    node = message();
    put_message(&node, 3, &text);
    check_node_refused(&node, "4097 bytes");
}

TEST(onnx_read_bounds_the_memory_that_a_file_asks_for)
{
    enum { COUNT = 2 << 20 };
    struct buf graph = message(), file;
    int i;

    for (i = 0; i < COUNT; i++)
        buf_add(&graph, "\x0a", 2); /* an empty node */
    file = make_file(&graph, 8, 17);
    check_refused(&file, "ask for more than");
}

/* Weights of old files are inputs too; they are listed once. */
TEST(onnx_read_takes_weights_off_the_inputs)
{
    struct buf graph = message(), tensor, value = message(), file;
    struct onnx_graph *out;
    struct err err = {0};

    tensor = make_tensor("w", ONNX_FLOAT, (int64_t[]){0}, 1);
    put_message(&graph, 5, &tensor);
    put_text(&value, 1, "w");
    put_message(&graph, 11, &value);
    file = make_file(&graph, 3, 9);
    CHECK_OK(read_file(&file, &out, &err), err);
    CHECK_INT(out->input_count, 0);
    CHECK_INT(out->ir_version, ONNX_IR_VERSION);
    CHECK_INT(out->opset, 9);
    onnx_free(out);
}

/* A small whole network. */
static struct buf make_whole(void)
{
    static const float weights[4] = {1, 2, 3, 4};
    struct onnx_graph *graph = onnx_new();
    struct onnx_node *node;
    struct err err = {0};
    struct buf file = message();

    onnx_add_graph_input(graph, "x", ONNX_FLOAT, (int64_t[]){-1, 2}, 2);
    onnx_add_graph_output(graph, "y", ONNX_FLOAT, (int64_t[]){-1, 2}, 2);
    onnx_add_tensor(graph, "w", ONNX_FLOAT, (int64_t[]){2, 2}, 2, weights);
    node = onnx_add(graph, "Gemm", "y", "x", "w", NULL, NULL);
    onnx_set_int(graph, node, "transB", 1);
    onnx_set_floats(graph, node, "fs", weights, 2);
    onnx_set_tensor(graph, node, "t", ONNX_FLOAT, (int64_t[]){2}, 1, weights);
    CHECK_OK(onnx_write_bytes(graph, &file, &err), err);
    onnx_free(graph);
    return file;
}

/* What could be read can be written and read again. */
static void check_stands(const struct onnx_graph *graph)
{
    struct onnx_graph *again = NULL;
    struct err err = {0};
    struct buf file = message();

    CHECK_OK(onnx_write_bytes(graph, &file, &err), err);
    CHECK_OK(onnx_read_bytes(buf_bytes(&file), &again, &err), err);
    CHECK_INT(again->node_count, graph->node_count);
    CHECK_INT(again->tensor_count, graph->tensor_count);
    onnx_free(again);
    buf_release(&file);
}

TEST(onnx_read_survives_every_cut_and_every_flipped_bit)
{
    struct buf whole = make_whole();
    size_t i, good = 0;

    for (i = 0; i < whole.len * 9; i++) {
        size_t len = i < whole.len ? i : whole.len, at = (i - len) / 8;
        struct onnx_graph *graph = NULL;
        struct err err = {0};
        uint8_t *copy = mem_new(whole.len);

        memcpy(copy, whole.data, len);
        if (i >= whole.len)
            copy[at] ^= (uint8_t)(1 << (i - len) % 8);
        if (onnx_read_bytes((struct bytes){copy, len}, &graph, &err) == 0) {
            check_stands(graph);
            good++;
        }
        onnx_free(graph);
        mem_free(copy);
    }
    CHECK(good > 0 && good < whole.len * 9);
    buf_release(&whole);
}
