# SPDX-License-Identifier: Apache-2.0
"""Tables and verdicts from measured windows, as Markdown."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Sequence

import services

if TYPE_CHECKING:
    import argparse

# What is the image's and the network's own work; the rest is overhead.
OWN_PHASES = ("decode", "preprocess", "inference")
OVERHEAD_MAX_MS = 0.3
# Above this share of other programs overhead cannot be told.
OVERHEAD_FOREIGN_MAX = 0.05
RSS_MAX_MB = 100.0
START_MAX_S = 0.3
RATE_MIN = {"fastapi_ort": 1.3, "flask_tf": 4.0}
INT8_RATE_MIN = 1.6  # on processors with VNNI
LATENCY_MAX = 0.6
CPU_MAX = 0.8


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    widths = [
        max(len(row[i]) for row in [head, *rows]) for i in range(len(head))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def progress_line(w) -> str:
    return (
        f"{w.photos} round {w.round} c={w.connections:<3d}"
        f"{w.server:<16s}{w.rate:8.1f}/s  p50 {w.p50_ms:7.2f} ms  "
        f"p99 {w.p99_ms:7.2f} ms  cpu {w.cpu_ms:6.2f} ms  "
        f"rss {w.rss_mb:6.1f} MB  others {w.foreign:4.0%}"
        + (f"  FAILURES {w.failures}" if w.failures else "")
    )


def pick(windows: list, **wanted: object) -> list:
    return [
        w
        for w in windows
        if all(getattr(w, name) == value for name, value in wanted.items())
    ]


def middle(windows: list, field: str) -> float:
    return median(getattr(w, field) for w in windows)


def side_by_side(windows: list, photos: str, counts: Sequence[int]) -> str:
    servers = list(dict.fromkeys(w.server for w in windows))
    rows = []
    for connections in counts:
        for server in servers:
            found = pick(
                windows, photos=photos, connections=connections, server=server
            )
            rows.append(
                [
                    server,
                    str(connections),
                    f"{middle(found, 'rate'):.1f}",
                    f"{middle(found, 'p50_ms'):.2f}",
                    f"{middle(found, 'p95_ms'):.2f}",
                    f"{middle(found, 'p99_ms'):.2f}",
                    f"{middle(found, 'cpu_ms'):.2f}",
                    f"{middle(found, 'rss_mb'):.0f}",
                    f"{middle(found, 'pss_mb'):.0f}",
                    f"{max(w.foreign for w in found):.0%}",
                ]
            )
    head = ["server", "connections", "requests/s", "p50 ms", "p95 ms"]
    head += ["p99 ms", "CPU ms/request", "RSS MB", "PSS MB", "others"]
    return table(head, rows)


def ratios(
    windows: list, photos: str, connections: int, peer: str, field: str
) -> list[float]:
    """olho's figure over the peer's, one for each round."""
    found = pick(windows, photos=photos, connections=connections)
    ours = {w.round: getattr(w, field) for w in pick(found, server="olho")}
    theirs = {w.round: getattr(w, field) for w in pick(found, server=peer)}
    return [ours[n] / theirs[n] for n in sorted(ours) if theirs.get(n, 0) > 0]


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def ratio_table(windows: list, photos: str, counts: Sequence[int]) -> str:
    peers = [
        w for w in dict.fromkeys(w.server for w in windows) if w != "olho"
    ]
    rows = []
    for peer in peers:
        for connections in counts:
            cells = [
                spread(ratios(windows, photos, connections, peer, field))
                for field in ("rate", "p50_ms", "p99_ms", "cpu_ms", "rss_mb")
            ]
            rows.append([f"olho / {peer}", str(connections), *cells])
    head = ["ratio", "connections", "rate", "p50", "p99", "CPU", "RSS"]
    return table(head, rows)


def quietest(plain: list):
    """The round of olho with one thread that others disturbed least."""
    return min(plain, key=lambda w: w.foreign)


def overhead_ms(plain: list) -> float:
    """Processor time of a request but for decode, preprocessing and network.

    Phases are wall time, which equals processor time only while nothing else
    wants the cores. On a busy machine the phases are too long and the
    difference too small."""
    window = quietest(plain)
    return window.cpu_ms - sum(
        window.phases_ms.get(name, 0) for name in OWN_PHASES
    )


def is_busy(plain: list) -> bool:
    return quietest(plain).foreign > OVERHEAD_FOREIGN_MAX


def ceilings(windows: list, plain: list) -> str:
    """What the float32 network alone leaves to win over each peer."""
    network_ms = quietest(plain).phases_ms["inference"]
    told = []
    for peer in RATE_MIN:
        found = pick(windows, connections=1, server=peer, photos="small")
        if found:
            ratio = middle(found, "cpu_ms") / network_ms
            told.append(f"{ratio:.2f} times the rate of {peer}")
    if not told:
        return ""
    return (
        f"The network takes {network_ms:.2f} ms of one core. If all else "
        "cost nothing, olho would reach on this processor "
        + " and ".join(told)
        + ("; too low: the machine was busy" if is_busy(plain) else "")
        + "."
    )


def phase_table(plain: list) -> str:
    window = quietest(plain)
    rows = [[name, f"{ms:.3f}"] for name, ms in window.phases_ms.items()]
    rows.append(["CPU of the process", f"{window.cpu_ms:.3f}"])
    rows.append(["overhead", f"{overhead_ms(plain):.3f}"])
    return table(["phase", "ms/request"], rows)


def rate_verdicts(windows: list, photos: str) -> list[list[str]]:
    rows = []
    for peer, least in RATE_MIN.items():
        for connections in sorted({w.connections for w in windows} - {1}):
            values = ratios(windows, photos, connections, peer, "rate")
            if values:
                rows.append(
                    verdict(
                        f"rate, {connections} connections, over {peer}",
                        f">= {least}",
                        spread(values),
                        median(values) >= least,
                    )
                )
    return rows


def int8_verdicts(windows: list, photos: str) -> list[list[str]]:
    """The int8 model beside the float32 one."""
    rows = []
    for connections in sorted({w.connections for w in windows}):
        found = ratios(windows, photos, connections, "olho_int8", "rate")
        if found:
            values = [1 / value for value in found]
            what = f"rate of int8 over float32, {connections} connections"
            is_met = median(values) >= INT8_RATE_MIN
            rows.append(
                verdict(what, f">= {INT8_RATE_MIN}", spread(values), is_met)
            )
    return rows


def cost_verdicts(windows: list, photos: str) -> list[list[str]]:
    """Latency and processor time beside the fastest peer."""
    peer = "fastapi_ort"
    wanted = [(f"p50, 1 connection, over {peer}", "p50_ms", 1, LATENCY_MAX)]
    for connections in sorted({w.connections for w in windows}):
        what = f"CPU, {connections} connections, over {peer}"
        wanted.append((what, "cpu_ms", connections, CPU_MAX))
    rows = []
    for what, field, connections, most in wanted:
        values = ratios(windows, photos, connections, peer, field)
        if values:
            is_met = median(values) <= most
            rows.append(verdict(what, f"<= {most}", spread(values), is_met))
    return rows


def own_verdicts(
    windows: list, plain: list, starts: dict[str, list[float]]
) -> list[list[str]]:
    """What olho promises by itself."""
    rss = max(w.rss_mb for w in pick(windows, server="olho"))
    start = median(starts["olho"])
    rows = [
        verdict(
            "resident memory",
            f"< {RSS_MAX_MB:g} MB",
            f"{rss:.0f} MB",
            rss < RSS_MAX_MB,
        ),
        verdict(
            "first answer after start",
            f"< {START_MAX_S} s",
            f"{start:.3f} s",
            start < START_MAX_S,
        ),
    ]
    if plain:
        over = overhead_ms(plain)
        row = verdict(
            "overhead of a request",
            f"< {OVERHEAD_MAX_MS} ms",
            f"{over:.3f} ms",
            over < OVERHEAD_MAX_MS,
        )
        if is_busy(plain):
            row[-1] = "unknown: the machine was busy"
        rows.append(row)
    return rows


def verdict(what: str, limit: str, shown: str, is_met: bool) -> list[str]:
    return [what, limit, shown, "met" if is_met else "MISSED"]


def verdicts(
    windows: list, plain: list, starts: dict[str, list[float]]
) -> str:
    """The targets that this run can judge, each met or missed."""
    photos = windows[0].photos
    rows = rate_verdicts(windows, photos)
    rows += cost_verdicts(windows, photos)
    rows += int8_verdicts(windows, photos)
    rows += own_verdicts(windows, plain, starts)
    return table(["target", "limit", "measured", "verdict"], rows)


def start_table(starts: dict[str, list[float]]) -> str:
    rows = [
        [name, f"{median(v):.3f}", f"{min(v):.3f}", f"{max(v):.3f}"]
        for name, v in starts.items()
    ]
    return table(["start to first answer", "s", "least", "most"], rows)


def summary(
    windows: list,
    plain: list,
    starts: dict[str, list[float]],
    counts: Sequence[int],
) -> str:
    """All tables. plain: olho with one thread and one connection."""
    told = {
        "small": "Small photographs (about 400x534, 24 kB)",
        "large": "Large photographs (512x355 to 1920x1080, 70 kB to 1.4 MB)",
    }
    has_ours = any(w.server == "olho" for w in windows)
    parts = [note] if (note := busy_note(windows)) else []
    if has_ours:
        parts += ["## Targets", verdicts(windows, plain, starts)]
    if plain and (text := ceilings(windows, plain)):
        parts += [text]
    for photos in dict.fromkeys(w.photos for w in windows):
        parts += [f"## {told[photos]}", side_by_side(windows, photos, counts)]
        if has_ours and len({w.server for w in windows}) > 1:
            parts += [ratio_table(windows, photos, counts)]
    if plain:
        parts += ["## Where olho's time goes"]
        parts += ["Small photographs, one connection, INFERENCE_THREADS=1:"]
        parts += [phase_table(plain)]
    parts += ["## Start", start_table(starts)]
    return "\n\n".join(parts) + "\n"


def busy_note(windows: list) -> str:
    """A warning where the machine was not ours alone."""
    most = max(w.foreign for w in windows)
    if most <= OVERHEAD_FOREIGN_MAX:
        return ""
    return (
        f"Other programs took up to {most:.0%} of the machine during this "
        "run: rates and latencies suffered from that, processor time least."
    )


def processor() -> str:
    """Model, cores and the vector instructions that matter."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    told = (
        "avx2 fma avx512f avx512_vnni avx512_bf16 asimd asimddp i8mm".split()
    )
    return (
        f"{len(os.sched_getaffinity(0))} cores, "
        f"{fields.get('model name', platform.machine())} "
        f"({' '.join(flag for flag in told if flag in flags)})"
    )


def page(
    text: str, kinds: list[services.Kind], args: argparse.Namespace
) -> str:
    today = datetime.date.today().isoformat()
    command = shlex.join(["bench/run", *sys.argv[1:]])
    return "\n".join(
        [
            "# Measured",
            "",
            f"Written by `{command}` on {today}: {args.rounds} rounds, "
            f"{args.seconds:g} s a window, servers in turn.",
            "",
            f"- machine: {processor()}, Linux "
            f"{platform.release().split('-')[0]}, load client on the same "
            "cores",
            *(
                f"- {kind.name}: {kind.title}; {services.versions(kind)}"
                for kind in kinds
            ),
            "",
            "Medians over the rounds; ratios are olho's figure over the "
            "other's in the same round: median (least..greatest). `others` is "
            "the greatest share of the machine that other programs took in "
            "any of the windows.",
            "",
            text,
        ]
    )
