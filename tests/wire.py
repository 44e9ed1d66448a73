# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 by hand, for what clients' libraries never send."""
import contextlib
import json
import socket
import struct

import process


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # names in lower case
        self.body = body

    def json(self):
        return json.loads(self.body.decode())


class Wire:
    """One connection. A context manager."""

    def __init__(self, server, seconds=process.PATIENCE_S):
        self.sock = server.connect(seconds)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.file.close()
            self.sock.close()

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def request(self, method, path, headers=(), body=b""):
        """Sends a whole request; headers are "Name: value" lines."""
        lines = [f"{method} {path} HTTP/1.1", "Host: olho", *headers]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def line(self):
        line = self.file.readline(65536)
        assert line.endswith(b"\r\n"), f"cut short: {line!r}"
        return line[:-2].decode("latin-1")

    def read(self, method="GET"):
        """The next reply; an interim one (100) has no body."""
        version, status, _ = self.line().split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {}
        for line in iter(self.line, ""):
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        status = int(status)
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, self.read_chunks())
        body = self.file.read(int(headers["content-length"]))
        assert len(body) == int(headers["content-length"])
        return Reply(status, headers, body)

    def read_chunks(self):
        body = b""
        while True:
            length = int(self.line().split(";")[0], 16)
            body += self.file.read(length)
            assert self.line() == ""
            if length == 0:
                return body

    def is_closed(self):
        """Whether the server has ended the connection; waits for it as long
        as the socket's timeout says."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


def form(parts, boundary="b0undary"):
    """multipart/form-data of (disposition, content type, bytes) rows; returns
    the header line and the body."""
    body = b""
    for disposition, content_type, data in parts:
        head = b"--" + boundary.encode() + b"\r\n"
        head += b"Content-Disposition: form-data; " + disposition + b"\r\n"
        if content_type:
            head += b"Content-Type: " + content_type + b"\r\n"
        body += head + b"\r\n" + data + b"\r\n"
    body += b"--" + boundary.encode() + b"--\r\n"
    return f"Content-Type: multipart/form-data; boundary={boundary}", body


def check_error(reply, status, *words):
    """An error in the collector's form whose text has all the words; takes a
    reply of ours or one of requests. Returns the text."""
    code = reply.status if isinstance(reply, Reply) else reply.status_code
    body = reply.json() if code else {}
    assert code in (status if isinstance(status, tuple) else (status,)), body
    assert {"erro", "error", "request_id"} <= set(body), body
    assert body["erro"] == body["error"] and body["request_id"], body
    assert "\n" not in body["erro"] and 8 < len(body["erro"]) <= 400, body
    for word in words:
        assert str(word) in body["erro"], f"{word!r} not in {body['erro']!r}"
    return body["erro"]
