/* SPDX-License-Identifier: Apache-2.0 */
#include "models/model_sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/random.h"
#include "models/metadata_file.h"

enum {
    IMAGE_LEN_MAX = 64 << 20,
    NOISE_SIDE_PX = 320,
    SIDE_MAX_PX = 4096,
    NOISE_SEED = 1,
    TEXT_LEN_MAX = 64 << 10
};

/* What float32 networks differ by between processors is a hundredth of it. */
static const double tolerance_preset = 1e-3;

static const struct decode_options decode_all = {
    .limits = {1, 65535, (int64_t)1 << 28},
};

static int make_noise(const struct model_sample *sample, struct image **out,
                      struct err *err)
{
    struct image *image = NULL;
    uint64_t state = (uint64_t)sample->seed;
    size_t i, len = (size_t)(3 * sample->width_px * sample->height_px);
    int rc;

    rc = image_new((int)sample->width_px, (int)sample->height_px, &image, err);
    if (rc)
        return rc;
    for (i = 0; i < len; i++)
        image->pixels[i] = (uint8_t)(random_next(&state) >> 56);
    *out = image;
    return 0;
}

static int read_image(const char *path, struct image **out, struct err *err)
{
    struct buf data;
    int rc;

    buf_init(&data, IMAGE_LEN_MAX);
    rc = file_read(path, &data, err);
    if (rc == 0)
        rc = image_decode(buf_bytes(&data), &decode_all, out, err);
    if (rc && rc != ERR_UNAVAILABLE) {
        err->code = ERR_UNPROCESSABLE;
        rc = err_wrap(err, "sample");
    }
    buf_release(&data);
    return rc;
}

static int make_image(const char *dir, const struct model_sample *sample,
                      struct image **out, struct err *err)
{
    char path[FILE_PATH_MAX];
    int rc;

    if (sample->image[0] == '\0')
        return make_noise(sample, out, err);
    rc = file_join(dir, sample->image, path, err);
    return rc ? rc : read_image(path, out, err);
}

/* --- running --- */

static void project(const float *embedding, int len, struct model_sample *out)
{
    int i, k;

    out->projection_count = MODEL_SAMPLE_PROJECTIONS;
    for (k = 0; k < MODEL_SAMPLE_PROJECTIONS; k++) {
        uint64_t state = (uint64_t)k;

        out->projections[k] = 0;
        for (i = 0; i < len; i++)
            out->projections[k] += random_next(&state) >> 63
                                       ? (double)embedding[i]
                                       : -(double)embedding[i];
    }
}

/* The class of that name; -1: none. */
static int find_class(const struct bundle *bundle, const char *name)
{
    int i;

    for (i = 0; i < bundle->class_count; i++)
        if (strcmp(bundle->labels.names[i], name) == 0)
            return i;
    return -1;
}

/* Fills *out with what the model says: of the class of that number, or of the
 * best one (-1). */
static int run(const struct bundle *bundle, const struct image *image,
               int class_id, struct model_sample *out, struct err *err)
{
    size_t embedding_len =
        bundle->embedding_len > 0 ? (size_t)bundle->embedding_len : 1;
    float *scores = mem_try((size_t)bundle->class_count, sizeof *scores);
    float *embedding = mem_try(embedding_len, sizeof *embedding);
    struct bundle_times times;
    struct bundle_class best;
    int rc;

    if (scores == NULL || embedding == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %d scores",
                     bundle->class_count);
    else
        rc = bundle_run(bundle, image, scores,
                        bundle->embedding_len > 0 ? embedding : NULL, &times,
                        err);
    if (rc)
        goto out;
    bundle_rank(bundle, scores, 1, &best);
    if (class_id < 0)
        class_id = best.id;
    snprintf(out->class_name, sizeof out->class_name, "%s",
             bundle->labels.names[class_id]);
    out->score = (double)scores[class_id];
    out->projection_count = 0;
    if (bundle->embedding_len > 0)
        project(embedding, bundle->embedding_len, out);
out:
    mem_free(embedding);
    mem_free(scores);
    return rc;
}

/* --- reading --- */

static int take_text(const struct json_value *object, const char *key,
                     char *out, size_t size, struct err *err)
{
    const char *text = NULL;
    int rc = json_take_text(object, key, &text, err);

    if (rc || text == NULL)
        return rc;
    if (strlen(text) >= size)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s has %zu bytes; at most %zu are read", key,
                       strlen(text), size - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int take_projections(const struct json_value *list,
                            struct model_sample *out, struct err *err)
{
    int i;

    if (list == NULL || json_type(list) == JSON_IS_NULL)
        return 0;
    if (json_type(list) != JSON_IS_ARRAY ||
        json_count(list) != MODEL_SAMPLE_PROJECTIONS)
        return err_set(err, ERR_UNPROCESSABLE,
                       "embedding must be a list of %d numbers",
                       MODEL_SAMPLE_PROJECTIONS);
    for (i = 0; i < MODEL_SAMPLE_PROJECTIONS; i++)
        if (!json_number(json_at(list, (size_t)i), &out->projections[i]))
            return err_set(err, ERR_UNPROCESSABLE,
                           "embedding must be a list of %d numbers",
                           MODEL_SAMPLE_PROJECTIONS);
    out->projection_count = MODEL_SAMPLE_PROJECTIONS;
    return 0;
}

static int take_sample(const struct json_value *object,
                       struct model_sample *out, struct err *err)
{
    int rc;

    *out = (struct model_sample){.seed = NOISE_SEED,
                                 .width_px = NOISE_SIDE_PX,
                                 .height_px = NOISE_SIDE_PX,
                                 .score = NAN,
                                 .tolerance = tolerance_preset};
    rc = take_text(object, "image", out->image, sizeof out->image, err);
    if (rc == 0)
        rc = take_text(object, "class", out->class_name, sizeof out->class_name,
                       err);
    if (rc == 0)
        rc = json_take_integer(object, "seed", 0, INT64_MAX, &out->seed, err);
    if (rc == 0)
        rc = json_take_integer(object, "width", 1, SIDE_MAX_PX, &out->width_px,
                               err);
    if (rc == 0)
        rc = json_take_integer(object, "height", 1, SIDE_MAX_PX,
                               &out->height_px, err);
    if (rc == 0)
        rc = json_take_number(object, "score", 0, 1, &out->score, err);
    if (rc == 0)
        rc = json_take_number(object, "tolerance", 0, 1, &out->tolerance, err);
    if (rc == 0)
        rc = take_projections(json_find(object, "embedding"), out, err);
    if (rc == 0 && (strchr(out->image, '/') != NULL || !isfinite(out->score)))
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "it has no score, or its image lies in another folder");
    if (rc)
        err->code = ERR_UNPROCESSABLE;
    return rc ? err_wrap(err, "sample") : 0;
}

static int read_sample(const char *dir, struct model_sample *out,
                       struct err *err)
{
    struct json_value *document = NULL;
    const struct json_value *object;
    int rc;

    rc = metadata_file_read(dir, &document, err);
    if (rc)
        return rc;
    object = json_find(document, "sample");
    if (object == NULL)
        rc = err_set(err, ERR_NOT_FOUND,
                     "model %s has no sample; `olho model check --write` "
                     "stores one",
                     dir);
    else
        rc = take_sample(object, out, err);
    json_free(document);
    return rc;
}

/* --- comparing --- */

static double compare_projections(const struct model_sample *a,
                                  const struct model_sample *b)
{
    double most = 0;
    int i;

    for (i = 0; i < a->projection_count; i++)
        if (!(fabs(a->projections[i] - b->projections[i]) <= most))
            most = fabs(a->projections[i] - b->projections[i]);
    return most;
}

static int compare(struct model_sample_result *result, struct err *err)
{
    const struct model_sample *said = &result->said, *got = &result->got;

    if (said->projection_count > 0 && got->projection_count == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the sample has an embedding, the model gives none");
    result->score_difference = fabs(said->score - got->score);
    result->embedding_difference = compare_projections(said, got);
    /* Written so that NaN fails too. */
    if (!(result->score_difference <= said->tolerance))
        return err_set(err, ERR_UNPROCESSABLE,
                       "the sample's score of \"%.100s\" is %.6f; it was %.6f, "
                       "and may differ by %g",
                       said->class_name, got->score, said->score,
                       said->tolerance);
    if (!(result->embedding_difference <= said->tolerance))
        return err_set(err, ERR_UNPROCESSABLE,
                       "the sample's embedding differs by %.6f; it may by %g",
                       result->embedding_difference, said->tolerance);
    return 0;
}

int model_sample_check(const struct bundle *bundle, const char *dir,
                       struct model_sample_result *out, struct err *err)
{
    struct image *image = NULL;
    int class_id, rc;

    *out = (struct model_sample_result){0};
    rc = read_sample(dir, &out->said, err);
    if (rc)
        return rc;
    class_id = find_class(bundle, out->said.class_name);
    if (class_id < 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the sample's class \"%.100s\" is none of the model's",
                       out->said.class_name);
    rc = make_image(dir, &out->said, &image, err);
    if (rc == 0)
        rc = run(bundle, image, class_id, &out->got, err);
    if (rc == 0)
        rc = compare(out, err);
    image_free(image);
    return rc;
}

/* --- writing --- */

static int store(const char *dir, const struct model_sample *sample,
                 struct err *err)
{
    struct json_writer json;
    struct buf text;
    int i, rc;

    buf_init(&text, TEXT_LEN_MAX);
    json_writer_init(&json, &text);
    json_object_begin(&json);
    if (sample->image[0] != '\0') {
        json_key(&json, "image");
        json_put_text(&json, sample->image);
    } else {
        json_key(&json, "seed");
        json_put_integer(&json, sample->seed);
        json_key(&json, "width");
        json_put_integer(&json, sample->width_px);
        json_key(&json, "height");
        json_put_integer(&json, sample->height_px);
    }
    json_key(&json, "class");
    json_put_text(&json, sample->class_name);
    json_key(&json, "score");
    json_put_fixed(&json, sample->score, 6);
    if (sample->projection_count > 0) {
        json_key(&json, "embedding");
        json_array_begin(&json);
        for (i = 0; i < sample->projection_count; i++)
            json_put_fixed(&json, sample->projections[i], 6);
        json_array_end(&json);
    }
    json_key(&json, "tolerance");
    json_put_double(&json, sample->tolerance);
    json_object_end(&json);
    rc = buf_check(&text, err);
    if (rc == 0)
        rc = metadata_file_set(dir, "sample", buf_bytes(&text), err);
    buf_release(&text);
    return rc;
}

/* Copies an image into the folder, called by its format. */
static int copy_image(const char *dir, const char *path,
                      struct model_sample *sample, struct err *err)
{
    char to[FILE_PATH_MAX];
    struct buf data;
    int rc;

    buf_init(&data, IMAGE_LEN_MAX);
    rc = file_read(path, &data, err);
    if (rc == 0) {
        const char *mime = image_format_mime(image_sniff(buf_bytes(&data)));
        const char *kind = mime != NULL ? strchr(mime, '/') : NULL;

        snprintf(sample->image, sizeof sample->image, "sample.%s",
                 kind != NULL ? kind + 1 : "image");
        rc = file_join(dir, sample->image, to, err);
    }
    if (rc == 0)
        rc = file_write(to, buf_bytes(&data), err);
    buf_release(&data);
    return rc;
}

int model_sample_write(const struct bundle *bundle, const char *dir,
                       const char *image_path, struct model_sample *out,
                       struct err *err)
{
    struct model_sample sample = {.seed = NOISE_SEED,
                                  .width_px = NOISE_SIDE_PX,
                                  .height_px = NOISE_SIDE_PX,
                                  .tolerance = tolerance_preset};
    struct image *image = NULL;
    int rc;

    rc = image_path != NULL ? read_image(image_path, &image, err)
                            : make_noise(&sample, &image, err);
    if (rc == 0)
        rc = run(bundle, image, -1, &sample, err);
    if (rc == 0 && image_path != NULL)
        rc = copy_image(dir, image_path, &sample, err);
    if (rc == 0)
        rc = store(dir, &sample, err);
    if (rc == 0)
        *out = sample;
    image_free(image);
    return rc;
}
