/* SPDX-License-Identifier: Apache-2.0 */
/* The files of tests/data/decode (tools/make_decode_data.py), and what the
 * tests of the decoders do with them. */
#ifndef OLHO_TEST_SAMPLES_H
#define OLHO_TEST_SAMPLES_H

#include <stdbool.h>

#include "base/buf.h"
#include "image/decode.h"

struct sample {
    const char *name; /* in tests/data/decode */
    enum image_format format;
    int tolerance; /* of a channel, in levels */
};

extern const struct sample samples[];
extern const int sample_count;

/* Limits that all samples keep. */
extern const struct decode_options sample_options;

/* The bytes of folder/name and suffix, in a block of their own size, so that
 * a sanitizer sees any step beyond them; ended with sample_unload. */
struct bytes sample_load(const char *folder, const char *name,
                         const char *suffix);
void sample_unload(struct bytes file);

/* image_decode on the sample of that name. */
MUST_CHECK int sample_decode(const char *name,
                             const struct decode_options *options,
                             struct image **out, struct err *err);

/* Whether this build and machine can decode that sample at all. */
bool sample_is_readable(const struct sample *sample);

/* Holds image against the P6 file name and suffix. */
void sample_check_pixels(const char *name, const char *suffix,
                         const struct image *image, int tolerance);

#endif
