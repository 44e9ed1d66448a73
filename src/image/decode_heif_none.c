/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for decode_heif.c where libheif is absent. */
#include "image/codec.h"

static int decode(struct bytes file, const struct decode_options *options,
                  struct image *image, struct err *err)
{
    (void)file;
    (void)options;
    return err_set(err, ERR_UNSUPPORTED,
                   "this olho was built without libheif and cannot read %s",
                   image_format_name(image->format));
}

const struct codec codec_heif = {"HEIF", "image/heif", false, decode};
const struct codec codec_avif = {"AVIF", "image/avif", false, decode};
