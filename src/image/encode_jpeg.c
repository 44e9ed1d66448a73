/* SPDX-License-Identifier: Apache-2.0 */
/* As in decode_jpeg.c, the library fails by calling fail(), which jumps back;
 * nothing that must be freed lives between the two but what the library
 * itself frees, and the buffer, which is the caller's. */
#include "image/encode.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

enum { CHUNK = 16 << 10 }; /* bytes asked of the buffer at a time */

struct writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf escape;
    struct buf *out;
};

static _Noreturn void fail(j_common_ptr jpeg)
{
    struct writer *writer = jpeg->client_data;

    longjmp(writer->escape, 1);
}

static void stay_silent(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void begin_chunk(j_compress_ptr jpeg)
{
    struct writer *writer = jpeg->client_data;
    char *room = buf_reserve(writer->out, CHUNK);

    if (room == NULL)
        fail((j_common_ptr)jpeg);
    jpeg->dest->next_output_byte = (JOCTET *)room;
    jpeg->dest->free_in_buffer = CHUNK;
}

static boolean end_chunk(j_compress_ptr jpeg)
{
    struct writer *writer = jpeg->client_data;

    writer->out->len += CHUNK;
    begin_chunk(jpeg);
    return TRUE;
}

static void end_file(j_compress_ptr jpeg)
{
    struct writer *writer = jpeg->client_data;

    writer->out->len += CHUNK - jpeg->dest->free_in_buffer;
}

static void open_writer(struct writer *writer)
{
    jpeg_std_error(&writer->errors);
    writer->errors.error_exit = fail;
    writer->errors.output_message = stay_silent;
    writer->jpeg.err = &writer->errors;
    writer->jpeg.client_data = writer;
    jpeg_create_compress(&writer->jpeg);
    writer->destination.init_destination = begin_chunk;
    writer->destination.empty_output_buffer = end_chunk;
    writer->destination.term_destination = end_file;
    writer->jpeg.dest = &writer->destination;
}

static void run(struct writer *writer, const struct image *image, int quality)
{
    struct jpeg_compress_struct *jpeg = &writer->jpeg;
    size_t row_len = (size_t)image->width_px * 3;

    open_writer(writer);
    jpeg->image_width = (JDIMENSION)image->width_px;
    jpeg->image_height = (JDIMENSION)image->height_px;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = image->pixels + row_len * jpeg->next_scanline;

        (void)jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

static int run_guarded(struct writer *writer, const struct image *image,
                       int quality, struct err *err)
{
    if (setjmp(writer->escape) == 0) {
        run(writer, image, quality);
        return 0;
    }
    if (buf_check(writer->out, err) != 0)
        return err->code;
    return err_set(err, ERR_UNAVAILABLE,
                   "no memory to write a JPEG of %dx%d px", image->width_px,
                   image->height_px);
}

int image_encode_jpeg(const struct image *image, int quality, struct buf *out,
                      struct err *err)
{
    struct writer writer;
    int rc;

    assert(quality >= 1 && quality <= 100);
    memset(&writer, 0, sizeof writer);
    writer.out = out;
    rc = run_guarded(&writer, image, quality, err);
    jpeg_destroy_compress(&writer.jpeg);
    return rc;
}
