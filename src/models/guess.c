/* SPDX-License-Identifier: Apache-2.0 */
#include "models/guess.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SIDE_MAX_PX = 8192, VALUES_MAX = 1 << 20 };

static void add_note(struct bundle *bundle, const char *format, ...)
    PRINTF_LIKE(2, 3);

static void add_note(struct bundle *bundle, const char *format, ...)
{
    va_list args;

    if (bundle->note_count == BUNDLE_NOTES_MAX)
        return;
    va_start(args, format);
    vsnprintf(bundle->notes[bundle->note_count++], BUNDLE_NOTE_LEN, format,
              args);
    va_end(args);
}

static int find_input(struct bundle *bundle, struct err *err)
{
    struct metadata *metadata = &bundle->metadata;
    const struct tensor_spec *spec;
    int count = engine_input_count(bundle->engine);

    if (count != 1)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the network has %d inputs; one image is all we have",
                       count);
    spec = engine_input(bundle->engine, 0);
    if (metadata->input[0] != '\0' && strcmp(metadata->input, spec->name) != 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "metadata names input \"%s\"; the network's is \"%s\"",
                       metadata->input, spec->name);
    snprintf(metadata->input, sizeof metadata->input, "%s", spec->name);
    bundle->input_i = 0;
    if (spec->rank != 4 || spec->type != TENSOR_FLOAT32)
        return err_set(err, ERR_UNPROCESSABLE,
                       "input \"%s\" has rank %d; an image is float32 of rank "
                       "4",
                       spec->name, spec->rank);
    if (spec->dims[0] > 1)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the network's batch is fixed at %lld; it must be 1 or "
                       "free",
                       (long long)spec->dims[0]);
    return 0;
}

static int find_layout(struct bundle *bundle, const struct tensor_spec *spec,
                       struct err *err)
{
    struct transform *transform = &bundle->metadata.transform;
    bool is_nchw = spec->dims[1] == 3, is_nhwc = spec->dims[3] == 3;

    if (bundle->metadata.known & KNOWN_LAYOUT) {
        if (spec->dims[transform->layout == LAYOUT_NCHW ? 1 : 3] > 0 &&
            !(transform->layout == LAYOUT_NCHW ? is_nchw : is_nhwc))
            return err_set(err, ERR_UNPROCESSABLE,
                           "metadata says %s, which input \"%s\" is not",
                           transform->layout == LAYOUT_NCHW ? "NCHW" : "NHWC",
                           spec->name);
        return 0;
    }
    if (is_nchw == is_nhwc)
        return err_set(err, ERR_UNPROCESSABLE,
                       "input \"%s\" is %lld x %lld x %lld; metadata.json must "
                       "say its layout",
                       spec->name, (long long)spec->dims[1],
                       (long long)spec->dims[2], (long long)spec->dims[3]);
    transform->layout = is_nchw ? LAYOUT_NCHW : LAYOUT_NHWC;
    add_note(bundle, "layout %s, from the graph", is_nchw ? "NCHW" : "NHWC");
    return 0;
}

static int find_side(int64_t graph, int given, int preset, int *out,
                     struct err *err)
{
    if (graph > 0 && given > 0 && graph != given)
        return err_set(err, ERR_UNPROCESSABLE,
                       "metadata says a side of %d px; the network wants %lld",
                       given, (long long)graph);
    if (graph > SIDE_MAX_PX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the network wants a side of %lld px; at most %d are "
                       "made",
                       (long long)graph, SIDE_MAX_PX);
    *out = given > 0 ? given : graph > 0 ? (int)graph : preset;
    return 0;
}

static int find_size(struct bundle *bundle, const struct tensor_spec *spec,
                     int size_px, struct err *err)
{
    struct transform *transform = &bundle->metadata.transform;
    int first = transform->layout == LAYOUT_NCHW ? 2 : 1;
    int rc;

    rc = find_side(spec->dims[first], transform->height_px, size_px,
                   &transform->height_px, err);
    if (rc == 0)
        rc = find_side(spec->dims[first + 1], transform->width_px, size_px,
                       &transform->width_px, err);
    if (rc == 0 && !(bundle->metadata.known & KNOWN_SIZE))
        add_note(bundle, "size %d x %d px, from %s", transform->width_px,
                 transform->height_px,
                 spec->dims[first] > 0 ? "the graph" : "INPUT_SIZE");
    return rc;
}

/* The customs of the two worlds that networks come from: Keras lays out NHWC
 * and takes value / 255 of a stretched image; torchvision lays out NCHW and
 * takes the ImageNet mean and deviation of a centre crop of 224 from 256. */
static void guess_preparation(struct bundle *bundle)
{
    static const double keras_mean[3] = {0, 0, 0}, keras_std[3] = {1, 1, 1};
    static const double torch_mean[3] = {0.485, 0.456, 0.406};
    static const double torch_std[3] = {0.229, 0.224, 0.225};
    struct metadata *metadata = &bundle->metadata;
    struct transform *transform = &metadata->transform;
    bool is_torch = transform->layout == LAYOUT_NCHW;
    unsigned known = metadata->known;

    if (!(known & KNOWN_NORMALISATION)) {
        metadata_set_normalisation(metadata, is_torch ? torch_mean : keras_mean,
                                   is_torch ? torch_std : keras_std);
        metadata->known = known;
        add_note(bundle, "normalisation %s, by custom",
                 is_torch ? "with the ImageNet mean and deviation"
                          : "value / 255");
    }
    if (!(known & KNOWN_RESIZE)) {
        transform->filter = FILTER_BILINEAR_AA;
        transform->fit = is_torch ? FIT_CROP : FIT_STRETCH;
        if (is_torch && transform->short_side_px == 0)
            transform->short_side_px = transform->height_px * 256 / 224;
        add_note(bundle, "%s %s, by custom", filter_name(transform->filter),
                 fit_name(transform->fit));
    }
}

/* The values that one image gives in an output: all but the first dimension,
 * which must be the batch; 0 when it cannot hold scores or an embedding. */
static int output_len(const struct tensor_spec *spec)
{
    int64_t len = 1;
    int i;

    if (spec->type != TENSOR_FLOAT32 || spec->rank < 2 || spec->dims[0] > 1)
        return 0;
    for (i = 1; i < spec->rank; i++) {
        if (spec->dims[i] < 1 || spec->dims[i] > VALUES_MAX)
            return 0;
        len *= spec->dims[i];
        if (len > VALUES_MAX)
            return 0;
    }
    return (int)len;
}

static int find_output(struct bundle *bundle, const char *name, int *out,
                       struct err *err)
{
    int i;

    for (i = 0; i < engine_output_count(bundle->engine); i++)
        if (strcmp(engine_output(bundle->engine, i)->name, name) == 0) {
            *out = i;
            return 0;
        }
    return err_set(err, ERR_UNPROCESSABLE,
                   "metadata names output \"%s\", which the network lacks",
                   name);
}

static bool is_embedding_name(const char *name)
{
    static const char *const parts[] = {"embed", "feature", "pool",
                                        "bottleneck"};
    size_t i;

    for (i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcasestr(name, parts[i]) != NULL)
            return true;
    return false;
}

/* The first usable output that is (or is not) called like an embedding; -1. */
static int pick_output(struct bundle *bundle, bool wants_embedding, int except)
{
    int i;

    for (i = 0; i < engine_output_count(bundle->engine); i++) {
        const struct tensor_spec *spec = engine_output(bundle->engine, i);

        if (i != except && output_len(spec) > 0 &&
            is_embedding_name(spec->name) == wants_embedding)
            return i;
    }
    return -1;
}

static int find_scores(struct bundle *bundle, struct err *err)
{
    struct metadata *metadata = &bundle->metadata;
    int rc;

    if (metadata->known & KNOWN_SCORES) {
        rc = find_output(bundle, metadata->scores, &bundle->scores_i, err);
        if (rc)
            return rc;
    } else {
        bundle->scores_i = pick_output(bundle, false, -1);
        if (bundle->scores_i < 0)
            bundle->scores_i = pick_output(bundle, true, -1);
    }
    if (bundle->scores_i < 0 ||
        output_len(engine_output(bundle->engine, bundle->scores_i)) == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "no output gives a fixed number of float32 scores for "
                       "one image");
    bundle->score_len =
        output_len(engine_output(bundle->engine, bundle->scores_i));
    bundle->class_count = bundle->score_len == 1 ? 2 : bundle->score_len;
    snprintf(metadata->scores, sizeof metadata->scores, "%s",
             engine_output(bundle->engine, bundle->scores_i)->name);
    if (!(metadata->known & KNOWN_SCORES))
        add_note(bundle, "scores in output \"%.60s\", from the graph",
                 metadata->scores);
    return 0;
}

static int find_embedding(struct bundle *bundle, struct err *err)
{
    struct metadata *metadata = &bundle->metadata;
    const struct tensor_spec *spec;
    int rc;

    if (metadata->known & KNOWN_EMBEDDING) {
        rc =
            find_output(bundle, metadata->embedding, &bundle->embedding_i, err);
        if (rc)
            return rc;
    } else {
        bundle->embedding_i = pick_output(bundle, true, bundle->scores_i);
        if (bundle->embedding_i < 0)
            bundle->embedding_i = pick_output(bundle, false, bundle->scores_i);
    }
    if (bundle->embedding_i < 0) {
        add_note(bundle, "no embedding: the network has no further output");
        return 0;
    }
    spec = engine_output(bundle->engine, bundle->embedding_i);
    bundle->embedding_len = output_len(spec);
    if (bundle->embedding_len == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "output \"%s\" gives no fixed number of float32 values "
                       "for one image",
                       spec->name);
    snprintf(metadata->embedding, sizeof metadata->embedding, "%s", spec->name);
    if (!(metadata->known & KNOWN_EMBEDDING))
        add_note(bundle, "embedding in output \"%.60s\", from the graph",
                 metadata->embedding);
    return 0;
}

int guess_tensors(struct bundle *bundle, int size_px, struct err *err)
{
    const struct tensor_spec *spec;
    int rc;

    bundle->embedding_i = -1;
    rc = find_input(bundle, err);
    if (rc)
        return rc;
    spec = engine_input(bundle->engine, bundle->input_i);
    rc = find_layout(bundle, spec, err);
    if (rc == 0)
        rc = find_size(bundle, spec, size_px, err);
    if (rc)
        return rc;
    guess_preparation(bundle);
    rc = find_scores(bundle, err);
    return rc ? rc : find_embedding(bundle, err);
}

void guess_activation(struct bundle *bundle, const float *raw)
{
    struct metadata *metadata = &bundle->metadata;
    bool is_probable = true;
    double sum = 0;
    int i;

    if (metadata->known & KNOWN_ACTIVATION)
        return;
    for (i = 0; i < bundle->score_len; i++) {
        is_probable = is_probable && raw[i] >= 0 && raw[i] <= 1.0001f;
        sum += raw[i];
    }
    if (bundle->score_len > 1)
        is_probable = is_probable && fabs(sum - 1) < 1e-3;
    metadata->activation = is_probable              ? ACTIVATION_NONE
                           : bundle->score_len == 1 ? ACTIVATION_SIGMOID
                                                    : ACTIVATION_SOFTMAX;
    add_note(bundle, "activation %s, from one run on a grey image",
             activation_name(metadata->activation));
}
