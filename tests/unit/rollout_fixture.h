/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of a rollout share. Failures end the test. */
#ifndef OLHO_TEST_ROLLOUT_FIXTURE_H
#define OLHO_TEST_ROLLOUT_FIXTURE_H

#include "models/rollout.h"

/* v1 is the control, v2 the newer one; with automatic rollback, at least 100
 * in the sample and 100 answers remembered. */
struct rollout_options rollout_fixture_options(double v1, double v2);

struct rollout *rollout_fixture_open(const struct rollout_options *options);
struct rollout *rollout_fixture_shadow(void); /* v2 is one */

/* Requests of an arm, the first ones with an error; feedback to it, the first
 * ones correct. */
void rollout_fixture_record(struct rollout *rollout, int arm, int count,
                            int error_count);
void rollout_fixture_judge(struct rollout *rollout, int arm, int count,
                           int correct_count);

/* "user-5"; valid until the next call. */
const char *rollout_fixture_key(int i);

/* The serving arm. */
int rollout_fixture_pick(struct rollout *rollout, const char *key);

struct rollout_report rollout_fixture_report(struct rollout *rollout);

#endif
