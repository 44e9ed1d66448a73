/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic written between layers, as `x / 255.0` or `x + 3.0`: Keras 2
 * stores it as a layer TFOpLambda with a "function", Keras 3 as an operation
 * of keras.ops with a class_name. */
#include <string.h>

#include "base/mem.h"
#include "models/keras_build.h"

struct operation {
    const char *name; /* a function of TensorFlow or a class of keras.ops */
    const char *op;   /* of two operands; NULL: */
    const char *activation;
};

static const struct operation operations[] = {
    {"__operators__.add", "Add", NULL},
    {"math.add", "Add", NULL},
    {"math.subtract", "Sub", NULL},
    {"math.multiply", "Mul", NULL},
    {"math.truediv", "Div", NULL},
    {"math.divide", "Div", NULL},
    {"math.maximum", "Max", NULL},
    {"math.minimum", "Min", NULL},
    {"nn.relu", NULL, "relu"},
    {"nn.relu6", NULL, "relu6"},
    {"nn.silu", NULL, "silu"},
    {"nn.softmax", NULL, "softmax"},
    {"math.sigmoid", NULL, "sigmoid"},
    {"math.tanh", NULL, "tanh"},
    {"Add", "Add", NULL},
    {"Subtract", "Sub", NULL},
    {"Multiply", "Mul", NULL},
    {"TrueDivide", "Div", NULL},
    {"Divide", "Div", NULL},
    {"Maximum", "Max", NULL},
    {"Minimum", "Min", NULL},
    {"Relu", NULL, "relu"},
    {"Relu6", NULL, "relu6"},
    {"Silu", NULL, "silu"},
    {"Softmax", NULL, "softmax"},
    {"Sigmoid", NULL, "sigmoid"},
    {"Tanh", NULL, "tanh"},
};

static const struct operation *find(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof operations / sizeof operations[0]; i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    return NULL;
}

/* An operand: a value, or one number, or one for each channel. */
struct operand {
    const struct keras_value *value;    /* NULL: */
    const struct json_value *constants; /* numbers */
};

/* Whether an argument is one of the two operands; others, as axis, change what
 * an operation means. */
static bool is_operand(const struct keras_argument *argument)
{
    static const char *const keys[] = {"", "x", "y", "x1", "x2"};
    size_t i;

    for (i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(argument->key, keys[i]) == 0)
            return true;
    return false;
}

static int read_operands(const struct keras_call *call,
                         const struct keras_value *values,
                         struct operand operands[2], int *count,
                         struct err *err)
{
    int i, value_i = 0;

    *count = 0;
    for (i = 0; i < call->argument_count; i++) {
        const struct keras_argument *argument = &call->arguments[i];

        if (strcmp(argument->key, "name") == 0)
            continue;
        if (!is_operand(argument))
            return err_set(err, ERR_UNPROCESSABLE,
                           "its argument %.60s is not read", argument->key);
        if (*count == 2)
            return err_set(err, ERR_UNPROCESSABLE, "it has over two operands");
        operands[*count].value =
            argument->value == NULL ? &values[value_i++] : NULL;
        operands[(*count)++].constants = argument->value;
    }
    return 0;
}

/* The name of a constant operand, shaped for the value beside it. */
static int add_constant(struct keras_build *build,
                        const struct json_value *constants,
                        const struct keras_value *beside, char *name,
                        struct err *err)
{
    double *numbers = mem_new(KERAS_CONFIG_NUMBERS_MAX * sizeof *numbers);
    float *reals = mem_new(KERAS_CONFIG_NUMBERS_MAX * sizeof *reals);
    int i, count = 0;
    bool is_read =
        keras_numbers(constants, KERAS_CONFIG_NUMBERS_MAX, numbers, &count);

    for (i = 0; i < count; i++)
        reals[i] = (float)numbers[i];
    if (is_read && count == 1)
        keras_scalar(build, reals[0], name);
    else if (is_read && count == beside->dims[beside->rank - 1])
        keras_channels(build, beside, reals, name);
    else
        is_read = false;
    mem_free(reals);
    mem_free(numbers);
    return is_read ? 0
                   : err_set(err, ERR_UNPROCESSABLE,
                             "its constant is neither a number nor one for "
                             "each of the %lld channels",
                             (long long)beside->dims[beside->rank - 1]);
}

static int combine(struct keras_build *build, const char *op,
                   const struct operand operands[2], struct keras_value *out,
                   struct err *err)
{
    const struct keras_value *a = operands[0].value, *b = operands[1].value;
    char name[KERAS_NAME_MAX];
    struct keras_value value, made;
    int rc;

    if (a != NULL && b != NULL)
        return keras_combine(build, op, a, b, out, err);
    build->has_own_scaling =
        build->has_own_scaling || (a != NULL ? a : b)->is_input;
    keras_turn(build, a != NULL ? a : b, &value);
    rc = add_constant(build,
                      a != NULL ? operands[1].constants : operands[0].constants,
                      &value, name, err);
    if (rc)
        return rc;
    made = value;
    (void)keras_emit(build, op, &made, a != NULL ? value.name : name,
                     a != NULL ? name : value.name, NULL);
    *out = made;
    return 0;
}

int keras_build_operation(struct keras_build *build,
                          const struct keras_layer *layer,
                          const struct keras_call *call,
                          const struct keras_value *values,
                          struct keras_value *out, struct err *err)
{
    const char *name = layer->is_operation
                           ? layer->class_name
                           : json_text(json_find(layer->config, "function"));
    const struct operation *operation = name != NULL ? find(name) : NULL;
    struct operand operands[2];
    int count = 0, rc;

    if (operation == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "its function \"%.60s\" is not read",
                       name != NULL ? name : "(nothing)");
    rc = read_operands(call, values, operands, &count, err);
    if (rc)
        return rc;
    if (count != (operation->op != NULL ? 2 : 1) ||
        (operands[0].value == NULL &&
         (count == 1 || operands[1].value == NULL)))
        return err_set(err, ERR_UNPROCESSABLE, "it is called with %d operands",
                       count);
    if (operation->op != NULL)
        return combine(build, operation->op, operands, out, err);
    return keras_activate_by_name(build, operation->activation,
                                  operands[0].value, out, err);
}
