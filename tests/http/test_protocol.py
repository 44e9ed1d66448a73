# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 itself, mostly through raw sockets."""
import contextlib
import gzip
import json
import re

import process
import pytest
from wire import Wire, check_error, form


def image_form(photo):
    return form([(b'name="image"; filename="a.jpg"', b"image/jpeg",
                  photo.read_bytes())])


def first_line(wire):
    """What the server says, or nothing when it just ends the connection."""
    try:
        return wire.file.readline()
    except ConnectionError:
        return b""


def chunks(data, size):
    for i in range(0, len(data), size):
        part = data[i:i + size]
        yield f"{len(part):x}\r\n".encode() + part + b"\r\n"
    yield b"0\r\n\r\n"


def test_a_connection_serves_many_requests(server, cat):
    head, body = image_form(cat)
    with Wire(server) as wire:
        for _ in range(3):
            wire.request("POST", "/api/classify", [head], body)
            assert wire.read().status == 200
            wire.request("GET", "/health/live")
            assert wire.read().status == 200


def test_a_connection_survives_an_error_answer(server, cat):
    head, body = image_form(cat)
    with Wire(server) as wire:
        wire.request("GET", "/no/such/path")
        check_error(wire.read(), 404)
        wire.request("POST", "/api/classify", [head], b"--b0undary--\r\n")
        check_error(wire.read(), 400)
        wire.request("POST", "/api/classify", [head], body)
        assert wire.read().status == 200


def test_requests_sent_together_are_answered_in_order(server, cat):
    head, body = image_form(cat)
    with Wire(server) as wire:
        wire.request("GET", "/api/model/status", ["X-Request-Id: first-1"])
        wire.request("POST", "/api/classify",
                     [head, "X-Request-Id: second-2"], body)
        wire.request("GET", "/health", ["X-Request-Id: third-3"])
        ids = [wire.read().headers["x-request-id"] for _ in range(3)]
    assert ids == ["first-1", "second-2", "third-3"]


def test_connection_close_is_honoured(server):
    with Wire(server) as wire:
        wire.request("GET", "/health", ["Connection: close"])
        assert wire.read().status == 200
        assert wire.is_closed()


def test_http_1_0_is_answered_and_closed(server):
    with Wire(server) as wire:
        wire.send("GET /health HTTP/1.0\r\n\r\n")
        assert re.match(rb"HTTP/1\.[01] 200 ", wire.file.readline())
        rest = wire.file.read()
        assert rest.split(b"\r\n\r\n", 1)[1].startswith(b"{")


def test_expect_100_continue_is_answered_before_the_body(server, cat):
    data = cat.read_bytes()
    with Wire(server) as wire:
        wire.send("POST /api/classify HTTP/1.1\r\nHost: olho\r\n"
                  "Content-Type: image/jpeg\r\nExpect: 100-continue\r\n"
                  f"Content-Length: {len(data)}\r\n\r\n")
        assert wire.read().status == 100
        wire.send(data)
        assert wire.read().status == 200


def test_expect_with_too_large_a_body_is_refused_before_it_is_sent(server):
    with Wire(server) as wire:
        wire.send("POST /api/classify HTTP/1.1\r\nHost: olho\r\n"
                  "Content-Type: image/jpeg\r\nExpect: 100-continue\r\n"
                  "Content-Length: 99000000\r\n\r\n")
        check_error(wire.read(), 413)


@pytest.mark.parametrize("size", [1000, 65536])
def test_a_chunked_upload_is_read(server, cat, size):
    head, body = image_form(cat)
    with Wire(server) as wire:
        wire.send("POST /api/classify HTTP/1.1\r\nHost: olho\r\n"
                  f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"".join(chunks(body, size)))
        reply = wire.read()
        assert reply.status == 200
        wire.request("GET", "/health/live")
        assert wire.read().status == 200
    assert (reply.json()["embedding"]
            == server.classify(cat).json()["embedding"])


def test_a_chunked_upload_over_the_limit_is_refused(server):
    with Wire(server) as wire:
        wire.send("POST /api/classify HTTP/1.1\r\nHost: olho\r\n"
                  "Content-Type: image/jpeg\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n")
        try:
            for part in chunks(bytes(12 << 20), 1 << 20):
                wire.send(part)
        except ConnectionError:
            pass  # refused already; the answer may be there or lost
        try:
            check_error(wire.read(), 413, 10)
        except (ConnectionError, AssertionError) as failure:
            assert isinstance(failure, ConnectionError) or "cut short" in str(
                failure), failure
    assert server.get("/health").status_code == 200


def test_an_upload_byte_by_byte_is_read(server):
    with Wire(server) as wire:
        body = b'{"image_path": 7}'
        wire.send("POST /api/classify HTTP/1.1\r\nHost: olho\r\n"
                  "Content-Type: application/json\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n")
        for i in range(len(body)):
            wire.send(body[i:i + 1])
        check_error(wire.read(), 400, "image_path")


@pytest.mark.parametrize("path", ["/health", "/api/model/status",
                                  "/api/model/classes", "/metrics"])
def test_head_is_get_without_the_body(server, path):
    with Wire(server) as wire:
        wire.request("HEAD", path)
        head = wire.read("HEAD")
        wire.request("GET", path)
        get = wire.read()
    assert head.status == get.status == 200
    assert head.headers["content-type"] == get.headers["content-type"]
    assert abs(int(head.headers["content-length"]) - len(get.body)) < 4000


def test_options_names_the_methods(server):
    for path, method in (("/api/classify", "POST"), ("/health", "GET")):
        with Wire(server) as wire:
            wire.request("OPTIONS", path)
            reply = wire.read("HEAD")
        assert reply.status in (200, 204)
        assert method in reply.headers["allow"]
        assert "OPTIONS" in reply.headers["allow"]


@pytest.mark.parametrize("method, path, allowed", [
    ("GET", "/api/classify", "POST"), ("DELETE", "/api/classify", "POST"),
    ("PUT", "/api/model/status", "GET"), ("POST", "/health", "GET"),
    ("PATCH", "/metrics", "GET")])
def test_a_wrong_method_is_405_and_names_the_right_one(server, method, path,
                                                       allowed):
    reply = server.request(method, path)
    check_error(reply, 405, method)
    assert allowed in reply.headers["Allow"]


@pytest.mark.parametrize("path", [
    "/api", "/api/", "/api/classify/", "/api/classify/none", "/%00",
    "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//health", "/x" * 900])
def test_an_unknown_path_is_404(server, path):
    with Wire(server) as wire:
        wire.request("GET", path)
        check_error(wire.read(), (404, 405, 400) if "%00" in path else
                    (404, 405))


def test_the_root_tells_people_what_this_is(server):
    reply = server.get("/")
    assert reply.status_code == 200
    assert "/api/classify" in reply.text and process.VERSION in reply.text


def test_a_clean_request_id_comes_back(server, request_id):
    reply = server.get("/no/path", headers={"X-Request-Id": request_id})
    assert reply.headers["X-Request-Id"] == request_id
    assert reply.json()["request_id"] == request_id


@pytest.mark.parametrize("dirty", ["a b", "x" * 500, '"quoted"', "<script>",
                                   "caf\xe9", "a\tb", ""])
def test_a_dirty_request_id_is_replaced(server, dirty):
    with Wire(server) as wire:
        wire.send(b"GET /api/model/none HTTP/1.1\r\nHost: olho\r\n"
                  b"X-Request-Id: " + dirty.encode("latin-1") + b"\r\n\r\n")
        reply = wire.read()
    made = reply.headers["x-request-id"]
    assert made and made != dirty and re.fullmatch(r"[\w.:-]{1,64}", made)
    assert reply.json()["request_id"] == made


def test_request_ids_are_unique(server):
    ids = {server.get("/health").headers["X-Request-Id"] for _ in range(50)}
    assert len(ids) == 50


def test_a_large_reply_is_compressed_when_asked(server):
    with Wire(server) as wire:
        wire.request("GET", "/api/model/classes", ["Accept-Encoding: gzip"])
        packed = wire.read()
        wire.request("GET", "/api/model/classes")
        plain = wire.read()
        wire.request("GET", "/api/model/classes",
                     ["Accept-Encoding: gzip;q=0, identity"])
        refused = wire.read()
        wire.request("GET", "/health/live", ["Accept-Encoding: gzip"])
        small = wire.read()
    assert packed.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in packed.headers["vary"].lower()
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 2
    for reply in (plain, refused, small):
        assert "content-encoding" not in reply.headers


def test_without_cors_origin_there_are_no_cors_headers(server):
    reply = server.get("/health", headers={"Origin": "https://app.example"})
    assert not any(h.lower().startswith("access-control")
                   for h in reply.headers)


def test_cors_lets_the_configured_origin_in(serve, cat):
    origin = "https://app.example"
    server = serve({"CORS_ORIGIN": origin})
    with Wire(server) as wire:
        wire.request("OPTIONS", "/api/classify", [
            f"Origin: {origin}", "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type"])
        reply = wire.read("HEAD")
    assert reply.status in (200, 204)
    assert reply.headers["access-control-allow-origin"] == origin
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert ("content-type"
            in reply.headers["access-control-allow-headers"].lower())
    for answer in (server.classify(cat), server.get("/no/path")):
        assert answer.headers["Access-Control-Allow-Origin"] == origin


def test_cors_may_let_everybody_in(serve):
    server = serve({"CORS_ORIGIN": "*"})
    reply = server.get("/health", headers={"Origin": "https://a.example"})
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


@pytest.fixture(scope="module")
def impatient(serve):
    """A server that closes a connection which is silent for a second."""
    server = serve({"IDLE_TIMEOUT": 1})
    # One that is kept may be closed just when it is used again.
    server.session.headers["Connection"] = "close"
    return server


def test_replies_name_the_server_but_not_the_library(server):
    reply = server.get("/health")
    assert reply.headers.get("Server", "olho").startswith("olho")


@pytest.mark.parametrize("request_line", [
    "NONSENSE\r\n\r\n", "GET\r\n\r\n", "\r\n\r\n\r\n\r\n",
    "GET /health HTTP/9.9\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
    "GET /health HTTP/1.1\r\nContent-Length: -5\r\nHost: a\r\n\r\n",
    "GET /health HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST /api/classify HTTP/1.1\r\nHost: a\r\n"
    "Transfer-Encoding: chunked\r\n\r\nZZZ\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"])
def test_what_is_no_http_never_stops_the_server(impatient, request_line):
    with Wire(impatient) as wire:
        wire.send(request_line)
        first = first_line(wire)
        assert first == b"" or re.match(rb"HTTP/1\.[01] [2-5]\d\d ", first)
    assert impatient.get("/health").status_code == 200


def test_a_header_over_the_limit_is_431(serve):
    server = serve({"HEADER_SIZE_KB": 4})
    for extra in (["X-Long: " + "x" * 20000],
                  [f"X-{i}: {'y' * 100}" for i in range(300)]):
        with Wire(server) as wire:
            wire.request("GET", "/health", extra)
            status = int(wire.file.readline().split()[1])
            assert status in (413, 431)
    assert server.get("/health").status_code == 200


def test_a_path_over_the_limit_is_refused(server):
    with Wire(server) as wire:
        with contextlib.suppress(OSError):  # it may have been refused already
            wire.send("GET /" + "a" * 100000 + " HTTP/1.1\r\nHost: a\r\n\r\n")
        line = first_line(wire)
        assert line == b"" or int(line.split()[1]) in (404, 414, 431)
    assert server.get("/health").status_code == 200


def test_keys_guard_the_api_but_not_health(serve, cat):
    server = serve({"API_KEYS": "read:open-sesame,admin:all-of-it"})
    assert server.get("/health/live").status_code == 200
    check_error(server.classify(cat), 401)
    for header in ({"Authorization": "Bearer wrong"}, {"X-API-Key": "open"}):
        check_error(server.post("/api/classify", data=cat.read_bytes(),
                                headers={"Content-Type": "image/jpeg",
                                         **header}), 401)
    for header in ({"Authorization": "Bearer open-sesame"},
                   {"X-API-Key": "open-sesame"}, {"X-API-Key": "all-of-it"}):
        reply = server.post("/api/classify", data=cat.read_bytes(),
                            headers={"Content-Type": "image/jpeg", **header})
        assert reply.status_code == 200, (header, reply.text)
    assert "open-sesame" not in server.log()


def test_log_lines_carry_the_request_id(serve, request_id):
    server = serve({"LOG_LEVEL": "info", "LOG_FORMAT": "json"})
    server.get("/api/model/status", headers={"X-Request-Id": request_id})

    def lines():
        # Of the last one only a part may be there yet.
        return [json.loads(line) for line in server.log().split("\n")[:-1]]

    process.until(lambda: any(request_id in row.values() for row in lines()))
    for row in lines():
        assert {"level"} <= set(row)


def test_the_log_may_go_to_a_file(serve, tmp_path_factory, request_id):
    path = tmp_path_factory.mktemp("log") / "olho.log"
    server = serve({"LOG_LEVEL": "info", "LOG_FILE": path})
    server.get("/api/model/status", headers={"X-Request-Id": request_id})
    process.until(lambda: path.exists() and request_id in path.read_text())
    assert request_id not in server.log()
