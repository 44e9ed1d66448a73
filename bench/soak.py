#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that olho survives: many requests with bad ones mixed in, then an
overload.

Soak: every photograph's answer is asked for beforehand, up to the figures
that differ from one request to the next. Then 100 000 requests come from 64
connections, 5 % of them bad (wrong field, truncated, text, too large, bad
top_k, reset half way ...), in ten legs. Every good answer must equal its
known one byte by byte, embedding included; every bad one must get its status.
After the first leg memory must stay flat; at the end no file may be left open.

Overload: four times the measured capacity is offered at fixed instants. The
server must shed with 429, and the 99th percentile of what it accepts must stay
below its deadline.

Exit code 0 when all of that held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import services  # noqa: E402

DATA = services.ROOT / "tests" / "data"
LEGS = 10
CONNECTIONS = 64
MARKER = b',"inference_time_ms"'
ERROR_START = b'{"erro":'
# What allocators and thread stacks may still take after the first leg.
GROWTH_MAX_MB = 4.0
ANSWER_MAX_S = 600
OVERLOAD = 4.0
OVERLOAD_CONNECTIONS = 900


def raw_request(
    method: str, path: str, headers: dict[str, str], body: bytes
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def post_photo(photo: bytes, field: str = "image", query: str = "") -> bytes:
    headers, body = services.form(photo, field)
    return raw_request("POST", f"/api/classify{query}", headers, body)


def bad_requests(photo: bytes) -> list[tuple[str, str, str, bytes, bytes]]:
    """Name, kind, allowed statuses, request, how the answer begins.

    Status 0, no answer, is allowed only for the body over the limit: the
    server may refuse it and close while the client still sends."""
    multipart = {
        "Content-Type": f"multipart/form-data; boundary={services.BOUNDARY}"
    }
    unclosed = services.form(photo)[1][: -len(services.BOUNDARY)]
    rows = [
        ("wrong field", "bad", "400", post_photo(photo, "picture")),
        ("truncated", "bad", "422", post_photo(photo[: len(photo) // 2])),
        ("text", "bad", "415", post_photo(b"not an image at all\n" * 50)),
        ("empty file", "bad", "400", post_photo(b"")),
        ("too large", "bad", "413,0", post_photo(bytes(11 << 20))),
        ("top_k 0", "bad", "400", post_photo(photo, query="?top_k=0")),
        ("top_k abc", "bad", "400", post_photo(photo, query="?top_k=abc")),
        (
            "top_k 1e9",
            "bad",
            "400",
            post_photo(photo, query="?top_k=1000000000"),
        ),
        (
            "no body",
            "bad",
            "400",
            raw_request("POST", "/api/classify", {}, b""),
        ),
        (
            "unclosed form",
            "bad",
            "400",
            raw_request("POST", "/api/classify", multipart, unclosed),
        ),
        (
            "unknown path",
            "bad",
            "404",
            raw_request("GET", "/nowhere", {}, b""),
        ),
        (
            "wrong method",
            "bad",
            "405",
            raw_request("DELETE", "/api/classify", {}, b""),
        ),
        ("reset half way", "reset", "0", post_photo(photo)),
    ]
    return [
        (
            name,
            kind,
            statuses,
            request,
            b"" if kind == "reset" else ERROR_START,
        )
        for name, kind, statuses, request in rows
    ]


def known_answer(service: services.Service, photo: bytes) -> bytes:
    """The part of the answer that must be the same each time."""
    answers = set()
    for _ in range(2):
        status, body = service.classify(photo)
        if status != 200 or MARKER not in body:
            raise SystemExit(f"soak: status {status}: {body[:300]!r}")
        answers.add(body[: body.index(MARKER)])
    if len(answers) != 1:
        raise SystemExit("soak: two answers to one photograph differ")
    return answers.pop()


def write_plan(
    service: services.Service, photos: list[Path], folder: Path
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (
            "good",
            "200",
            post_photo(photo.read_bytes()),
            known_answer(service, photo.read_bytes()),
        )
        for photo in photos
    ]
    bad = bad_requests(photos[0].read_bytes())
    rows += [
        (kind, statuses, request, start)
        for _, kind, statuses, request, start in bad
    ]
    lines = []
    for number, (kind, statuses, request, start) in enumerate(rows):
        sent, expected = (
            folder / f"{number}.request",
            folder / f"{number}.answer",
        )
        sent.write_bytes(request)
        expected.write_bytes(start)
        lines.append(f"{kind}\t{statuses}\t{sent}\t{expected}\n")
    plan = folder / "plan.tsv"
    plan.write_text("".join(lines))
    return plan


def run_load(service: services.Service, *options: object) -> dict:
    command = [str(services.build_load()), "--port", str(service.port)]
    command += ["--timeout", str(ANSWER_MAX_S)]
    shown = subprocess.run(
        [*command, *map(str, options)], stdout=subprocess.PIPE, text=True
    )
    return json.loads(shown.stdout)


def files_left(service: services.Service, wanted: int) -> int:
    """Files open beyond those wanted; gives closing sockets 10 s."""
    deadline = time.monotonic() + 10
    while (left := service.open_files() - wanted) > 0:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return max(left, 0)


def soak(
    service: services.Service, photos: list[Path], requests: int
) -> list[str]:
    """Returns what was wrong."""
    plan = write_plan(service, photos, services.BUILD / "bench-soak")
    opened = service.open_files()
    problems: list[str] = []
    memory: list[float] = []
    statuses: dict[str, int] = {}
    resets = 0
    print("   requests     rate/s   p99 ms  failures  wrong   RSS MB  files")
    for leg in range(1, LEGS + 1):
        figures = run_load(
            service,
            *("--plan", plan, "--connections", CONNECTIONS, "--bad", 5),
            *("--seed", leg),
            *("--requests", max(requests // LEGS, 1), "--seconds", 3600),
        )
        memory.append(service.memory_mb()[0])
        left = files_left(service, opened)
        print(
            f"{requests * leg // LEGS:11d} {figures['rate']:10.1f} "
            f"{figures['p99_ms']:8.1f} {figures['failures']:9d} "
            f"{figures['wrong']:6d} {memory[-1]:8.1f} {left:+6d}",
            flush=True,
        )
        resets += figures["resets"]
        for status, count in figures["statuses"].items():
            statuses[status] = statuses.get(status, 0) + count
        if figures["failures"] or figures["wrong"]:
            problems.append(f"leg {leg}: wrong statuses or answers")
    growth = max(memory) - memory[0]
    print(f"statuses {statuses}, of which {resets} resets by us (status 0)")
    print(
        f"memory after the first leg {memory[0]:.1f} MB, then at most "
        f"{growth:+.1f} MB"
    )
    if growth > GROWTH_MAX_MB:
        problems.append(f"memory grew by {growth:.1f} MB after the first leg")
    if left := files_left(service, opened):
        problems.append(f"{left} files were left open")
    return problems


def overload(
    service: services.Service,
    photos: list[Path],
    seconds: float,
    deadline_s: float,
) -> list[str]:
    names = list(map(str, photos))
    capacity = run_load(service, "--connections", 8, "--seconds", 5, *names)[
        "rate"
    ]
    figures = run_load(
        service,
        *("--rate", capacity * OVERLOAD, "--seconds", seconds),
        *("--connections", OVERLOAD_CONNECTIONS, *names),
    )
    statuses = {status: n for status, n in figures["statuses"].items()}
    print(
        f"capacity {capacity:.1f}/s; offered {capacity * OVERLOAD:.1f}/s for "
        f"{seconds:g} s: statuses {statuses}, "
        f"accepted {figures['rate']:.1f}/s, "
        f"p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms "
        f"(deadline {deadline_s * 1e3:.0f} ms), not sent {figures['missed']}"
    )
    problems = []
    if figures["failures"]:
        problems.append(f"{figures['failures']} requests without an answer")
    if not statuses.get("429"):
        problems.append("nothing was shed with 429")
    if set(statuses) - {"200", "429"}:
        problems.append(f"statuses other than 200 and 429: {statuses}")
    if figures["p99_ms"] >= deadline_s * 1e3:
        problems.append("the 99th percentile passed the deadline")
    if figures["good"] == 0:
        problems.append("nothing was accepted")
    if service.classify(photos[0].read_bytes())[0] != 200:
        problems.append("no good answer after the overload")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--requests", type=int, default=100_000, help="in all (100000)"
    )
    parser.add_argument(
        "--seconds", type=float, default=15, help="of overload (15)"
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=5,
        help="the server's TIMEOUT in s (5)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=services.MODEL_DIR,
        help="folder of another model; a tiny one strains all but the network",
    )
    args = parser.parse_args()
    photos = sorted((DATA / "clothing").rglob("*.jpg"))
    photos += [DATA / "photos" / "cat_720p.jpg", DATA / "photos" / "owl.jpg"]

    problems = []
    # Endurance is about right answers, however slow the machine is; only the
    # overload has a deadline to keep.
    for timeout_s, work in (
        (ANSWER_MAX_S, lambda s: soak(s, photos, args.requests)),
        (
            args.deadline,
            lambda s: overload(s, photos, args.seconds, args.deadline),
        ),
    ):
        service = services.Service(
            services.find_kind("olho"),
            {
                "TIMEOUT": str(timeout_s),
                "LOG_LEVEL": "off",
                "MODEL_PATH": str(args.model.resolve()),
            },
        )
        service.start(photos[0].read_bytes())
        problems += work(service)
        if code := service.stop():
            problems.append(f"exit code {code} after SIGTERM")
    print("\n".join(f"PROBLEM: {text}" for text in problems) or "all held")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
