/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json_write.h"
#include "cmd/command.h"
#include "models/bundle.h"

enum { TEXT_LEN_MAX = 1 << 20 };

static const char *layout_name(enum layout layout)
{
    return layout == LAYOUT_NCHW ? "NCHW" : "NHWC";
}

static const char *order_name(enum channel_order order)
{
    return order == ORDER_RGB ? "RGB" : "BGR";
}

static void print_input(const struct metadata *metadata)
{
    const struct transform *transform = &metadata->transform;
    int i;

    printf("input      \"%s\" %s %s, %d x %d px\n", metadata->input,
           layout_name(transform->layout), order_name(transform->order),
           transform->width_px, transform->height_px);
    printf("resize     %s, %s", filter_name(transform->filter),
           fit_name(transform->fit));
    if (transform->fit == FIT_CROP && transform->short_side_px > 0)
        printf(" from a short side of %d px", transform->short_side_px);
    if (transform->fit == FIT_LETTERBOX)
        printf(" with grey %d around it", transform->pad);
    printf("\nnormalise  value * [");
    for (i = 0; i < 3; i++)
        printf("%s%.6g", i > 0 ? ", " : "", (double)transform->scale[i]);
    printf("] + [");
    for (i = 0; i < 3; i++)
        printf("%s%.6g", i > 0 ? ", " : "", (double)transform->bias[i]);
    printf("]\n");
}

static void print_text(const struct bundle *bundle)
{
    const struct metadata *metadata = &bundle->metadata;
    int i;

    printf("model      %s %s\n", metadata->name, metadata->version);
    if (metadata->description[0] != '\0')
        printf("           %s\n", metadata->description);
    if (metadata->created[0] != '\0')
        printf("created    %s\n", metadata->created);
    printf("file       %s\n", bundle->file);
    printf("engine     %s\n", engine_version());
    print_input(metadata);
    printf("scores     \"%s\", %d classes, activation %s\n", metadata->scores,
           bundle->class_count, activation_name(metadata->activation));
    if (bundle->embedding_len > 0)
        printf("embedding  \"%s\", %d values\n", metadata->embedding,
               bundle->embedding_len);
    else
        printf("embedding  none\n");
    if (isfinite(metadata->accuracy))
        printf("accuracy   %g\n", metadata->accuracy);
    printf("labels     0 %s .. %d %s\n", bundle->labels.names[0],
           bundle->class_count - 1,
           bundle->labels.names[bundle->class_count - 1]);
    for (i = 0; i < bundle->note_count; i++)
        printf("guessed    %s\n", bundle->notes[i]);
}

static void put_text(struct json_writer *json, const char *key,
                     const char *value)
{
    json_key(json, key);
    json_put_text(json, value);
}

static void put_integer(struct json_writer *json, const char *key,
                        int64_t value)
{
    json_key(json, key);
    json_put_integer(json, value);
}

static void write_input(struct json_writer *json,
                        const struct metadata *metadata)
{
    const struct transform *transform = &metadata->transform;

    json_key(json, "input");
    json_object_begin(json);
    put_text(json, "name", metadata->input);
    put_text(json, "layout", layout_name(transform->layout));
    put_text(json, "channels", order_name(transform->order));
    put_integer(json, "width", transform->width_px);
    put_integer(json, "height", transform->height_px);
    put_text(json, "filter", filter_name(transform->filter));
    put_text(json, "fit", fit_name(transform->fit));
    put_integer(json, "short_side", transform->short_side_px);
    put_integer(json, "pad", transform->pad);
    json_key(json, "scale");
    json_put_floats(json, transform->scale, 3);
    json_key(json, "bias");
    json_put_floats(json, transform->bias, 3);
    json_object_end(json);
}

static int print_json(const struct bundle *bundle, struct err *err)
{
    const struct metadata *metadata = &bundle->metadata;
    struct json_writer json;
    struct buf text;
    int i, rc;

    buf_init(&text, TEXT_LEN_MAX);
    json_writer_init(&json, &text);
    json_object_begin(&json);
    put_text(&json, "name", metadata->name);
    put_text(&json, "version", metadata->version);
    put_text(&json, "file", bundle->file);
    put_text(&json, "engine", engine_version());
    write_input(&json, metadata);
    put_text(&json, "scores", metadata->scores);
    put_text(&json, "activation", activation_name(metadata->activation));
    put_integer(&json, "classes", bundle->class_count);
    put_text(&json, "embedding",
             bundle->embedding_len > 0 ? metadata->embedding : NULL);
    put_integer(&json, "embedding_len", bundle->embedding_len);
    json_key(&json, "accuracy");
    json_put_double(&json, metadata->accuracy);
    json_key(&json, "guessed");
    json_array_begin(&json);
    for (i = 0; i < bundle->note_count; i++)
        json_put_text(&json, bundle->notes[i]);
    json_array_end(&json);
    json_object_end(&json);
    rc = buf_check(&text, err);
    if (rc == 0)
        printf("%s\n", text.data);
    buf_release(&text);
    return rc;
}

int command_model_show(struct arguments *arguments, struct err *err)
{
    const char *name = arguments->word_count > 0 ? arguments->words[0]
                                                 : arguments->config.model_path;
    struct bundle *bundle = NULL;
    char dir[FILE_PATH_MAX];
    int rc;

    rc = bundle_find(name, dir, err);
    if (rc == 0)
        rc = bundle_open(dir, &arguments->config, &bundle, err);
    if (rc)
        return EXIT_FAILED;
    if (arguments_flag(arguments, "json") != NULL)
        rc = print_json(bundle, err);
    else
        print_text(bundle);
    bundle_close(bundle);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
