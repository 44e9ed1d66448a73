/* SPDX-License-Identifier: Apache-2.0 */
/* HEIF (HEVC) and AVIF (AV1) by libheif; of a sequence or a collection the
 * primary image. The library turns and mirrors the picture as the file asks,
 * so that sizes here are those of the upright picture. */
#include "image/codec.h"

#include <math.h>
#include <string.h>

#include <libheif/heif.h>

enum { BLOCK_PX = 64 };

struct reader {
    struct heif_context *heif;       /* owned */
    struct heif_image_handle *place; /* owned: the primary image in the file */
    struct heif_image *picture;      /* owned: its pixels */
};

static int check(struct heif_error error, const struct image *image,
                 struct err *err)
{
    switch (error.code) {
    case heif_error_Ok:
        return 0;
    case heif_error_Memory_allocation_error:
        if (error.subcode == heif_suberror_Security_limit_exceeded)
            return codec_damaged(image, "it asks for too much memory", err);
        return codec_no_memory(image, err);
    case heif_error_Unsupported_feature:
    case heif_error_Unsupported_filetype:
    case heif_error_Plugin_loading_error:
        return err_set(err, ERR_UNSUPPORTED,
                       "libheif on this machine cannot decode this %s",
                       image_format_name(image->format));
    default:
        if (error.subcode == heif_suberror_End_of_data)
            return codec_damaged(image, "premature end of data", err);
        return codec_damaged(image, "its structure is wrong", err);
    }
}

static int open_reader(struct reader *reader, struct bytes file,
                       const struct decode_options *options,
                       struct image *image, struct err *err)
{
    int rc;

    reader->heif = heif_context_alloc();
    if (reader->heif == NULL)
        return codec_no_memory(image, err);
    /* The library takes the side of a square for its limit of pixels, and
     * holds against it what is coded: sides filled up to whole blocks. */
    heif_context_set_maximum_image_size_limit(
        reader->heif,
        (int)ceil(sqrt((double)options->limits.pixels_max)) + BLOCK_PX);
    heif_context_set_max_decoding_threads(reader->heif, 0);
    rc = check(heif_context_read_from_memory_without_copy(
                   reader->heif, file.data, file.len, NULL),
               image, err);
    if (rc)
        return rc;
    rc = check(
        heif_context_get_primary_image_handle(reader->heif, &reader->place),
        image, err);
    if (rc)
        return rc;
    return codec_check(heif_image_handle_get_width(reader->place),
                       heif_image_handle_get_height(reader->place),
                       &options->limits, err);
}

/* The name of the quiet AV1 decoder, or NULL: whichever libheif prefers. It is
 * the same at every call. */
static const char *choose_decoder(enum image_format format)
{
    enum { DECODERS_MAX = 16 };
    const struct heif_decoder_descriptor *decoders[DECODERS_MAX];
    int count;

    if (format != IMAGE_AVIF)
        return NULL;
    count = heif_get_decoder_descriptors(heif_compression_AV1, decoders,
                                         DECODERS_MAX);
    for (int i = 0; i < count; i++) {
        const char *name = heif_decoder_descriptor_get_id_name(decoders[i]);

        if (name != NULL && strcmp(name, "aom") == 0)
            return name;
    }
    return NULL;
}

static int decode_picture(struct reader *reader, bool has_alpha,
                          const struct image *image, struct err *err)
{
    struct heif_decoding_options *options = heif_decoding_options_alloc();
    int rc;

    if (options == NULL)
        return codec_no_memory(image, err);
    options->convert_hdr_to_8bit = 1;
    options->strict_decoding = 1;
    options->decoder_id = choose_decoder(image->format);
    rc = check(heif_decode_image(reader->place, &reader->picture,
                                 heif_colorspace_RGB,
                                 has_alpha ? heif_chroma_interleaved_RGBA
                                           : heif_chroma_interleaved_RGB,
                                 options),
               image, err);
    heif_decoding_options_free(options);
    return rc;
}

/* Where alpha is multiplied in already, white shows through what is left. */
static void add_white(const uint8_t *rgba, uint8_t *rgb, size_t count)
{
    for (size_t i = 0; i < count; i++, rgba += 4, rgb += 3)
        for (int j = 0; j < 3; j++) {
            int value = rgba[j] + 255 - rgba[3];

            rgb[j] = (uint8_t)(value > 255 ? 255 : value);
        }
}

static int copy_rows(struct reader *reader, bool has_alpha, struct image *image,
                     struct err *err)
{
    bool is_multiplied =
        heif_image_handle_is_premultiplied_alpha(reader->place) != 0;
    size_t width = (size_t)image->width_px;
    int stride;
    const uint8_t *from = heif_image_get_plane_readonly(
        reader->picture, heif_channel_interleaved, &stride);

    if (from == NULL ||
        heif_image_get_primary_width(reader->picture) != image->width_px ||
        heif_image_get_primary_height(reader->picture) != image->height_px)
        return codec_damaged(image, "its sizes contradict each other", err);
    for (int y = 0; y < image->height_px; y++, from += stride) {
        uint8_t *row = image->pixels + (size_t)y * width * 3;

        if (!has_alpha)
            memcpy(row, from, width * 3);
        else if (is_multiplied)
            add_white(from, row, width);
        else
            codec_over_white(from, row, width);
    }
    return 0;
}

static int run(struct reader *reader, struct bytes file,
               const struct decode_options *options, struct image *image,
               struct err *err)
{
    bool has_alpha;
    int rc = open_reader(reader, file, options, image, err);

    if (rc)
        return rc;
    has_alpha = heif_image_handle_has_alpha_channel(reader->place) != 0;
    rc = decode_picture(reader, has_alpha, image, err);
    if (!rc)
        rc = codec_begin(image, heif_image_handle_get_width(reader->place),
                         heif_image_handle_get_height(reader->place),
                         &options->limits, err);
    return rc ? rc : copy_rows(reader, has_alpha, image, err);
}

static int decode(struct bytes file, const struct decode_options *options,
                  struct image *image, struct err *err)
{
    struct reader reader = {0};
    int rc = run(&reader, file, options, image, err);

    if (reader.picture != NULL)
        heif_image_release(reader.picture);
    if (reader.place != NULL)
        heif_image_handle_release(reader.place);
    if (reader.heif != NULL)
        heif_context_free(reader.heif);
    return rc;
}

const struct codec codec_heif = {"HEIF", "image/heif", true, decode};
const struct codec codec_avif = {"AVIF", "image/avif", true, decode};
