# SPDX-License-Identifier: Apache-2.0
"""What was measured, as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

GROUPS = {"flat": "exact", "ivfflat": "IVF", "hnsw": "HNSW"}
LIBRARIES = ("faiss-cpu", "hnswlib", "usearch")


def lines_up(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def ratios(other: Sequence[float], ours: Sequence[float]) -> str:
    return spread([a / b for a, b in zip(other, ours, strict=True)])


def seconds(values: Sequence[float] | None) -> str:
    return f"{median(values):.2f}" if values else ""


def row_of(result, ours, build_threads: list[int], threads: list[int]) -> list:
    cells = [result.title]
    cells += [seconds(result.build_s.get(n)) for n in build_threads]
    cells += [f"{result.memory_mb:.0f}", result.setting]
    cells += [f"{result.recall:.4f}"]
    for n in threads:
        cells += [f"{median(result.us[n]):.0f}"]
        cells += ["1" if result is ours else ratios(result.us[n], ours.us[n])]
    return cells


def group_table(results: list) -> str:
    """Ours is the first of them."""
    build_threads = sorted({n for r in results for n in r.build_s})
    threads = sorted(results[0].us)
    head = [GROUPS[results[0].group]]
    head += [f"build s, {n} thr." for n in build_threads]
    head += ["MB", "setting", "recall"]
    for n in threads:
        head += [f"us, {n} thr.", "to the first"]
    rows = [row_of(r, results[0], build_threads, threads) for r in results]
    return lines_up(head, rows)


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def versions() -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)


def section(results: list, commands: list[str], args: argparse.Namespace) -> str:
    machine = f"{processor()}, {len(os.sched_getaffinity(0))} cores"
    how = (
        "Unit rows, inner product, k = 10, one query at a time; `random` "
        "directions, and `clustered`: 500 centres and noise of length 0.3. "
        f"Each figure is the median of {args.rounds} rounds that alternate "
        "between all of a table; `to the first` is the time of a line by that "
        "of the first line, formed round by round: median (least..most). Two "
        "threads ask at the same time, each one query after the other. IVF has "
        f"{args.nlist} lists; the setting is the least of a grid that reaches "
        "a recall of 0.99 (or the greatest of it). HNSW is built with "
        f"efConstruction {args.ef_construction}. The time that a call from "
        "Python takes on an index of one row is taken off the others' times. "
        "MB is what the process's anonymous memory (RssAnon) grew by when the "
        "index was built first; olho's rows themselves are in its file, which "
        "is mapped (the page cache), and its build writes and syncs them."
    )
    parts = [
        f"{machine}; {versions()}. By:",
        "\n".join(f"- {command}" for command in commands),
        how,
    ]
    cases = {(r.count, r.dim, r.set_name) for r in results}
    for count, dim, name in sorted(cases):
        of_case = [
            r for r in results if (r.set_name, r.count, r.dim) == (name, count, dim)
        ]
        parts.append(f"### {name}, {count} rows of {dim}")
        for group in GROUPS:
            of_group = [r for r in of_case if r.group == group]
            if of_group:
                parts.append(group_table(of_group))
    return "\n\n".join(parts)
