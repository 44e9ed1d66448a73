/* SPDX-License-Identifier: Apache-2.0 */
/* Where a resized image lies in its target: the geometry of `enum fit`.
 *
 *     target   |<- at ->|<----- len ----->|          |   the rest is filled
 *     resized     |<- from ->|<-- len -->|     |         the rest is cut off
 *
 * Thread-safe: plain arithmetic. */
#ifndef OLHO_IMAGE_FIT_H
#define OLHO_IMAGE_FIT_H

#include <stdint.h>

#include "image/transform.h"

struct fit_side {
    int resized_len; /* of the whole image, in pixels */
    int from, len;   /* the part that is shown */
    int at;          /* where in the target it begins */
};

struct fit_place {
    struct fit_side columns, rows;
    uint8_t fill; /* the grey around it */
};

/* The sides of the image and of the target are at least 1. */
struct fit_place fit_compute(const struct transform *transform, int width_px,
                             int height_px);

#endif
