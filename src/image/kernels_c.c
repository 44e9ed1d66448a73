/* SPDX-License-Identifier: Apache-2.0 */
#include "image/kernels.h"

static uint8_t to_byte(int32_t sum)
{
    int32_t value = sum >> AXIS_FIXED_BITS;

    if (value < 0)
        return 0;
    return value > 255 ? 255 : (uint8_t)value;
}

static size_t across_room(int tile_px, int target_px)
{
    (void)tile_px;
    (void)target_px;
    return 0;
}

static void across(const struct kernel_across *pass, const uint8_t *const *rows,
                   uint8_t *const *out)
{
    const int32_t half = 1 << (AXIS_FIXED_BITS - 1);
    const struct axis *axis = pass->axis;
    uint8_t *place = out[0];

    for (int i = 0; i < axis->len; i++, place += 3) {
        const int32_t *fixed = axis->fixed + (size_t)i * (size_t)axis->taps_max;
        const uint8_t *pixel = rows[0] + (size_t)axis->first[i] * 3;
        int32_t red = half, green = half, blue = half;

        for (int tap = 0; tap < axis->count[i]; tap++, pixel += 3) {
            red += fixed[tap] * pixel[0];
            green += fixed[tap] * pixel[1];
            blue += fixed[tap] * pixel[2];
        }
        place[0] = to_byte(red);
        place[1] = to_byte(green);
        place[2] = to_byte(blue);
    }
}

static void down(const int32_t *fixed, int taps, const uint8_t *const *rows,
                 int len, uint8_t *out)
{
    for (int i = 0; i < len; i++) {
        int32_t sum = 1 << (AXIS_FIXED_BITS - 1);

        for (int tap = 0; tap < taps; tap++)
            sum += fixed[tap] * rows[tap][i];
        out[i] = to_byte(sum);
    }
}

static void down_float(const float *weights, int taps,
                       const uint8_t *const *rows, int len, float *out)
{
    for (int i = 0; i < len; i++) {
        float sum = 0.0F;

        for (int tap = 0; tap < taps; tap++)
            sum += weights[tap] * (float)rows[tap][i];
        out[i] = sum;
    }
}

static void across_float(const struct axis *axis, const float *row, float *out)
{
    for (int i = 0; i < axis->len; i++, out += 3) {
        const float *weights =
            axis->weights + (size_t)i * (size_t)axis->taps_max;
        const float *pixel = row + (size_t)axis->first[i] * 3;
        float red = 0.0F, green = 0.0F, blue = 0.0F;

        for (int tap = 0; tap < axis->count[i]; tap++, pixel += 3) {
            red += weights[tap] * pixel[0];
            green += weights[tap] * pixel[1];
            blue += weights[tap] * pixel[2];
        }
        out[0] = red;
        out[1] = green;
        out[2] = blue;
    }
}

static void planes(const uint8_t *row, int width,
                   const struct kernel_target *target)
{
    for (int channel = 0; channel < 3; channel++) {
        const float scale = target->scale[channel];
        const float bias = target->bias[channel];
        float *out = target->planes[channel];

        for (int i = 0; i < width; i++)
            out[i] = (float)row[3 * i + channel] * scale + bias;
    }
}

static void pixels(const uint8_t *row, int width,
                   const struct kernel_target *target)
{
    float *out = target->row;

    for (int i = 0; i < width; i++, out += 3, row += 3) {
        out[0] = (float)row[0] * target->scale[0] + target->bias[0];
        out[1] = (float)row[1] * target->scale[1] + target->bias[1];
        out[2] = (float)row[2] * target->scale[2] + target->bias[2];
    }
}

static void planes_float(const float *row, int width,
                         const struct kernel_target *target)
{
    for (int channel = 0; channel < 3; channel++) {
        const float scale = target->scale[channel];
        const float bias = target->bias[channel];
        float *out = target->planes[channel];

        for (int i = 0; i < width; i++)
            out[i] = row[3 * i + channel] * scale + bias;
    }
}

static void pixels_float(const float *row, int width,
                         const struct kernel_target *target)
{
    float *out = target->row;

    for (int i = 0; i < width; i++, out += 3, row += 3) {
        out[0] = row[0] * target->scale[0] + target->bias[0];
        out[1] = row[1] * target->scale[1] + target->bias[1];
        out[2] = row[2] * target->scale[2] + target->bias[2];
    }
}

const struct kernels kernels_c = {
    .name = "c",
    .rows = 1,
    .tile_px = 1,
    .across_room = across_room,
    .across = across,
    .down = down,
    .across_float = across_float,
    .down_float = down_float,
    .planes = planes,
    .pixels = pixels,
    .planes_float = planes_float,
    .pixels_float = pixels_float,
};
