# SPDX-License-Identifier: Apache-2.0
"""`olho ab` against a server that the test plays."""
import http.server
import json
import socket
import subprocess
import threading

import process
import pytest


def arm(version, role, **more):
    return {"version": version, "role": role, "weight": 1.0,
            "is_stopped": False, "requests": 1234, "errors": 12,
            "error_rate": 0.0097, "latency_p50_ms": 4.2,
            "latency_p95_ms": 11.9, "mean_confidence": 0.873,
            "compared": 100, "agreement": 0.96, "feedback": 200,
            "correct": 190, "accuracy": 0.95,
            "accuracy_interval": [0.9104, 0.9727], "test": None,
            "recommendation": None, "reason": "the control", **more}


def result_of(p_value):
    return {"is_done": True, "p_value": p_value, "alpha": 0.025,
            "difference": -0.19, "interval": [-0.25, -0.12]}


REPORT = {
    "test": "an always valid test", "alpha": 0.05, "margin": 0.01,
    "sample_min": 100, "is_auto_rollback": True,
    "arms": [arm("v1", "control"),
             arm("v2", "challenger", accuracy=0.76, is_stopped=False,
                 agreement=None, latency_p50_ms=None,
                 test={"error_rate": result_of(1), "accuracy": result_of(1e-9)},
                 recommendation="rollback", reason="worse: accuracy")],
    "recommendation": "rollback", "recommendation_version": "v2",
    "reason": "worse: accuracy"}


class Played:
    """Answers every GET with `status` and `body`, and keeps what was asked."""

    def __init__(self):
        played = self
        self.status, self.body, self.asked = 200, json.dumps(REPORT), []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                played.asked.append((self.path, self.headers))
                data = played.body.encode()
                self.send_response(played.status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        host, port = self.server.server_address
        self.address = f"http://{host}:{port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def played():
    played = Played()
    yield played
    played.stop()


def test_ab_prints_a_table_with_tests_and_recommendation(room, played):
    done = room.run("ab", "--address", played.address)
    assert done.returncode == 0, done.stderr
    assert played.asked[0][0] == "/api/ab"
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["version", "role", "weight"]
    assert lines[1].split()[:6] == ["v1", "control", "1.00", "1234", "4.2",
                                    "11.9"]
    assert "95.0 % (91.0 .. 97.3) of 200" in lines[1]
    assert lines[2].split()[:5] == ["v2", "challenger", "1.00", "1234", "-"]
    assert "v2 against the control: rollback" in done.stdout
    assert "-19.00 points (-25.00 .. -12.00), p = 1e-09 of 0.025" \
        in done.stdout
    assert "recommendation  rollback (worse: accuracy)" in done.stdout
    assert "automatic rollback is on" in done.stdout
    assert "\x1b" not in done.stdout


def test_ab_json_is_what_the_server_says(room, played):
    done = room.run("ab", "--json", "--address", played.address + "/")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == REPORT
    assert played.asked[0][0] == "/api/ab"


def test_ab_goes_to_this_machine_by_default(room, played):
    env = {"FLASK_PORT": played.server.server_port}
    assert room.run("ab", env=env).returncode == 0


def test_ab_sends_its_key_from_flag_or_environment(room, played):
    room.run("ab", "--address", played.address, env={"OLHO_KEY": "one"})
    room.run("ab", "--address", played.address, "--key", "two",
             env={"OLHO_KEY": "one"})
    room.run("ab", "--address", played.address)
    assert [headers["X-API-Key"] for _, headers in played.asked] == [
        "one", "two", None]


@pytest.mark.parametrize("status, body, part", [
    (404, '{"error":"one version answers all"}', "one version answers all"),
    (401, '{"error":"send a key"}', "401: send a key"),
    (503, "<html>", "503"),
    (200, "<html>", "the server's answer"),
    (200, "", "the server's answer")])
def test_ab_says_why_there_is_no_report(room, played, status, body, part):
    played.status, played.body = status, body
    done = room.run("ab", "--address", played.address)
    assert done.returncode == 1
    assert part in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("body", ["{}", "[]", "1", '{"arms":{"a":1}}',
                                  '{"arms":[1,{"version":"\\u001b[2J"}]}'])
def test_ab_bears_a_report_with_nothing_in_it(room, played, body):
    played.body = body
    done = room.run("ab", "--address", played.address)
    assert done.returncode == 0, done.stderr
    assert "recommendation  ?" in done.stdout
    assert "\x1b" not in done.stdout


def test_ab_without_a_server_says_so(room):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
        address = f"http://{host}:{port}"
        done = room.run("ab", "--address", address)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/", "no-url at all", ""])
def test_ab_with_an_address_that_cannot_be_is_refused(room, address):
    done = room.run("ab", f"--address={address}")
    assert done.returncode in (1, 2)
    assert done.stderr != ""


def test_ab_watches_until_the_server_is_gone(room, played):
    child = subprocess.Popen(
        [process.BIN, "ab", "--watch", "--json", "--address", played.address],
        cwd=room.work, env=room.environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    try:
        # By the third two have been answered.
        process.until(lambda: len(played.asked) >= 3)
        played.status, played.body = 404, "{}"
        out, err = child.communicate(timeout=process.PATIENCE_S)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 1
    assert b"404" in err
    assert len(out.splitlines()) >= 2
