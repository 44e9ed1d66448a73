/* SPDX-License-Identifier: Apache-2.0 */
#include "models/onnx_graph.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum { CAP_MIN = 64 };

size_t onnx_element_len(enum onnx_type type)
{
    switch (type) {
    case ONNX_UINT8:
    case ONNX_INT8:
    case ONNX_BOOL:
        return 1;
    case ONNX_FLOAT16:
        return 2;
    case ONNX_FLOAT:
    case ONNX_INT32:
        return 4;
    case ONNX_INT64:
    case ONNX_DOUBLE:
        return 8;
    }
    return 0;
}

bool onnx_shape_count(const int64_t *dims, int rank, size_t *out)
{
    size_t count = 1;
    int i;

    for (i = 0; i < rank; i++)
        if (dims[i] < 0 ||
            __builtin_mul_overflow(count, (size_t)dims[i], &count))
            return false;
    *out = count;
    return true;
}

struct onnx_graph *onnx_new(void)
{
    struct onnx_graph *graph = mem_new(sizeof *graph);

    graph->opset = ONNX_OPSET;
    graph->ir_version = ONNX_IR_VERSION;
    return graph;
}

void onnx_free_tensor(struct onnx_tensor *tensor)
{
    if (tensor == NULL)
        return;
    mem_free(tensor->name);
    mem_free(tensor->data);
    mem_free(tensor);
}

static void free_texts(char **texts, int count)
{
    int i;

    for (i = 0; i < count; i++)
        mem_free(texts[i]);
    mem_free(texts);
}

static void release_attribute(struct onnx_attribute *attribute)
{
    mem_free(attribute->name);
    mem_free(attribute->text);
    onnx_free_tensor(attribute->tensor);
    mem_free(attribute->reals);
    mem_free(attribute->wholes);
}

void onnx_free_node(struct onnx_node *node)
{
    int i;

    if (node == NULL)
        return;
    mem_free(node->name);
    mem_free(node->op);
    mem_free(node->domain);
    free_texts(node->inputs, node->input_count);
    free_texts(node->outputs, node->output_count);
    for (i = 0; i < node->attribute_count; i++)
        release_attribute(&node->attributes[i]);
    mem_free(node->attributes);
    mem_free(node);
}

static void free_values(struct onnx_value **values, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        mem_free(values[i]->name);
        mem_free(values[i]);
    }
    mem_free(values);
}

void onnx_free(struct onnx_graph *graph)
{
    int i;

    if (graph == NULL)
        return;
    for (i = 0; i < graph->node_count; i++)
        onnx_free_node(graph->nodes[i]);
    for (i = 0; i < graph->tensor_count; i++)
        onnx_free_tensor(graph->tensors[i]);
    mem_free(graph->nodes);
    mem_free(graph->tensors);
    free_values(graph->inputs, graph->input_count);
    free_values(graph->outputs, graph->output_count);
    free_values(graph->values, graph->value_count);
    mem_free(graph);
}

/* Copies of outside things; NULL, and a broken graph, without memory. */
static void *copy(struct onnx_graph *graph, const void *data, size_t count,
                  size_t size)
{
    void *block = graph->is_broken ? NULL : mem_try(count, size);

    if (block == NULL)
        graph->is_broken = true;
    else if (data != NULL && count > 0)
        memcpy(block, data, count * size);
    return block;
}

static char *copy_text(struct onnx_graph *graph, const char *text)
{
    return copy(graph, text, strlen(text) + 1, 1);
}

/* Room for one more in a list of things of `size` bytes; NULL without. */
static void *grow(struct onnx_graph *graph, void *list, int count, size_t size)
{
    void *longer = mem_resize(list, (size_t)count + 1, size);

    if (longer == NULL)
        graph->is_broken = true;
    return longer;
}

static void add_text(struct onnx_graph *graph, char ***texts, int *count,
                     const char *text)
{
    char **longer = grow(graph, *texts, *count, sizeof *longer);

    if (longer == NULL)
        return;
    *texts = longer;
    longer[*count] = copy_text(graph, text);
    if (longer[*count] != NULL)
        ++*count;
}

/* Doubles the capacity of a list of pointers that is full. */
static void *room(struct onnx_graph *graph, void *list, int count, int *cap)
{
    int more = *cap > 0 ? *cap * 2 : CAP_MIN;
    void *longer;

    if (count < *cap)
        return list;
    longer = mem_resize(list, (size_t)more, sizeof(void *));
    if (longer == NULL)
        graph->is_broken = true;
    else
        *cap = more;
    return longer;
}

struct onnx_node *onnx_add(struct onnx_graph *graph, const char *op,
                           const char *output, const char *input1,
                           const char *input2, const char *input3,
                           const char *input4)
{
    const char *inputs[] = {input1, input2, input3, input4};
    struct onnx_node **longer =
        room(graph, graph->nodes, graph->node_count, &graph->node_cap);
    struct onnx_node *node;
    size_t i;

    if (longer == NULL)
        return NULL;
    graph->nodes = longer;
    node = copy(graph, NULL, 1, sizeof *node);
    if (node == NULL)
        return NULL;
    node->name = copy_text(graph, output != NULL ? output : "");
    node->op = copy_text(graph, op);
    node->domain = copy_text(graph, "");
    if (graph->is_broken) {
        onnx_free_node(node);
        return NULL;
    }
    graph->nodes[graph->node_count++] = node;
    for (i = 0; i < sizeof inputs / sizeof inputs[0] && inputs[i] != NULL; i++)
        onnx_add_input(graph, node, inputs[i]);
    if (output != NULL)
        onnx_add_output(graph, node, output);
    return graph->is_broken ? NULL : node;
}

void onnx_add_input(struct onnx_graph *graph, struct onnx_node *node,
                    const char *name)
{
    if (node != NULL)
        add_text(graph, &node->inputs, &node->input_count, name);
}

void onnx_add_output(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name)
{
    if (node != NULL)
        add_text(graph, &node->outputs, &node->output_count, name);
}

void onnx_set_names(struct onnx_graph *graph, struct onnx_node *node,
                    const char *name, const char *domain)
{
    char *own_name, *own_domain;

    if (node == NULL)
        return;
    own_name = copy_text(graph, name);
    own_domain = copy_text(graph, domain);
    if (graph->is_broken) {
        mem_free(own_name);
        mem_free(own_domain);
        return;
    }
    mem_free(node->name);
    mem_free(node->domain);
    node->name = own_name;
    node->domain = own_domain;
}

/* The attribute of that name, emptied; a new one when there is none. */
static struct onnx_attribute *set(struct onnx_graph *graph,
                                  struct onnx_node *node, const char *name,
                                  enum onnx_attribute_kind kind)
{
    struct onnx_attribute *longer, *attribute = NULL;
    char *own_name;
    int i;

    if (node == NULL || graph->is_broken)
        return NULL;
    for (i = 0; i < node->attribute_count && attribute == NULL; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            attribute = &node->attributes[i];
    longer = attribute != NULL ? node->attributes
                               : grow(graph, node->attributes,
                                      node->attribute_count, sizeof *longer);
    if (longer == NULL)
        return NULL;
    node->attributes = longer;
    own_name = copy_text(graph, name);
    if (own_name == NULL)
        return NULL;
    if (attribute != NULL)
        release_attribute(attribute);
    else
        attribute = &longer[node->attribute_count++];
    *attribute = (struct onnx_attribute){.name = own_name, .kind = kind};
    return attribute;
}

void onnx_set_int(struct onnx_graph *graph, struct onnx_node *node,
                  const char *name, int64_t value)
{
    struct onnx_attribute *attribute =
        set(graph, node, name, ONNX_ATTRIBUTE_INT);

    if (attribute != NULL)
        attribute->whole = value;
}

void onnx_set_float(struct onnx_graph *graph, struct onnx_node *node,
                    const char *name, float value)
{
    struct onnx_attribute *attribute =
        set(graph, node, name, ONNX_ATTRIBUTE_FLOAT);

    if (attribute != NULL)
        attribute->real = value;
}

void onnx_set_text(struct onnx_graph *graph, struct onnx_node *node,
                   const char *name, const char *value)
{
    struct onnx_attribute *attribute =
        set(graph, node, name, ONNX_ATTRIBUTE_TEXT);

    if (attribute != NULL)
        attribute->text = copy_text(graph, value);
}

void onnx_set_ints(struct onnx_graph *graph, struct onnx_node *node,
                   const char *name, const int64_t *values, size_t count)
{
    struct onnx_attribute *attribute =
        set(graph, node, name, ONNX_ATTRIBUTE_INTS);

    if (attribute == NULL)
        return;
    attribute->wholes = copy(graph, values, count, sizeof *values);
    attribute->count = attribute->wholes != NULL ? count : 0;
}

void onnx_set_floats(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name, const float *values, size_t count)
{
    struct onnx_attribute *attribute =
        set(graph, node, name, ONNX_ATTRIBUTE_FLOATS);

    if (attribute == NULL)
        return;
    attribute->reals = copy(graph, values, count, sizeof *values);
    attribute->count = attribute->reals != NULL ? count : 0;
}

static struct onnx_tensor *new_tensor(struct onnx_graph *graph,
                                      const char *name, enum onnx_type type,
                                      const int64_t *dims, int rank,
                                      const void *data)
{
    struct onnx_tensor *tensor = copy(graph, NULL, 1, sizeof *tensor);
    size_t count = 0;

    assert(rank >= 0 && rank <= ONNX_RANK_MAX && onnx_element_len(type) > 0);
    if (tensor == NULL)
        return NULL;
    tensor->type = type;
    tensor->rank = rank;
    if (rank > 0)
        memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    tensor->name = copy_text(graph, name);
    if (onnx_shape_count(dims, rank, &count))
        tensor->data = copy(graph, data, count, onnx_element_len(type));
    if (tensor->name == NULL || tensor->data == NULL) {
        graph->is_broken = true;
        onnx_free_tensor(tensor);
        return NULL;
    }
    tensor->data_len = count * onnx_element_len(type);
    return tensor;
}

void onnx_set_tensor(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name, enum onnx_type type, const int64_t *dims,
                     int rank, const void *data)
{
    struct onnx_attribute *attribute =
        set(graph, node, name, ONNX_ATTRIBUTE_TENSOR);

    if (attribute != NULL)
        attribute->tensor = new_tensor(graph, "", type, dims, rank, data);
}

struct onnx_tensor *onnx_add_tensor(struct onnx_graph *graph, const char *name,
                                    enum onnx_type type, const int64_t *dims,
                                    int rank, const void *data)
{
    struct onnx_tensor **longer =
        room(graph, graph->tensors, graph->tensor_count, &graph->tensor_cap);
    struct onnx_tensor *tensor;

    if (longer == NULL)
        return NULL;
    graph->tensors = longer;
    tensor = new_tensor(graph, name, type, dims, rank, data);
    if (tensor != NULL)
        graph->tensors[graph->tensor_count++] = tensor;
    return tensor;
}

static void add_value(struct onnx_graph *graph, struct onnx_value ***list,
                      int *count, const struct onnx_value *about)
{
    struct onnx_value **longer = grow(graph, *list, *count, sizeof *longer);
    struct onnx_value *value;

    if (longer == NULL)
        return;
    *list = longer;
    value = copy(graph, about, 1, sizeof *about);
    if (value == NULL)
        return;
    value->name = copy_text(graph, about->name);
    if (value->name == NULL)
        mem_free(value);
    else
        longer[(*count)++] = value;
}

/* A value of that shape; its name is still the caller's. */
static struct onnx_value describe(const char *name, enum onnx_type type,
                                  const int64_t *dims, int rank)
{
    struct onnx_value value = {(char *)name, type, rank, {0}};

    assert(rank >= -1 && rank <= ONNX_RANK_MAX);
    if (rank > 0)
        memcpy(value.dims, dims, (size_t)rank * sizeof *dims);
    return value;
}

void onnx_add_graph_input(struct onnx_graph *graph, const char *name,
                          enum onnx_type type, const int64_t *dims, int rank)
{
    struct onnx_value value = describe(name, type, dims, rank);

    add_value(graph, &graph->inputs, &graph->input_count, &value);
}

void onnx_add_graph_output(struct onnx_graph *graph, const char *name,
                           enum onnx_type type, const int64_t *dims, int rank)
{
    struct onnx_value value = describe(name, type, dims, rank);

    add_value(graph, &graph->outputs, &graph->output_count, &value);
}

void onnx_add_value(struct onnx_graph *graph, const char *name,
                    enum onnx_type type, const int64_t *dims, int rank)
{
    struct onnx_value value = describe(name, type, dims, rank);

    add_value(graph, &graph->values, &graph->value_count, &value);
}

struct onnx_tensor *onnx_find_tensor(const struct onnx_graph *graph,
                                     const char *name)
{
    int i;

    for (i = 0; i < graph->tensor_count; i++)
        if (strcmp(graph->tensors[i]->name, name) == 0)
            return graph->tensors[i];
    return NULL;
}

struct onnx_node *onnx_producer(const struct onnx_graph *graph,
                                const char *value)
{
    int i, j;

    if (value[0] == '\0')
        return NULL;
    for (i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        for (j = 0; j < node->output_count && !node->is_removed; j++)
            if (strcmp(node->outputs[j], value) == 0)
                return node;
    }
    return NULL;
}

const struct onnx_attribute *onnx_find_attribute(const struct onnx_node *node,
                                                 const char *name)
{
    int i;

    for (i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0)
            return &node->attributes[i];
    return NULL;
}

int onnx_use_count(const struct onnx_graph *graph, const char *value)
{
    int i, j, count = 0;

    for (i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];

        for (j = 0; j < node->input_count && !node->is_removed; j++)
            count += strcmp(node->inputs[j], value) == 0;
    }
    for (i = 0; i < graph->output_count; i++)
        count += strcmp(graph->outputs[i]->name, value) == 0;
    return count;
}

int onnx_check(const struct onnx_graph *graph, struct err *err)
{
    if (graph->is_broken)
        return err_set(err, ERR_UNAVAILABLE,
                       "no memory for a network of %d nodes and %d weights",
                       graph->node_count, graph->tensor_count);
    return 0;
}
