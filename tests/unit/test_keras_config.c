/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "models/keras_config.h"
#include "test.h"

enum { TEXT_LEN = 4096 };

static struct json_value *parse(const char *text)
{
    struct json_value *document = NULL;
    struct err err = {0};

    CHECK_OK(json_parse(bytes_of_text(text), &document, &err), err);
    return document;
}

static int read_text(const char *text, struct err *err)
{
    struct json_value *document = parse(text);
    struct keras_model *model = NULL;
    int rc = keras_config_read(document, &model, err);

    keras_config_free(model);
    json_free(document);
    return rc;
}

TEST(keras_config_joins_the_layers_of_a_sequential)
{
    struct json_value *document =
        parse("{\"class_name\":\"Sequential\",\"config\":{\"layers\":["
              "{\"class_name\":\"Dense\",\"config\":{\"name\":\"a\","
              "\"batch_input_shape\":[null,4]}},"
              "{\"class_name\":\"Dense\",\"config\":{\"name\":\"b\"}}]}}");
    struct keras_model *model = NULL;
    struct err err = {0};

    CHECK_OK(keras_config_read(document, &model, &err), err);
    CHECK_INT(model->layer_count, 2);
    CHECK_INT(model->inputs[0].layer, -1);
    CHECK_INT(model->outputs[0].layer, 1);
    CHECK_INT(model->layers[0].calls[0].arguments[0].source.layer, -1);
    CHECK_INT(model->layers[1].calls[0].arguments[0].source.layer, 0);
    CHECK_INT(json_count(model->input_shape), 2);
    keras_config_free(model);
    json_free(document);
}

TEST(keras_config_takes_a_list_for_a_sequential_as_old_files_have_it)
{
    struct err err = {0};

    CHECK_OK(read_text("{\"class_name\":\"Sequential\",\"config\":["
                       "{\"class_name\":\"Dense\",\"config\":{}}]}",
                       &err),
             err);
}

/* Keras 2 counts the call inside a nested model as its first. */
static const char old_nested[] =
    "{\"class_name\":\"Functional\",\"config\":{\"name\":\"m\",\"layers\":["
    "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"i\"},"
    "\"inbound_nodes\":[]},"
    "{\"class_name\":\"Functional\",\"config\":{\"name\":\"base\",\"layers\":["
    "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"j\"},"
    "\"inbound_nodes\":[]}],"
    "\"input_layers\":[[\"j\",0,0]],\"output_layers\":[[\"j\",0,0]]},"
    "\"inbound_nodes\":[[[\"i\",0,0,{\"training\":true}]]]},"
    "{\"class_name\":\"TFOpLambda\",\"config\":{\"name\":\"plus\"},"
    "\"inbound_nodes\":[[\"base\",1,0,{\"y\":3.0,\"name\":null}]]}],"
    "\"input_layers\":[[\"i\",0,0]],\"output_layers\":[[\"plus\",0,0]]}}";

TEST(keras_config_reads_the_dialect_of_keras_2)
{
    struct json_value *document = parse(old_nested);
    struct keras_model *model = NULL;
    const struct keras_call *call;
    struct err err = {0};

    CHECK_OK(keras_config_read(document, &model, &err), err);
    CHECK_INT(keras_config_layer_count(model), 4);
    CHECK(model->layers[1].model != NULL);
    CHECK(model->layers[1].model->owner == &model->layers[1]);
    CHECK(model->layers[1].calls[0].is_training);
    call = &model->layers[2].calls[0];
    CHECK_INT(call->argument_count, 2);
    CHECK_INT(call->arguments[0].source.layer, 1);
    CHECK_INT(call->arguments[0].source.call, 0);
    CHECK_TEXT(call->arguments[1].key, "y");
    CHECK(call->arguments[1].value != NULL);
    keras_config_free(model);
    json_free(document);
}

TEST(keras_config_names_what_cannot_be)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"{}", "(nothing)"},
        {"[]", "(nothing)"},
        {"{\"class_name\":\"MyModel\"}", "MyModel"},
        {"{\"class_name\":\"Sequential\"}", "no list of layers"},
        {"{\"class_name\":\"Sequential\",\"config\":{\"layers\":{}}}",
         "no list of layers"},
        {"{\"class_name\":\"Sequential\",\"config\":{\"layers\":[]}}",
         "no list of layers"},
        {"{\"class_name\":\"Sequential\",\"config\":{\"layers\":[{}]}}",
         "class_name"},
        {"{\"class_name\":\"Functional\",\"config\":{\"layers\":["
         "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"i\"}}]}}",
         "no inputs"},
        {"{\"class_name\":\"Functional\",\"config\":{\"layers\":["
         "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"i\"}}],"
         "\"input_layers\":[[\"x\",0,0]]}}",
         "no layer \"x\""},
        {"{\"class_name\":\"Functional\",\"config\":{\"layers\":["
         "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"i\"}}],"
         "\"input_layers\":[[\"i\",7,0]]}}",
         "use 7"},
        {"{\"class_name\":\"Functional\",\"config\":{\"layers\":["
         "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"i\"},"
         "\"inbound_nodes\":[[[\"i\",0,-1]]]}]}}",
         "no [name, node, tensor]"},
        {"{\"class_name\":\"Functional\",\"config\":{\"layers\":["
         "{\"class_name\":\"InputLayer\",\"config\":{\"name\":\"i\"},"
         "\"inbound_nodes\":[7]}]}}",
         "no list"},
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};

        CHECK_ERR(read_text(cases[i].text, &err), ERR_UNPROCESSABLE);
        CHECK_HAS(err.text, cases[i].part);
    }
}

TEST(keras_config_refuses_models_nested_too_deep)
{
    struct err err = {0};
    struct buf text;
    int i;

    buf_init(&text, TEXT_LEN);
    for (i = 0; i <= KERAS_DEPTH_MAX; i++)
        buf_add_text(&text, "{\"class_name\":\"Sequential\",\"config\":{"
                            "\"layers\":[");
    for (i = 0; i <= KERAS_DEPTH_MAX; i++)
        buf_add_text(&text, "]}}");
    CHECK_ERR(read_text(text.data, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "deeper than 8");
    buf_release(&text);
}

TEST(keras_config_refuses_more_layers_than_its_limit)
{
    struct err err = {0};
    struct buf text;
    int i;

    buf_init(&text, 1 << 20);
    buf_add_text(&text, "{\"class_name\":\"Sequential\",\"config\":[0");
    for (i = 0; i < KERAS_LAYERS_MAX; i++)
        buf_add_text(&text, ",0");
    buf_add_text(&text, "]}");
    CHECK_ERR(read_text(text.data, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "over 4096 layers");
    buf_release(&text);
}

TEST(keras_config_members_are_checked)
{
    struct json_value *document = parse(
        "{\"one\":2,\"two\":[3,4],\"three\":[1,2,3],\"text\":\"same\","
        "\"numbers\":[[0.5,1],[2,3]],\"on\":true,\"nothing\":null,"
        "\"array\":{\"class_name\":\"__numpy__\",\"config\":{\"value\":6.0}}}");
    struct keras_layer layer = {.name = "l", .config = document};
    int64_t pair[2] = {9, 9}, whole = 9;
    double numbers[8], number = 0;
    const char *text = "before";
    struct err err = {0};
    bool is_on = false;
    int count = 0;

    CHECK_OK(keras_get_pair(&layer, "one", 1, 5, pair, &err), err);
    CHECK_INT(pair[1], 2);
    CHECK_OK(keras_get_pair(&layer, "two", 1, 5, pair, &err), err);
    CHECK_INT(pair[0], 3);
    CHECK_INT(pair[1], 4);
    CHECK_OK(keras_get_pair(&layer, "nothing", 1, 5, pair, &err), err);
    CHECK_INT(pair[0], 3);
    CHECK_OK(keras_get_numbers(&layer, "numbers", 8, numbers, &count, &err),
             err);
    CHECK_INT(count, 4);
    CHECK_NEAR(numbers[0], 0.5, 0);
    CHECK_OK(keras_get_number(&layer, "array", &number, &err), err);
    CHECK_NEAR(number, 6, 0);
    CHECK_OK(keras_get_text(&layer, "text", &text, &err), err);
    CHECK_TEXT(text, "same");
    CHECK_OK(keras_get_bool(&layer, "on", &is_on, &err), err);
    CHECK(is_on);
    CHECK_ERR(keras_get_pair(&layer, "three", 1, 5, pair, &err),
              ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "three is [1, 2, 3]");
    err = (struct err){0};
    CHECK_ERR(keras_get_pair(&layer, "two", 1, 3, pair, &err),
              ERR_UNPROCESSABLE);
    CHECK_INT(pair[0], 3);
    err = (struct err){0};
    CHECK_ERR(keras_get_integer(&layer, "text", 0, 9, &whole, &err),
              ERR_UNPROCESSABLE);
    CHECK_INT(whole, 9);
    err = (struct err){0};
    CHECK_ERR(keras_get_numbers(&layer, "three", 2, numbers, &count, &err),
              ERR_UNPROCESSABLE);
    json_free(document);
}

TEST(a_config_is_printed_without_what_every_layer_has)
{
    struct json_value *document =
        parse("{\"name\":\"x\",\"dtype\":\"float32\",\"units\":4,"
              "\"deep\":[[[[[[1]]]]]],\"bias\":null,\"way\":\"up\"}");
    struct buf text;

    buf_init(&text, 100);
    keras_config_print(document, &text);
    CHECK_HAS(text.data, "\"units\": 4");
    CHECK_HAS(text.data, "\"way\": \"up\"");
    CHECK(strstr(text.data, "dtype") == NULL);
    CHECK(strstr(text.data, "bias") == NULL);
    CHECK_HAS(text.data, "...");
    buf_release(&text);
    json_free(document);
}

/* Each try for memory fails in turn; what was made must be given back. */
TEST(torture_of_keras_config)
{
    long nth, tries;
    struct err err = {0};

    mem_fail_at(0);
    CHECK_OK(read_text(old_nested, &err), err);
    tries = mem_tries();
    CHECK(tries > 5);
    for (nth = 1; nth <= tries; nth++) {
        err = (struct err){0};
        mem_fail_at(nth);
        CHECK_ERR(read_text(old_nested, &err), ERR_UNAVAILABLE);
    }
    mem_fail_at(0);
}
