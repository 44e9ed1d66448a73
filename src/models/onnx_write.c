/* SPDX-License-Identifier: Apache-2.0 */
/* The messages that are written live in an arena and borrow the graph's texts
 * and weights. */
#include "models/onnx_graph.h"

#include <string.h>

#include <onnx.pb-c.h>

#include "base/file.h"
#include "base/mem.h"

enum { MESSAGES_LEN_MAX = 1 << 28 }; /* without weights */

/* protobuf-c's structs have no const; nothing is written through these. */
union borrowed {
    const void *from;
    char *text;
    void *data;
};

struct writer {
    struct arena *arena;
    bool is_broken;
};

static void *make(struct writer *writer, size_t count, size_t size)
{
    void *block = arena_try(writer->arena, count, size);

    if (block == NULL)
        writer->is_broken = true;
    return block;
}

static char *borrow_text(const char *text)
{
    return (union borrowed){text}.text;
}

static void *borrow(const void *data)
{
    return (union borrowed){data}.data;
}

static Onnx__TensorProto *make_tensor(struct writer *writer,
                                      const struct onnx_tensor *tensor)
{
    Onnx__TensorProto *message = make(writer, 1, sizeof *message);

    if (message == NULL)
        return NULL;
    onnx__tensor_proto__init(message);
    message->name = borrow_text(tensor->name);
    message->has_data_type = true;
    message->data_type = (int32_t)tensor->type;
    message->n_dims = (size_t)tensor->rank;
    message->dims = borrow(tensor->dims);
    message->has_raw_data = true;
    message->raw_data.len = tensor->data_len;
    message->raw_data.data = borrow(tensor->data);
    return message;
}

static Onnx__AttributeProto *make_attribute(struct writer *writer,
                                            const struct onnx_attribute *from)
{
    Onnx__AttributeProto *message = make(writer, 1, sizeof *message);

    if (message == NULL)
        return NULL;
    onnx__attribute_proto__init(message);
    message->name = borrow_text(from->name);
    message->has_type = true;
    message->type = (int32_t)from->kind;
    switch (from->kind) {
    case ONNX_ATTRIBUTE_FLOAT:
        message->has_f = true;
        message->f = from->real;
        break;
    case ONNX_ATTRIBUTE_INT:
        message->has_i = true;
        message->i = from->whole;
        break;
    case ONNX_ATTRIBUTE_TEXT:
        message->has_s = true;
        message->s.len = strlen(from->text);
        message->s.data = borrow(from->text);
        break;
    case ONNX_ATTRIBUTE_TENSOR:
        message->t = make_tensor(writer, from->tensor);
        break;
    case ONNX_ATTRIBUTE_FLOATS:
        message->n_floats = from->count;
        message->floats = from->reals;
        break;
    case ONNX_ATTRIBUTE_INTS:
        message->n_ints = from->count;
        message->ints = from->wholes;
    }
    return message;
}

static Onnx__NodeProto *make_node(struct writer *writer,
                                  const struct onnx_node *node)
{
    Onnx__NodeProto *message = make(writer, 1, sizeof *message);
    int i;

    if (message == NULL)
        return NULL;
    onnx__node_proto__init(message);
    message->name = node->name;
    message->op_type = node->op;
    message->domain = node->domain;
    message->n_input = (size_t)node->input_count;
    message->input = node->inputs;
    message->n_output = (size_t)node->output_count;
    message->output = node->outputs;
    message->attribute =
        make(writer, (size_t)node->attribute_count, sizeof *message->attribute);
    if (message->attribute == NULL)
        return NULL;
    message->n_attribute = (size_t)node->attribute_count;
    for (i = 0; i < node->attribute_count; i++)
        message->attribute[i] = make_attribute(writer, &node->attributes[i]);
    return message;
}

static Onnx__TensorShapeProto *make_shape(struct writer *writer,
                                          const struct onnx_value *value)
{
    Onnx__TensorShapeProto *shape = make(writer, 1, sizeof *shape);
    size_t i, rank = (size_t)value->rank;

    if (shape == NULL)
        return NULL;
    onnx__tensor_shape_proto__init(shape);
    shape->dim = make(writer, rank, sizeof *shape->dim);
    if (shape->dim == NULL)
        return NULL;
    shape->n_dim = rank;
    for (i = 0; i < rank; i++) {
        shape->dim[i] = make(writer, 1, sizeof *shape->dim[i]);
        if (shape->dim[i] == NULL)
            return NULL;
        onnx__tensor_shape_proto__dimension__init(shape->dim[i]);
        shape->dim[i]->has_dim_value = value->dims[i] >= 0;
        shape->dim[i]->dim_value = value->dims[i];
    }
    return shape;
}

static Onnx__ValueInfoProto *make_value(struct writer *writer,
                                        const struct onnx_value *value)
{
    Onnx__ValueInfoProto *message = make(writer, 1, sizeof *message);
    Onnx__TypeProto *type = make(writer, 1, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = make(writer, 1, sizeof *tensor);

    if (message == NULL || type == NULL || tensor == NULL)
        return NULL;
    onnx__value_info_proto__init(message);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    message->name = value->name;
    message->type = type;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = (int32_t)value->type;
    if (value->rank >= 0)
        tensor->shape = make_shape(writer, value);
    return message;
}

static Onnx__ValueInfoProto **
make_values(struct writer *writer, struct onnx_value *const *values, int count)
{
    Onnx__ValueInfoProto **messages =
        make(writer, (size_t)count, sizeof(Onnx__ValueInfoProto *));
    int i;

    for (i = 0; messages != NULL && i < count; i++)
        messages[i] = make_value(writer, values[i]);
    return messages;
}

static void fill_nodes(struct writer *writer, const struct onnx_graph *graph,
                       Onnx__GraphProto *out)
{
    int i;

    out->node = make(writer, (size_t)graph->node_count, sizeof *out->node);
    out->initializer =
        make(writer, (size_t)graph->tensor_count, sizeof *out->initializer);
    if (writer->is_broken)
        return;
    for (i = 0; i < graph->node_count; i++)
        if (!graph->nodes[i]->is_removed)
            out->node[out->n_node++] = make_node(writer, graph->nodes[i]);
    for (i = 0; i < graph->tensor_count; i++)
        out->initializer[out->n_initializer++] =
            make_tensor(writer, graph->tensors[i]);
}

static void fill_graph(struct writer *writer, const struct onnx_graph *graph,
                       Onnx__GraphProto *out)
{
    onnx__graph_proto__init(out);
    out->name = borrow_text("olho");
    fill_nodes(writer, graph, out);
    out->n_input = (size_t)graph->input_count;
    out->input = make_values(writer, graph->inputs, graph->input_count);
    out->n_output = (size_t)graph->output_count;
    out->output = make_values(writer, graph->outputs, graph->output_count);
    out->n_value_info = (size_t)graph->value_count;
    out->value_info = make_values(writer, graph->values, graph->value_count);
}

static bool uses_runtime_operators(const struct onnx_graph *graph)
{
    int i;

    for (i = 0; i < graph->node_count; i++)
        if (!graph->nodes[i]->is_removed && graph->nodes[i]->domain[0] != '\0')
            return true;
    return false;
}

static int pack(const Onnx__ModelProto *model, struct buf *out, struct err *err)
{
    size_t len = onnx__model_proto__get_packed_size(model);
    char *to;

    if (len > ONNX_FILE_LEN_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "the network needs %zu bytes; an ONNX file has at most "
                       "%d",
                       len, ONNX_FILE_LEN_MAX);
    to = buf_reserve(out, len);
    if (to == NULL)
        return buf_check(out, err);
    out->len += onnx__model_proto__pack(model, (uint8_t *)to);
    return 0;
}

int onnx_write_bytes(const struct onnx_graph *graph, struct buf *out,
                     struct err *err)
{
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto inner;
    Onnx__OperatorSetIdProto sets[2], *set_list[2] = {&sets[0], &sets[1]};
    struct writer writer = {.is_broken = false};
    int rc;

    rc = onnx_check(graph, err);
    if (rc)
        return rc;
    writer.arena = arena_new(MESSAGES_LEN_MAX);
    fill_graph(&writer, graph, &inner);
    onnx__operator_set_id_proto__init(&sets[0]);
    onnx__operator_set_id_proto__init(&sets[1]);
    sets[0].domain = borrow_text("");
    sets[0].version = graph->opset;
    sets[1].domain = borrow_text("com.microsoft");
    sets[1].version = 1;
    sets[0].has_version = sets[1].has_version = true;
    model.has_ir_version = true;
    model.ir_version = graph->ir_version;
    model.producer_name = borrow_text("olho");
    model.producer_version = borrow_text(OLHO_VERSION);
    model.graph = &inner;
    model.n_opset_import = uses_runtime_operators(graph) ? 2 : 1;
    model.opset_import = set_list;
    rc = writer.is_broken ? err_set(err, ERR_UNAVAILABLE,
                                    "no memory to write a network of %d nodes",
                                    graph->node_count)
                          : pack(&model, out, err);
    arena_free(writer.arena);
    return rc;
}

int onnx_write(const struct onnx_graph *graph, const char *path,
               struct err *err)
{
    struct buf file;
    int rc;

    buf_init(&file, ONNX_FILE_LEN_MAX);
    rc = onnx_write_bytes(graph, &file, err);
    if (rc == 0)
        rc = file_write(path, buf_bytes(&file), err);
    buf_release(&file);
    return rc;
}
