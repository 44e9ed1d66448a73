# SPDX-License-Identifier: Apache-2.0
"""GET /health, /health/live, /health/ready and /metrics."""
import math
import re

import pytest
from wire import check_error

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(
    rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)?,?\}})? (\S+)(?: -?\d+)?\Z")


def parse(text):
    """Reads the text format 0.0.4 strictly: {name: (kind, help, samples)},
    samples being {(sample name, labels): value}."""
    assert text.endswith("\n")
    families, order = {}, []
    kind = about = family = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, family, about = line.split(" ", 3)
            assert family not in families, f"{family} is there twice"
            families[family] = [None, about, {}]
            order.append(family)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            assert name == family, "TYPE follows its HELP"
            assert kind in ("counter", "gauge", "histogram", "summary")
            families[family][0] = kind
        elif line:
            match = SAMPLE.match(line)
            assert match, f"no sample: {line!r}"
            name, labels, value = match.groups()
            base = name
            if kind == "histogram":
                base = re.sub(r"_(bucket|sum|count)\Z", "", name)
                assert base != name
            assert base == family, f"{name} stands under {family}"
            labels = tuple(re.findall(LABEL, labels or ""))
            keys = [label.split("=")[0] for label in labels]
            assert len(set(keys)) == len(keys)
            samples = families[family][2]
            assert (name, labels) not in samples, f"twice: {line}"
            samples[name, labels] = float(value)
    return families


def check_histogram(samples, family):
    series = {}
    for (name, labels), value in samples.items():
        rest = tuple(x for x in labels if not x.startswith("le="))
        row = series.setdefault(rest, {"buckets": []})
        if name == family + "_bucket":
            edge = next(x for x in labels if x.startswith("le="))[4:-1]
            row["buckets"].append((math.inf if edge == "+Inf" else float(edge),
                                   value))
        else:
            row[name] = value
    for labels, row in series.items():
        edges = [edge for edge, _ in row["buckets"]]
        counts = [count for _, count in row["buckets"]]
        assert edges == sorted(set(edges)) and edges[-1] == math.inf, labels
        assert counts == sorted(counts), f"{family}{labels} is not cumulative"
        assert counts[-1] == row[family + "_count"], labels
        assert row[family + "_sum"] >= 0


@pytest.fixture(scope="module")
def families(server, cat, photos):
    server.classify(cat)
    server.classify(b"this is no image")
    server.post("/api/classify/batch",
                files=[("images", p.read_bytes()) for p in photos[:3]])
    server.get("/no/such/path")
    reply = server.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    return parse(reply.text)


def test_health_says_what_is_there(server):
    reply = server.get("/health")
    assert reply.status_code == 200
    body = reply.json()
    assert body["status"] in ("ok", "healthy")


def test_live_and_ready_answer_200(server):
    for path in ("/health/live", "/health/ready"):
        reply = server.get(path)
        assert reply.status_code == 200
        assert isinstance(reply.json(), dict)


def test_metrics_are_in_the_text_format(families):
    for name, (kind, about, samples) in families.items():
        assert kind and about, name
        assert name.startswith(("olho_", "process_")), name
        if kind == "counter":
            assert name.endswith("_total")
            assert all(v >= 0 for v in samples.values())
        if kind == "histogram":
            check_histogram(samples, name)


def test_every_phase_of_a_request_is_timed(families):
    _, _, samples = families["olho_phase_seconds"]
    for phase, count in (("decode", 4), ("preprocess", 4), ("inference", 4),
                         ("serialise", 2)):
        key = ("olho_phase_seconds_count", (f'phase="{phase}"',))
        assert samples[key] >= count, phase


def test_requests_are_counted_by_route_and_status(families):
    _, _, samples = families["olho_http_requests_total"]

    def count(route, status):
        return sum(v for (_, labels), v in samples.items()
                   if f'route="{route}"' in labels
                   and f'status="{status}"' in labels)

    assert count("/api/classify", 200) >= 1
    assert count("/api/classify", 415) >= 1
    assert count("/api/classify/batch", 200) == 1
    assert not any("/no/such/path" in label
                   for _, labels in samples for label in labels)


def test_the_latency_of_requests_is_there_by_route(families):
    _, _, samples = families["olho_http_request_seconds"]
    routes = {label for _, labels in samples for label in labels
              if label.startswith("route=")}
    assert 'route="/api/classify"' in routes


def test_the_process_is_measured(server, families):
    _, _, samples = families["process_resident_memory_bytes"]
    value = next(iter(samples.values()))
    assert 0.5 < value / server.rss() < 2
    for name in ("process_cpu_seconds_total", "process_open_fds",
                 "process_start_time_seconds"):
        assert next(iter(families[name][2].values())) > 0


def test_counters_only_grow(server, cat, families):
    before = families["olho_http_requests_total"][2]
    server.classify(cat)
    after = parse(server.get("/metrics").text)["olho_http_requests_total"][2]
    assert all(after[key] >= value for key, value in before.items())
    key = ("olho_http_requests_total", ('route="/api/classify"',
                                        'status="200"'))
    assert after[key] >= before[key] + 1


def test_what_was_sent_never_becomes_a_label(server):
    for i in range(40):
        check_error(server.get(f'/secret-{i}"\\'), 404)
    assert "secret-" not in server.get("/metrics").text
    parse(server.get("/metrics").text)
