# SPDX-License-Identifier: Apache-2.0
"""Traces as an OpenTelemetry collector gets them (OTLP over HTTP in JSON)."""

import http.server
import json
import threading
import time

import process
import pytest

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PHASES = {"hash", "decode", "checks", "preprocess", "inference", "search",
          "serialise", "database"}


class Collector:
    def __init__(self):
        spans = self.spans = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                document = json.loads(self.rfile.read(length))
                assert self.path == "/v1/traces"
                for resource in document["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        spans.extend(scope["spans"])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"partialSuccess":{}}')

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def wait_for(self, count):
        process.until(lambda: len(self.spans) >= count)
        return list(self.spans)


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def classify(server, photo, **headers):
    return server.post(
        "/api/classify?embedding=0", files={"image": photo.read_bytes()}, headers=headers
    )


def test_a_request_is_a_span_with_its_phases_below(serve, photos, collector):
    server = serve({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    assert classify(server, photos[1], traceparent=f"00-{TRACE}-{PARENT}-01").status_code == 200
    spans = collector.wait_for(len(PHASES) + 1)
    root = next(span for span in spans if span["kind"] == 2)
    assert root["name"] == "POST /api/classify"
    assert root["traceId"] == TRACE
    assert root["parentSpanId"] == PARENT
    below = [span for span in spans if span is not root]
    assert {span["name"] for span in below} == PHASES
    for span in below:
        assert span["traceId"] == TRACE
        assert span["parentSpanId"] == root["spanId"]
        begin, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        assert int(root["startTimeUnixNano"]) <= begin <= end <= int(root["endTimeUnixNano"])
    assert abs(int(root["endTimeUnixNano"]) / 1e9 - time.time()) < 3600


def test_a_caller_that_does_not_sample_is_not_traced(serve, photos, collector):
    server = serve({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    classify(server, photos[1], traceparent=f"00-{TRACE}-{PARENT}-00")
    classify(server, photos[1], traceparent="nonsense")
    spans = collector.wait_for(2)
    assert spans
    assert all(span["traceId"] != TRACE for span in spans)
    assert all("parentSpanId" not in span for span in spans if span["kind"] == 2)


def test_an_error_is_a_span_with_its_status(serve, collector):
    server = serve({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    server.post("/api/classify", data=b"no image", headers={"Content-Type": "image/png"})
    (span,) = [span for span in collector.wait_for(2) if span["kind"] == 2]
    values = {entry["key"]: entry["value"] for entry in span["attributes"]}
    assert values["http.response.status_code"] == {"intValue": "415"}


def test_a_collector_that_is_away_costs_nothing_but_traces(serve, photos):
    server = serve({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    for _ in range(3):
        assert classify(server, photos[1]).status_code == 200
