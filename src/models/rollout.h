/* SPDX-License-Identifier: Apache-2.0 */
/* Which version answers a request, and which version is better.
 *
 *     rollout_pick(rollout, key, &choice);        the arm that serves
 *     rollout_record(rollout, choice.arm, &outcome);
 *     arm = rollout_verdict(rollout);             -1, or an arm to take out
 *
 * Statistics and choice only: it loads no model and knows no clock. The tests
 * stay valid while somebody watches: whenever one looks, the chance that arms
 * which do not differ were ever called different is at most alpha.
 * docs/design/rollout.md has the formulas and their sources.
 *
 * Thread-safe: a mutex per arm, held for a few additions, and one for the
 * recent answers. */
#ifndef OLHO_MODELS_ROLLOUT_H
#define OLHO_MODELS_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    ROLLOUT_ARMS_MAX = 8,
    ROLLOUT_NAME_MAX = 128,      /* of an arm, with the NUL */
    ROLLOUT_CLASS_MAX = 128,     /* of a class, with the NUL; longer: cut */
    ROLLOUT_REQUEST_MAX = 68,    /* of a request id, with the NUL */
    ROLLOUT_REASON_MAX = 256,    /* of a reason, with the NUL */
    ROLLOUT_RECENT_MAX = 1 << 20 /* answers remembered, at most */
};

struct rollout_arm {
    const char *name; /* the version: "v2"; copied */
    double weight;    /* share of the requests; 0..1e6, not all 0 */
    bool is_control;  /* what the others are held against; exactly one */
    bool is_shadow;   /* answers for the log only; at most one, no weight */
};

struct rollout_options {
    struct rollout_arm arms[ROLLOUT_ARMS_MAX];
    int arm_count;         /* 1..ROLLOUT_ARMS_MAX */
    uint64_t seed;         /* of the choice without a key */
    int64_t sample_min;    /* of each arm before a test speaks; 1 or more */
    double alpha;          /* 0 < alpha < 0.5; 0.05 is usual */
    double margin;         /* rates that differ by less count as equal; 0..1 */
    bool is_auto_rollback; /* rollout_verdict takes arms out */
    int recent_max;        /* answers remembered, 0..ROLLOUT_RECENT_MAX */
};

struct rollout;

/* Copies options. ERR_INVALID names the arm or value that cannot be;
 * ERR_UNAVAILABLE without memory. The caller owns *out. */
MUST_CHECK int rollout_new(const struct rollout_options *options,
                           struct rollout **out, struct err *err);
void rollout_free(struct rollout *rollout); /* NULL is allowed */

struct rollout_choice {
    int arm;    /* that serves */
    int shadow; /* that is asked too, for the log; -1: none */
};

/* With a key (a user, a device) always the same arm, on every instance and
 * after restarts, as long as names and weights stay; a change of weights moves
 * as few keys as can be. NULL: at random by weight. */
void rollout_pick(struct rollout *rollout, const char *key,
                  struct rollout_choice *out);

struct rollout_outcome {
    int64_t latency_us;
    bool is_error;     /* then neither confidence nor agreement counts */
    double confidence; /* 0..1 */
    int agreed;        /* with another arm on the same image: 1, 0; -1: not
                          compared */
};
void rollout_record(struct rollout *rollout, int arm,
                    const struct rollout_outcome *outcome);

/* One answer of an arm was right or wrong, as a person says. */
void rollout_feedback(struct rollout *rollout, int arm, bool is_correct);

/* Keeps what an arm answered to a request (serving or shadow), for
 * rollout_judge; the oldest are forgotten. */
void rollout_remember(struct rollout *rollout, const char *request_id, int arm,
                      const char *class_name);

/* What became of feedback. */
struct rollout_judgement {
    int arm; /* that served */
    char predicted[ROLLOUT_CLASS_MAX];
    bool is_correct;
    bool is_correction; /* feedback to that request was there before; it now
                           counts as this one */
};

/* Counts feedback for the arms that answered this request. False, nothing
 * changed, when it is not remembered. */
bool rollout_judge(struct rollout *rollout, const char *request_id,
                   const char *class_name, struct rollout_judgement *out);

/* Adds what a store has of an arm from before this start. False: there is no
 * arm of that name. */
struct rollout_total {
    int64_t request_count, error_count;
    double confidence_sum; /* of those without an error */
    int64_t feedback_count, correct_count;
};
bool rollout_restore(struct rollout *rollout, const char *name,
                     const struct rollout_total *total);

/* The first arm of that name; -1: none. */
int rollout_find(struct rollout *rollout, const char *name);

/* Another version answers as this arm from now on: its name is set, its counts
 * begin anew, what it answered is forgotten, and it takes part again if it was
 * taken out. Another arm of that name, being the same version, is taken out.
 * Requests that were picked before and end later count for the new one.
 * ERR_INVALID: the name is empty or too long. */
MUST_CHECK int rollout_replace(struct rollout *rollout, int arm,
                               const char *name, struct err *err);

/* Takes out the arm that is significantly worse than the control, when
 * is_auto_rollback: it is picked no more. Its number goes to one caller, once;
 * -1: nothing to do. Cheap enough for every request. */
int rollout_verdict(struct rollout *rollout);

/* Takes an arm out by hand, for the control too; the last one that serves
 * stays (false). */
bool rollout_stop(struct rollout *rollout, int arm);

/* --- the report --- */

enum rollout_advice {
    ROLLOUT_WAIT,     /* too little is known */
    ROLLOUT_PROMOTE,  /* significantly better, in nothing worse */
    ROLLOUT_ROLLBACK, /* significantly worse */
    ROLLOUT_KEEP,     /* as good within the margin: the control may stay */
    ROLLOUT_ADVICE_COUNT,
};
const char *rollout_advice_name(enum rollout_advice advice); /* "wait" */

/* The difference of a rate, arm minus control. */
struct rollout_test {
    bool is_done;     /* both have sample_min */
    double p_value;   /* always valid; 1 when not done */
    double alpha;     /* that p_value is held against */
    double diff;      /* of the rates; NaN when one is unknown */
    double low, high; /* confidence sequence of diff at 1 - alpha */
};

struct rollout_arm_report {
    char name[ROLLOUT_NAME_MAX];
    double weight;
    bool is_control, is_shadow, is_stopped;
    int64_t request_count, error_count;
    double error_rate;                      /* NaN without requests */
    int64_t latency_p50_us, latency_p95_us; /* since the start, within 1 %;
                                               -1: none */
    double confidence_mean;                 /* NaN: none */
    int64_t compared_count, agreed_count;
    double agreement; /* NaN: never compared */
    int64_t feedback_count, correct_count;
    double accuracy;                    /* NaN without feedback */
    double accuracy_low, accuracy_high; /* Wilson, 95 %; 0 and 1 without */
    /* Against the control; of the control itself they are empty. */
    struct rollout_test errors, correctness;
    enum rollout_advice advice;
    char reason[ROLLOUT_REASON_MAX]; /* one sentence with the numbers */
};

struct rollout_report {
    struct rollout_arm_report arms[ROLLOUT_ARMS_MAX];
    int arm_count, control;
    double alpha, margin;
    int64_t sample_min;
    bool is_auto_rollback;
    int advice_arm; /* that the advice below is about; -1: one arm only */
    enum rollout_advice advice;
    const char *reason; /* borrowed from arms[], or static */
};

/* Each arm is read at one moment, the arms one after another. */
void rollout_report(struct rollout *rollout, struct rollout_report *out);

#endif
