/* SPDX-License-Identifier: Apache-2.0 */
#include "models/keras_weights.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { PATH_LEN_MAX = 2048, PIECES_MAX = 1000 };

struct keras_weights {
    struct hdf5_file *file; /* borrowed */
    bool is_archive;
    bool is_doubled; /* an archive of TensorFlow 2.12 or 2.13 */
    int64_t count;
    /* The weight_names of the group that was asked for last. */
    const struct keras_layer *group;
    struct buf names;
    size_t name_count;
};

/* What archives of TensorFlow 2.12 and 2.13 call their layers. */
static const char doubled_folder[] = "_layer_checkpoint_dependencies";

struct keras_weights *keras_weights_new(struct hdf5_file *file, bool is_archive)
{
    struct keras_weights *weights = mem_new(sizeof *weights);

    weights->file = file;
    weights->is_archive = is_archive;
    weights->is_doubled = is_archive && hdf5_has(file, doubled_folder);
    buf_init(&weights->names, HDF5_TEXT_MAX);
    return weights;
}

void keras_weights_free(struct keras_weights *weights)
{
    if (weights == NULL)
        return;
    buf_release(&weights->names);
    mem_free(weights);
}

int64_t keras_weights_count(const struct keras_weights *weights)
{
    return weights->count;
}

/* "Conv2D" as conv2d and "PReLU" as p_re_lu: an underscore goes before each
 * capital that follows a small letter or is followed by one. */
static void add_snake(const char *class_name, struct buf *out)
{
    size_t i;

    for (i = 0; class_name[i] != '\0'; i++) {
        unsigned char c = (unsigned char)class_name[i];

        if (i > 0 && isupper(c) &&
            (islower((unsigned char)class_name[i - 1]) ||
             islower((unsigned char)class_name[i + 1])))
            buf_add_char(out, '_');
        buf_add_char(out, (char)tolower(c));
    }
}

/* The group of a layer inside the archive. Layers of a class are counted in
 * the order of their model; operations are none. TensorFlow 2.12 and 2.13 went
 * over a list that has each layer with weights twice, and counted both. */
static void add_archive_path(const struct keras_weights *weights,
                             const struct keras_layer *layer, struct buf *out)
{
    const struct keras_model *model = layer->parent;
    int i, same = 0;

    if (model->owner != NULL) {
        add_archive_path(weights, model->owner, out);
        buf_add_char(out, '/');
    }
    for (i = 0; &model->layers[i] != layer; i++)
        if (!model->layers[i].is_operation &&
            strcmp(model->layers[i].class_name, layer->class_name) == 0)
            same += weights->is_doubled ? 2 : 1;
    buf_printf(out, "%s/", weights->is_doubled ? doubled_folder : "layers");
    add_snake(layer->class_name, out);
    if (same > 0)
        buf_printf(out, "_%d", same);
}

/* Keras 3 notes the layer's name beside its weights. */
static int check_name(struct keras_weights *weights,
                      const struct keras_layer *layer, const char *group,
                      struct err *err)
{
    struct buf name;
    size_t count;
    int rc;

    if (!hdf5_has_text(weights->file, group, "name"))
        return 0;
    buf_init(&name, PATH_LEN_MAX);
    rc = hdf5_read_texts(weights->file, group, "name", &name, &count, err);
    if (rc == 0 && (count != 1 || strcmp(name.data, layer->name) != 0))
        rc =
            err_set(err, ERR_UNPROCESSABLE,
                    "the weights in \"%.200s\" belong to another layer", group);
    buf_release(&name);
    return rc;
}

static int archive_path(struct keras_weights *weights,
                        const struct keras_layer *layer, int i, struct buf *out,
                        struct err *err)
{
    int rc;

    add_archive_path(weights, layer, out);
    buf_add_text(out, "/vars");
    rc = buf_check(out, err);
    if (rc == 0)
        rc = check_name(weights, layer, out->data, err);
    buf_printf(out, "/%d", i);
    return rc ? rc : buf_check(out, err);
}

/* The layer of the whole model that `layer` is or lies in. */
static const struct keras_layer *outermost(const struct keras_layer *layer)
{
    while (layer->parent->owner != NULL)
        layer = layer->parent->owner;
    return layer;
}

/* Reads weight_names, or weight_names0, weight_names1 ... where the list was
 * too long for one attribute. */
static int read_names(struct keras_weights *weights,
                      const struct keras_layer *group, const char *path,
                      struct err *err)
{
    char name[32];
    size_t count = 0;
    int i, rc;

    if (weights->group == group)
        return 0;
    weights->group = NULL;
    buf_clear(&weights->names);
    weights->name_count = 0;
    if (hdf5_has_text(weights->file, path, "weight_names")) {
        rc = hdf5_read_texts(weights->file, path, "weight_names",
                             &weights->names, &weights->name_count, err);
    } else {
        rc = 0;
        for (i = 0; i < PIECES_MAX && rc == 0; i++) {
            snprintf(name, sizeof name, "weight_names%d", i);
            if (!hdf5_has_text(weights->file, path, name))
                break;
            rc = hdf5_read_texts(weights->file, path, name, &weights->names,
                                 &count, err);
            weights->name_count += count;
        }
    }
    if (rc == 0)
        weights->group = group;
    return rc;
}

/* Whether text ends with end, after a slash or as a whole; *text_len is then
 * what is before it. */
static bool ends_with(const char *text, size_t *text_len, const char *end,
                      size_t end_len)
{
    size_t len = *text_len;

    if (len < end_len || memcmp(text + len - end_len, end, end_len) != 0)
        return false;
    if (len > end_len && text[len - end_len - 1] != '/')
        return false;
    *text_len = len > end_len ? len - end_len - 1 : 0;
    return true;
}

/* How well a weight's path fits "outer/inner/layer/kernel": twice the number of
 * names that it ends with, from the end, and one more when it has no others; 0
 * unless both the weight's and the layer's name are there. */
static int match(const char *path, const struct keras_layer *layer,
                 const char *name)
{
    size_t len = strlen(path);
    const char *colon = strrchr(path, ':'), *bar = strchr(name, '|');
    size_t name_len = bar != NULL ? (size_t)(bar - name) : strlen(name);
    int parts = 1;

    if (colon != NULL && strchr(colon, '/') == NULL)
        len = (size_t)(colon - path);
    if (!ends_with(path, &len, name, name_len))
        return bar != NULL ? match(path, layer, bar + 1) : 0;
    for (; layer != NULL && len > 0; layer = layer->parent->owner, parts++)
        if (!ends_with(path, &len, layer->name, strlen(layer->name)))
            break;
    return parts > 1 ? 2 * parts + (len == 0) : 0;
}

static const char *text_at(const struct buf *texts, size_t i)
{
    const char *text = texts->data;

    while (i-- > 0)
        text += strlen(text) + 1;
    return text;
}

/* The weight of a layer inside a nested model: whose path fits best. */
static int find_nested(const struct keras_weights *weights,
                       const struct keras_layer *layer, const char *name,
                       const char **out, struct err *err)
{
    const char *text = weights->names.data;
    int fit, best = 0;
    bool is_twice = false;
    size_t i;

    for (i = 0; i < weights->name_count; i++, text += strlen(text) + 1) {
        fit = match(text, layer, name);
        if (fit == 0 || fit < best)
            continue;
        is_twice = fit == best;
        best = fit;
        *out = text;
    }
    if (best == 0 || is_twice)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the file has %s weight \"%.60s\" of it",
                       is_twice ? "more than one" : "no", name);
    return 0;
}

static int legacy_path(struct keras_weights *weights,
                       const struct keras_layer *layer, int i, const char *name,
                       struct buf *out, struct err *err)
{
    const struct keras_layer *group = outermost(layer);
    const char *weight = NULL;
    int rc;

    buf_printf(out, "model_weights/%s", group->name);
    rc = buf_check(out, err);
    if (rc == 0)
        rc = read_names(weights, group, out->data, err);
    if (rc)
        return rc;
    if (layer != group)
        rc = find_nested(weights, layer, name, &weight, err);
    else if ((size_t)i < weights->name_count)
        weight = text_at(&weights->names, (size_t)i);
    else
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "the file has %zu weights of it; number %d, \"%.60s\", is "
                     "missing",
                     weights->name_count, i, name);
    if (rc)
        return rc;
    buf_printf(out, "/%s", weight);
    return buf_check(out, err);
}

static int find_path(struct keras_weights *weights,
                     const struct keras_layer *layer, int i, const char *name,
                     struct buf *out, struct err *err)
{
    buf_init(out, PATH_LEN_MAX);
    return weights->is_archive ? archive_path(weights, layer, i, out, err)
                               : legacy_path(weights, layer, i, name, out, err);
}

int keras_weights_shape(struct keras_weights *weights,
                        const struct keras_layer *layer, int i,
                        const char *name, int64_t *dims, int *rank,
                        struct err *err)
{
    struct buf path;
    int rc;

    rc = find_path(weights, layer, i, name, &path, err);
    if (rc == 0)
        rc = hdf5_read_shape(weights->file, path.data, dims, rank, err);
    buf_release(&path);
    return rc == 0 ? 0
                   : (err->code =
                          rc == ERR_NOT_FOUND ? ERR_UNPROCESSABLE : err->code);
}

static void print_shape(const int64_t *dims, int rank, char *out, size_t len)
{
    size_t used = 0;
    int i, n;

    out[0] = '\0';
    for (i = 0; i < rank && used < len; i++) {
        n = snprintf(out + used, len - used, "%s%lld", i > 0 ? " x " : "",
                     (long long)dims[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    if (rank == 0)
        snprintf(out, len, "one number");
}

static int check_shape(const int64_t *dims, int rank, const int64_t *got,
                       int got_rank, const char *name, struct err *err)
{
    char want_text[128], got_text[128];

    if (rank == got_rank &&
        (rank == 0 || memcmp(dims, got, (size_t)rank * sizeof *dims) == 0))
        return 0;
    print_shape(dims, rank, want_text, sizeof want_text);
    print_shape(got, got_rank, got_text, sizeof got_text);
    return err_set(err, ERR_UNPROCESSABLE,
                   "its weight \"%.60s\" is %s in the file; the config needs "
                   "%s",
                   name, got_text, want_text);
}

int keras_weights_read(struct keras_weights *weights,
                       const struct keras_layer *layer, int i, const char *name,
                       const int64_t *dims, int rank, float **out,
                       struct err *err)
{
    int64_t got[HDF5_RANK_MAX];
    uint64_t count = 1;
    struct buf path;
    float *data = NULL;
    int rc, j, got_rank;

    rc = find_path(weights, layer, i, name, &path, err);
    if (rc == 0)
        rc = hdf5_read_shape(weights->file, path.data, got, &got_rank, err);
    if (rc == 0)
        rc = check_shape(dims, rank, got, got_rank, name, err);
    for (j = 0; j < rank && rc == 0; j++)
        if (__builtin_mul_overflow(count, (uint64_t)dims[j], &count))
            count = KERAS_WEIGHTS_LEN_MAX;
    if (rc == 0 &&
        count > KERAS_WEIGHTS_LEN_MAX / sizeof *data - (uint64_t)weights->count)
        rc = err_set(err, ERR_TOO_LARGE,
                     "the weights are over %llu bytes, the most that an ONNX "
                     "file holds",
                     KERAS_WEIGHTS_LEN_MAX);
    if (rc)
        goto out;
    data = mem_try(count > 0 ? count : 1, sizeof *data);
    if (data == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %llu weights",
                     (unsigned long long)count);
        goto out;
    }
    rc = hdf5_read_floats(weights->file, path.data, data, count, err);
    if (rc)
        goto out;
    weights->count += (int64_t)count;
    *out = data;
    data = NULL;
out:
    mem_free(data);
    buf_release(&path);
    if (rc == ERR_NOT_FOUND)
        rc = err->code = ERR_UNPROCESSABLE;
    return rc;
}
