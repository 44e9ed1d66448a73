/* SPDX-License-Identifier: Apache-2.0 */
/* WebP by libwebp: lossy and lossless, with or without alpha; of an
 * animation the first frame, laid on a white canvas.
 *
 * The container (RIFF: name, length, body, padding to even) is read here,
 * because libwebp alone does not decode animations. What it decodes is one
 * frame's chunks, [ALPH] VP8 or VP8L, which it takes without a container. */
#include "image/codec.h"

#include <string.h>

#include <webp/decode.h>

#include "base/mem.h"

enum {
    RIFF_HEADER_LEN = 12, /* "RIFF", length, "WEBP" */
    CHUNK_HEADER_LEN = 8,
    VP8X_LEN = 10,
    ANMF_LEN = 16, /* before the frame's own chunks */
    FLAG_ANIMATION = 2,
};

/* Where the frame lies on the canvas, and its chunks. */
struct frame {
    struct bytes data; /* borrowed from the file */
    int x, y;          /* px */
    int width, height; /* px */
    bool has_alpha;
};

static uint32_t read_u24(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
}

static uint32_t read_u32(const uint8_t *at)
{
    return read_u24(at) | (uint32_t)at[3] << 24;
}

/* Takes the next chunk off *rest. False at the end and when the chunk is
 * longer than what is left. */
static bool next_chunk(struct bytes *rest, const uint8_t **name,
                       struct bytes *body)
{
    size_t len;

    if (rest->len < CHUNK_HEADER_LEN)
        return false;
    len = read_u32(rest->data + 4);
    if (len > rest->len - CHUNK_HEADER_LEN)
        return false;
    *name = rest->data;
    *body = (struct bytes){rest->data + CHUNK_HEADER_LEN, len};
    len += CHUNK_HEADER_LEN;
    if (len < rest->len)
        len += len & 1;
    *rest = (struct bytes){rest->data + len, rest->len - len};
    return true;
}

static bool is_animation(struct bytes file)
{
    const uint8_t *chunk = file.data + RIFF_HEADER_LEN;

    return file.len >= RIFF_HEADER_LEN + CHUNK_HEADER_LEN + VP8X_LEN &&
           memcmp(chunk, "VP8X", 4) == 0 &&
           (chunk[CHUNK_HEADER_LEN] & FLAG_ANIMATION) != 0;
}

/* The first ANMF chunk. */
static int find_frame(struct bytes file, struct frame *frame,
                      const struct image *image, struct err *err)
{
    struct bytes rest = {file.data + RIFF_HEADER_LEN,
                         file.len - RIFF_HEADER_LEN};
    struct bytes body;
    const uint8_t *name;

    while (next_chunk(&rest, &name, &body)) {
        if (memcmp(name, "ANMF", 4) != 0)
            continue;
        if (body.len < ANMF_LEN)
            return codec_damaged(image, "a frame has no header", err);
        frame->x = 2 * (int)read_u24(body.data);
        frame->y = 2 * (int)read_u24(body.data + 3);
        frame->width = 1 + (int)read_u24(body.data + 6);
        frame->height = 1 + (int)read_u24(body.data + 9);
        frame->data = (struct bytes){body.data + ANMF_LEN, body.len - ANMF_LEN};
        return 0;
    }
    return codec_damaged(image, "premature end of data", err);
}

static int check_status(VP8StatusCode status, const struct image *image,
                        struct err *err)
{
    switch (status) {
    case VP8_STATUS_OK:
        return 0;
    case VP8_STATUS_OUT_OF_MEMORY:
        return codec_no_memory(image, err);
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return codec_damaged(image, "premature end of data", err);
    default:
        return codec_damaged(image, "its structure is wrong", err);
    }
}

/* libwebp says that memory is short of a damaged alpha chunk too (1.5 does).
 * Sizes are within the limits by now, so it is believed only if the memory of
 * one more picture cannot be had. */
static bool is_memory_short(const struct frame *frame)
{
    void *room =
        mem_try_aligned((size_t)frame->width * (size_t)frame->height, 4);

    mem_free(room);
    return room == NULL;
}

/* Decodes the frame's chunks into rows of out. */
static int decode_frame(const struct frame *frame, uint8_t *out, int row_len,
                        const struct image *image, struct err *err)
{
    WebPDecoderConfig config;
    VP8StatusCode status;

    if (!WebPInitDecoderConfig(&config))
        return err_set(err, ERR_INTERNAL,
                       "libwebp is not the one that olho was built with");
    config.output.colorspace = frame->has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = out;
    config.output.u.RGBA.stride = row_len;
    config.output.u.RGBA.size = (size_t)row_len * (size_t)frame->height;
    status = WebPDecode(frame->data.data, frame->data.len, &config);
    WebPFreeDecBuffer(&config.output);
    if (status == VP8_STATUS_OUT_OF_MEMORY && !is_memory_short(frame))
        status = VP8_STATUS_BITSTREAM_ERROR;
    return check_status(status, image, err);
}

static uint8_t *pixel_at(struct image *image, int x, int y)
{
    return image->pixels +
           3 * ((size_t)y * (size_t)image->width_px + (size_t)x);
}

static int draw_translucent(const struct frame *frame, struct image *image,
                            struct err *err)
{
    size_t width = (size_t)frame->width;
    uint8_t *rgba = mem_try_aligned(width * (size_t)frame->height, 4);
    int rc;

    if (rgba == NULL)
        return codec_no_memory(image, err);
    rc = decode_frame(frame, rgba, frame->width * 4, image, err);
    for (int y = 0; !rc && y < frame->height; y++)
        codec_over_white(rgba + (size_t)y * width * 4,
                         pixel_at(image, frame->x, frame->y + y), width);
    mem_free(rgba);
    return rc;
}

static int draw(const struct frame *frame, struct image *image, struct err *err)
{
    if (frame->has_alpha)
        return draw_translucent(frame, image, err);
    return decode_frame(frame, pixel_at(image, frame->x, frame->y),
                        image->width_px * 3, image, err);
}

static int decode_still(struct bytes file, const struct decode_options *options,
                        struct image *image, struct err *err)
{
    struct frame frame = {.data = file};
    WebPBitstreamFeatures features = {0};
    int rc = check_status(WebPGetFeatures(file.data, file.len, &features),
                          image, err);

    if (!rc)
        rc = codec_begin(image, features.width, features.height,
                         &options->limits, err);
    if (rc)
        return rc;
    frame.width = features.width;
    frame.height = features.height;
    frame.has_alpha = features.has_alpha;
    return draw(&frame, image, err);
}

static int check_frame(struct frame *frame, const struct image *image,
                       struct err *err)
{
    WebPBitstreamFeatures features = {0};
    int rc = check_status(
        WebPGetFeatures(frame->data.data, frame->data.len, &features), image,
        err);

    if (rc)
        return rc;
    if (features.width != frame->width || features.height != frame->height ||
        features.has_animation || frame->x > image->width_px - frame->width ||
        frame->y > image->height_px - frame->height)
        return codec_damaged(image, "a frame does not fit its canvas", err);
    frame->has_alpha = features.has_alpha;
    return 0;
}

static int decode_animation(struct bytes file,
                            const struct decode_options *options,
                            struct image *image, struct err *err)
{
    const uint8_t *canvas = file.data + RIFF_HEADER_LEN + CHUNK_HEADER_LEN + 4;
    struct frame frame = {0};
    int rc =
        codec_begin(image, 1 + (int64_t)read_u24(canvas),
                    1 + (int64_t)read_u24(canvas + 3), &options->limits, err);

    if (!rc)
        rc = find_frame(file, &frame, image, err);
    if (!rc)
        rc = check_frame(&frame, image, err);
    if (rc)
        return rc;
    memset(image->pixels, 255,
           (size_t)image->width_px * (size_t)image->height_px * 3);
    return draw(&frame, image, err);
}

static int decode(struct bytes file, const struct decode_options *options,
                  struct image *image, struct err *err)
{
    return is_animation(file) ? decode_animation(file, options, image, err)
                              : decode_still(file, options, image, err);
}

const struct codec codec_webp = {"WebP", "image/webp", true, decode};
