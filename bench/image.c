/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a file to the tensor, timed, on one thread.
 *
 *     bench-image [-n REPEATS] [-s SIDE] [-f FILTER] [-t FIT] FILE...
 *
 * Prints for each file and each way of decoding (exact, scaled) one line of
 * words: file, way, width and height as decoded, then the least and the median
 * milliseconds of decoding, of the transform and of both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/decode.h"
#include "image/transform.h"

enum {
    REPEATS_MAX = 10000,
    SIDE_MAX = 2048,
    FILE_LEN_MAX = 64 << 20,
    SIDE_LIMIT_PX = 16384,
    PIXELS_MAX = 64 << 20,
};

struct measure {
    int repeats;
    struct transform transform;
    float *tensor;
    double decode_ms[REPEATS_MAX];
    double transform_ms[REPEATS_MAX];
    double total_ms[REPEATS_MAX];
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
    while ((option = getopt(argc, argv, "n:s:f:t:")) != -1) {
        if (option == 'n')
            measure->repeats = number_of(optarg, REPEATS_MAX);
        else if (option == 's')
            side = number_of(optarg, SIDE_MAX);
        else if (option == 'f')
            measure->transform.filter = filter_find(optarg);
        else if (option == 't')
            measure->transform.fit = fit_find(optarg);
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
        for (int is_exact = 1; is_exact >= 0; is_exact--) {
            struct err err = {0};

            if (measure_file(&measure, argv[i], is_exact, &err) != 0) {
                fprintf(stderr, "%s: %s\n", argv[i], err.text);
                failures++;
            }
        }
    mem_free(measure.tensor);
    return failures == 0 ? 0 : 1;
}
