# SPDX-License-Identifier: Apache-2.0
"""Runs the real binary: single commands and servers, each in folders of its
own, and looks at them from outside (memory, files, exit code, stderr).

OLHO_BIN is the binary (build/olho); OLHO_TEST_SLOW stretches every deadline,
for sanitizer builds."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
BIN = pathlib.Path(os.environ.get("OLHO_BIN", ROOT / "build" / "olho")).resolve()
SLOW = float(os.environ.get("OLHO_TEST_SLOW", "1"))
# How long anything may take. Only a failure takes that long: it is far above
# what is usual, for machines that are slow or busy.
PATIENCE_S = 180 * SLOW
VERSION = re.search(r"^VERSION := (\S+)", (ROOT / "Makefile").read_text(),
                    re.M).group(1)
PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "ASAN_OPTIONS",
             "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS",
             "OLHO_ONNXRUNTIME", "OLHO_MODELS")
REPORTS = re.compile(r"Sanitizer|runtime error:|WARNING: Thread|onnxruntime.*"
                     r"(Schema error|\[W:|\[E:)|Assertion")


def is_sanitized():
    """Whether the binary carries a sanitizer, which changes its memory."""
    image = BIN.read_bytes() if BIN.exists() else b""
    return b"__asan_init" in image or b"__tsan_init" in image


def until(claim):
    """Waits until claim() is true and returns what it said."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        value = claim()
        if value:
            return value
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


class Room:
    """The folders of one run: home (of the user), data (OLHO_HOME), tmp and
    work (where it runs)."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for name in ("home", "data", "tmp", "work"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            setattr(self, name, self.folder / name)

    def environment(self, env=None):
        base = {k: os.environ[k] for k in PASSED_ON if k in os.environ}
        base.update(HOME=str(self.home), OLHO_HOME=str(self.data),
                    TMPDIR=str(self.tmp))
        base.update({k: str(v) for k, v in (env or {}).items()})
        return {k: v for k, v in base.items() if v != "-"}

    def run(self, *args, env=None, stdin=b"", seconds=PATIENCE_S):
        """Runs one command to its end; the result has returncode, and stdout
        and stderr as text."""
        done = subprocess.run(
            [BIN, *map(str, args)], input=stdin, capture_output=True,
            cwd=self.work, env=self.environment(env), timeout=seconds)
        done.stdout = done.stdout.decode()
        done.stderr = done.stderr.decode()
        assert not REPORTS.search(done.stderr), done.stderr
        assert done.returncode >= 0, f"ended by signal: {done}"
        return done


class Server:
    """A running `olho serve`."""

    def __init__(self, room, env=None, args=()):
        self.room = room
        env = {"LOG_LEVEL": "warn", "FLASK_PORT": "0",
               "TIMEOUT": PATIENCE_S, **(env or {})}
        self.log_path = room.folder / "stderr"
        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [BIN, "serve", *args], cwd=room.work, env=room.environment(env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.log_file)
        self.lines = []
        self.reader = threading.Thread(target=self.read_lines, daemon=True)
        self.reader.start()
        try:
            self.url = until(self.find_url)
            self.host, port = self.url[len("http://"):].rsplit(":", 1)
            self.host, self.port = self.host.strip("[]"), int(port)
            self.session = requests.Session()
            self.session.trust_env = False
            until(self.is_ready)
        except BaseException:
            self.process.kill()
            self.process.wait()
            print(self.log())
            raise
        self.pid = self.process.pid

    def read_lines(self):
        for line in self.process.stdout:
            self.lines.append(line.decode())

    def find_url(self):
        rc = self.process.poll()
        assert rc is None, f"ended with {rc}: {self.log()}"
        for line in list(self.lines):
            found = re.search(r"serves \S+ on (http://\S+)", line)
            if found:
                return found.group(1)
        return None

    def is_ready(self):
        return self.get("/health/ready").status_code == 200

    def log(self):
        return self.log_path.read_text(errors="replace")

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, **more):
        return self.request("POST", path, **more)

    def request(self, method, path, **more):
        return self.session.request(method, self.url + path,
                                    timeout=PATIENCE_S, **more)

    def classify(self, image, path="/api/classify", field="image",
                 name="photo.jpg", **form):
        """POSTs one image as a form, with further fields."""
        data = image.read_bytes() if isinstance(image, pathlib.Path) else image
        return self.post(path, files={field: (name, data)}, data=form)

    def connect(self, seconds=PATIENCE_S):
        sock = socket.create_connection((self.host, self.port),
                                        timeout=seconds)
        return sock

    def rss(self):
        """Resident memory in bytes."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) * 1024

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def metric(self, name):
        """The sum of the samples of that name."""
        return sum(float(line.rsplit(" ", 1)[1])
                   for line in self.get("/metrics").text.splitlines()
                   if re.match(re.escape(name) + r"[ {]", line))

    def terminate(self, seconds=PATIENCE_S):
        """SIGTERM, then the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not end after SIGTERM: " + self.log())

    def kill(self):
        """kill -9; what it leaves behind is the test's to look at."""
        self.session.close()
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.log_file.close()

    def stop(self):
        """Ends it and checks that it ended well and left nothing behind."""
        self.session.close()
        rc = self.terminate()
        self.reader.join()
        self.process.stdout.close()
        self.log_file.close()
        assert not REPORTS.search(self.log()), self.log()
        assert rc == 0, f"ended with {rc}: {self.log()}"
        for folder in (self.room.home, self.room.tmp):
            assert list(folder.iterdir()) == [], f"left files in {folder}"
