/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration is refused with a sentence, or becomes a tree whose every
 * connection leads to a call that is there. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "models/keras_config.h"

enum { LEN_MAX = 1 << 16, SHOWN_LEN = 200, NUMBERS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_source(const struct keras_model *model,
                         struct keras_source source)
{
    if (source.layer < 0) {
        assert(model->is_sequential);
        return;
    }
    assert(source.layer < model->layer_count);
    assert(source.call >= 0);
    assert(source.call < model->layers[source.layer].call_count);
    assert(source.tensor >= 0);
}

static void check_members(const struct keras_layer *layer)
{
    int64_t pair[2], whole;
    double numbers[NUMBERS_MAX];
    struct err err = {0};
    const char *text;
    int count = 0;
    bool is_on;

    if (keras_get_pair(layer, "strides", 1, 9, pair, &err) != 0)
        assert(err.code == ERR_UNPROCESSABLE && err.text[0] != '\0');
    err = (struct err){0};
    if (keras_get_numbers(layer, "axis", NUMBERS_MAX, numbers, &count, &err))
        assert(err.code == ERR_UNPROCESSABLE);
    assert(count >= 0 && count <= NUMBERS_MAX);
    err = (struct err){0};
    (void)!keras_get_integer(layer, "filters", 1, 9, &whole, &err);
    err = (struct err){0};
    (void)!keras_get_bool(layer, "use_bias", &is_on, &err);
    err = (struct err){0};
    (void)!keras_get_text(layer, "padding", &text, &err);
}

static void check_model(const struct keras_model *model)
{
    struct buf text;
    int i, j, k;

    for (i = 0; i < model->input_count; i++)
        check_source(model, model->inputs[i]);
    for (i = 0; i < model->output_count; i++)
        check_source(model, model->outputs[i]);
    for (i = 0; i < model->layer_count; i++) {
        const struct keras_layer *layer = &model->layers[i];

        assert(layer->parent == model && layer->call_count > 0);
        for (j = 0; j < layer->call_count; j++)
            for (k = 0; k < layer->calls[j].argument_count; k++)
                if (layer->calls[j].arguments[k].value == NULL)
                    check_source(model, layer->calls[j].arguments[k].source);
        check_members(layer);
        buf_init(&text, SHOWN_LEN);
        keras_config_print(layer->config, &text);
        assert(text.len <= SHOWN_LEN);
        buf_release(&text);
        if (layer->model != NULL)
            check_model(layer->model);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_value *document = NULL;
    struct keras_model *model = NULL;
    struct err err = {0};

    if (len > LEN_MAX ||
        json_parse((struct bytes){data, len}, &document, &err) != 0)
        return 0;
    if (keras_config_read(document, &model, &err) == 0) {
        assert(keras_config_layer_count(model) <= KERAS_LAYERS_MAX);
        check_model(model);
    } else {
        assert(err.code == ERR_UNPROCESSABLE && err.text[0] != '\0');
    }
    keras_config_free(model);
    json_free(document);
    return 0;
}
