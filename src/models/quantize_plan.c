/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes compute in 8 bits and which values are stored so.
 *
 * ONNX Runtime replaces DequantizeLinear, node, QuantizeLinear by one node of
 * integers, so a node pays only with its output stored in 8 bits, that is where
 * some later node reads 8 bits too. So it goes from the end to the front: the
 * nodes with weights ask for 8 bits, and what lies between two of them follows.
 * What lies before the first (normalisation) and after the last (scores, and
 * whatever makes a graph output) stays float32: it costs little, and its
 * rounding would be seen. */
#include "models/quantize_graph.h"

#include <string.h>

#include "base/mem.h"
#include "models/onnx_edit.h"

enum { CHANNELS_MAX = 1 << 20 };
enum op_inputs { FIRST, ALL };

static const struct {
    const char *op;
    enum quantize_role role;
    enum op_inputs inputs; /* that are quantised */
} known_ops[] = {
    {"Conv", QUANTIZE_HEAVY, FIRST},
    {"Gemm", QUANTIZE_HEAVY, FIRST},
    {"MatMul", QUANTIZE_HEAVY, FIRST},
    {"Add", QUANTIZE_LIGHT, ALL},
    {"Mul", QUANTIZE_LIGHT, ALL},
    {"Concat", QUANTIZE_LIGHT, ALL},
    {"AveragePool", QUANTIZE_LIGHT, FIRST},
    {"GlobalAveragePool", QUANTIZE_LIGHT, FIRST},
    {"LeakyRelu", QUANTIZE_LIGHT, FIRST},
    {"Sigmoid", QUANTIZE_LIGHT, FIRST},
    {"MaxPool", QUANTIZE_SAME, FIRST},
    {"Reshape", QUANTIZE_SAME, FIRST},
    {"Flatten", QUANTIZE_SAME, FIRST},
    {"Transpose", QUANTIZE_SAME, FIRST},
    {"Squeeze", QUANTIZE_SAME, FIRST},
    {"Unsqueeze", QUANTIZE_SAME, FIRST},
    {"Resize", QUANTIZE_SAME, FIRST},
    {"Relu", QUANTIZE_CLAMP, FIRST},
    {"Clip", QUANTIZE_CLAMP, FIRST},
    /* ONNX Runtime has no integer form of these; the Conv before one has. */
    {"BatchNormalization", QUANTIZE_END, FIRST},
    {"Div", QUANTIZE_END, ALL},
    {"Elu", QUANTIZE_END, FIRST},
    {"Gelu", QUANTIZE_END, FIRST},
    {"HardSigmoid", QUANTIZE_END, FIRST},
    {"HardSwish", QUANTIZE_END, FIRST},
    {"Pad", QUANTIZE_END, FIRST},
    {"PRelu", QUANTIZE_END, FIRST},
    {"ReduceMean", QUANTIZE_END, FIRST},
    {"Slice", QUANTIZE_END, FIRST},
    {"Sub", QUANTIZE_END, ALL},
    {"Tanh", QUANTIZE_END, FIRST},
};

static int find_op(const struct onnx_node *node)
{
    size_t i;

    for (i = 0; i < sizeof known_ops / sizeof known_ops[0]; i++)
        if (node->domain[0] == '\0' && strcmp(known_ops[i].op, node->op) == 0)
            return (int)i;
    return -1;
}

/* A bias is none, or a float32 weight with a value for each channel. */
static bool has_plain_bias(const struct onnx_graph *graph,
                           const struct onnx_node *node, int64_t channels)
{
    const struct onnx_tensor *bias;

    if (node->input_count < 3 || node->inputs[2][0] == '\0')
        return true;
    bias = onnx_find_tensor(graph, node->inputs[2]);
    return bias != NULL && bias->type == ONNX_FLOAT && bias->rank == 1 &&
           bias->dims[0] == channels;
}

/* What a node could be at best, from itself alone. */
static enum quantize_role role_of(const struct onnx_graph *graph,
                                  const struct onnx_node *node)
{
    const struct onnx_tensor *weights;
    int k = find_op(node), axis, i;

    if (k < 0 || node->input_count < 1 || node->output_count != 1)
        return QUANTIZE_NOT;
    if (known_ops[k].role == QUANTIZE_HEAVY) {
        weights = quantize_find_weights(graph, node, &axis);
        return weights != NULL &&
                       has_plain_bias(graph, node, weights->dims[axis])
                   ? QUANTIZE_HEAVY
                   : QUANTIZE_NOT;
    }
    for (i = 0; i < node->input_count; i++) {
        const struct onnx_tensor *tensor =
            onnx_find_tensor(graph, node->inputs[i]);
        bool is_operand = known_ops[k].inputs == ALL;

        if (tensor != NULL && (i == 0 || strcmp(node->op, "Concat") == 0 ||
                               (is_operand && tensor->type != ONNX_FLOAT)))
            return QUANTIZE_NOT;
    }
    return known_ops[k].role;
}

/* The numbers of the nodes that make and read values, found once. */
struct survey {
    const struct onnx_graph *graph;
    struct quantize_plan *plan;
    bool *is_after_heavy; /* by node */
};

static int number_of(const struct onnx_graph *graph,
                     const struct onnx_node *node)
{
    int i;

    for (i = 0; i < graph->node_count; i++)
        if (graph->nodes[i] == node)
            return i;
    return -1;
}

static void look_forward(struct survey *survey)
{
    const struct onnx_graph *graph = survey->graph;
    int i, j;

    for (i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];

        survey->plan->roles[i] = role_of(graph, node);
        for (j = 0; j < node->input_count; j++) {
            int k = number_of(graph, onnx_producer(graph, node->inputs[j]));

            if (k >= 0 && (survey->is_after_heavy[k] ||
                           survey->plan->roles[k] == QUANTIZE_HEAVY))
                survey->is_after_heavy[i] = true;
        }
    }
}

/* Whether a node reads this value as one that may be 8-bit. */
static bool reads(const struct onnx_node *node, const char *value)
{
    int k = find_op(node), i;

    if (k < 0)
        return false;
    for (i = 0; i < (known_ops[k].inputs == ALL ? node->input_count : 1); i++)
        if (strcmp(node->inputs[i], value) == 0)
            return true;
    return false;
}

static bool is_read_in_8_bits(const struct survey *survey, int from,
                              const char *value)
{
    const struct onnx_graph *graph = survey->graph;
    int i;

    for (i = from; i < graph->node_count; i++)
        if (survey->plan->roles[i] != QUANTIZE_NOT &&
            reads(graph->nodes[i], value))
            return true;
    return false;
}

/* Averages smooth the steps of what they read. */
static bool is_average(const struct onnx_node *node)
{
    return strcmp(node->op, "GlobalAveragePool") == 0 ||
           strcmp(node->op, "AveragePool") == 0;
}

/* Later nodes are decided when an earlier one is. A Conv has no form with a
 * float32 output; Gemm and MatMul have. */
static int look_back(struct survey *survey)
{
    const struct onnx_graph *graph = survey->graph;
    enum quantize_role *roles = survey->plan->roles;
    int i, heavy_count = 0;

    for (i = graph->node_count - 1; i >= 0; i--) {
        const struct onnx_node *node = graph->nodes[i];
        bool is_read;

        if (roles[i] == QUANTIZE_NOT)
            continue;
        is_read = is_read_in_8_bits(survey, i + 1, node->outputs[0]);
        if (roles[i] != QUANTIZE_HEAVY &&
            (!is_read || !survey->is_after_heavy[i] ||
             onnx_is_graph_output(graph, node->outputs[0])))
            roles[i] = is_average(node) && survey->is_after_heavy[i]
                           ? QUANTIZE_END
                           : QUANTIZE_NOT;
        if (roles[i] == QUANTIZE_HEAVY && strcmp(node->op, "Conv") == 0 &&
            !is_read)
            roles[i] = survey->is_after_heavy[i] ? QUANTIZE_END : QUANTIZE_NOT;
        heavy_count += roles[i] == QUANTIZE_HEAVY;
    }
    return heavy_count;
}

static int find_place(const struct quantize_plan *plan, const char *name)
{
    int i;

    for (i = 0; i < plan->place_count; i++)
        if (strcmp(plan->places[i].name, name) == 0)
            return i;
    return -1;
}

static int add_place(struct quantize_plan *plan, const char *name)
{
    struct quantize_place *longer =
        mem_resize(plan->places, (size_t)plan->place_count + 1, sizeof *longer);
    size_t len = strlen(name) + 1;
    char *own = mem_try(len, 1);

    if (longer != NULL)
        plan->places = longer;
    if (longer == NULL || own == NULL) {
        mem_free(own);
        return -1;
    }
    memcpy(own, name, len);
    longer[plan->place_count] =
        (struct quantize_place){.name = own, .group = plan->place_count};
    plan->place_count++;
    return 0;
}

/* A value that only a Relu or Clip reads is never stored: the 8 bits of what
 * that gives have the same bounds. */
static bool is_absorbed(const struct survey *survey, int i, const char *value)
{
    return survey->plan->roles[i] == QUANTIZE_CLAMP &&
           onnx_use_count(survey->graph, value) == 1 &&
           onnx_producer(survey->graph, value) != NULL;
}

static int find_places(struct survey *survey)
{
    const struct onnx_graph *graph = survey->graph;
    struct quantize_plan *plan = survey->plan;
    int i, j;

    for (i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        int k = find_op(node);

        if (plan->roles[i] == QUANTIZE_NOT)
            continue;
        for (j = 0; j < (known_ops[k].inputs == ALL ? node->input_count : 1);
             j++) {
            const char *value = node->inputs[j];

            if (onnx_find_tensor(graph, value) == NULL &&
                !is_absorbed(survey, i, value) && find_place(plan, value) < 0 &&
                add_place(plan, value) != 0)
                return -1;
        }
    }
    return 0;
}

static void join_groups(struct survey *survey)
{
    struct quantize_plan *plan = survey->plan;
    int i, k;

    for (i = 0; i < survey->graph->node_count; i++) {
        const struct onnx_node *node = survey->graph->nodes[i];
        int in, out, low, high;

        if (plan->roles[i] != QUANTIZE_SAME)
            continue;
        in = find_place(plan, node->inputs[0]);
        out = find_place(plan, node->outputs[0]);
        if (in < 0 || out < 0)
            continue;
        low = plan->places[in].group;
        high = plan->places[out].group;
        if (low > high) {
            high = low;
            low = plan->places[out].group;
        }
        for (k = 0; k < plan->place_count; k++)
            if (plan->places[k].group == high)
                plan->places[k].group = low;
    }
}

/* Where a node with weights reads, its channels are watched. */
static int find_channels(struct survey *survey)
{
    const struct onnx_graph *graph = survey->graph;
    int i, axis;

    for (i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        bool is_image = strcmp(node->op, "Conv") == 0;
        const struct onnx_attribute *group = onnx_find_attribute(node, "group");
        const struct onnx_tensor *weights;
        struct quantize_place *place;
        int64_t count;

        if (survey->plan->roles[i] != QUANTIZE_HEAVY)
            continue;
        place =
            &survey->plan->places[find_place(survey->plan, node->inputs[0])];
        weights = quantize_find_weights(graph, node, &axis);
        count = weights->dims[1 - axis];
        if (is_image && group != NULL &&
            __builtin_mul_overflow(count, group->whole, &count))
            continue;
        if (place->means != NULL || count < 1 || count > CHANNELS_MAX)
            continue;
        place->means = mem_try((size_t)count, sizeof *place->means);
        if (place->means == NULL)
            return -1;
        place->channel_count = (int)count;
        place->is_image = is_image;
    }
    return 0;
}

void quantize_plan_free(struct quantize_plan *plan)
{
    int i;

    if (plan == NULL)
        return;
    for (i = 0; i < plan->place_count; i++) {
        mem_free(plan->places[i].name);
        mem_free(plan->places[i].restored);
        mem_free(plan->places[i].means);
    }
    mem_free(plan->places);
    mem_free(plan->roles);
    mem_free(plan);
}

static int make(struct survey *survey, struct err *err)
{
    size_t count = (size_t)survey->graph->node_count;

    survey->plan->roles = mem_try(count, sizeof *survey->plan->roles);
    survey->is_after_heavy = mem_try(count, sizeof *survey->is_after_heavy);
    if (survey->plan->roles == NULL || survey->is_after_heavy == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to look at %zu nodes",
                       count);
    look_forward(survey);
    if (look_back(survey) == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "none of its %zu nodes is a Conv, Gemm or MatMul with "
                       "weights that could be quantised",
                       count);
    if (find_places(survey) != 0 || find_channels(survey) != 0)
        return err_set(err, ERR_UNAVAILABLE, "no memory to look at %zu nodes",
                       count);
    join_groups(survey);
    return 0;
}

int quantize_plan(const struct onnx_graph *graph, struct quantize_plan **out,
                  struct err *err)
{
    struct survey survey = {.graph = graph};
    int rc;

    survey.plan = mem_new(sizeof *survey.plan);
    rc = make(&survey, err);
    mem_free(survey.is_after_heavy);
    if (rc)
        quantize_plan_free(survey.plan);
    else
        *out = survey.plan;
    return rc;
}
