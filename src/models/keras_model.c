/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a model: each call of a layer is built once, after those that
 * it needs, beginning at the outputs. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "models/keras_build.h"

enum { CONFIG_SHOWN_LEN = 160 };

enum progress { NEW, WAITING, DONE };

/* A call of a layer in this walk; place says where in `calls`. */
struct task {
    const struct keras_layer *layer;
    const struct keras_call *call;
    enum progress progress;
    struct keras_value value;
};

struct walk {
    struct keras_build *build;
    const struct keras_model *model;
    const struct keras_value *in; /* the model's input */
    struct task *tasks;           /* every call of every layer */
    int *first;                   /* by layer: its first task */
    int task_count;
    int *stack; /* tasks that wait for others, innermost last */
    int depth;
};

static int task_of(const struct walk *walk, struct keras_source source)
{
    return walk->first[source.layer] + source.call;
}

static int start(struct walk *walk, struct err *err)
{
    const struct keras_model *model = walk->model;
    int i, j, n = 0;

    for (i = 0; i < model->layer_count; i++)
        n += model->layers[i].call_count;
    walk->build->built_count += n;
    if (walk->build->built_count > KERAS_BUILT_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "nested models make it over %d layers long",
                       KERAS_BUILT_MAX);
    walk->tasks = mem_try((size_t)n, sizeof *walk->tasks);
    walk->stack = mem_try((size_t)n, sizeof *walk->stack);
    walk->first = mem_try((size_t)model->layer_count, sizeof *walk->first);
    if (walk->tasks == NULL || walk->stack == NULL || walk->first == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the layers");
    for (i = 0, n = 0; i < model->layer_count; i++) {
        walk->first[i] = n;
        for (j = 0; j < model->layers[i].call_count; j++, n++) {
            walk->tasks[n].layer = &model->layers[i];
            walk->tasks[n].call = &model->layers[i].calls[j];
        }
    }
    walk->task_count = n;
    return 0;
}

/* What stops a call that cannot be built, whatever its layer is. */
static int check_call(const struct task *task, struct err *err)
{
    int i;

    for (i = 0; i < task->call->argument_count; i++)
        if (task->call->arguments[i].value == NULL &&
            task->call->arguments[i].source.tensor != 0)
            return err_set(err, ERR_UNPROCESSABLE,
                           "it reads output %d of another layer; only the "
                           "first of each is made",
                           task->call->arguments[i].source.tensor);
    if (task->call->is_training &&
        (task->layer->model != NULL ||
         strcmp(task->layer->class_name, "BatchNormalization") == 0))
        return err_set(err, ERR_UNPROCESSABLE,
                       "it is called with training=True, which makes answers "
                       "depend on each other");
    return 0;
}

static int unknown(const struct keras_layer *layer, struct err *err)
{
    struct buf text;

    if (strcmp(layer->class_name, "Lambda") == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "its code is Python, which is not run; rebuild the "
                       "model with layers in its place");
    buf_init(&text, CONFIG_SHOWN_LEN);
    keras_config_print(layer->config, &text);
    err_set(err, ERR_UNPROCESSABLE,
            "layers of this class are not read; its config begins %s",
            text.data != NULL ? text.data : "");
    buf_release(&text);
    return ERR_UNPROCESSABLE;
}

static bool is_operation(const struct keras_layer *layer)
{
    return layer->is_operation || strcmp(layer->class_name, "TFOpLambda") == 0;
}

static int build_by_type(struct walk *walk, struct task *task,
                         const struct keras_value *values, int count,
                         struct err *err)
{
    const struct keras_layer *layer = task->layer;
    const struct keras_layer_type *type;

    if (strcmp(layer->class_name, "InputLayer") == 0) {
        task->value = *walk->in;
        return 0;
    }
    if (is_operation(layer))
        return keras_build_operation(walk->build, layer, task->call, values,
                                     &task->value, err);
    type = keras_layer_find(layer->class_name);
    if (layer->model == NULL && type == NULL)
        return unknown(layer, err);
    if (count < 1 || count > (layer->model != NULL ? 1 : type->in_max))
        return err_set(err, ERR_UNPROCESSABLE,
                       "it is called with %d tensors; that is not read", count);
    if (layer->model != NULL)
        return keras_build_model(walk->build, layer->model, &values[0],
                                 &task->value, err);
    return type->build(walk->build, layer, values, count, &task->value, err);
}

/* Remembers the value that is to be the embedding. */
static void see_name(struct keras_build *build, const struct task *task)
{
    const char *wanted = build->options->embedding;

    if (wanted != NULL ? strcmp(task->layer->name, wanted) != 0
                       : strncasecmp(task->layer->name, "embedding", 9) != 0)
        return;
    build->has_named = true;
    build->named = task->value;
    build->named.layer = task->layer;
}

static void tell(const struct keras_build *build)
{
    build->options->progress(build->options->user,
                             keras_weights_count(build->weights) *
                                 (int64_t)sizeof(float),
                             build->file_len);
}

static int build_task(struct walk *walk, struct task *task, struct err *err)
{
    const struct keras_call *call = task->call;
    const struct keras_layer *outer = walk->build->layer;
    struct keras_value *values;
    int i, count = 0, rc;

    values = mem_try((size_t)call->argument_count + 1, sizeof *values);
    if (values == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the layers");
    for (i = 0; i < call->argument_count; i++) {
        struct keras_source source = call->arguments[i].source;

        if (call->arguments[i].value == NULL)
            values[count++] = source.layer < 0
                                  ? *walk->in
                                  : walk->tasks[task_of(walk, source)].value;
    }
    walk->build->layer = task->layer;
    rc = check_call(task, err);
    if (rc == 0)
        rc = build_by_type(walk, task, values, count, err);
    if (rc == 0)
        rc = keras_check_value(&task->value, err);
    walk->build->layer = outer;
    mem_free(values);
    if (rc)
        return err_wrap(err, "layer \"%.60s\" (%.40s)", task->layer->name,
                        task->layer->class_name);
    see_name(walk->build, task);
    if (walk->build->options->progress != NULL)
        tell(walk->build);
    return 0;
}

/* A source of the task that is not built yet, pushed onto the stack; *pushed
 * is false when all are. */
static int push_source(struct walk *walk, const struct task *task, bool *pushed,
                       struct err *err)
{
    int i, place;

    *pushed = false;
    for (i = 0; i < task->call->argument_count; i++) {
        struct keras_source source = task->call->arguments[i].source;

        if (task->call->arguments[i].value != NULL || source.layer < 0)
            continue;
        place = task_of(walk, source);
        if (walk->tasks[place].progress == DONE)
            continue;
        if (walk->tasks[place].progress == WAITING)
            return err_set(err, ERR_UNPROCESSABLE,
                           "layer \"%.60s\" needs itself", task->layer->name);
        walk->tasks[place].progress = WAITING;
        walk->stack[walk->depth++] = place;
        *pushed = true;
        return 0;
    }
    return 0;
}

static int run(struct walk *walk, int last, struct err *err)
{
    struct task *task;
    bool pushed;
    int rc;

    walk->tasks[last].progress = WAITING;
    walk->stack[walk->depth++] = last;
    while (walk->depth > 0) {
        task = &walk->tasks[walk->stack[walk->depth - 1]];
        rc = push_source(walk, task, &pushed, err);
        if (rc)
            return rc;
        if (pushed)
            continue;
        rc = build_task(walk, task, err);
        if (rc)
            return rc;
        task->progress = DONE;
        walk->depth--;
    }
    return 0;
}

int keras_build_model(struct keras_build *build,
                      const struct keras_model *model,
                      const struct keras_value *in, struct keras_value *out,
                      struct err *err)
{
    struct walk walk = {.build = build, .model = model, .in = in};
    int last, rc;

    if (model->input_count != 1 || model->output_count != 1)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%.60s\" has %d inputs and %d outputs; one of "
                       "each is read",
                       model->name, model->input_count, model->output_count);
    rc = start(&walk, err);
    if (rc == 0) {
        last = task_of(&walk, model->outputs[0]);
        rc = run(&walk, last, err);
        if (rc == 0)
            *out = walk.tasks[last].value;
    }
    mem_free(walk.tasks);
    mem_free(walk.stack);
    mem_free(walk.first);
    return rc;
}
