# SPDX-License-Identifier: Apache-2.0
"""Runs the rules over a tree: check.py [ROOT [RULE]].

Prints each finding as file:line: why, then one line per rule; the last line
counts rules. Ends with 1 when a rule found something.
"""

import sys

import habits
import layers
import self_test
from sources import Tree, functions

RULES = layers.RULES + habits.RULES


def longest(tree, count):
    found = []
    for path in tree.c_files():
        for name, first, last in functions(tree.text(path)):
            found.append((last - first + 1, name, path))
    return sorted(found, reverse=True)[:count]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    tree = Tree(root)
    failed = 0
    rules = [r for r in RULES if only in r.__name__]
    for rule in rules:
        findings = list(rule(tree))
        for finding in findings:
            print(finding)
        failed += bool(findings)
        print(f"{'FAIL' if findings else 'ok  '} {rule.__name__}: "
              f"{rule.__doc__}")
    if not only:
        missed = self_test.missed(RULES)
        failed += bool(missed)
        rules = rules + [self_test]
        for name in missed:
            print(f"tools/lint/self_test.py:1: a planted {name} was not found")
        print(f"{'FAIL' if missed else 'ok  '} self_test: "
              "each rule finds what was planted for it")
        for length, name, path in longest(tree, 5):
            print(f"     longest: {name}, {length} lines, {path}")
    print(f"rules: {len(rules) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
