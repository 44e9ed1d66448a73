/* SPDX-License-Identifier: Apache-2.0 */
#include "models/metadata.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE_MAX_PX = 8192 };

static const char *const activation_names[ACTIVATION_COUNT] = {
    "none", "softmax", "sigmoid"};

const char *activation_name(enum activation activation)
{
    return activation_names[activation];
}

void metadata_set_normalisation(struct metadata *metadata, const double mean[3],
                                const double std[3])
{
    int i;

    for (i = 0; i < 3; i++) {
        metadata->transform.scale[i] = (float)(1.0 / (255.0 * std[i]));
        metadata->transform.bias[i] = (float)(-mean[i] / std[i]);
    }
    metadata->known |= KNOWN_NORMALISATION;
}

/* Copies a text member; absent leaves "". */
static int take_text(const struct json_value *object, const char *key,
                     char *out, size_t len, struct err *err)
{
    const char *text = NULL;
    int rc;

    rc = json_take_text(object, key, &text, err);
    if (rc || text == NULL)
        return rc;
    if (strlen(text) >= len)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s has %zu bytes; at most %zu are read", key,
                       strlen(text), len - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

/* A file name that stays inside the model's folder. */
static int take_file(const struct json_value *object, const char *key,
                     char *out, size_t len, struct err *err)
{
    int rc = take_text(object, key, out, len, err);

    if (rc)
        return rc;
    if (strchr(out, '/') != NULL || strcmp(out, "..") == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s is \"%s\"; it must name a file in the model's "
                       "folder",
                       key, out);
    return 0;
}

/* The place of a text member in a list of names; absent leaves *out. */
static int take_choice(const struct json_value *object, const char *key,
                       const char *const *names, int count, int *out,
                       struct err *err)
{
    const char *text = NULL;
    int i, rc;

    rc = json_take_text(object, key, &text, err);
    if (rc || text == NULL)
        return rc;
    for (i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return 0;
        }
    return err_set(err, ERR_UNPROCESSABLE, "%s \"%s\" is unknown", key, text);
}

static int take_triple(const struct json_value *object, const char *key,
                       double out[3], struct err *err)
{
    const struct json_value *list = json_find(object, key);
    double single;
    int i;

    if (list == NULL)
        return 0;
    if (json_number(list, &single)) {
        out[0] = out[1] = out[2] = single;
        return 0;
    }
    if (json_type(list) != JSON_IS_ARRAY || json_count(list) != 3)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s must be a number or a list of 3", key);
    for (i = 0; i < 3; i++)
        if (!json_number(json_at(list, (size_t)i), &out[i]))
            return err_set(err, ERR_UNPROCESSABLE,
                           "%s must be a list of 3 numbers", key);
    return 0;
}

static int read_normalisation(const struct json_value *input,
                              struct metadata *metadata, struct err *err)
{
    double mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
    int i, rc;

    if (json_find(input, "mean") == NULL && json_find(input, "std") == NULL)
        return 0;
    rc = take_triple(input, "mean", mean, err);
    if (rc == 0)
        rc = take_triple(input, "std", std, err);
    if (rc)
        return rc;
    for (i = 0; i < 3; i++)
        if (!(fabs(std[i]) > 1e-6) || !(fabs(mean[i]) < 1e6))
            return err_set(err, ERR_UNPROCESSABLE,
                           "std[%d] is %g and mean[%d] is %g; std must not be "
                           "0",
                           i, std[i], i, mean[i]);
    metadata_set_normalisation(metadata, mean, std);
    return 0;
}

static int read_size(const struct json_value *input, struct metadata *metadata,
                     struct err *err)
{
    int64_t width = 0, height = 0, short_side = 0, pad = 0;
    int rc;

    rc = json_take_integer(input, "width", 1, SIDE_MAX_PX, &width, err);
    if (rc == 0)
        rc = json_take_integer(input, "height", 1, SIDE_MAX_PX, &height, err);
    if (rc == 0)
        rc = json_take_integer(input, "short_side", 1, SIDE_MAX_PX, &short_side,
                               err);
    if (rc == 0)
        rc = json_take_integer(input, "pad", 0, 255, &pad, err);
    if (rc)
        return rc;
    if ((width == 0) != (height == 0))
        return err_set(err, ERR_UNPROCESSABLE,
                       "width and height must be given together");
    metadata->transform.width_px = (int)width;
    metadata->transform.height_px = (int)height;
    metadata->transform.short_side_px = (int)short_side;
    metadata->transform.pad = (uint8_t)pad;
    if (width > 0)
        metadata->known |= KNOWN_SIZE;
    return 0;
}

static int read_resize(const struct json_value *input,
                       struct metadata *metadata, struct err *err)
{
    const char *filter = NULL, *fit = NULL;
    int rc;

    rc = json_take_text(input, "filter", &filter, err);
    if (rc == 0)
        rc = json_take_text(input, "fit", &fit, err);
    if (rc)
        return rc;
    metadata->transform.filter =
        filter == NULL ? FILTER_BILINEAR_AA : filter_find(filter);
    metadata->transform.fit = fit == NULL ? FIT_STRETCH : fit_find(fit);
    if (metadata->transform.filter == FILTER_COUNT)
        return err_set(err, ERR_UNPROCESSABLE, "filter \"%s\" is unknown",
                       filter);
    if (metadata->transform.fit == FIT_COUNT)
        return err_set(err, ERR_UNPROCESSABLE, "fit \"%s\" is unknown", fit);
    if (filter != NULL || fit != NULL)
        metadata->known |= KNOWN_RESIZE;
    return 0;
}

static int read_layout(const struct json_value *input,
                       struct metadata *metadata, struct err *err)
{
    static const char *const layouts[] = {"NCHW", "NHWC"};
    static const char *const orders[] = {"RGB", "BGR"};
    int layout = -1, order = ORDER_RGB, rc;

    rc = take_choice(input, "layout", layouts, 2, &layout, err);
    if (rc == 0)
        rc = take_choice(input, "channels", orders, 2, &order, err);
    if (rc)
        return rc;
    metadata->transform.order = (enum channel_order)order;
    if (layout >= 0) {
        metadata->transform.layout = (enum layout)layout;
        metadata->known |= KNOWN_LAYOUT;
    }
    return 0;
}

static int read_input(const struct json_value *input, struct metadata *metadata,
                      struct err *err)
{
    int rc;

    if (input == NULL)
        return 0;
    rc = take_text(input, "name", metadata->input, sizeof metadata->input, err);
    if (rc == 0)
        rc = read_size(input, metadata, err);
    if (rc == 0)
        rc = read_layout(input, metadata, err);
    if (rc == 0)
        rc = read_normalisation(input, metadata, err);
    if (rc == 0)
        rc = read_resize(input, metadata, err);
    return rc;
}

static int read_output(const struct json_value *output,
                       struct metadata *metadata, struct err *err)
{
    int activation = -1, rc;

    if (output == NULL)
        return 0;
    rc = take_text(output, "scores", metadata->scores, sizeof metadata->scores,
                   err);
    if (rc == 0)
        rc = take_text(output, "embedding", metadata->embedding,
                       sizeof metadata->embedding, err);
    if (rc == 0)
        rc = take_choice(output, "activation", activation_names,
                         ACTIVATION_COUNT, &activation, err);
    if (rc)
        return rc;
    if (metadata->scores[0] != '\0')
        metadata->known |= KNOWN_SCORES;
    if (metadata->embedding[0] != '\0')
        metadata->known |= KNOWN_EMBEDDING;
    if (activation >= 0) {
        metadata->activation = (enum activation)activation;
        metadata->known |= KNOWN_ACTIVATION;
    }
    return 0;
}

static int read_quantised(const struct json_value *document,
                          struct metadata *metadata, struct err *err)
{
    static const char *const forms[] = {"none", "int8-weights", "int8-static"};
    int form = 0;
    int rc = take_choice(document, "quantized", forms, 3, &form, err);

    metadata->has_8_bits = form == 2;
    return rc;
}

static int read_names(const struct json_value *document,
                      struct metadata *metadata, struct err *err)
{
    int rc;

    rc =
        take_text(document, "name", metadata->name, sizeof metadata->name, err);
    if (rc == 0)
        rc = take_text(document, "version", metadata->version,
                       sizeof metadata->version, err);
    if (rc == 0)
        rc = take_text(document, "created", metadata->created,
                       sizeof metadata->created, err);
    if (rc == 0)
        rc = take_text(document, "description", metadata->description,
                       sizeof metadata->description, err);
    if (rc == 0)
        rc = take_file(document, "file", metadata->file, sizeof metadata->file,
                       err);
    if (rc == 0)
        rc = take_file(document, "labels", metadata->labels,
                       sizeof metadata->labels, err);
    return rc;
}

int metadata_read(const struct json_value *document, struct metadata *metadata,
                  struct err *err)
{
    int rc;

    metadata->accuracy = NAN;
    metadata->transform.filter = FILTER_BILINEAR_AA;
    if (json_type(document) != JSON_IS_OBJECT)
        return err_set(err, ERR_UNPROCESSABLE, "it is no JSON object");
    rc = read_names(document, metadata, err);
    if (rc == 0)
        rc = read_quantised(document, metadata, err);
    if (rc == 0)
        rc = json_take_number(document, "accuracy", 0, 1, &metadata->accuracy,
                              err);
    if (rc == 0)
        rc = read_input(json_find(document, "input"), metadata, err);
    if (rc == 0)
        rc = read_output(json_find(document, "output"), metadata, err);
    return rc == 0 ? 0 : (err->code = ERR_UNPROCESSABLE);
}
