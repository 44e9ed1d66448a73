/* SPDX-License-Identifier: Apache-2.0 */
/* What rollout.c counts and rollout_report.c judges. */
#ifndef OLHO_MODELS_ROLLOUT_ARMS_H
#define OLHO_MODELS_ROLLOUT_ARMS_H

#include <pthread.h>
#include <stdatomic.h>

#include "models/rollout.h"
#include "models/rollout_latency.h"
#include "models/rollout_recent.h"
#include "models/rollout_stats.h"

struct arm_counts {
    struct rate requests; /* hits: errors */
    double confidence_sum;
    struct rate agreements;
    struct rate feedback; /* hits: correct */
};

struct arm {
    double weight;
    bool is_shadow;
    atomic_bool is_stopped;         /* written under stop_mutex */
    atomic_uint_fast64_t name_hash; /* of `name`, for rollout_pick */

    pthread_mutex_t mutex; /* guards what follows */
    char name[ROLLOUT_NAME_MAX];
    struct arm_counts counts;
    struct latency latency;
};

struct rollout {
    struct arm arms[ROLLOUT_ARMS_MAX];
    int arm_count, control;
    int shadow; /* -1: none */
    double alpha, margin;
    int64_t sample_min;
    bool is_auto_rollback;
    uint64_t seed;
    atomic_uint_fast64_t draw_count; /* choices made without a key */
    pthread_mutex_t stop_mutex; /* who takes an arm out or in holds it; taken
                                 * before the others */

    /* Guards what follows. Taken before an arm's mutex where both are. */
    pthread_mutex_t recent_mutex;
    struct rollout_recent *recent; /* owned */
};

#endif
