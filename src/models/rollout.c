/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing and counting; what follows from the counts is in
 * rollout_report.c.
 *
 * An arm is chosen by weighted rendezvous (Thaler and Ravishankar 1998): each
 * arm draws a number from a hash of the key and its own name, and the best one
 * in proportion to its weight serves. So the order of the arms does not
 * matter, and when a weight changes only keys that gain by it move. */
#include "models/rollout.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "models/rollout_arms.h"

static const double weight_max = 1e6;

static int check_name(const char *name, struct err *err)
{
    size_t len = name != NULL ? strlen(name) : 0;

    if (len == 0 || len >= ROLLOUT_NAME_MAX)
        return err_set(err, ERR_INVALID,
                       "the name of an arm has %zu bytes; it must have 1..%d",
                       len, ROLLOUT_NAME_MAX - 1);
    return 0;
}

static int check_arm(const struct rollout_options *options, int i,
                     struct err *err)
{
    const struct rollout_arm *arm = &options->arms[i];
    int j, rc;

    rc = check_name(arm->name, err);
    if (rc)
        return rc;
    if (!(arm->weight >= 0 && arm->weight <= weight_max))
        return err_set(err, ERR_INVALID,
                       "arm \"%s\" has weight %g; it must be 0..%g", arm->name,
                       arm->weight, weight_max);
    if (arm->is_shadow && (arm->weight > 0 || arm->is_control))
        return err_set(err, ERR_INVALID,
                       "arm \"%s\" is a shadow; it can have no weight and be "
                       "no control",
                       arm->name);
    for (j = 0; j < i; j++)
        if (strcmp(arm->name, options->arms[j].name) == 0)
            return err_set(err, ERR_INVALID, "two arms are called \"%s\"",
                           arm->name);
    return 0;
}

static int check_arms(const struct rollout_options *options, struct err *err)
{
    int i, rc, control_count = 0, shadow_count = 0;
    double weight = 0;

    if (options->arm_count < 1 || options->arm_count > ROLLOUT_ARMS_MAX)
        return err_set(err, ERR_INVALID, "%d arms; there must be 1..%d",
                       options->arm_count, ROLLOUT_ARMS_MAX);
    for (i = 0; i < options->arm_count; i++) {
        rc = check_arm(options, i, err);
        if (rc)
            return rc;
        control_count += options->arms[i].is_control;
        shadow_count += options->arms[i].is_shadow;
        weight += options->arms[i].weight;
    }
    if (control_count != 1 || shadow_count > 1)
        return err_set(err, ERR_INVALID,
                       "%d arms are the control and %d are shadows; one must "
                       "be the control, and at most one a shadow",
                       control_count, shadow_count);
    if (weight <= 0)
        return err_set(err, ERR_INVALID, "no arm has a weight above 0");
    return 0;
}

static int check(const struct rollout_options *options, struct err *err)
{
    if (!(options->alpha > 0 && options->alpha < 0.5))
        return err_set(err, ERR_INVALID,
                       "alpha is %g; it must be above 0 and below 0.5",
                       options->alpha);
    if (!(options->margin >= 0 && options->margin <= 1))
        return err_set(err, ERR_INVALID, "margin is %g; it must be 0..1",
                       options->margin);
    if (options->sample_min < 1)
        return err_set(err, ERR_INVALID,
                       "the minimum sample is %lld; it must be 1 or more",
                       (long long)options->sample_min);
    if (options->recent_max < 0 || options->recent_max > ROLLOUT_RECENT_MAX)
        return err_set(err, ERR_INVALID,
                       "%d answers to remember; it must be 0..%d",
                       options->recent_max, ROLLOUT_RECENT_MAX);
    return check_arms(options, err);
}

/* The first eight bytes of SHA-256, as a little-endian number: the same on
 * every machine. */
static uint64_t hash_of(const char *text)
{
    uint8_t sum[HASH_SHA256_LEN];
    uint64_t value = 0;
    int i;

    hash_sha256(bytes_of_text(text), sum);
    for (i = 7; i >= 0; i--)
        value = value << 8 | sum[i];
    return value;
}

static void open_arm(struct rollout *rollout, int i,
                     const struct rollout_arm *said)
{
    struct arm *arm = &rollout->arms[i];

    snprintf(arm->name, sizeof arm->name, "%s", said->name);
    atomic_init(&arm->name_hash, hash_of(said->name));
    arm->weight = said->weight;
    arm->is_shadow = said->is_shadow;
    atomic_init(&arm->is_stopped, false);
    pthread_mutex_init(&arm->mutex, NULL);
    if (said->is_control)
        rollout->control = i;
    if (said->is_shadow)
        rollout->shadow = i;
}

int rollout_new(const struct rollout_options *options, struct rollout **out,
                struct err *err)
{
    struct rollout *rollout;
    struct rollout_recent *recent = NULL;
    int i, rc;

    rc = check(options, err);
    if (rc == 0)
        rc = rollout_recent_new(options->recent_max, &recent, err);
    if (rc)
        return rc;
    rollout = mem_new(sizeof *rollout);
    rollout->recent = recent;
    rollout->arm_count = options->arm_count;
    rollout->shadow = -1;
    rollout->alpha = options->alpha;
    rollout->margin = options->margin;
    rollout->sample_min = options->sample_min;
    rollout->is_auto_rollback = options->is_auto_rollback;
    rollout->seed = options->seed;
    atomic_init(&rollout->draw_count, 0);
    pthread_mutex_init(&rollout->recent_mutex, NULL);
    pthread_mutex_init(&rollout->stop_mutex, NULL);
    for (i = 0; i < options->arm_count; i++)
        open_arm(rollout, i, &options->arms[i]);
    *out = rollout;
    return 0;
}

void rollout_free(struct rollout *rollout)
{
    int i;

    if (rollout == NULL)
        return;
    for (i = 0; i < rollout->arm_count; i++)
        pthread_mutex_destroy(&rollout->arms[i].mutex);
    pthread_mutex_destroy(&rollout->recent_mutex);
    pthread_mutex_destroy(&rollout->stop_mutex);
    rollout_recent_free(rollout->recent);
    mem_free(rollout);
}

/* Whether requests may go to this arm. */
static bool is_serving(struct arm *arm)
{
    return arm->weight > 0 && !atomic_load(&arm->is_stopped);
}

void rollout_pick(struct rollout *rollout, const char *key,
                  struct rollout_choice *out)
{
    uint64_t draw;
    double best = INFINITY;
    int i;

    /* The numbers of SplitMix64 from the seed, one for each call. The order
     * among threads does not matter, so relaxed is enough. */
    if (key != NULL)
        draw = hash_of(key);
    else
        draw = random_mix(rollout->seed +
                          RANDOM_STEP * (1 + atomic_fetch_add_explicit(
                                                 &rollout->draw_count, 1,
                                                 memory_order_relaxed)));
    *out = (struct rollout_choice){-1, -1};
    for (i = 0; i < rollout->arm_count; i++) {
        struct arm *arm = &rollout->arms[i];
        /* Of a name that changes meanwhile either hash will do. */
        uint64_t hash =
            atomic_load_explicit(&arm->name_hash, memory_order_relaxed);
        /* In (0, 1): 53 bits and a half. */
        double u = ((double)(random_mix(draw ^ hash) >> 11) + 0.5) * 0x1p-53;

        if (is_serving(arm) && -log(u) / arm->weight < best) {
            best = -log(u) / arm->weight;
            out->arm = i;
        }
    }
    assert(out->arm >= 0);
    if (rollout->shadow >= 0 &&
        !atomic_load(&rollout->arms[rollout->shadow].is_stopped))
        out->shadow = rollout->shadow;
}

static struct arm *arm_at(struct rollout *rollout, int i)
{
    assert(i >= 0 && i < rollout->arm_count);
    return &rollout->arms[i];
}

void rollout_record(struct rollout *rollout, int i,
                    const struct rollout_outcome *outcome)
{
    struct arm *arm = arm_at(rollout, i);
    int bucket = latency_bucket(outcome->latency_us);

    pthread_mutex_lock(&arm->mutex);
    arm->counts.requests.count++;
    latency_add(&arm->latency, bucket);
    if (outcome->is_error) {
        arm->counts.requests.hits++;
    } else {
        arm->counts.confidence_sum += outcome->confidence;
        arm->counts.agreements.count += outcome->agreed >= 0;
        arm->counts.agreements.hits += outcome->agreed > 0;
    }
    pthread_mutex_unlock(&arm->mutex);
}

/* Takes one judgement back (-1: there was none) and adds another. */
static void judge(struct arm *arm, int before, bool is_correct)
{
    pthread_mutex_lock(&arm->mutex);
    arm->counts.feedback.count += before < 0;
    arm->counts.feedback.hits += (int)is_correct - (before > 0);
    pthread_mutex_unlock(&arm->mutex);
}

void rollout_feedback(struct rollout *rollout, int i, bool is_correct)
{
    judge(arm_at(rollout, i), -1, is_correct);
}

void rollout_remember(struct rollout *rollout, const char *request_id, int i,
                      const char *class_name)
{
    struct arm *arm = arm_at(rollout, i);

    pthread_mutex_lock(&rollout->recent_mutex);
    rollout_recent_add(rollout->recent, request_id, i, arm->is_shadow,
                       class_name);
    pthread_mutex_unlock(&rollout->recent_mutex);
}

/* Whether the answer is that class; what was longer is compared as it was
 * cut. */
static bool is_class(const struct rollout_recent_answer *answer,
                     const char *class_name)
{
    return strncmp(answer->class_name, class_name, ROLLOUT_CLASS_MAX - 1) == 0;
}

/* Marks an answer as judged and counts it for its arm. */
static bool judge_answer(struct rollout *rollout,
                         struct rollout_recent_answer *answer,
                         const char *class_name)
{
    bool is_correct = is_class(answer, class_name);

    judge(&rollout->arms[answer->arm], answer->judged, is_correct);
    answer->judged = is_correct;
    return is_correct;
}

bool rollout_judge(struct rollout *rollout, const char *request_id,
                   const char *class_name, struct rollout_judgement *out)
{
    struct rollout_recent_entry *entry;
    bool is_known;

    /* Held until it is counted, so that a correction cannot overtake what it
     * corrects. */
    pthread_mutex_lock(&rollout->recent_mutex);
    entry = rollout_recent_find(rollout->recent, request_id);
    is_known = entry != NULL && entry->serving.arm >= 0;
    if (is_known) {
        *out = (struct rollout_judgement){
            .arm = entry->serving.arm,
            .is_correction = entry->serving.judged >= 0,
        };
        snprintf(out->predicted, sizeof out->predicted, "%s",
                 entry->serving.class_name);
        out->is_correct = judge_answer(rollout, &entry->serving, class_name);
        if (entry->shadow.arm >= 0)
            (void)judge_answer(rollout, &entry->shadow, class_name);
    }
    pthread_mutex_unlock(&rollout->recent_mutex);
    return is_known;
}

static bool is_named(struct arm *arm, const char *name)
{
    bool is_it;

    pthread_mutex_lock(&arm->mutex);
    is_it = strcmp(arm->name, name) == 0;
    pthread_mutex_unlock(&arm->mutex);
    return is_it;
}

int rollout_find(struct rollout *rollout, const char *name)
{
    int i;

    for (i = 0; i < rollout->arm_count; i++)
        if (is_named(&rollout->arms[i], name))
            return i;
    return -1;
}

/* A database may hold anything; a rate stays one. */
static void add_rate(struct rate *rate, int64_t count, int64_t hits)
{
    if (count < 0)
        count = 0;
    rate->count += count;
    rate->hits += hits < 0 ? 0 : hits > count ? count : hits;
}

bool rollout_restore(struct rollout *rollout, const char *name,
                     const struct rollout_total *total)
{
    int i = rollout_find(rollout, name);
    struct arm *arm;

    if (i < 0)
        return false;
    arm = &rollout->arms[i];
    pthread_mutex_lock(&arm->mutex);
    add_rate(&arm->counts.requests, total->request_count, total->error_count);
    arm->counts.confidence_sum += total->confidence_sum;
    add_rate(&arm->counts.feedback, total->feedback_count,
             total->correct_count);
    pthread_mutex_unlock(&arm->mutex);
    return true;
}

/* With stop_mutex held: two threads that take the last two arms out would
 * leave none. */
static bool stop(struct rollout *rollout, int i)
{
    int j, others = 0;

    for (j = 0; j < rollout->arm_count; j++)
        others += j != i && is_serving(&rollout->arms[j]);
    if (others == 0 || atomic_load(&rollout->arms[i].is_stopped))
        return false;
    atomic_store(&rollout->arms[i].is_stopped, true);
    return true;
}

bool rollout_stop(struct rollout *rollout, int i)
{
    bool is_done;

    (void)arm_at(rollout, i);
    pthread_mutex_lock(&rollout->stop_mutex);
    is_done = stop(rollout, i);
    pthread_mutex_unlock(&rollout->stop_mutex);
    return is_done;
}

static void begin_anew(struct arm *arm, const char *name)
{
    pthread_mutex_lock(&arm->mutex);
    snprintf(arm->name, sizeof arm->name, "%s", name);
    arm->counts = (struct arm_counts){.confidence_sum = 0};
    arm->latency = (struct latency){.count = 0};
    pthread_mutex_unlock(&arm->mutex);
    atomic_store_explicit(&arm->name_hash, hash_of(name), memory_order_relaxed);
}

int rollout_replace(struct rollout *rollout, int i, const char *name,
                    struct err *err)
{
    struct arm *arm = arm_at(rollout, i);
    int j, rc;

    rc = check_name(name, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&rollout->stop_mutex);
    pthread_mutex_lock(&rollout->recent_mutex);
    rollout_recent_forget(rollout->recent, i);
    begin_anew(arm, name);
    pthread_mutex_unlock(&rollout->recent_mutex);
    atomic_store(&arm->is_stopped, false);
    for (j = 0; j < rollout->arm_count; j++)
        if (j != i && is_named(&rollout->arms[j], name))
            (void)stop(rollout, j);
    pthread_mutex_unlock(&rollout->stop_mutex);
    return 0;
}
