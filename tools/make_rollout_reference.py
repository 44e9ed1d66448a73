#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/unit/rollout_reference.h: intervals and tests of rates as
statsmodels and scipy compute them.

    pip install scipy==1.17.1 statsmodels==0.15.0 numpy==2.4.6
    tools/make_rollout_reference.py [FILE]

Wilson's interval is statsmodels' own. The e-value of a difference is written
down here anew from its definition in docs/design/rollout.md: scipy's Beta
function for the mixtures, scipy's bounded minimiser for the nuisance rate,
scipy's root finder for the ends of the confidence sequence.
"""
import importlib.metadata
import pathlib
import sys

import numpy as np
from scipy import optimize, special
from statsmodels.stats.proportion import proportion_confint

ROOT = pathlib.Path(__file__).resolve().parent.parent
RATES = [(1, 0), (1, 1), (10, 3), (50, 50), (200, 0), (997, 123),
         (100000, 99871), (5000000, 2500001)]
PAIRS = [((100, 3), (100, 9)), ((500, 450), (500, 425)), ((40, 0), (35, 0)),
         ((1000, 20), (1000, 60)), ((2000, 1800), (300, 290)),
         ((60, 60), (50, 41)), ((100000, 1000), (100000, 1210))]
ALPHA = 0.025


def log_likelihood(rate, p):
    count, hits = rate
    return special.xlogy(hits, p) + special.xlogy(count - hits, 1 - p)


def log_mixture(rate):
    count, hits = rate
    return (special.betaln(hits + 0.5, count - hits + 0.5)
            - special.betaln(0.5, 0.5))


def log_e(a, b, diff):
    """The mixtures of both over the likeliest rates that differ by diff."""
    low, high = max(0.0, -diff), min(1.0, 1.0 - diff)
    found = optimize.minimize_scalar(
        lambda p: -log_likelihood(a, p) - log_likelihood(b, p + diff),
        bounds=(low, high), method="bounded", options={"xatol": 1e-13})
    return log_mixture(a) + log_mixture(b) + found.fun


def sequence(a, b):
    middle = b[1] / b[0] - a[1] / a[0]
    limit = -np.log(ALPHA)

    def over(diff):
        return log_e(a, b, diff) - limit

    end = 1 - 1e-9
    return (optimize.brentq(over, -end, middle, xtol=1e-12),
            optimize.brentq(over, middle, end, xtol=1e-12))


def main():
    target = pathlib.Path(sys.argv[1] if sys.argv[1:] else
                          ROOT / "tests" / "unit" / "rollout_reference.h")
    made = " ".join(f"{name} {importlib.metadata.version(name)}"
                    for name in ("scipy", "statsmodels"))
    lines = ["/* SPDX-License-Identifier: Apache-2.0 */",
             "/* Printed by tools/make_rollout_reference.py with",
             f" * {made}. */",
             "#ifndef OLHO_TEST_ROLLOUT_REFERENCE_H",
             "#define OLHO_TEST_ROLLOUT_REFERENCE_H", "",
             '#include "models/rollout_stats.h"', "",
             "/* clang-format off */",
             "static const struct {", "    struct rate rate;",
             "    double low, high;", "} wilson_reference[] = {"]
    for count, hits in RATES:
        low, high = proportion_confint(hits, count, 0.05, method="wilson")
        lines.append(f"    {{{{{count}, {hits}}}, {low:.12g}, {high:.12g}}},")
    lines += ["};", "", "static const struct {", "    struct rate a, b;",
              "    double log_e;     /* of no difference */",
              "    double low, high; /* of the sequence at 1 - "
              "SEQUENCE_ALPHA */", "} sequence_reference[] = {"]
    for a, b in PAIRS:
        low, high = sequence(a, b)
        lines.append(f"    {{{{{a[0]}, {a[1]}}}, {{{b[0]}, {b[1]}}}, "
                     f"{log_e(a, b, 0.0):.10g}, {low:.9g}, {high:.9g}}},")
    lines += ["};", "/* clang-format on */",
              f"#define SEQUENCE_ALPHA {ALPHA}", "", "#endif", ""]
    target.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
