/* SPDX-License-Identifier: Apache-2.0 */
#include "models/keras_config.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { NAME_LEN_MAX = 512, TENSORS_MAX = 64, NESTING_MAX = 4 };

struct reading {
    int layer_count, call_count, depth;
};

/* A call while its arguments are gathered. */
struct scope {
    struct keras_model *model;
    const struct keras_layer *layer; /* whose call it is */
    struct keras_call *call;
    bool is_old; /* the dialect of Keras 2 */
    int depth;   /* of lists in lists */
};

static const char *text_of(const struct json_value *object, const char *key)
{
    return json_text(json_find(object, key));
}

static bool is_list(const struct json_value *value)
{
    return value != NULL && json_type(value) == JSON_IS_ARRAY;
}

static bool is_model_class(const char *name)
{
    return strcmp(name, "Functional") == 0 || strcmp(name, "Model") == 0 ||
           strcmp(name, "Sequential") == 0;
}

static int find_layer(const struct keras_model *model, const char *name)
{
    int i;

    for (i = 0; i < model->layer_count; i++)
        if (strcmp(model->layers[i].name, name) == 0)
            return i;
    return -1;
}

/* Keras 2 counts the call that made a nested model as its first, and leaves it
 * out of the list. */
static int check_call(const struct keras_layer *layer, bool is_old,
                      int64_t *call, struct err *err)
{
    const struct keras_model *model = layer->model;

    if (is_old && model != NULL) {
        bool has_input = model->layer_count > 0 &&
                         strcmp(model->layers[0].class_name, "InputLayer") == 0;

        if (!has_input && layer->call_count > 1)
            return err_set(err, ERR_UNPROCESSABLE,
                           "model \"%.60s\" has no input layer and is used %d "
                           "times; which is meant cannot be told",
                           layer->name, layer->call_count);
        if (has_input || *call == layer->call_count)
            --*call;
    }
    if (*call < 0 || *call >= layer->call_count)
        return err_set(err, ERR_UNPROCESSABLE,
                       "use %lld of layer \"%.60s\" is meant; it is used %d "
                       "times",
                       (long long)*call, layer->name, layer->call_count);
    return 0;
}

/* Reads [name, call, tensor, ...]. */
static int read_source(const struct keras_model *model, bool is_old,
                       const struct json_value *list, struct keras_source *out,
                       struct err *err)
{
    const char *name = json_text(json_at(list, 0));
    int64_t call = -1, tensor = -1;
    int place, rc;

    if (name == NULL || !json_whole(json_at(list, 1), &call) ||
        !json_whole(json_at(list, 2), &tensor) || tensor < 0 ||
        tensor >= TENSORS_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "a connection of model \"%.60s\" is no [name, node, "
                       "tensor]",
                       model->name);
    place = find_layer(model, name);
    if (place < 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%.60s\" has no layer \"%.60s\", which is "
                       "connected",
                       model->name, name);
    rc = check_call(&model->layers[place], is_old, &call, err);
    if (rc)
        return rc;
    *out = (struct keras_source){place, (int)call, (int)tensor};
    return 0;
}

static bool is_triple(const struct json_value *value)
{
    int64_t number;

    return is_list(value) && json_count(value) >= 3 &&
           json_text(json_at(value, 0)) != NULL &&
           json_whole(json_at(value, 1), &number);
}

static int add_argument(struct scope *scope, struct keras_argument argument,
                        struct err *err)
{
    struct keras_call *call = scope->call;
    struct keras_argument *longer;

    if (call->argument_count == KERAS_ARGUMENTS_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "layer \"%.60s\" is called with over %d things",
                       scope->layer->name, KERAS_ARGUMENTS_MAX);
    longer = mem_resize(call->arguments, (size_t)call->argument_count + 1,
                        sizeof *longer);
    if (longer == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the layers");
    longer[call->argument_count++] = argument;
    call->arguments = longer;
    return 0;
}

static int add_source(struct scope *scope, const struct json_value *list,
                      const char *key, struct err *err)
{
    struct keras_argument argument = {.key = key};
    int rc =
        read_source(scope->model, scope->is_old, list, &argument.source, err);

    return rc ? rc : add_argument(scope, argument, err);
}

static bool is_history(const struct json_value *value)
{
    const char *name = text_of(value, "class_name");

    return name != NULL && strcmp(name, "__keras_tensor__") == 0;
}

/* An argument of either dialect: a tensor, a list of them, or a constant. */
static int take_argument(struct scope *scope, const char *key,
                         const struct json_value *value, struct err *err)
{
    const struct json_value *history;
    size_t i;
    int rc = 0;

    if (json_type(value) == JSON_IS_NULL)
        return 0;
    if (is_history(value)) {
        history = json_find(json_find(value, "config"), "keras_history");
        if (!is_triple(history))
            return err_set(err, ERR_UNPROCESSABLE,
                           "layer \"%.60s\" is connected to nothing",
                           scope->layer->name);
        return add_source(scope, history, key, err);
    }
    if (scope->is_old && is_triple(value))
        return add_source(scope, value, key, err);
    if (is_list(value) && json_count(value) > 0 &&
        (is_history(json_at(value, 0)) ||
         (scope->is_old && is_triple(json_at(value, 0))))) {
        if (++scope->depth > NESTING_MAX)
            return err_set(err, ERR_UNPROCESSABLE,
                           "layer \"%.60s\" is called with lists in lists",
                           scope->layer->name);
        for (i = 0; i < json_count(value) && rc == 0; i++)
            rc = take_argument(scope, key, json_at(value, i), err);
        scope->depth--;
        return rc;
    }
    return add_argument(
        scope, (struct keras_argument){.value = value, .key = key}, err);
}

static int take_keyword(void *user, const char *key,
                        const struct json_value *value, struct err *err)
{
    struct scope *scope = user;
    bool is_on;

    if (strcmp(key, "training") == 0) {
        if (json_bool(value, &is_on) && is_on)
            scope->call->is_training = true;
        return 0;
    }
    return take_argument(scope, key, value, err);
}

/* One [name, call, tensor, {keywords}] of Keras 2. */
static int take_old_input(struct scope *scope, const struct json_value *list,
                          struct err *err)
{
    const char *name;
    int rc;

    if (!is_triple(list))
        return err_set(err, ERR_UNPROCESSABLE,
                       "layer \"%.60s\" has a connection that is no [name, "
                       "node, tensor]",
                       scope->layer->name);
    name = json_text(json_at(list, 0));
    if (strcmp(name, "_CONSTANT_VALUE") == 0)
        rc = add_argument(
            scope,
            (struct keras_argument){.value = json_at(list, 2), .key = ""}, err);
    else
        rc = add_source(scope, list, "", err);
    if (rc == 0 && json_count(list) > 3)
        rc = json_members(json_at(list, 3), take_keyword, scope, err);
    return rc;
}

static int read_call(struct scope *scope, const struct json_value *node,
                     struct err *err)
{
    const struct json_value *arguments = json_find(node, "args");
    size_t i;
    int rc = 0;

    if (json_type(node) == JSON_IS_OBJECT) {
        for (i = 0; i < json_count(arguments) && rc == 0; i++)
            rc = !is_list(arguments)
                     ? err_set(err, ERR_UNPROCESSABLE,
                               "the arguments of layer \"%.60s\" are no list",
                               scope->layer->name)
                     : take_argument(scope, "", json_at(arguments, i), err);
        return rc ? rc
                  : json_members(json_find(node, "kwargs"), take_keyword, scope,
                                 err);
    }
    scope->is_old = true;
    if (!is_list(node) || json_count(node) == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "layer \"%.60s\" has a connection that is no list",
                       scope->layer->name);
    if (json_text(json_at(node, 0)) != NULL)
        return take_old_input(scope, node, err);
    for (i = 0; i < json_count(node) && rc == 0; i++)
        rc = take_old_input(scope, json_at(node, i), err);
    return rc;
}

static int read_calls(struct keras_model *model, struct keras_layer *layer,
                      const struct json_value *nodes, struct err *err)
{
    int i, rc = 0;

    for (i = 0; is_list(nodes) && i < (int)json_count(nodes) && rc == 0; i++) {
        struct scope scope = {model, layer, &layer->calls[i], false, 0};

        rc = read_call(&scope, json_at(nodes, (size_t)i), err);
    }
    return rc;
}

/* The places of input_layers or output_layers: one triple, or lists or a
 * dictionary of them. */
struct places {
    const struct keras_model *model;
    bool is_old;
    struct keras_source *list;
    int count, depth;
};

static int take_place(void *user, const char *key,
                      const struct json_value *value, struct err *err)
{
    struct places *places = user;
    struct keras_source source = {0}, *longer;
    size_t i;
    int rc = 0;

    (void)key;
    if (!is_triple(value)) {
        if (++places->depth > NESTING_MAX)
            return err_set(err, ERR_UNPROCESSABLE,
                           "the inputs or outputs of model \"%.60s\" are lists "
                           "in lists",
                           places->model->name);
        if (is_list(value))
            for (i = 0; i < json_count(value) && rc == 0; i++)
                rc = take_place(places, "", json_at(value, i), err);
        else
            rc = json_members(value, take_place, places, err);
        places->depth--;
        return rc;
    }
    if (places->count == TENSORS_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%.60s\" has over %d inputs or outputs",
                       places->model->name, TENSORS_MAX);
    rc = read_source(places->model, places->is_old, value, &source, err);
    if (rc)
        return rc;
    longer =
        mem_resize(places->list, (size_t)places->count + 1, sizeof *longer);
    if (longer == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the layers");
    places->list = longer;
    longer[places->count++] = source;
    return 0;
}

static int read_places(const struct keras_model *model, bool is_old,
                       const struct json_value *value,
                       struct keras_source **out, int *count, struct err *err)
{
    struct places places = {model, is_old, NULL, 0, 0};
    int rc = take_place(&places, "", value, err);

    *out = places.list;
    *count = places.count;
    if (rc == 0 && places.count == 0)
        rc =
            err_set(err, ERR_UNPROCESSABLE,
                    "model \"%.60s\" has no inputs or no outputs", model->name);
    return rc;
}

static const struct json_value *layer_list(const struct json_value *config)
{
    return is_list(config) ? config : json_find(config, "layers");
}

/* Whether the connections are written as Keras 2 does. */
static bool is_old_dialect(const struct json_value *layers)
{
    size_t i;

    for (i = 0; is_list(layers) && i < json_count(layers); i++) {
        const struct json_value *nodes =
            json_find(json_at(layers, i), "inbound_nodes");

        if (is_list(nodes) && json_count(nodes) > 0)
            return is_list(json_at(nodes, 0));
    }
    return false;
}

static int connect_functional(struct keras_model *model,
                              const struct json_value *config, struct err *err)
{
    const struct json_value *layers = layer_list(config);
    bool is_old = is_old_dialect(layers);
    int i, rc = 0;

    for (i = 0; i < model->layer_count && rc == 0; i++)
        rc = read_calls(model, &model->layers[i],
                        json_find(json_at(layers, (size_t)i), "inbound_nodes"),
                        err);
    if (rc == 0)
        rc = read_places(model, is_old, json_find(config, "input_layers"),
                         &model->inputs, &model->input_count, err);
    if (rc == 0)
        rc = read_places(model, is_old, json_find(config, "output_layers"),
                         &model->outputs, &model->output_count, err);
    return rc;
}

static const struct json_value *shape_of(const struct json_value *config)
{
    const struct json_value *shape = json_find(config, "batch_input_shape");

    return shape != NULL ? shape : json_find(config, "batch_shape");
}

/* Joins the layers of a Sequential one after the other. The model's input is
 * its InputLayer, or place -1 when it has none. */
static int connect_sequential(struct keras_model *model,
                              const struct json_value *config, struct err *err)
{
    bool has_input = strcmp(model->layers[0].class_name, "InputLayer") == 0;
    int i, rc = 0;

    model->is_sequential = true;
    if (!has_input) {
        model->input_shape = shape_of(model->layers[0].config);
        if (model->input_shape == NULL)
            model->input_shape = json_find(config, "build_input_shape");
    }
    for (i = has_input ? 1 : 0; i < model->layer_count && rc == 0; i++) {
        struct keras_layer *layer = &model->layers[i];
        struct scope scope = {model, layer, &layer->calls[0], false, 0};

        rc = add_argument(
            &scope, (struct keras_argument){.source = {i - 1, 0, 0}, .key = ""},
            err);
    }
    model->inputs = mem_new(sizeof *model->inputs);
    model->outputs = mem_new(sizeof *model->outputs);
    model->input_count = model->output_count = 1;
    model->inputs[0] = (struct keras_source){has_input ? 0 : -1, 0, 0};
    model->outputs[0] = (struct keras_source){model->layer_count - 1, 0, 0};
    return rc;
}

static int read_model(struct reading *reading,
                      const struct json_value *document,
                      const struct keras_layer *owner, struct keras_model **out,
                      struct err *err);

static int count_calls(struct reading *reading, struct keras_layer *layer,
                       const struct json_value *nodes, struct err *err)
{
    size_t count = is_list(nodes) ? json_count(nodes) : 0;

    if (count == 0)
        count = 1;
    if (count > (size_t)(KERAS_CALLS_MAX - reading->call_count))
        return err_set(err, ERR_UNPROCESSABLE,
                       "the layers are used over %d times", KERAS_CALLS_MAX);
    reading->call_count += (int)count;
    layer->calls = mem_try(count, sizeof *layer->calls);
    if (layer->calls == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the layers");
    layer->call_count = (int)count;
    return 0;
}

/* An operation of Keras 3 is told by its module. Its .h5 files leave that out;
 * there it is what is connected in the new dialect and, unlike every layer,
 * cannot be trained. */
static bool is_operation(const struct json_value *value,
                         const struct keras_layer *layer)
{
    const char *module = text_of(value, "module");
    const struct json_value *nodes = json_find(value, "inbound_nodes");

    if (module != NULL)
        return strstr(module, ".ops.") != NULL ||
               strcmp(module, "keras.ops") == 0;
    return is_list(nodes) && json_count(nodes) > 0 &&
           json_type(json_at(nodes, 0)) == JSON_IS_OBJECT &&
           json_find(layer->config, "trainable") == NULL &&
           json_find(layer->config, "layers") == NULL;
}

static int read_layer(struct reading *reading, const struct json_value *value,
                      const struct keras_model *parent,
                      struct keras_layer *layer, struct err *err)
{
    int rc;

    layer->parent = parent;
    layer->class_name = text_of(value, "class_name");
    layer->config = json_find(value, "config");
    layer->name = text_of(layer->config, "name");
    if (layer->name == NULL)
        layer->name = text_of(value, "name");
    if (layer->name == NULL)
        layer->name = layer->class_name;
    layer->is_operation = is_operation(value, layer);
    if (layer->class_name == NULL || layer->config == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "a layer of model \"%.60s\" has no class_name or no "
                       "config",
                       parent->name);
    if (layer->name[0] == '\0' || strlen(layer->name) > NAME_LEN_MAX ||
        layer->class_name[0] == '\0' ||
        strlen(layer->class_name) > NAME_LEN_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "a name in model \"%.60s\" is empty or over %d bytes",
                       parent->name, NAME_LEN_MAX);
    rc = count_calls(reading, layer, json_find(value, "inbound_nodes"), err);
    if (rc == 0 && is_model_class(layer->class_name))
        rc = read_model(reading, value, layer, &layer->model, err);
    return rc;
}

static int read_layers(struct reading *reading, const struct json_value *layers,
                       struct keras_model *model, struct err *err)
{
    size_t i, count = json_count(layers);
    int rc = 0;

    if (!is_list(layers) || count == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%.60s\" has no list of layers", model->name);
    if (count > (size_t)(KERAS_LAYERS_MAX - reading->layer_count))
        return err_set(err, ERR_UNPROCESSABLE, "the model has over %d layers",
                       KERAS_LAYERS_MAX);
    reading->layer_count += (int)count;
    model->layers = mem_try(count, sizeof *model->layers);
    if (model->layers == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the layers");
    for (i = 0; i < count && rc == 0; i++) {
        model->layer_count++;
        rc = read_layer(reading, json_at(layers, i), model, &model->layers[i],
                        err);
    }
    return rc;
}

static int read_model(struct reading *reading,
                      const struct json_value *document,
                      const struct keras_layer *owner, struct keras_model **out,
                      struct err *err)
{
    const struct json_value *config = json_find(document, "config");
    const char *class_name = text_of(document, "class_name");
    struct keras_model *model;
    int rc;

    if (class_name == NULL || !is_model_class(class_name))
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model is a \"%.60s\"; Functional and Sequential "
                       "ones are read",
                       class_name != NULL ? class_name : "(nothing)");
    if (++reading->depth > KERAS_DEPTH_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "models are nested deeper than %d", KERAS_DEPTH_MAX);
    model = mem_new(sizeof *model);
    model->owner = owner;
    model->class_name = class_name;
    model->name = text_of(config, "name");
    if (model->name == NULL)
        model->name = class_name;
    rc = read_layers(reading, layer_list(config), model, err);
    if (rc == 0)
        rc = strcmp(class_name, "Sequential") == 0
                 ? connect_sequential(model, config, err)
                 : connect_functional(model, config, err);
    reading->depth--;
    *out = model; /* also a half-made one, which the whole frees */
    return rc;
}

int keras_config_read(const struct json_value *document,
                      struct keras_model **out, struct err *err)
{
    struct reading reading = {0};
    struct keras_model *model = NULL;
    int rc = read_model(&reading, document, NULL, &model, err);

    if (rc) {
        keras_config_free(model);
        return rc;
    }
    *out = model;
    return 0;
}

void keras_config_free(struct keras_model *model)
{
    int i, j;

    if (model == NULL)
        return;
    for (i = 0; i < model->layer_count; i++) {
        struct keras_layer *layer = &model->layers[i];

        for (j = 0; j < layer->call_count; j++)
            mem_free(layer->calls[j].arguments);
        mem_free(layer->calls);
        keras_config_free(layer->model);
    }
    mem_free(model->layers);
    mem_free(model->inputs);
    mem_free(model->outputs);
    mem_free(model);
}

int keras_config_layer_count(const struct keras_model *model)
{
    int i, count = model->layer_count;

    for (i = 0; i < model->layer_count; i++)
        if (model->layers[i].model != NULL)
            count += keras_config_layer_count(model->layers[i].model);
    return count;
}
