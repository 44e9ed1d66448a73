/* SPDX-License-Identifier: Apache-2.0 */
/* A file is taken apart by protobuf-c into messages and copied from them into
 * a graph, every size checked on the way. */
#include "models/onnx_graph.h"

#include <stdalign.h>
#include <string.h>

#include <onnx.pb-c.h>

#include "base/file.h"
#include "base/mem.h"

/* Raw weights are copied as they are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "ONNX files are little-endian");

enum {
    OPSET_MAX = 64,
    IR_VERSION_MAX = 64,
    SPARE = 64 << 20,      /* for the messages of a small file */
    GROWTH = 4,            /* bytes for messages per byte of the file */
    LOCATION_EXTERNAL = 1, /* TensorProto.DataLocation */
    INPUTS_MAX = 8192,     /* of the graph, weights among them */
};

/* --- memory of protobuf-c ------------------------------------------------- */

/* A few bytes of a file can ask for a message of a hundred: what they may
 * take in all is bounded. */
struct budget {
    size_t left;
    bool is_spent;  /* the file asked for more than its length allows */
    bool is_broken; /* memory ran out */
};

struct block {
    size_t len;
    alignas(max_align_t) char data[];
};

static void *take(void *user, size_t len)
{
    struct budget *budget = user;
    struct block *block = NULL;

    if (len > budget->left || budget->left - len < sizeof *block) {
        budget->is_spent = true;
        return NULL;
    }
    block = mem_try(1, sizeof *block + len);
    if (block == NULL) {
        budget->is_broken = true;
        return NULL;
    }
    block->len = sizeof *block + len;
    budget->left -= block->len;
    return block->data;
}

static void give_back(void *user, void *data)
{
    struct budget *budget = user;
    struct block *block;

    if (data == NULL)
        return;
    block = (struct block *)((char *)data - offsetof(struct block, data));
    budget->left += block->len;
    mem_free(block);
}

/* --- reading -------------------------------------------------------------- */

static int take_text(const char *text, const char *what, const char **out,
                     struct err *err)
{
    size_t len = text != NULL ? strlen(text) : 0;

    if (len > ONNX_TEXT_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s has %zu bytes; at most %d are read", what, len,
                       ONNX_TEXT_MAX);
    *out = text != NULL ? text : "";
    return 0;
}

static int check_count(const char *what, size_t count, size_t max,
                       struct err *err)
{
    if (count > max)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it has %zu %s; at most %zu are read", count, what, max);
    return 0;
}

/* Narrows the numbers that int32_data holds for smaller types. */
static int narrow(const Onnx__TensorProto *from, struct onnx_tensor *tensor,
                  struct err *err)
{
    static const struct {
        enum onnx_type type;
        int32_t min, max;
    } ranges[] = {{ONNX_UINT8, 0, UINT8_MAX},
                  {ONNX_INT8, INT8_MIN, INT8_MAX},
                  {ONNX_BOOL, 0, 1},
                  {ONNX_FLOAT16, 0, UINT16_MAX}};
    size_t i, k = 0;

    while (ranges[k].type != tensor->type)
        k++;
    for (i = 0; i < from->n_int32_data; i++) {
        int32_t value = from->int32_data[i];
        uint16_t half = (uint16_t)value;

        if (value < ranges[k].min || value > ranges[k].max)
            return err_set(err, ERR_UNPROCESSABLE,
                           "value %zu of tensor '%s' is %d; it must be %d..%d",
                           i, tensor->name, value, ranges[k].min,
                           ranges[k].max);
        if (tensor->type == ONNX_FLOAT16)
            memcpy((char *)tensor->data + 2 * i, &half, 2);
        else
            ((uint8_t *)tensor->data)[i] = (uint8_t)value;
    }
    return 0;
}

/* How many values a tensor's message really has, and where; *from is NULL for
 * int32_data that must be narrowed. */
static size_t find_values(const Onnx__TensorProto *message, enum onnx_type type,
                          const void **from)
{
    *from = NULL;
    if (message->has_raw_data) {
        *from = message->raw_data.data;
        return message->raw_data.len / onnx_element_len(type);
    }
    switch (type) {
    case ONNX_FLOAT:
        *from = message->float_data;
        return message->n_float_data;
    case ONNX_DOUBLE:
        *from = message->double_data;
        return message->n_double_data;
    case ONNX_INT64:
        *from = message->int64_data;
        return message->n_int64_data;
    case ONNX_INT32:
        *from = message->int32_data;
        return message->n_int32_data;
    default:
        return message->n_int32_data;
    }
}

static int check_tensor(const Onnx__TensorProto *message, const char *name,
                        struct err *err)
{
    enum onnx_type type = (enum onnx_type)message->data_type;
    const void *ignored;
    size_t count, len = onnx_element_len(type);

    if (message->n_external_data > 0 ||
        message->data_location == LOCATION_EXTERNAL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "tensor '%s' lies in another file; only files that "
                       "hold all their weights are read",
                       name);
    if (len == 0 || message->has_segment)
        return err_set(err, ERR_UNPROCESSABLE,
                       "tensor '%s' is of type %d, which is not read", name,
                       message->data_type);
    if (message->n_dims > ONNX_RANK_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "tensor '%s' has rank %zu; at most %d is read", name,
                       message->n_dims, ONNX_RANK_MAX);
    if (!onnx_shape_count(message->dims, (int)message->n_dims, &count) ||
        count > ONNX_FILE_LEN_MAX / len)
        return err_set(err, ERR_UNPROCESSABLE,
                       "tensor '%s' has a shape of more than %d bytes", name,
                       ONNX_FILE_LEN_MAX);
    if (find_values(message, type, &ignored) != count ||
        (message->has_raw_data && message->raw_data.len != count * len))
        return err_set(err, ERR_UNPROCESSABLE,
                       "tensor '%s' has %zu values in %zu bytes; its shape "
                       "needs %zu",
                       name, find_values(message, type, &ignored),
                       message->raw_data.len, count);
    return 0;
}

/* Fills a tensor whose shape was checked and which is all zero. */
static int fill_tensor(const Onnx__TensorProto *message,
                       struct onnx_tensor *tensor, struct err *err)
{
    const void *from;
    size_t count = find_values(message, tensor->type, &from);

    if (count == 0)
        return 0;
    if (from == NULL)
        return narrow(message, tensor, err);
    memcpy(tensor->data, from, tensor->data_len);
    return 0;
}

static int read_tensor(struct onnx_graph *graph,
                       const Onnx__TensorProto *message, struct err *err)
{
    const char *name = "";
    struct onnx_tensor *tensor;
    int rc;

    rc = take_text(message->name, "a tensor's name", &name, err);
    if (rc == 0)
        rc = check_tensor(message, name, err);
    if (rc)
        return rc;
    tensor = onnx_add_tensor(graph, name, (enum onnx_type)message->data_type,
                             message->dims, (int)message->n_dims, NULL);
    return tensor == NULL ? 0 : fill_tensor(message, tensor, err);
}

static int read_tensor_attribute(struct onnx_graph *graph,
                                 struct onnx_node *node, const char *name,
                                 const Onnx__TensorProto *message,
                                 struct err *err)
{
    const struct onnx_attribute *attribute;
    int rc;

    if (message == NULL)
        return err_set(err, ERR_UNPROCESSABLE, "attribute '%s' is empty", name);
    rc = check_tensor(message, name, err);
    if (rc)
        return rc;
    onnx_set_tensor(graph, node, name, (enum onnx_type)message->data_type,
                    message->dims, (int)message->n_dims, NULL);
    attribute = onnx_find_attribute(node, name);
    if (attribute == NULL || attribute->tensor == NULL)
        return 0;
    return fill_tensor(message, attribute->tensor, err);
}

static int read_text_attribute(struct onnx_graph *graph, struct onnx_node *node,
                               const char *name, ProtobufCBinaryData from,
                               struct err *err)
{
    char text[ONNX_TEXT_MAX + 1];

    if (from.len > ONNX_TEXT_MAX ||
        (from.len > 0 && memchr(from.data, 0, from.len) != NULL))
        return err_set(err, ERR_UNPROCESSABLE,
                       "attribute '%s' has %zu bytes; at most %d of text are "
                       "read",
                       name, from.len, ONNX_TEXT_MAX);
    if (from.len > 0)
        memcpy(text, from.data, from.len);
    text[from.len] = '\0';
    onnx_set_text(graph, node, name, text);
    return 0;
}

static int refuse_kind(const struct onnx_node *node, const char *name, int kind,
                       struct err *err)
{
    static const struct {
        int kind;
        const char *what;
    } known[] = {{5, "a graph"},          {8, "a list of texts"},
                 {9, "tensors"},          {10, "graphs"},
                 {11, "a sparse tensor"}, {12, "sparse tensors"},
                 {13, "a type"},          {14, "types"}};
    const char *what = "of no known type";
    size_t i;

    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].kind == kind)
            what = known[i].what;
    return err_set(err, ERR_UNPROCESSABLE,
                   "attribute '%s' of node '%s' (%s) is %s, which is not read",
                   name, node->name, node->op, what);
}

static int read_attribute(struct onnx_graph *graph, struct onnx_node *node,
                          const Onnx__AttributeProto *message, struct err *err)
{
    const char *name = "", *reference = "";
    int rc;

    rc = take_text(message->name, "an attribute's name", &name, err);
    if (rc == 0)
        rc = take_text(message->ref_attr_name, "a reference", &reference, err);
    if (rc)
        return rc;
    if (reference[0] != '\0')
        return err_set(err, ERR_UNPROCESSABLE,
                       "attribute '%s' refers to '%s' of a function; functions "
                       "are not read",
                       name, reference);
    switch (message->type) {
    case ONNX_ATTRIBUTE_FLOAT:
        onnx_set_float(graph, node, name, message->f);
        return 0;
    case ONNX_ATTRIBUTE_INT:
        onnx_set_int(graph, node, name, message->i);
        return 0;
    case ONNX_ATTRIBUTE_TEXT:
        return read_text_attribute(graph, node, name, message->s, err);
    case ONNX_ATTRIBUTE_TENSOR:
        return read_tensor_attribute(graph, node, name, message->t, err);
    case ONNX_ATTRIBUTE_FLOATS:
        onnx_set_floats(graph, node, name, message->floats, message->n_floats);
        return 0;
    case ONNX_ATTRIBUTE_INTS:
        onnx_set_ints(graph, node, name, message->ints, message->n_ints);
        return 0;
    default:
        return refuse_kind(node, name, message->type, err);
    }
}

/* ONNX's own operators and those of ONNX Runtime, which have version 1. */
static bool is_known_domain(const char *domain)
{
    return domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0 ||
           strcmp(domain, "com.microsoft") == 0;
}

static int read_names(const Onnx__NodeProto *message, const char **name,
                      const char **op, const char **domain, struct err *err)
{
    int rc = take_text(message->name, "a node's name", name, err);

    if (rc == 0)
        rc = take_text(message->op_type, "an operator's name", op, err);
    if (rc == 0)
        rc = take_text(message->domain, "a domain's name", domain, err);
    if (rc == 0 && !is_known_domain(*domain))
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "node '%s' is a %s of domain '%s'; operators of ONNX and "
                     "com.microsoft are read",
                     *name, *op, *domain);
    return rc;
}

static int read_links(struct onnx_graph *graph, struct onnx_node *node,
                      const Onnx__NodeProto *message, struct err *err)
{
    const char *text = "";
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < message->n_input; i++) {
        rc = take_text(message->input[i], "an input's name", &text, err);
        if (rc == 0)
            onnx_add_input(graph, node, text);
    }
    for (i = 0; rc == 0 && i < message->n_output; i++) {
        rc = take_text(message->output[i], "an output's name", &text, err);
        if (rc == 0)
            onnx_add_output(graph, node, text);
    }
    return rc;
}

static int read_node(struct onnx_graph *graph, const Onnx__NodeProto *message,
                     struct err *err)
{
    const char *name = "", *op = "", *domain = "";
    struct onnx_node *node;
    size_t i;
    int rc;

    rc = read_names(message, &name, &op, &domain, err);
    if (rc == 0)
        rc = check_count("inputs of a node", message->n_input, ONNX_LINKS_MAX,
                         err);
    if (rc == 0)
        rc = check_count("outputs of a node", message->n_output, ONNX_LINKS_MAX,
                         err);
    if (rc == 0)
        rc = check_count("attributes of a node", message->n_attribute,
                         ONNX_ATTRIBUTES_MAX, err);
    if (rc)
        return rc;
    node = onnx_add(graph, op, NULL, NULL, NULL, NULL, NULL);
    onnx_set_names(graph, node, name,
                   strcmp(domain, "ai.onnx") == 0 ? "" : domain);
    rc = read_links(graph, node, message, err);
    for (i = 0; rc == 0 && node != NULL && i < message->n_attribute; i++)
        rc = read_attribute(graph, node, message->attribute[i], err);
    return rc;
}

/* A tensor's type and shape; *rank is -1 for any shape, -2 for what is no
 * tensor that is kept. */
static void read_type(const Onnx__TypeProto *type, enum onnx_type *element,
                      int64_t *dims, int *rank)
{
    const Onnx__TypeProto__Tensor *tensor =
        type != NULL ? type->tensor_type : NULL;
    size_t i;

    *rank = -2;
    if (tensor == NULL ||
        onnx_element_len((enum onnx_type)tensor->elem_type) == 0)
        return;
    *element = (enum onnx_type)tensor->elem_type;
    *rank = -1;
    if (tensor->shape == NULL)
        return;
    if (tensor->shape->n_dim > ONNX_RANK_MAX) {
        *rank = -2;
        return;
    }
    *rank = (int)tensor->shape->n_dim;
    for (i = 0; i < tensor->shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = tensor->shape->dim[i];

        dims[i] =
            dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : -1;
    }
}

typedef void add_value_fn(struct onnx_graph *graph, const char *name,
                          enum onnx_type type, const int64_t *dims, int rank);

static int read_value(struct onnx_graph *graph,
                      const Onnx__ValueInfoProto *message, add_value_fn *add,
                      struct err *err)
{
    enum onnx_type type = ONNX_FLOAT;
    int64_t dims[ONNX_RANK_MAX];
    const char *name = "";
    int rank = 0, rc;

    rc = take_text(message->name, "a value's name", &name, err);
    if (rc)
        return rc;
    read_type(message->type, &type, dims, &rank);
    if (rank >= -1)
        add(graph, name, type, dims, rank);
    else if (add != onnx_add_value)
        return err_set(err, ERR_UNPROCESSABLE,
                       "'%s' is no tensor of a type and rank that are read",
                       name);
    return 0;
}

static int read_values(struct onnx_graph *graph, const Onnx__GraphProto *from,
                       struct err *err)
{
    size_t i;
    int rc;

    rc = check_count("inputs", from->n_input, INPUTS_MAX, err);
    if (rc == 0)
        rc = check_count("outputs", from->n_output, ONNX_LINKS_MAX, err);
    if (rc == 0)
        rc = check_count("shapes", from->n_value_info, ONNX_NODES_MAX, err);
    for (i = 0; rc == 0 && i < from->n_input; i++) {
        const char *name = from->input[i]->name;

        if (onnx_find_tensor(graph, name != NULL ? name : "") == NULL)
            rc = read_value(graph, from->input[i], onnx_add_graph_input, err);
    }
    for (i = 0; rc == 0 && i < from->n_output; i++)
        rc = read_value(graph, from->output[i], onnx_add_graph_output, err);
    for (i = 0; rc == 0 && i < from->n_value_info; i++)
        rc = read_value(graph, from->value_info[i], onnx_add_value, err);
    return rc;
}

static int read_versions(struct onnx_graph *graph,
                         const Onnx__ModelProto *model, struct err *err)
{
    size_t i;

    graph->opset = 0;
    for (i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *set = model->opset_import[i];

        if (set->domain == NULL || set->domain[0] == '\0' ||
            strcmp(set->domain, "ai.onnx") == 0)
            graph->opset = set->version;
    }
    if (graph->opset < 1 || graph->opset > OPSET_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it imports operator set %lld; 1..%d are read",
                       (long long)graph->opset, OPSET_MAX);
    if (model->ir_version < 1 || model->ir_version > IR_VERSION_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it has IR version %lld; 1..%d are read",
                       (long long)model->ir_version, IR_VERSION_MAX);
    if (model->ir_version > graph->ir_version)
        graph->ir_version = model->ir_version;
    return 0;
}

static int read_graph(struct onnx_graph *graph, const Onnx__GraphProto *from,
                      struct err *err)
{
    size_t i;
    int rc;

    if (from == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it is no ONNX model: it has no "
                       "graph");
    if (from->n_sparse_initializer > 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it has %zu sparse weights, which are not read",
                       from->n_sparse_initializer);
    rc = check_count("nodes", from->n_node, ONNX_NODES_MAX, err);
    if (rc == 0)
        rc = check_count("weights", from->n_initializer, ONNX_TENSORS_MAX, err);
    for (i = 0; rc == 0 && i < from->n_initializer; i++)
        rc = read_tensor(graph, from->initializer[i], err);
    for (i = 0; rc == 0 && i < from->n_node; i++)
        rc = read_node(graph, from->node[i], err);
    if (rc == 0)
        rc = read_values(graph, from, err);
    return rc ? rc : onnx_check(graph, err);
}

static int read_model(const Onnx__ModelProto *model, struct onnx_graph **out,
                      struct err *err)
{
    struct onnx_graph *graph = onnx_new();
    int rc;

    if (model->n_functions > 0)
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "it has %zu functions, which are not read",
                     model->n_functions);
    else
        rc = read_versions(graph, model, err);
    if (rc == 0)
        rc = read_graph(graph, model->graph, err);
    if (rc) {
        onnx_free(graph);
        return rc;
    }
    *out = graph;
    return 0;
}

int onnx_read_bytes(struct bytes file, struct onnx_graph **out, struct err *err)
{
    struct budget budget = {.left = 0};
    ProtobufCAllocator allocator = {take, give_back, &budget};
    Onnx__ModelProto *model;
    int rc;

    if (file.len > ONNX_FILE_LEN_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "it has %zu bytes; an ONNX file has at most %d",
                       file.len, ONNX_FILE_LEN_MAX);
    budget.left = GROWTH * file.len + SPARE;
    model = onnx__model_proto__unpack(&allocator, file.len, file.data);
    if (model != NULL)
        rc = read_model(model, out, err);
    else if (budget.is_broken)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for a file of %zu bytes",
                     file.len);
    else if (budget.is_spent)
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "its %zu bytes ask for more than %zu of memory", file.len,
                     GROWTH * file.len + SPARE);
    else
        rc = err_set(err, ERR_UNPROCESSABLE, "it is no ONNX model");
    if (model != NULL)
        onnx__model_proto__free_unpacked(model, &allocator);
    return rc;
}

int onnx_read(const char *path, struct onnx_graph **out, struct err *err)
{
    struct buf file;
    int rc;

    buf_init(&file, ONNX_FILE_LEN_MAX);
    rc = file_read(path, &file, err);
    if (rc == 0) {
        rc = onnx_read_bytes(buf_bytes(&file), out, err);
        if (rc)
            rc = err_wrap(err, "%s", path);
    }
    buf_release(&file);
    return rc;
}
