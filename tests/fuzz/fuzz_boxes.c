/* SPDX-License-Identifier: Apache-2.0 */
/* Any floats as the output of a detector: boxes stay in the image, in order,
 * and within their number. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "image/transform.h"
#include "models/boxes.h"

enum { VALUES_MAX = 4096, HEADER = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct box *boxes, int count, int width_px,
                  int height_px, const struct fit_place *place)
{
    assert(count <= BOXES_MAX);
    for (int i = 0; i < count; i++) {
        struct box box = boxes[i];

        assert(i == 0 || boxes[i - 1].score >= box.score);
        if (!boxes_unfit(place, width_px, height_px, &box))
            continue;
        assert(box.left >= 0 && box.left < box.right);
        assert(box.right <= (float)width_px);
        assert(box.top >= 0 && box.top < box.bottom);
        assert(box.bottom <= (float)height_px);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct transform transform = {
        .width_px = 64, .height_px = 48, .fit = FIT_LETTERBOX};
    static struct box boxes[VALUES_MAX];
    static float values[VALUES_MAX];
    struct boxes_layout layout = {0};
    struct fit_place place;
    size_t count;

    if (len < HEADER)
        return 0;
    count = (len - HEADER) / sizeof *values;
    layout.is_transposed = data[0] & 1;
    layout.class_count = 1 + data[1] % 8;
    if (count > VALUES_MAX)
        count = VALUES_MAX;
    layout.anchor_count = (int)count / (layout.class_count + 4);
    memcpy(values, data + HEADER, count * sizeof *values);
    place = fit_compute(&transform, 1 + data[2], 1 + data[3]);
    count = (size_t)boxes_decode(&layout, values, (float)data[4] / 255, boxes);
    check(boxes, boxes_suppress(boxes, (int)count, (float)data[5] / 255),
          1 + data[2], 1 + data[3], &place);
    return 0;
}
