/* SPDX-License-Identifier: Apache-2.0 */
#include "models/keras_convert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "models/keras_build.h"
#include "models/onnx_edit.h"
#include "models/zip_file.h"

enum {
    CONFIG_LEN_MAX = HDF5_TEXT_MAX,
    VERSION_LEN_MAX = 1 << 16,
    EMBEDDING_LEN_MAX = 1 << 15,
    CHANNELS = 3,
};

/* An open Keras file. */
struct source {
    bool is_archive;
    struct hdf5_file *weights;
    struct json_value *config;
    char version[32];
    int64_t len; /* bytes of the file */
};

static void source_release(struct source *source)
{
    hdf5_close(source->weights);
    json_free(source->config);
}

static int parse(struct bytes text, const char *what, struct json_value **out,
                 struct err *err)
{
    int rc = json_parse(text, out, err);

    if (rc == ERR_INVALID) /* the file is at fault, not who named it */
        err->code = ERR_UNPROCESSABLE;
    return rc ? err_wrap(err, "%s", what) : 0;
}

static int check_file(const char *path, struct source *source, struct err *err)
{
    static const char zip[] = "PK\x03\x04", hdf5[] = "\x89HDF\r\n\x1a\n";
    char begin[8] = {0};
    struct stat st;
    FILE *file;
    size_t len;

    if (stat(path, &st) != 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "%s cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_UNPROCESSABLE,
                       "it is a folder, as TensorFlow's SavedModel is; save "
                       "the model as .keras or .h5");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_UNPROCESSABLE, "it is no file");
    if ((uint64_t)st.st_size > KERAS_FILE_LEN_MAX)
        return err_set(err, ERR_TOO_LARGE, "it has %lld bytes; at most %llu",
                       (long long)st.st_size, KERAS_FILE_LEN_MAX);
    file = fopen(path, "rb");
    if (file == NULL)
        return err_set(err, ERR_IO, "%s cannot be read: %s", path,
                       strerror(errno));
    len = fread(begin, 1, sizeof begin, file);
    fclose(file);
    source->len = st.st_size;
    source->is_archive = len >= 4 && memcmp(begin, zip, 4) == 0;
    if (!source->is_archive && (len < 8 || memcmp(begin, hdf5, 8) != 0))
        return err_set(err, ERR_UNPROCESSABLE,
                       "it begins neither as HDF5 (.h5) nor as zip (.keras)");
    return 0;
}

static void keep_version(struct source *source, const char *version)
{
    if (version != NULL)
        snprintf(source->version, sizeof source->version, "%s", version);
}

static int read_legacy(const char *path, struct source *source, struct err *err)
{
    struct err ignored = {0};
    struct buf text;
    size_t count;
    int rc;

    buf_init(&text, CONFIG_LEN_MAX);
    rc = hdf5_open(path, &source->weights, err);
    if (rc == 0 && !hdf5_has_text(source->weights, "", "model_config"))
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "it has weights only, no model_config; save the whole "
                     "model with model.save()");
    if (rc == 0)
        rc = hdf5_read_texts(source->weights, "", "model_config", &text, &count,
                             err);
    if (rc == 0 && count != 1)
        rc = err_set(err, ERR_UNPROCESSABLE, "its model_config is no text");
    if (rc == 0)
        rc = parse((struct bytes){(const uint8_t *)text.data, text.len - 1},
                   "model_config", &source->config, err);
    buf_clear(&text);
    if (rc == 0 &&
        hdf5_read_texts(source->weights, "", "keras_version", &text, &count,
                        &ignored) == 0 &&
        count == 1)
        keep_version(source, text.data);
    buf_release(&text);
    return rc;
}

/* The weights of an archive go to a file of their own, which loses its name as
 * soon as it is open. (HDF5 opens no file that has none.) */
static int extract_weights(struct archive *archive, const char *scratch,
                           struct hdf5_file **out, struct err *err)
{
    int fd, rc;

    fd = open(scratch, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot write %s: %s", scratch,
                       strerror(errno));
    rc = archive_extract(archive, "model.weights.h5", fd, KERAS_FILE_LEN_MAX,
                         err);
    close(fd);
    if (rc == 0)
        rc = hdf5_open(scratch, out, err);
    (void)unlink(scratch);
    return rc;
}

static int read_archive(const char *path, const char *scratch,
                        struct source *source, struct err *err)
{
    struct json_value *versions = NULL;
    struct archive *archive = NULL;
    struct buf text;
    int rc;

    buf_init(&text, CONFIG_LEN_MAX);
    rc = archive_open(path, &archive, err);
    if (rc)
        goto out;
    rc = archive_read(archive, "config.json", &text, err);
    if (rc == 0)
        rc = parse(buf_bytes(&text), "config.json", &source->config, err);
    if (rc)
        goto out;
    buf_clear(&text);
    if (archive_has(archive, "metadata.json")) {
        rc = archive_read(archive, "metadata.json", &text, err);
        if (rc == 0)
            rc = parse(buf_bytes(&text), "metadata.json", &versions, err);
        if (rc)
            goto out;
        keep_version(source, json_text(json_find(versions, "keras_version")));
    }
    if (!archive_has(archive, "model.weights.h5"))
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "its weights are not in one model.weights.h5");
    else
        rc = extract_weights(archive, scratch, &source->weights, err);
out:
    if (rc == ERR_NOT_FOUND)
        rc = err->code = ERR_UNPROCESSABLE;
    json_free(versions);
    buf_release(&text);
    archive_close(archive);
    return rc;
}

static int read_input_shape(const struct json_value *shape, int input_size_px,
                            int64_t dims[4], struct err *err)
{
    bool is_first;
    size_t i;

    if (shape == NULL || json_type(shape) != JSON_IS_ARRAY ||
        json_count(shape) != 4)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model's input is no image: its shape has %zu sides "
                       "with the batch, not 4",
                       shape != NULL ? json_count(shape) : 0);
    for (i = 0; i < 4; i++)
        if (!json_whole(json_at(shape, i), &dims[i]))
            dims[i] = -1;
    is_first = dims[3] != CHANNELS && dims[1] == CHANNELS;
    if (dims[is_first ? 1 : 3] != CHANNELS)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model's input has %lld channels; a photo has %d",
                       (long long)dims[3], CHANNELS);
    dims[0] = -1;
    for (i = 1; i < 4; i++) {
        if (dims[i] == -1 && input_size_px == 0)
            return err_set(err, ERR_UNPROCESSABLE,
                           "the model leaves the size of its input free; give "
                           "one (--input-size, INPUT_SIZE)");
        if (dims[i] == -1)
            dims[i] = input_size_px;
        if (dims[i] < 1 || dims[i] > KERAS_SIDE_MAX_PX)
            return err_set(err, ERR_UNPROCESSABLE,
                           "the model's input has a side of %lld; it must be "
                           "1..%d",
                           (long long)dims[i], KERAS_SIDE_MAX_PX);
    }
    return 0;
}

static const struct json_value *input_shape(const struct keras_model *model,
                                            const char **name)
{
    const struct keras_layer *layer;
    const struct json_value *shape;

    *name = "input";
    while (model->inputs[0].layer >= 0) {
        layer = &model->layers[model->inputs[0].layer];
        if (layer->model != NULL) {
            model = layer->model;
            continue;
        }
        *name = layer->name;
        shape = json_find(layer->config, "batch_shape");
        return shape != NULL ? shape
                             : json_find(layer->config, "batch_input_shape");
    }
    /* A Sequential whose first layer is a model takes that one's input. */
    if (model->input_shape == NULL && model->layers[0].model != NULL)
        return input_shape(model->layers[0].model, name);
    return model->input_shape;
}

static int begin(struct keras_build *build, const struct keras_model *model,
                 struct keras_value *in, struct keras_report *report,
                 struct err *err)
{
    const struct json_value *shape;
    const char *name;
    bool is_last;
    int rc;

    if (model->input_count != 1)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model has %d inputs; one image is all we have",
                       model->input_count);
    shape = input_shape(model, &name);
    *in = (struct keras_value){.rank = 4, .is_input = true, .head = -1};
    rc = read_input_shape(shape, build->options->input_size_px, in->dims, err);
    if (rc)
        return rc;
    is_last = in->dims[3] == CHANNELS;
    report->is_channels_first = !is_last;
    report->height_px = (int)in->dims[is_last ? 1 : 2];
    report->width_px = (int)in->dims[is_last ? 2 : 3];
    snprintf(report->input, sizeof report->input, "%.100s", name);
    snprintf(in->name, sizeof in->name, "%s", report->input);
    onnx_add_graph_input(build->graph, in->name, ONNX_FLOAT, in->dims, 4);
    return 0;
}

/* A value as rows of numbers: as it is, or with its sides of 1 left out. False
 * when it is more than a row for each image. */
static bool as_row(struct keras_build *build, const struct keras_value *in,
                   struct keras_value *out)
{
    int64_t len = keras_value_len(in);
    struct onnx_node *node;
    int i;

    *out = *in;
    if (in->rank == 2)
        return true;
    for (i = 1; i < in->rank; i++)
        if (in->dims[i] != 1 && in->dims[i] != len)
            return false;
    node = keras_emit_like(build, "Flatten", in, NULL, out);
    onnx_set_int(build->graph, node, "axis", 1);
    out->layer = in->layer;
    out->ending = in->ending;
    out->head = in->head;
    out->rank = 2;
    out->dims[1] = len;
    out->is_turned = false;
    return true;
}

/* Makes a value an output of the graph under a name for people. */
static void give_out(struct keras_build *build, const struct keras_value *value,
                     const char *suffix, char *name)
{
    const char *base = value->layer != NULL ? value->layer->name : "image";

    snprintf(name, TENSOR_NAME_MAX, "%.100s%s", base, suffix);
    (void)onnx_add(build->graph, "Identity", name, value->name, NULL, NULL,
                   NULL);
    onnx_add_graph_output(build->graph, name, ONNX_FLOAT, value->dims,
                          value->rank);
}

static int finish_scores(struct keras_build *build,
                         const struct keras_value *value,
                         struct keras_value *row, struct keras_report *report,
                         struct err *err)
{
    static const char *const endings[] = {"linear", "softmax", "sigmoid",
                                          "other"};

    if (value->is_input)
        return err_set(err, ERR_UNPROCESSABLE, "the model does nothing");
    if (!as_row(build, value, row))
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model gives %lld numbers in %d dimensions for one "
                       "image; a classifier gives one row of scores",
                       (long long)keras_value_len(value), value->rank - 1);
    report->class_count = (int)row->dims[1];
    snprintf(report->activation, sizeof report->activation, "%s",
             endings[row->ending]);
    give_out(build, row,
             strcmp(row->layer->name, report->input) == 0 ? "_scores" : "",
             report->scores);
    return 0;
}

/* The layer that was named, else what entered the last one with weights. A
 * guess that gives no row is no embedding; a wish that does not is an error. */
static int finish_embedding(struct keras_build *build,
                            const struct keras_value *scores,
                            struct keras_report *report, struct err *err)
{
    const char *wanted = build->options->embedding;
    struct keras_value value, row;
    bool is_named =
        build->has_named &&
        (wanted != NULL || strcmp(build->named.name, scores->name) != 0);

    if (wanted != NULL && !is_named)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model has no layer \"%.100s\", or does not use it",
                       wanted);
    if (!is_named && scores->head < 0)
        return 0;
    value = is_named ? build->named : build->heads[scores->head];
    if (!as_row(build, &value, &row) || row.dims[1] > EMBEDDING_LEN_MAX) {
        if (wanted != NULL)
            return err_set(err, ERR_UNPROCESSABLE,
                           "layer \"%.100s\" gives %lld numbers in %d "
                           "dimensions; an embedding is one row of at most %d",
                           wanted, (long long)keras_value_len(&value),
                           value.rank - 1, EMBEDDING_LEN_MAX);
        return 0;
    }
    report->embedding_len = (int)row.dims[1];
    give_out(build, &row, "", report->embedding);
    if (strcmp(report->embedding, report->scores) == 0 ||
        strcmp(report->embedding, report->input) == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "two of input, scores and embedding are both called "
                       "\"%.100s\"",
                       report->embedding);
    return 0;
}

static int build_graph(struct keras_build *build,
                       const struct keras_model *model,
                       struct keras_report *report, struct err *err)
{
    struct keras_value in, out, scores;
    int rc;

    rc = begin(build, model, &in, report, err);
    if (rc == 0)
        rc = keras_build_model(build, model, &in, &out, err);
    if (rc == 0)
        rc = finish_scores(build, &out, &scores, report, err);
    if (rc == 0)
        rc = finish_embedding(build, &scores, report, err);
    if (rc == 0)
        rc = onnx_check(build->graph, err);
    if (rc)
        return rc;
    report->has_own_scaling = build->has_own_scaling;
    report->folded_count =
        keras_fold(build->graph, build->options->keeps_batch_norms);
    rc = onnx_check(build->graph, err);
    if (rc == 0)
        rc = onnx_tidy(build->graph, err);
    report->node_count = build->graph->node_count;
    return rc;
}

static int convert(const struct source *source,
                   const struct keras_options *options, const char *onnx_path,
                   struct keras_report *report, struct err *err)
{
    struct keras_build build = {.options = options, .file_len = source->len};
    struct keras_model *model = NULL;
    int rc;

    rc = keras_config_read(source->config, &model, err);
    if (rc)
        return rc;
    build.major = source->version[0] == '3' ? 3 : 2;
    build.graph = onnx_new();
    build.weights = keras_weights_new(source->weights, source->is_archive);
    rc = build_graph(&build, model, report, err);
    if (rc == 0)
        rc = onnx_write(build.graph, onnx_path, err);
    snprintf(report->keras_version, sizeof report->keras_version, "%s",
             source->version);
    snprintf(report->class_name, sizeof report->class_name, "%.20s",
             model->class_name);
    report->layer_count = keras_config_layer_count(model);
    report->weight_count = keras_weights_count(build.weights);
    keras_weights_free(build.weights);
    onnx_free(build.graph);
    mem_free(build.heads);
    keras_config_free(model);
    return rc;
}

int keras_convert(const char *path, const struct keras_options *options,
                  const char *scratch, const char *onnx_path,
                  struct keras_report *out, struct err *err)
{
    struct keras_report report = {.width_px = 0};
    struct source source = {0};
    int rc;

    rc = check_file(path, &source, err);
    if (rc == 0)
        rc = source.is_archive ? read_archive(path, scratch, &source, err)
                               : read_legacy(path, &source, err);
    if (rc == 0)
        rc = convert(&source, options, onnx_path, &report, err);
    source_release(&source);
    if (rc == 0)
        *out = report;
    return rc;
}
