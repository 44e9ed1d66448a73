/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny detectors of tests/data/detector find red and green squares. */
#include "test.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "image/crop.h"
#include "models/detector.h"

static struct detector *open_tiny(const char *name)
{
    struct detector *detector = NULL;
    char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_data("detector"), name, path, &err), err);
    CHECK_OK(detector_open(path, 0.25, &detector, &err), err);
    return detector;
}

/* Grey, with one part in another colour. */
static struct image *paint(int width, int height, struct crop part,
                           const uint8_t color[3])
{
    struct image *image = NULL;
    struct err err = {0};

    CHECK_OK(image_new(width, height, &image, &err), err);
    memset(image->pixels, 128, (size_t)width * (size_t)height * 3);
    for (int y = part.top; y < part.bottom; y++)
        for (int x = part.left; x < part.right; x++)
            memcpy(image->pixels + ((size_t)y * (size_t)width + (size_t)x) * 3,
                   color, 3);
    return image;
}

static void find_square(const char *name)
{
    static const uint8_t green[3] = {0, 255, 0};
    struct detector *detector = open_tiny(name);
    /* 128x64 is laid into 64x64 at half its size, 16 px from above, so the
     * cell of 16 px at (32, 16) sees columns 64..95 and rows 0..31. */
    struct image *image = paint(128, 64, (struct crop){64, 0, 96, 32}, green);
    struct box boxes[BOXES_MAX];
    struct err err = {0};
    int count = 0;

    CHECK_OK(detector_run(detector, image, boxes, &count, &err), err);
    CHECK(count >= 1);
    CHECK_INT(boxes[0].class_id, 1);
    CHECK(boxes[0].score > 0.5F);
    CHECK_NEAR(boxes[0].left, 64, 1e-3);
    CHECK_NEAR(boxes[0].top, 0, 1e-3);
    CHECK_NEAR(boxes[0].right, 96, 1e-3);
    CHECK_NEAR(boxes[0].bottom, 32, 1e-3);
    image_free(image);
    detector_close(detector);
}

TEST(detector_finds_a_square_and_gives_its_place_in_the_image)
{
    find_square("tiny.onnx");
}

TEST(detector_reads_a_transposed_output_as_well)
{
    find_square("tiny_transposed.onnx");
}

TEST(detector_finds_nothing_in_a_grey_image)
{
    static const uint8_t grey[3] = {128, 128, 128};
    struct detector *detector = open_tiny("tiny.onnx");
    struct image *image = paint(50, 70, (struct crop){0, 0, 1, 1}, grey);
    struct box boxes[BOXES_MAX];
    struct err err = {0};
    int count = -1;

    CHECK_OK(detector_run(detector, image, boxes, &count, &err), err);
    CHECK_INT(count, 0);
    image_free(image);
    detector_close(detector);
}

TEST(detector_refuses_a_network_of_another_kind)
{
    struct detector *detector = NULL;
    struct err err = {0};

    CHECK_ERR(
        detector_open("models/mobilenet_v2/model.onnx", 0.25, &detector, &err),
        ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "models/mobilenet_v2/model.onnx");
    err = (struct err){0};
    CHECK_ERR(detector_open("no_such_file.onnx", 0.25, &detector, &err),
              ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(detector_open(test_data("detector/reference.txt"), 0.25,
                            &detector, &err),
              ERR_UNPROCESSABLE);
    CHECK(detector == NULL);
}

TEST(detector_survives_torture)
{
    static const uint8_t red[3] = {255, 0, 0};
    struct detector *detector = open_tiny("tiny.onnx");
    struct image *image = paint(40, 30, (struct crop){0, 0, 20, 20}, red);
    struct box boxes[BOXES_MAX];
    long nth;

    for (nth = 1; nth < 100; nth++) {
        struct err err = {0};
        int count = -1;
        int rc;

        mem_fail_at(nth);
        rc = detector_run(detector, image, boxes, &count, &err);
        if (rc == 0 && mem_tries() < nth)
            break;
        CHECK(rc == 0 || count == -1);
        CHECK(rc == 0 || err.text[0] != '\0');
    }
    mem_fail_at(0);
    CHECK(nth > 3 && nth < 100);
    image_free(image);
    detector_close(detector);
}
