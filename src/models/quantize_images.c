/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "models/quantize_run.h"

static int add_path(void *user, const char *path, struct err *err)
{
    struct quantize_images *images = user;
    size_t len = strlen(path) + 1;
    char **longer;

    if (images->count == QUANTIZE_IMAGES_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s has more than %d files",
                       images->options->images_dir, QUANTIZE_IMAGES_MAX);
    longer = mem_resize(images->paths, images->count + 1, sizeof *longer);
    if (longer != NULL) {
        images->paths = longer;
        longer[images->count] = mem_try(len, 1);
    }
    if (longer == NULL || longer[images->count] == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu paths",
                       images->count + 1);
    memcpy(longer[images->count++], path, len);
    return 0;
}

int quantize_images_list(const struct config *config,
                         const struct quantize_options *options,
                         struct quantize_images *out, struct err *err)
{
    int rc;

    *out = (struct quantize_images){.config = config, .options = options};
    rc = file_walk(options->images_dir, add_path, out, err);
    if (rc == 0 && out->count < QUANTIZE_IMAGES_MIN)
        rc = err_set(err, ERR_INVALID,
                     "%s has %zu files; at least %d images are needed to "
                     "calibrate and compare",
                     options->images_dir, out->count, QUANTIZE_IMAGES_MIN);
    return rc;
}

void quantize_images_release(struct quantize_images *images)
{
    size_t i;

    for (i = 0; i < images->count; i++)
        mem_free(images->paths[i]);
    mem_free(images->paths);
    *images = (struct quantize_images){0};
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static int load(const struct config *config, const struct transform *transform,
                const char *path, struct image **out, struct err *err)
{
    struct decode_options options = {
        .limits = {(int)config->image_side_min_px,
                   (int)config->image_side_max_px,
                   (int64_t)(config->image_megapixels_max * 1e6)},
        .target_width_px =
            larger(transform->width_px, transform->short_side_px),
        .target_height_px =
            larger(transform->height_px, transform->short_side_px),
    };
    struct buf file;
    int rc;

    buf_init(&file, (size_t)(config->image_size_max_mb * (1 << 20)));
    rc = file_read(path, &file, err);
    if (rc == 0)
        rc = image_decode(buf_bytes(&file), &options, out, err);
    buf_release(&file);
    return rc;
}

static void tell(const struct quantize_images *images, size_t done,
                 size_t total)
{
    if (images->options->progress != NULL)
        images->options->progress(images->options->user, done, total);
}

int quantize_images_run(struct quantize_images *images, enum quantize_half half,
                        const struct transform *transform,
                        quantize_image_fn *fn, void *user, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = half == HALF_CALIBRATES ? 0 : 1; rc == 0 && i < images->count;
         i += 2) {
        struct image *image = NULL;
        struct err why = {0};

        tell(images, i / 2, images->count / 2);
        if (load(images->config, transform, images->paths[i], &image, &why) ==
            0)
            rc = fn(user, image, err);
        else if (why.code == ERR_UNAVAILABLE)
            rc = err_set(err, why.code, "%s", why.text);
        else
            images->skipped_count++;
        image_free(image);
    }
    tell(images, 0, 0);
    return rc;
}
