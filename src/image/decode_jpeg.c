/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG by libjpeg-turbo: baseline and progressive, Huffman and arithmetic,
 * grey, YCbCr, RGB, CMYK and YCCK.
 *
 * The library reports a failure by calling fail(), which jumps back to
 * run_guarded(); nothing that must be freed lives between the two but what
 * the library itself frees. It never prints and never exits. */
#include "image/codec.h"
#include "image/jpeg.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum {
    /* A scan of a few bytes costs a walk over the whole image, about 1 ns a
     * pixel. Encoders write 10 or so, eager optimisers some more; the larger
     * the image, the fewer are taken, so that none costs over 2 s. */
    SCANS_MAX = 100,
    SCANS_OF_LARGE_MAX = 24,
    SCANNED_PIXELS_MAX = 1 << 30,
    ROWS_AT_ONCE = 16,
    FAILURE_CUT = -1, /* reader.failure: the data end too early */
    FAILURE_SCANS = -2,
};

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    int failure;        /* the library's message code, or one of ours */
    bool is_streaming;  /* one Huffman scan, decoded as it is read */
    bool is_at_the_end; /* the library has read past the last byte */
};

static _Noreturn void escape(struct reader *reader, int failure)
{
    reader->failure = failure;
    longjmp(reader->escape, 1);
}

static _Noreturn void fail(j_common_ptr jpeg)
{
    escape(jpeg->client_data, jpeg->err->msg_code);
}

static void stay_silent(j_common_ptr jpeg)
{
    (void)jpeg;
}

/* Level -1 is damage that the library papers over with grey. We go on as it
 * does, except where the file ends too early. Reading past the end alone is
 * no damage in a single Huffman scan, which may merely lack its last marker;
 * needing bits from there is. All other files were to have more scans. */
static void weigh(j_common_ptr jpeg, int level)
{
    struct reader *reader = jpeg->client_data;

    if (level >= 0)
        return;
    jpeg->err->num_warnings++;
    if (jpeg->err->msg_code == JWRN_JPEG_EOF) {
        reader->is_at_the_end = true;
        if (!reader->is_streaming)
            escape(reader, FAILURE_CUT);
    } else if (jpeg->err->msg_code == JWRN_HIT_MARKER &&
               reader->is_at_the_end) {
        escape(reader, FAILURE_CUT);
    }
}

static void count_scans(j_common_ptr jpeg)
{
    struct reader *reader = jpeg->client_data;
    int64_t scans_max =
        SCANNED_PIXELS_MAX /
        ((int64_t)reader->jpeg.image_width * reader->jpeg.image_height);

    if (scans_max < SCANS_OF_LARGE_MAX)
        scans_max = SCANS_OF_LARGE_MAX;
    if (scans_max > SCANS_MAX)
        scans_max = SCANS_MAX;
    if (reader->jpeg.input_scan_number > scans_max)
        escape(reader, FAILURE_SCANS);
}

static void open_reader(struct reader *reader, struct bytes file)
{
    jpeg_std_error(&reader->errors);
    reader->errors.error_exit = fail;
    reader->errors.emit_message = weigh;
    reader->errors.output_message = stay_silent;
    reader->jpeg.err = &reader->errors;
    reader->jpeg.client_data = reader;
    jpeg_create_decompress(&reader->jpeg);
    reader->progress.progress_monitor = count_scans;
    reader->jpeg.progress = &reader->progress;
    jpeg_mem_src(&reader->jpeg, file.data, file.len);
}

/* A side at num/8, as the library rounds it. */
static int64_t scaled(int64_t side_px, int num)
{
    return (side_px * num + 7) / 8;
}

/* The scales at which the library's inverse transforms are vectorised, and
 * 1/8, which needs none. */
static int choose_scale(const struct reader *reader,
                        const struct decode_options *options)
{
    static const int nums[] = {1, 2, 4};
    int64_t width = reader->jpeg.image_width;
    int64_t height = reader->jpeg.image_height;

    if (options->target_width_px < 1 || options->target_height_px < 1)
        return 8;
    for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++)
        if (scaled(width, nums[i]) >= 2 * (int64_t)options->target_width_px &&
            scaled(height, nums[i]) >= 2 * (int64_t)options->target_height_px)
            return nums[i];
    return 8;
}

static int read_header(struct reader *reader, struct image *image,
                       struct err *err)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;

    (void)jpeg_read_header(jpeg, TRUE);
    switch (jpeg->num_components) {
    case 1:
    case 3:
        jpeg->out_color_space = JCS_RGB;
        break;
    case 4:
        jpeg->out_color_space = JCS_CMYK;
        break;
    default:
        return codec_damaged(image, "it must have 1, 3 or 4 components", err);
    }
    reader->is_streaming = !jpeg_has_multiple_scans(jpeg) && !jpeg->arith_code;
    return 0;
}

static int begin(struct reader *reader, const struct decode_options *options,
                 struct image *image, struct err *err)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    int rc = read_header(reader, image, err);

    if (!rc)
        rc = codec_check(jpeg->image_width, jpeg->image_height,
                         &options->limits, err);
    if (rc)
        return rc;
    image->source_width_px = (int)jpeg->image_width;
    image->source_height_px = (int)jpeg->image_height;
    jpeg->scale_num = (unsigned)choose_scale(reader, options);
    jpeg->scale_denom = 8;
    jpeg_calc_output_dimensions(jpeg);
    return codec_take_pixels(image, (int)jpeg->output_width,
                             (int)jpeg->output_height, err);
}

static void read_rgb(struct reader *reader, struct image *image)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    size_t row_len = (size_t)image->width_px * 3;

    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rows[ROWS_AT_ONCE];
        unsigned count = jpeg->output_height - jpeg->output_scanline;

        if (count > ROWS_AT_ONCE)
            count = ROWS_AT_ONCE;
        for (unsigned i = 0; i < count; i++)
            rows[i] = image->pixels + row_len * (jpeg->output_scanline + i);
        (void)jpeg_read_scanlines(jpeg, rows, count);
    }
}

/* Files of four inks hold the light that each ink lets through, 255 for no
 * ink: Adobe's habit, which everybody follows. */
static void inks_to_rgb(const uint8_t *inks, uint8_t *rgb, size_t count)
{
    for (size_t i = 0; i < count; i++, inks += 4, rgb += 3)
        for (int j = 0; j < 3; j++)
            rgb[j] = (uint8_t)((inks[j] * inks[3] + 127) / 255);
}

static void read_inks(struct reader *reader, struct image *image)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    size_t width = (size_t)image->width_px;
    JSAMPARRAY inks = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE,
                                              jpeg->output_width * 4, 1);

    while (jpeg->output_scanline < jpeg->output_height) {
        size_t y = jpeg->output_scanline;

        (void)jpeg_read_scanlines(jpeg, inks, 1);
        inks_to_rgb(inks[0], image->pixels + y * width * 3, width);
    }
}

static int run(struct reader *reader, struct bytes file,
               const struct decode_options *options, struct image *image,
               struct err *err)
{
    int rc;

    open_reader(reader, file);
    rc = begin(reader, options, image, err);
    if (rc)
        return rc;
    (void)jpeg_start_decompress(&reader->jpeg);
    if (reader->jpeg.out_color_space == JCS_CMYK)
        read_inks(reader, image);
    else
        read_rgb(reader, image);
    return 0;
}

static int explain(int failure, struct image *image, struct err *err)
{
    switch (failure) {
    case FAILURE_CUT:
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
        return codec_damaged(image, "premature end of data", err);
    case FAILURE_SCANS:
        return codec_damaged(image, "too many scans", err);
    case JERR_OUT_OF_MEMORY:
        return codec_no_memory(image, err);
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
        return codec_damaged(
            image, "lossless, hierarchical and 12-bit ones are not read", err);
    case JERR_BAD_HUFF_TABLE:
    case JERR_NO_HUFF_TABLE:
        return codec_damaged(image, "a Huffman table is wrong or missing", err);
    case JERR_NO_QUANT_TABLE:
        return codec_damaged(image, "a quantisation table is missing", err);
    case JERR_NO_IMAGE:
    case JERR_SOF_NO_SOS:
        return codec_damaged(image, "it has no image data", err);
    default:
        return codec_damaged(image, "its structure is wrong", err);
    }
}

/* Apart from decode(), so that no local of the function with the setjmp
 * changes between it and the jump. */
static int run_guarded(struct reader *reader, struct bytes file,
                       const struct decode_options *options,
                       struct image *image, struct err *err)
{
    if (setjmp(reader->escape) != 0)
        return explain(reader->failure, image, err);
    return run(reader, file, options, image, err);
}

static int decode(struct bytes file, const struct decode_options *options,
                  struct image *image, struct err *err)
{
    struct reader reader;
    int rc;

    memset(&reader, 0, sizeof(reader));
    rc = run_guarded(&reader, file, options, image, err);
    jpeg_destroy_decompress(&reader.jpeg);
    return rc;
}

enum visit_kind { VISIT_HEADER, VISIT_ROWS };

/* What a file is read for, other than to be kept. */
struct visit {
    enum visit_kind kind;
    jpeg_row_fn *row;
    void *state;
    int width_px, height_px;
    bool is_quick;
};

static void hand_over_rows(struct reader *reader, const struct visit *visit)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    JSAMPARRAY row;

    (void)jpeg_start_decompress(jpeg);
    row = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE,
                                  jpeg->output_width * 3, 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        (void)jpeg_read_scanlines(jpeg, row, 1);
        if (!visit->row(visit->state, row[0]))
            return;
    }
}

static int visit_guarded(struct reader *reader, struct bytes file,
                         struct visit *visit, struct err *err)
{
    struct image none = {.format = IMAGE_JPEG};
    int rc;

    if (setjmp(reader->escape) != 0)
        return explain(reader->failure, &none, err);
    open_reader(reader, file);
    rc = read_header(reader, &none, err);
    if (rc)
        return rc;
    visit->width_px = (int)reader->jpeg.image_width;
    visit->height_px = (int)reader->jpeg.image_height;
    visit->is_quick =
        reader->is_streaming && reader->jpeg.out_color_space == JCS_RGB;
    if (visit->kind == VISIT_HEADER)
        return 0;
    if (reader->jpeg.out_color_space != JCS_RGB)
        return err_set(err, ERR_UNSUPPORTED,
                       "a JPEG of four inks is not read row by row");
    hand_over_rows(reader, visit);
    return 0;
}

static int visit_file(struct bytes file, struct visit *visit, struct err *err)
{
    struct reader reader;
    int rc;

    memset(&reader, 0, sizeof reader);
    rc = visit_guarded(&reader, file, visit, err);
    jpeg_destroy_decompress(&reader.jpeg);
    return rc;
}

bool jpeg_is_quick_to_scan(struct bytes file)
{
    struct visit visit = {.kind = VISIT_HEADER};
    struct err err = {0};

    return image_sniff(file) == IMAGE_JPEG &&
           visit_file(file, &visit, &err) == 0 && visit.is_quick;
}

int jpeg_read_size(struct bytes file, int *out_width_px, int *out_height_px,
                   struct err *err)
{
    struct visit visit = {.kind = VISIT_HEADER};
    int rc = visit_file(file, &visit, err);

    if (rc)
        return rc;
    *out_width_px = visit.width_px;
    *out_height_px = visit.height_px;
    return 0;
}

int jpeg_scan_rows(struct bytes file, jpeg_row_fn *row, void *state,
                   struct err *err)
{
    struct visit visit = {.kind = VISIT_ROWS, .row = row, .state = state};

    return visit_file(file, &visit, err);
}

const struct codec codec_jpeg = {"JPEG", "image/jpeg", true, decode};
