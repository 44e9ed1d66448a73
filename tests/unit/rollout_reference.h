/* SPDX-License-Identifier: Apache-2.0 */
/* Printed by tools/make_rollout_reference.py with
 * scipy 1.17.1 statsmodels 0.15.0. */
#ifndef OLHO_TEST_ROLLOUT_REFERENCE_H
#define OLHO_TEST_ROLLOUT_REFERENCE_H

#include "models/rollout_stats.h"

/* clang-format off */
static const struct {
    struct rate rate;
    double low, high;
} wilson_reference[] = {
    {{1, 0}, 0, 0.793450685623},
    {{1, 1}, 0.206549314377, 1},
    {{10, 3}, 0.107791267406, 0.603221852539},
    {{50, 50}, 0.928652400867, 1},
    {{200, 0}, 0, 0.0188453263773},
    {{997, 123}, 0.104390376422, 0.145241027852},
    {{100000, 99871}, 0.998467558463, 0.99891412753},
    {{5000000, 2500001}, 0.499561938898, 0.500438461102},
};

static const struct {
    struct rate a, b;
    double log_e;     /* of no difference */
    double low, high; /* of the sequence at 1 - SEQUENCE_ALPHA */
} sequence_reference[] = {
    {{100, 3}, {100, 9}, -3.412229708, -0.0937591143, 0.232466894},
    {{500, 450}, {500, 425}, -3.793972975, -0.147601949, 0.0458477682},
    {{40, 0}, {35, 0}, -4.773539869, -0.190679666, 0.214773768},
    {{1000, 20}, {1000, 60}, 3.519290731, -0.000324598088, 0.0852599983},
    {{2000, 1800}, {300, 290}, 1.63595739, -0.00949268654, 0.114808921},
    {{60, 60}, {50, 41}, 2.770239933, -0.456733852, 0.0139560976},
    {{100000, 1000}, {100000, 1210}, -1.860660042, -0.000515139576, 0.00473364343},
};
/* clang-format on */
#define SEQUENCE_ALPHA 0.025

#endif
