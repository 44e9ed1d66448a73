/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/checks.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "image/crop.h"
#include "image/jpeg.h"
#include "image/phash.h"
#include "image/quality.h"
#include "image/recent.h"
#include "models/adversarial.h"
#include "models/detector.h"
#include "obs/metrics.h"

/* Of each side, where nothing better is known: the contract's. */
static const double central_share = 0.8;

struct checks {
    const struct config *config;
    struct detector *detector; /* NULL: none */
    struct recent *recent;     /* NULL: duplicates are not looked for */
};

static const char *const names[CHECK_COUNT] = {
#define X(name, text) [CHECK_##name] = text,
    CHECKS(X)
#undef X
};

static bool are_on(const struct checks *checks)
{
    return checks->config->quality_mode != QUALITY_OFF;
}

static bool wants_blur(const struct checks *checks)
{
    return are_on(checks) && checks->config->blur_min > 0;
}

static bool wants_light(const struct checks *checks)
{
    return are_on(checks) && (checks->config->dark_share_max < 1 ||
                              checks->config->bright_share_max < 1);
}

static int open_parts(struct checks *checks, const struct config *config,
                      struct err *err)
{
    int rc = 0;

    if (are_on(checks) && config->duplicate_distance >= 0)
        rc = recent_open((int)config->duplicate_recent_max, &checks->recent,
                         err);
    if (rc == 0 && config->detector_path[0] != '\0')
        rc = detector_open(config->detector_path, config->detector_score_min,
                           &checks->detector, err);
    return rc;
}

int checks_open(const struct config *config, struct checks **out,
                struct err *err)
{
    struct checks *checks = mem_new(sizeof *checks);
    int rc;

    checks->config = config;
    rc = open_parts(checks, config, err);
    if (rc) {
        checks_close(checks);
        return rc;
    }
    *out = checks;
    return 0;
}

void checks_close(struct checks *checks)
{
    if (checks == NULL)
        return;
    detector_close(checks->detector);
    recent_close(checks->recent);
    mem_free(checks);
}

/* From about that size on a second decoding whose rows go by, mostly not to
 * the end, costs less than one at full size whose pixels are all kept: 12
 * million px took 34 + 5..49 ms instead of 104, 2 million 4.4 + 1..7 instead
 * of 7.1. */
enum { SCAN_PIXELS_MIN = 4 << 20 };

static bool is_better_scanned(struct bytes file)
{
    int width_px, height_px;
    struct err err = {0};

    return jpeg_is_quick_to_scan(file) &&
           jpeg_read_size(file, &width_px, &height_px, &err) == 0 &&
           (int64_t)width_px * height_px >= SCAN_PIXELS_MIN;
}

bool checks_want_full_size(const struct checks *checks, struct bytes file)
{
    return checks->detector != NULL ||
           (wants_blur(checks) && !is_better_scanned(file));
}

/* One call's work: warnings are gathered here and handed over at the end, so
 * that a failure leaves the caller's list as it was. */
struct run {
    const struct config *config;
    struct arena *arena;
    struct check_list list;
};

static void begin(struct run *run, const struct checks *checks,
                  struct arena *arena, const struct check_list *list)
{
    *run = (struct run){.config = checks->config, .arena = arena};
    run->list = *list;
}

/* A failed check: one more warning, or the end of the call. `message` is of
 * the arena, or NULL when that is full. */
static int warn(struct run *run, enum check check, double score, double limit,
                const char *message, struct err *err)
{
    struct check_list *list = &run->list;

    if (message == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a warning");
    metrics_add(METRIC_CHECK_WARNINGS, names[check], NULL, 1);
    if (run->config->quality_mode == QUALITY_REJECT)
        return err_set(err, ERR_UNPROCESSABLE, "%s", message);
    assert(list->count < CHECK_COUNT);
    list->warnings[list->count++] =
        (struct check_warning){names[check], score, limit, message};
    return 0;
}

static int check_size(struct run *run, const struct image *image,
                      struct err *err)
{
    int width = image->source_width_px, height = image->source_height_px;
    int64_t shorter = width < height ? width : height;
    int64_t limit = run->config->size_min_px;

    if (shorter >= limit)
        return 0;
    return warn(run, CHECK_SIZE, (double)shorter, (double)limit,
                arena_printf(run->arena,
                             "the image is small: %dx%d px, its shorter side "
                             "should have %lld px",
                             width, height, (long long)limit),
                err);
}

static int check_blur(struct run *run, double blur, struct err *err)
{
    double limit = run->config->blur_min;

    if (blur >= limit)
        return 0;
    return warn(run, CHECK_BLUR, blur, limit,
                arena_printf(run->arena,
                             "the image is blurred: the variance of its "
                             "Laplacian is %.1f, it should be %g or more",
                             blur, limit),
                err);
}

static int check_share(struct run *run, enum check check, double share,
                       double limit, const char *what, struct err *err)
{
    if (share <= limit)
        return 0;
    return warn(run, check, share, limit,
                arena_printf(run->arena,
                             "the image is nearly all %s: %.1f %% of its "
                             "pixels, it should be %g %% or fewer",
                             what, share * 100, limit * 100),
                err);
}

static bool is_reduced(const struct image *image)
{
    return image->width_px != image->source_width_px ||
           image->height_px != image->source_height_px;
}

/* The light is told from the image as it was decoded; it hardly depends on the
 * scale. The blur does. */
static int check_pixels(struct run *run, const struct checks *checks,
                        const struct check_input *input, struct err *err)
{
    const struct config *config = run->config;
    struct quality quality = {0};
    int rc = 0;

    if (!wants_blur(checks) && !wants_light(checks))
        return 0;
    if (wants_light(checks) || !is_reduced(input->image))
        rc = quality_measure(input->image, &quality, err);
    if (rc == 0 && wants_blur(checks) && is_reduced(input->image))
        rc = quality_scan_blur(input->file, config->blur_min, &quality.blur,
                               err);
    if (rc == 0 && wants_blur(checks))
        rc = check_blur(run, quality.blur, err);
    if (rc == 0 && config->dark_share_max < 1)
        rc = check_share(run, CHECK_DARK, quality.dark_share,
                         config->dark_share_max, "black", err);
    if (rc == 0 && config->bright_share_max < 1)
        rc = check_share(run, CHECK_BRIGHT, quality.bright_share,
                         config->bright_share_max, "white", err);
    return rc;
}

/* An image without a name is asked about, not taken in. */
static bool is_compared(const struct checks *checks,
                        const struct check_input *input)
{
    return checks->recent != NULL && input->request_id != NULL;
}

static int check_duplicate(struct run *run, struct recent *recent,
                           uint64_t hash, const char *request_id,
                           struct err *err)
{
    int limit = (int)run->config->duplicate_distance;
    struct recent_match match;

    recent_find(recent, hash, request_id, limit, &match);
    if (match.distance < 0)
        return 0;
    return warn(run, CHECK_DUPLICATE, match.distance, limit,
                arena_printf(run->arena,
                             "the image is nearly that of request %s: %d of "
                             "64 bits differ, it should be more than %d",
                             match.name, match.distance, limit),
                err);
}

/* The box with its margin, in whole pixels of the image. */
static struct crop crop_of_box(const struct image *image, const struct box *box,
                               double margin)
{
    double across = (double)(box->right - box->left) * margin;
    double down = (double)(box->bottom - box->top) * margin;

    return (struct crop){
        .left = (int)fmax(floor(box->left - across), 0),
        .top = (int)fmax(floor(box->top - down), 0),
        .right = (int)fmin(ceil(box->right + across), image->width_px),
        .bottom = (int)fmin(ceil(box->bottom + down), image->height_px),
    };
}

/* Finds the part to classify: the object's, else the central one where that is
 * wanted. *out_found is false when it is the whole. */
static int find_part(struct run *run, const struct checks *checks,
                     const struct image *image, struct crop *out,
                     bool *out_found, struct err *err)
{
    double score_min = run->config->detector_score_min;
    struct box boxes[BOXES_MAX];
    int count = 0, rc;

    if (checks->detector != NULL) {
        rc = detector_run(checks->detector, image, boxes, &count, err);
        if (rc)
            return rc;
    }
    if (checks->detector != NULL && count == 0 && are_on(checks)) {
        rc = warn(run, CHECK_OBJECT, 0, score_min,
                  arena_printf(run->arena,
                               "no object was found with a score of %g or "
                               "more",
                               score_min),
                  err);
        if (rc)
            return rc;
    }
    *out_found = count > 0 || run->config->is_crop_central;
    if (count > 0)
        *out = crop_of_box(image, &boxes[0], run->config->detector_margin);
    else if (*out_found)
        *out = crop_centre(image, central_share);
    return 0;
}

static int run_checks(struct run *run, const struct checks *checks,
                      const struct check_input *input, uint64_t hash,
                      struct image **out_crop, struct err *err)
{
    const struct image *image = input->image;
    struct crop crop;
    bool is_part = false;
    int rc = 0;

    if (are_on(checks))
        rc = check_size(run, image, err);
    if (rc == 0)
        rc = check_pixels(run, checks, input, err);
    if (rc == 0 && is_compared(checks, input))
        rc = check_duplicate(run, checks->recent, hash, input->request_id, err);
    if (rc == 0)
        rc = find_part(run, checks, image, &crop, &is_part, err);
    if (rc == 0 && is_part)
        rc = crop_run(image, &crop, out_crop, err);
    return rc;
}

int checks_run(struct checks *checks, const struct check_input *input,
               struct arena *arena, struct check_list *list,
               struct image **out_crop, struct err *err)
{
    struct run run;
    uint64_t hash = 0;
    int rc = 0;

    begin(&run, checks, arena, list);
    if (is_compared(checks, input))
        rc = phash_compute(input->image, &hash, err);
    if (rc == 0)
        rc = run_checks(&run, checks, input, hash, out_crop, err);
    if (rc)
        return rc;
    /* What was refused is not remembered: it may be sent again, mended. */
    if (is_compared(checks, input))
        recent_add(checks->recent, hash, input->request_id);
    *list = run.list;
    return 0;
}

int checks_doubt(const struct checks *checks, const struct bundle *bundle,
                 const struct image *image, const float *scores,
                 struct arena *arena, struct check_list *list, struct err *err)
{
    double limit = checks->config->adversarial_max, score = 0;
    struct run run;
    int rc;

    if (!are_on(checks) || !checks->config->is_adversarial_on)
        return 0;
    rc = adversarial_score(bundle, image, scores, &score, err);
    if (rc || score <= limit)
        return rc;
    begin(&run, checks, arena, list);
    rc = warn(&run, CHECK_ADVERSARIAL, score, limit,
              arena_printf(arena,
                           "the image may be made to deceive the network: its "
                           "scores move by %.3f when it is squeezed, they "
                           "should by %g or less",
                           score, limit),
              err);
    if (rc == 0)
        *list = run.list;
    return rc;
}
