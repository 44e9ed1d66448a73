# SPDX-License-Identifier: Apache-2.0
"""Start, overload, reload and end of the server."""
import concurrent.futures
import http.server
import signal
import threading
import time

import process
import pytest
from wire import Wire, check_error


class Holding(http.server.BaseHTTPRequestHandler):
    """A bucket that gives its one image when it is let go."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.set()
        self.server.let_go.wait(process.PATIENCE_S)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.image)))
        self.end_headers()
        self.wfile.write(self.server.image)

    def log_message(self, *_):
        pass


class Bucket(http.server.ThreadingHTTPServer):
    """A request for its image keeps a worker busy for as long as the test
    wants."""

    def __init__(self, image):
        super().__init__(("127.0.0.1", 0), Holding)
        self.image = image
        self.asked, self.let_go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()
        self.settings = {
            "MINIO_HOST": "127.0.0.1", "MINIO_PORT": self.server_port,
            "MINIO_BUCKET_ORIGINAL": "fotos", "BLOB_TIMEOUT": 600}

    def hold(self, server, pool):
        """Asks for the image and waits until a worker is busy with it."""
        reply = pool.submit(server.post, "/api/classify",
                            json={"image_path": "fotos/a.jpg"})
        assert self.asked.wait(process.PATIENCE_S)
        return reply

    def stop(self):
        self.let_go.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


@pytest.fixture
def bucket(cat):
    made = Bucket(cat.read_bytes())
    yield made
    made.stop()


def test_a_request_under_way_is_finished_after_sigterm(serve, bucket, photos):
    server = serve({"WORKERS": 1, "LOG_LEVEL": "info", "DRAIN_TIMEOUT": 600,
                    **bucket.settings})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = bucket.hold(server, pool)
        second = pool.submit(server.classify, photos[0])
        process.until(lambda: server.metric("olho_queue_waiting") == 1)
        server.process.send_signal(signal.SIGTERM)
        process.until(lambda: "draining" in server.log())
        bucket.let_go.set()
        for reply in (first.result(), second.result()):
            assert reply.status_code == 200, reply.text
    assert server.terminate() == 0


def test_while_it_drains_it_is_not_ready_but_alive(serve):
    server = serve({"DRAIN_DELAY": 600})
    server.process.send_signal(signal.SIGTERM)
    process.until(lambda: server.get("/health/ready").status_code == 503)
    assert server.get("/health/live").status_code == 200
    assert server.get("/api/model/status").status_code == 200
    # A second signal ends the delay.
    assert server.terminate() == 0


def test_a_silent_connection_does_not_hold_up_the_end(serve):
    server = serve({"DRAIN_TIMEOUT": 1, "IDLE_TIMEOUT": 3600,
                    "RECEIVE_TIMEOUT": 3600})
    with Wire(server) as idle, Wire(server) as half:
        idle.request("GET", "/health")
        idle.read()
        half.send("POST /api/classify HTTP/1.1\r\nHost: a\r\n"
                  "Content-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\nab")
        assert server.terminate() == 0


def test_a_second_sigterm_changes_nothing(serve):
    server = serve({"DRAIN_DELAY": 0.3})
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)
    assert server.terminate() == 0


def test_sigint_ends_it_well_too(serve):
    server = serve()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(process.PATIENCE_S) == 0


def test_sighup_takes_in_a_new_log_level(serve, room, request_id):
    settings = room.work / ".env"
    settings.write_text("LOG_LEVEL=error\n")
    server = serve({"LOG_LEVEL": "-"}, room=room)

    def is_logged(name):
        server.get("/api/model/status", headers={"X-Request-Id": name})
        return name in server.log()

    assert not is_logged(request_id + "-before")
    settings.write_text("LOG_LEVEL=info\n")
    server.process.send_signal(signal.SIGHUP)
    process.until(lambda: is_logged(request_id + "-after"))
    settings.write_text("LOG_LEVEL=nonsense\n")
    server.process.send_signal(signal.SIGHUP)
    process.until(lambda: "nonsense" in server.log())
    process.until(lambda: is_logged(request_id + "-still"))


def test_a_flag_stays_stronger_than_dot_env_across_sighup(serve, room,
                                                          request_id):
    (room.work / ".env").write_text("LOG_LEVEL=error\n")
    server = serve({"LOG_LEVEL": "-", "LOG_FILE": "olho.log"},
                   ["--log-level", "info"], room=room)
    log = room.work / "olho.log"
    log.rename(room.work / "olho.log.1")
    server.process.send_signal(signal.SIGHUP)
    process.until(lambda: log.exists()
                  and "settings are reloaded" in log.read_text())
    server.get("/api/model/status", headers={"X-Request-Id": request_id})
    process.until(lambda: request_id in log.read_text())


def test_sighup_opens_the_log_file_anew(serve, tmp_path, request_id):
    path = tmp_path / "olho.log"
    server = serve({"LOG_LEVEL": "info", "LOG_FILE": path})
    path.rename(tmp_path / "olho.log.1")
    server.process.send_signal(signal.SIGHUP)

    def is_logged():
        server.get("/api/model/status", headers={"X-Request-Id": request_id})
        return path.exists() and request_id in path.read_text()

    # The new file is there a moment before lines go to it.
    process.until(is_logged)


def test_a_taken_port_is_said_plainly(server):
    done = server.room.run("serve", "--port", server.port)
    assert done.returncode == 1
    assert str(server.port) in done.stderr
    assert server.get("/health").status_code == 200


def test_a_host_that_is_not_ours_is_said_plainly(room):
    done = room.run("serve", "--host", "203.0.113.7", "--port", 0)
    assert done.returncode in (1, 2)
    assert "203.0.113.7" in done.stderr


def test_port_and_host_may_be_flags(serve):
    server = serve({"FLASK_PORT": "1"}, ["--port", "0", "--host", "127.0.0.1"])
    assert server.port > 1 and server.host == "127.0.0.1"


def test_past_the_queue_it_answers_429_at_once(serve, bucket, photos):
    server = serve({"WORKERS": 1, "QUEUE_MAX": 1, **bucket.settings})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        slow = [bucket.hold(server, pool)]
        slow.append(pool.submit(server.classify, photos[1]))
        process.until(lambda: server.metric("olho_queue_waiting") == 1)
        shed = server.classify(photos[0])
        text = check_error(shed, 429)
        assert "1" in text
        assert int(shed.headers["Retry-After"]) >= 1
        assert server.get("/health/live").status_code == 200
        bucket.let_go.set()
        assert all(f.result().status_code == 200 for f in slow)
    assert server.classify(photos[0]).status_code == 200
    assert server.metric("olho_http_shed_total") >= 1


def test_past_the_deadline_it_answers_504(serve, bucket, photos):
    limit_s = 1 * process.SLOW
    server = serve({"WORKERS": 1, "TIMEOUT": limit_s, **bucket.settings})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = bucket.hold(server, pool)
        second = pool.submit(server.classify, photos[0])
        process.until(lambda: server.metric("olho_queue_waiting") == 1)
        time.sleep(limit_s)  # which is over for both of them then
        bucket.let_go.set()
        for reply in (first.result(), second.result()):
            check_error(reply, 504)
    process.until(lambda: server.classify(photos[3]).status_code == 200)


def test_more_upload_memory_than_allowed_is_refused(serve):
    server = serve({"UPLOAD_MEMORY_MB": 12, "MAX_BATCH_SIZE_MB": 10,
                    "MAX_IMAGE_SIZE_MB": 10})
    wires = [Wire(server) for _ in range(3)]
    try:
        for wire in wires:
            wire.send("POST /api/classify HTTP/1.1\r\nHost: a\r\n"
                      "Content-Type: image/jpeg\r\n"
                      f"Content-Length: {9 << 20}\r\n\r\n")
            try:
                wire.send(bytes((9 << 20) - 1))
            except OSError:
                break
        assert server.metric("olho_upload_bytes") <= 13 << 20
        assert server.get("/health").status_code == 200
    finally:
        for wire in wires:
            wire.close()
    process.until(lambda: server.metric("olho_upload_bytes") == 0)


@pytest.mark.parametrize("env, name", [
    ({"FLASK_PORT": "70000"}, "FLASK_PORT"), ({"WORKERS": "many"}, "WORKERS"),
    ({"TIMEOUT": "-1"}, "TIMEOUT"), ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
    ({"CONFIDENCE_THRESHOLD": "nan"}, "CONFIDENCE_THRESHOLD"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ({"QUEUE_MAX": "1e3"}, "QUEUE_MAX"), ({"DECODE_EXACT": "2"}, "DECODE_EXACT"),
    ({"IMAGE_SIDE_MIN": "900", "IMAGE_SIDE_MAX": "800"}, "IMAGE_SIDE_MIN")])
def test_a_wrong_setting_stops_the_start_and_is_named(room, env, name):
    done = room.run("serve", env={"FLASK_PORT": "0", **env})
    assert done.returncode in (1, 2)
    assert name in done.stderr and next(iter(env.values())) in done.stderr
