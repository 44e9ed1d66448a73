/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a file to the tensor, timed, on one thread.
 *
 *     bench-image [-n REPEATS] [-s SIDE] [-f FILTER] [-t FIT] FILE...
 *     bench-image -c [-n REPEATS] [-m MODEL] [-d DETECTOR] FILE...
 *
 * Prints for each file and each way of decoding (exact, scaled) one line of
 * words: file, way, width and height as decoded, then the least and the median
 * milliseconds of decoding, of the transform and of both.
 *
 * With -c the checks are timed instead, a line for each: file, check, width
 * and height as decoded, the least and the median milliseconds. A network (a
 * model folder) adds its own run and the adversarial check, a detector's file
 * the object box. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/crop.h"
#include "image/decode.h"
#include "image/jpeg.h"
#include "image/phash.h"
#include "image/quality.h"
#include "image/transform.h"
#include "models/adversarial.h"
#include "models/bundle.h"
#include "models/detector.h"

enum {
    REPEATS_MAX = 10000,
    SIDE_MAX = 2048,
    FILE_LEN_MAX = 64 << 20,
    SIDE_LIMIT_PX = 16384,
    PIXELS_MAX = 64 << 20,
    BLUR_MIN = 100,       /* the preset of that setting */
    BLUR_NEVER = 1 << 24, /* no image has so much */
};

struct measure {
    int repeats;
    struct transform transform;
    float *tensor;
    double decode_ms[REPEATS_MAX];
    double transform_ms[REPEATS_MAX];
    double total_ms[REPEATS_MAX];
    bool is_of_checks;
    struct bytes file;         /* of the image whose checks are timed */
    struct bundle *bundle;     /* NULL: none */
    struct detector *detector; /* NULL: none */
    float *scores;             /* of the bundle */
};

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;

    return (difference > 0) - (difference < 0);
}

static void print_times(double *times, int count)
{
    qsort(times, (size_t)count, sizeof *times, compare);
    printf(" %.4f %.4f", times[0], times[count / 2]);
}

static int repeat_once(struct measure *measure, struct bytes file,
                       const struct decode_options *options, int at,
                       int *out_width, int *out_height, struct err *err)
{
    struct image *image = NULL;
    double start = now_ms(), decoded, done;
    int rc = image_decode(file, options, &image, err);

    if (rc)
        return rc;
    decoded = now_ms();
    rc = transform_run(&measure->transform, image, measure->tensor, err);
    done = now_ms();
    *out_width = image->width_px;
    *out_height = image->height_px;
    image_free(image);
    measure->decode_ms[at] = decoded - start;
    measure->transform_ms[at] = done - decoded;
    measure->total_ms[at] = now_ms() - start;
    return rc;
}

static int measure_file(struct measure *measure, const char *path,
                        bool is_exact, struct err *err)
{
    struct decode_options options = {
        .limits = {1, SIDE_LIMIT_PX, PIXELS_MAX},
        .target_width_px = is_exact ? 0 : measure->transform.width_px,
        .target_height_px = is_exact ? 0 : measure->transform.height_px,
    };
    int width = 0, height = 0, rc;
    struct buf file;

    buf_init(&file, FILE_LEN_MAX);
    rc = file_read(path, &file, err);
    for (int i = 0; i < measure->repeats && rc == 0; i++)
        rc = repeat_once(measure,
                         (struct bytes){(const uint8_t *)file.data, file.len},
                         &options, i, &width, &height, err);
    buf_release(&file);
    if (rc)
        return rc;
    printf("%s %s %d %d", path, is_exact ? "exact" : "scaled", width, height);
    print_times(measure->decode_ms, measure->repeats);
    print_times(measure->transform_ms, measure->repeats);
    print_times(measure->total_ms, measure->repeats);
    printf("\n");
    return 0;
}

typedef int check_fn(const struct measure *measure, const struct image *image,
                     struct err *err);

static int run_quality(const struct measure *measure, const struct image *image,
                       struct err *err)
{
    struct quality quality;

    (void)measure;
    return quality_measure(image, &quality, err);
}

/* What a photograph decoded at reduced scale costs more. */
static int run_scan(const struct measure *measure, const struct image *image,
                    struct err *err)
{
    double blur;

    (void)image;
    return quality_scan_blur(measure->file, BLUR_MIN, &blur, err);
}

static int run_whole_scan(const struct measure *measure,
                          const struct image *image, struct err *err)
{
    double blur;

    (void)image;
    return quality_scan_blur(measure->file, BLUR_NEVER, &blur, err);
}

static int run_phash(const struct measure *measure, const struct image *image,
                     struct err *err)
{
    uint64_t hash;

    (void)measure;
    return phash_compute(image, &hash, err);
}

static int run_crop(const struct measure *measure, const struct image *image,
                    struct err *err)
{
    struct crop crop = crop_centre(image, 0.8);
    struct image *part = NULL;
    int rc = crop_run(image, &crop, &part, err);

    (void)measure;
    image_free(part);
    return rc;
}

static int run_detector(const struct measure *measure,
                        const struct image *image, struct err *err)
{
    struct box boxes[BOXES_MAX];
    int count;

    return detector_run(measure->detector, image, boxes, &count, err);
}

static int run_network(const struct measure *measure, const struct image *image,
                       struct err *err)
{
    struct bundle_times times;

    return bundle_run(measure->bundle, image, measure->scores, NULL, &times,
                      err);
}

static int run_adversarial(const struct measure *measure,
                           const struct image *image, struct err *err)
{
    double score;

    return adversarial_score(measure->bundle, image, measure->scores, &score,
                             err);
}

static int measure_check(struct measure *measure, const char *path,
                         const char *name, check_fn *check,
                         const struct image *image, struct err *err)
{
    int rc = 0;

    for (int i = 0; i < measure->repeats && rc == 0; i++) {
        double start = now_ms();

        rc = check(measure, image, err);
        measure->total_ms[i] = now_ms() - start;
    }
    if (rc)
        return rc;
    printf("%s %s %d %d", path, name, image->width_px, image->height_px);
    print_times(measure->total_ms, measure->repeats);
    printf("\n");
    return 0;
}

static int measure_checks(struct measure *measure, const char *path,
                          const struct image *image, struct err *err)
{
    static const struct {
        const char *name;
        check_fn *run;
    } checks[] = {
        {"blur+exposure", run_quality}, {"blur-scan", run_scan},
        {"whole-scan", run_whole_scan}, {"duplicate", run_phash},
        {"central-crop", run_crop},     {"object", run_detector},
        {"network", run_network},       {"adversarial", run_adversarial},
    };
    int rc = 0;

    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && rc == 0; i++) {
        check_fn *run = checks[i].run;

        if (((run == run_scan || run == run_whole_scan) &&
             !jpeg_is_quick_to_scan(measure->file)) ||
            (run == run_detector && measure->detector == NULL) ||
            ((run == run_network || run == run_adversarial) &&
             measure->bundle == NULL))
            continue;
        rc = measure_check(measure, path, checks[i].name, run, image, err);
    }
    return rc;
}

static int measure_checks_of_file(struct measure *measure, const char *path,
                                  struct err *err)
{
    const struct decode_options options = {
        .limits = {1, SIDE_LIMIT_PX, PIXELS_MAX}};
    struct image *image = NULL;
    struct buf file;
    int rc;

    buf_init(&file, FILE_LEN_MAX);
    rc = file_read(path, &file, err);
    if (rc == 0)
        rc = image_decode(buf_bytes(&file), &options, &image, err);
    measure->file = buf_bytes(&file);
    if (rc == 0)
        rc = measure_checks(measure, path, image, err);
    image_free(image);
    buf_release(&file);
    return rc;
}

static void give_up(const struct err *err)
{
    fprintf(stderr, "bench-image: %s\n", err->text);
    exit(1);
}

static void open_model(struct measure *measure, const char *path)
{
    static struct config config;
    char dir[4096];
    struct err err = {0};

    option_preset(config_options, config_option_count, &config);
    if (bundle_find(path, dir, &err) != 0 ||
        bundle_open(dir, &config, &measure->bundle, &err) != 0)
        give_up(&err);
    measure->scores =
        mem_try((size_t)measure->bundle->class_count, sizeof *measure->scores);
    if (measure->scores == NULL)
        exit(1);
}

static void open_detector(struct measure *measure, const char *path)
{
    struct err err = {0};

    if (detector_open(path, 0.25, &measure->detector, &err) != 0)
        give_up(&err);
}

static int number_of(const char *text, int max)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (end == text || *end != '\0' || number < 1 || number > max) {
        fprintf(stderr, "bench-image: '%s' is not a number from 1 to %d\n",
                text, max);
        exit(2);
    }
    return (int)number;
}

static int read_options(int argc, char **argv, struct measure *measure)
{
    int option, side = 224;

    measure->repeats = 20;
    measure->transform = (struct transform){
        .filter = FILTER_BILINEAR_AA,
        .scale = {1 / 127.5F, 1 / 127.5F, 1 / 127.5F},
        .bias = {-1.0F, -1.0F, -1.0F},
    };
    while ((option = getopt(argc, argv, "n:s:f:t:cm:d:")) != -1) {
        if (option == 'n')
            measure->repeats = number_of(optarg, REPEATS_MAX);
        else if (option == 's')
            side = number_of(optarg, SIDE_MAX);
        else if (option == 'f')
            measure->transform.filter = filter_find(optarg);
        else if (option == 't')
            measure->transform.fit = fit_find(optarg);
        else if (option == 'c')
            measure->is_of_checks = true;
        else if (option == 'm')
            open_model(measure, optarg);
        else if (option == 'd')
            open_detector(measure, optarg);
        else
            exit(2);
    }
    measure->transform.width_px = measure->transform.height_px = side;
    if (measure->transform.filter == FILTER_COUNT ||
        measure->transform.fit == FIT_COUNT) {
        fprintf(stderr, "bench-image: unknown filter or fit\n");
        exit(2);
    }
    return optind;
}

int main(int argc, char **argv)
{
    static struct measure measure;
    int first = read_options(argc, argv, &measure), failures = 0;
    size_t side = (size_t)measure.transform.width_px;

    measure.tensor = mem_try(side * side * 3, sizeof *measure.tensor);
    if (measure.tensor == NULL)
        return 1;
    fprintf(stderr, "kernels: %s\n", transform_kernels());
    for (int i = first; i < argc; i++)
        for (int is_exact = 1; is_exact >= measure.is_of_checks; is_exact--) {
            struct err err = {0};
            int rc = measure.is_of_checks
                         ? measure_checks_of_file(&measure, argv[i], &err)
                         : measure_file(&measure, argv[i], is_exact, &err);

            if (rc != 0) {
                fprintf(stderr, "%s: %s\n", argv[i], err.text);
                failures++;
            }
        }
    mem_free(measure.tensor);
    mem_free(measure.scores);
    detector_close(measure.detector);
    bundle_close(measure.bundle);
    return failures == 0 ? 0 : 1;
}
