/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "apps/checks.h"
#include "image/encode.h"
#include "samples.h"

enum { ARENA_MAX = 1 << 20 };

/* Everything that one test needs; ended with end(). */
struct room {
    struct config config;
    struct checks *checks;
    struct arena *arena;
    struct check_list list;
    struct image *image, *crop;
    struct bytes file;
    struct err err;
};

/* What is asked of settings: NAME=value pairs, NULL at the end. */
static void begin(struct room *room, const char *const *settings)
{
    memset(room, 0, sizeof *room);
    option_preset(config_options, config_option_count, &room->config);
    for (; settings != NULL && *settings != NULL; settings += 2) {
        const struct option *row =
            option_find(config_options, config_option_count, settings[0]);

        CHECK(row != NULL);
        CHECK_OK(option_set(row, &room->config, settings[1], &room->err),
                 room->err);
    }
    room->arena = arena_new(ARENA_MAX);
    CHECK_OK(checks_open(&room->config, &room->checks, &room->err), room->err);
}

static void end(struct room *room)
{
    image_free(room->crop);
    image_free(room->image);
    sample_unload(room->file);
    checks_close(room->checks);
    arena_free(room->arena);
    config_release(&room->config);
}

/* An image of one colour. */
static void fill(struct room *room, int width, int height, int level)
{
    image_free(room->image);
    room->image = NULL;
    CHECK_OK(image_new(width, height, &room->image, &room->err), room->err);
    memset(room->image->pixels, level, (size_t)width * (size_t)height * 3);
}

static void load_for(struct room *room, const char *folder, const char *name,
                     int target_px)
{
    struct decode_options options = sample_options;

    options.target_width_px = options.target_height_px = target_px;
    sample_unload(room->file);
    room->file = sample_load(folder, name, "");
    image_free(room->image);
    room->image = NULL;
    CHECK_OK(image_decode(room->file, &options, &room->image, &room->err),
             room->err);
}

static void load(struct room *room, const char *name)
{
    load_for(room, "photos", name, 0);
}

static int run(struct room *room, const char *request_id)
{
    const struct check_input input = {
        .image = room->image, .file = room->file, .request_id = request_id};

    room->list = (struct check_list){0};
    image_free(room->crop);
    room->crop = NULL;
    return checks_run(room->checks, &input, room->arena, &room->list,
                      &room->crop, &room->err);
}

static const struct check_warning *find(const struct room *room,
                                        const char *check)
{
    for (int i = 0; i < room->list.count; i++)
        if (strcmp(room->list.warnings[i].check, check) == 0)
            return &room->list.warnings[i];
    return NULL;
}

TEST(checks_say_nothing_of_a_good_photo)
{
    struct room room;

    begin(&room, NULL);
    load(&room, "cat_720p.jpg");
    CHECK_OK(run(&room, "one"), room.err);
    CHECK_INT(room.list.count, 0);
    CHECK(room.crop == NULL);
    CHECK(checks_want_full_size(room.checks, room.file));
    end(&room);
}

TEST(checks_warn_of_a_blurred_image_with_score_and_limit)
{
    struct room room;
    const struct check_warning *warning;

    begin(&room, NULL);
    fill(&room, 64, 64, 128);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK_INT(room.list.count, 1);
    warning = find(&room, "blur");
    CHECK(warning != NULL);
    CHECK(warning->score == 0);
    CHECK(warning->limit == 100);
    CHECK_HAS(warning->message, "0.0");
    CHECK_HAS(warning->message, "100");
    end(&room);
}

/* An enormous limit makes every image blurred, so that its number shows. */
TEST(checks_give_the_blur_of_the_full_image_however_it_was_decoded)
{
    static const char *const settings[] = {"BLUR_MIN", "1000000", NULL};
    struct room room;
    double full;

    begin(&room, settings);
    load(&room, "cat_1080p.jpg");
    CHECK_OK(run(&room, "one"), room.err);
    full = find(&room, "blur")->score;
    load_for(&room, "photos", "cat_1080p.jpg", 224);
    CHECK_INT(room.image->width_px, 960);
    CHECK_OK(run(&room, "two"), room.err);
    CHECK_NEAR(find(&room, "blur")->score, full, 1e-9 * full);
    end(&room);
}

TEST(checks_want_all_files_at_full_size_but_large_jpeg_of_one_scan)
{
    static const char *const names[] = {"progressive.jpg", "cmyk.jpg",
                                        "rgb.png", "baseline.jpg"};
    struct image *large = NULL;
    struct room room;
    struct buf file;

    begin(&room, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        load_for(&room, "decode", names[i], 0);
        CHECK(checks_want_full_size(room.checks, room.file));
    }
    CHECK_OK(image_new(2400, 2000, &large, &room.err), room.err);
    buf_init(&file, 4 << 20);
    CHECK_OK(image_encode_jpeg(large, 75, &file, &room.err), room.err);
    CHECK(!checks_want_full_size(room.checks, buf_bytes(&file)));
    buf_release(&file);
    image_free(large);
    end(&room);
}

TEST(checks_warn_of_black_and_of_white_images)
{
    static const char *const settings[] = {"BLUR_MIN", "0", NULL};
    struct room room;

    begin(&room, settings);
    fill(&room, 40, 40, 0);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK_INT(room.list.count, 1);
    CHECK(find(&room, "dark") != NULL);
    CHECK(find(&room, "dark")->score == 1);
    fill(&room, 40, 40, 255);
    CHECK_OK(run(&room, "two"), room.err);
    CHECK_INT(room.list.count, 1);
    CHECK(find(&room, "bright") != NULL);
    end(&room);
}

TEST(checks_warn_of_a_small_file_whatever_it_was_decoded_to)
{
    static const char *const settings[] = {"BLUR_MIN", "0", "SIZE_MIN", "64",
                                           NULL};
    struct room room;

    begin(&room, settings);
    fill(&room, 100, 63, 128);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK(find(&room, "size") != NULL);
    CHECK(find(&room, "size")->score == 63);
    room.image->source_height_px = 630;
    CHECK_OK(run(&room, "two"), room.err);
    CHECK_INT(room.list.count, 0);
    end(&room);
}

TEST(checks_refuse_where_quality_mode_is_reject)
{
    static const char *const settings[] = {"QUALITY_MODE", "reject", NULL};
    struct room room;

    begin(&room, settings);
    fill(&room, 64, 64, 128);
    CHECK_ERR(run(&room, "one"), ERR_UNPROCESSABLE);
    CHECK_HAS(room.err.text, "blurred");
    CHECK_INT(room.list.count, 0);
    CHECK(room.crop == NULL);
    end(&room);
}

TEST(checks_that_are_off_say_nothing_and_want_nothing)
{
    static const char *const settings[] = {
        "QUALITY_MODE", "off", "SIZE_MIN", "1000", "DUPLICATE_DISTANCE", "4",
        "ADVERSARIAL",  "1",   NULL};
    struct room room;

    begin(&room, settings);
    fill(&room, 64, 64, 0);
    CHECK(!checks_want_full_size(room.checks, room.file));
    CHECK_OK(run(&room, "one"), room.err);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK_INT(room.list.count, 0);
    CHECK_OK(checks_doubt(room.checks, /* bundle= */ NULL, room.image,
                          /* scores= */ NULL, room.arena, &room.list,
                          &room.err),
             room.err);
    end(&room);
}

TEST(checks_neither_compare_nor_remember_an_image_without_a_name)
{
    static const char *const settings[] = {"DUPLICATE_DISTANCE", "4", NULL};
    struct room room;

    begin(&room, settings);
    load(&room, "cat_720p.jpg");
    CHECK_OK(run(&room, NULL), room.err);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK(find(&room, "duplicate") == NULL);
    CHECK_OK(run(&room, NULL), room.err);
    CHECK(find(&room, "duplicate") == NULL);
    CHECK_OK(run(&room, "two"), room.err);
    CHECK(find(&room, "duplicate") != NULL);
    end(&room);
}

TEST(checks_name_the_request_that_sent_nearly_the_same_image)
{
    static const char *const settings[] = {"DUPLICATE_DISTANCE", "4", NULL};
    struct room room;

    begin(&room, settings);
    load(&room, "cat_1080p.jpg");
    CHECK_OK(run(&room, "first-request"), room.err);
    CHECK_INT(room.list.count, 0);
    load(&room, "owl.jpg");
    CHECK_OK(run(&room, "second-request"), room.err);
    CHECK_INT(room.list.count, 0);
    load(&room, "cat_720p.jpg");
    CHECK_OK(run(&room, "third-request"), room.err);
    CHECK_INT(room.list.count, 1);
    CHECK_TEXT(room.list.warnings[0].check, "duplicate");
    CHECK_HAS(room.list.warnings[0].message, "first-request");
    CHECK(room.list.warnings[0].limit == 4);
    end(&room);
}

TEST(checks_forget_what_they_refused)
{
    static const char *const settings[] = {"QUALITY_MODE", "reject",
                                           "DUPLICATE_DISTANCE", "0", NULL};
    struct room room;

    begin(&room, settings);
    fill(&room, 64, 64, 128);
    for (int i = 0; i < 2; i++) {
        room.err = (struct err){0};
        CHECK_ERR(run(&room, "one"), ERR_UNPROCESSABLE);
        CHECK_HAS(room.err.text, "blurred");
    }
    end(&room);
}

TEST(checks_cut_out_the_centre_when_asked)
{
    static const char *const settings[] = {"CENTRAL_CROP", "1", "QUALITY_MODE",
                                           "off", NULL};
    struct room room;

    begin(&room, settings);
    fill(&room, 100, 50, 128);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK(room.crop != NULL);
    CHECK_INT(room.crop->width_px, 80);
    CHECK_INT(room.crop->height_px, 40);
    end(&room);
}

static void paint_red(struct image *image, int left, int top, int side)
{
    for (int y = top; y < top + side; y++)
        for (int x = left; x < left + side; x++) {
            uint8_t *pixel =
                image->pixels +
                ((size_t)y * (size_t)image->width_px + (size_t)x) * 3;

            pixel[0] = 255;
            pixel[1] = pixel[2] = 0;
        }
}

TEST(checks_cut_to_the_object_with_a_margin)
{
    const char *settings[] = {"DETECTOR_MODEL",
                              test_data("detector/tiny.onnx"),
                              "DETECTOR_MARGIN",
                              "0.25",
                              "BLUR_MIN",
                              "0",
                              NULL};
    struct room room;

    begin(&room, settings);
    CHECK(checks_want_full_size(room.checks, room.file));
    fill(&room, 128, 128, 128);
    paint_red(room.image, 64, 0, 64);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK_INT(room.list.count, 0);
    CHECK(room.crop != NULL);
    /* 64 px and a quarter to the left; the rest ends at the edges. */
    CHECK_INT(room.crop->width_px, 80);
    CHECK_INT(room.crop->height_px, 80);
    CHECK_INT(room.crop->pixels[0], 128);
    CHECK_INT(room.crop->pixels[16 * 3], 255);
    end(&room);
}

TEST(checks_warn_where_no_object_is_found_and_fall_back_to_the_centre)
{
    const char *settings[] = {"DETECTOR_MODEL",
                              test_data("detector/tiny.onnx"),
                              "CENTRAL_CROP",
                              "1",
                              "BLUR_MIN",
                              "0",
                              NULL};
    struct room room;

    begin(&room, settings);
    fill(&room, 100, 100, 128);
    CHECK_OK(run(&room, "one"), room.err);
    CHECK_INT(room.list.count, 1);
    CHECK_TEXT(room.list.warnings[0].check, "object");
    CHECK(room.crop != NULL);
    CHECK_INT(room.crop->width_px, 80);
    end(&room);
}

TEST(checks_refuse_a_detector_that_is_none)
{
    struct config config = {0};
    struct checks *checks = NULL;
    struct err err = {0};

    option_preset(config_options, config_option_count, &config);
    CHECK_OK(option_set(option_find(config_options, config_option_count,
                                    "DETECTOR_MODEL"),
                        &config, "no_such_file.onnx", &err),
             err);
    CHECK_ERR(checks_open(&config, &checks, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "no_such_file.onnx");
    CHECK(checks == NULL);
    config_release(&config);
}

TEST(checks_survive_torture)
{
    static const char *const settings[] = {"DUPLICATE_DISTANCE", "4",
                                           "CENTRAL_CROP", "1", NULL};
    struct room room;
    long nth;

    begin(&room, settings);
    fill(&room, 64, 64, 0);
    for (nth = 1; nth < 100; nth++) {
        int rc;

        room.err = (struct err){0};
        mem_fail_at(nth);
        rc = run(&room, "one");
        if (rc == 0)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK_INT(room.list.count, 0);
        CHECK(room.crop == NULL);
    }
    mem_fail_at(0);
    CHECK(nth > 3 && nth < 100);
    CHECK_INT(room.list.count, 2);
    end(&room);
}
