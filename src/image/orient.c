/* SPDX-License-Identifier: Apache-2.0 */
#include "image/orient.h"

#include <assert.h>
#include <stddef.h>

#include "base/mem.h"
#include "image/codec.h"

/* Tiles of this many pixels a side keep both the rows that are read and the
 * rows that are written in the first-level cache. */
enum { TILE_PX = 32 };

/* How a target pixel (x, y) finds its source: the sides are exchanged, then
 * the source's column or row is counted from the far end. */
struct turn {
    bool swaps, mirrors_column, mirrors_row;
};

static const struct turn turns[9] = {
    [1] = {false, false, false}, [2] = {false, true, false},
    [3] = {false, true, true},   [4] = {false, false, true},
    [5] = {true, false, false},  [6] = {true, false, true},
    [7] = {true, true, true},    [8] = {true, true, false},
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Where the target's first pixel lies in the source, and how far the source
 * moves for one step right or down in the target; in bytes. */
struct walk {
    ptrdiff_t start, right, down;
};

static struct walk find_walk(const struct image *image, struct turn turn)
{
    ptrdiff_t row = (ptrdiff_t)image->width_px * 3;
    ptrdiff_t column_step = turn.mirrors_column ? -3 : 3;
    ptrdiff_t row_step = turn.mirrors_row ? -row : row;
    struct walk walk = {0, column_step, row_step};

    if (turn.mirrors_column)
        walk.start += row - 3;
    if (turn.mirrors_row)
        walk.start += row * (image->height_px - 1);
    if (turn.swaps) {
        walk.right = row_step;
        walk.down = column_step;
    }
    return walk;
}

static void copy_tile(const uint8_t *from, struct walk walk, uint8_t *to,
                      size_t to_row, int width, int height)
{
    for (int y = 0; y < height; y++) {
        const uint8_t *pixel = from + walk.down * y;
        uint8_t *out = to + to_row * (size_t)y;

        for (int x = 0; x < width; x++, pixel += walk.right, out += 3) {
            out[0] = pixel[0];
            out[1] = pixel[1];
            out[2] = pixel[2];
        }
    }
}

static void copy_turned(const struct image *from, struct walk walk,
                        uint8_t *pixels, int width, int height)
{
    size_t row = (size_t)width * 3;

    for (int y = 0; y < height; y += TILE_PX)
        for (int x = 0; x < width; x += TILE_PX)
            copy_tile(
                from->pixels + walk.start + walk.right * x + walk.down * y,
                walk, pixels + row * (size_t)y + 3 * (size_t)x, row,
                min_int(TILE_PX, width - x), min_int(TILE_PX, height - y));
}

static void exchange(int *a, int *b)
{
    int kept = *a;

    *a = *b;
    *b = kept;
}

int orient_run(struct image *image, int orientation, struct err *err)
{
    struct turn turn;
    int width = image->width_px, height = image->height_px;
    uint8_t *pixels;

    assert(orientation >= 1 && orientation <= 8);
    if (orientation == 1)
        return 0;
    pixels = mem_try_aligned((size_t)width * (size_t)height, 3);
    if (pixels == NULL)
        return codec_no_memory(image, err);
    turn = turns[orientation];
    if (turn.swaps)
        exchange(&width, &height);
    copy_turned(image, find_walk(image, turn), pixels, width, height);
    mem_free(image->pixels);
    image->pixels = pixels;
    image->width_px = width;
    image->height_px = height;
    if (turn.swaps)
        exchange(&image->source_width_px, &image->source_height_px);
    return 0;
}
