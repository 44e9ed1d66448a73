# SPDX-License-Identifier: Apache-2.0
"""Real servers that tests may kill: PostgreSQL, MariaDB, Redis and S3, each on
127.0.0.1 with a free port and a folder of its own; milvus-lite as they; and
Milvus, for processes that leave_network has taken to where nothing but
127.0.0.1 is.

    with Service("postgres") as postgres:
        room.run("store", "migrate", env={"DATABASE_URL": postgres.url})
        postgres.kill()        # as kill -9 does, with all its children
        postgres.start()       # the same port, the same data
        postgres.pause()       # answers nothing, yet accepts connections
        postgres.resume()

tests/services/NAME says how each is run. Start on the thread that lives
longest: the server ends with the thread that started it, so that none is left
behind by a test run that was killed."""
import ctypes
import fcntl
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.parse

SERVICES = pathlib.Path(__file__).resolve().parent / "services"
NAMES = ("postgres", "mariadb", "redis", "s3")
# Of one layer of the tests only.
EXTRA = ("milvus-lite",)
# These listen on every interface, whatever they are told.
ALONE = ("milvus",)
SLOW = float(os.environ.get("OLHO_TEST_SLOW", "1"))
# Far above what they take, for machines that are slow or busy.
START_MAX_S = 300 * SLOW
STOP_MAX_S = 120 * SLOW
# Another port is tried so often, should somebody else have taken the first.
STARTS_MAX = 3
# What lets each end at once, with everything written.
END_SIGNALS = {"postgres": signal.SIGINT, "milvus": signal.SIGKILL}


def leave_network():
    """Takes this process and its children to be into a network namespace of
    their own, where there is only 127.0.0.1. Its threads stay behind."""
    clone_newuser, clone_newnet = 0x10000000, 0x40000000
    set_flags, is_up = 0x8914, 0x41
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(clone_newnet | (clone_newuser if uid else 0)) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    if uid:
        own = pathlib.Path("/proc/self")
        (own / "setgroups").write_text("deny")
        (own / "uid_map").write_text(f"{uid} {uid} 1")
        (own / "gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, set_flags,
                    struct.pack("16sH14x", b"lo", is_up))


def free_port():
    """A port that nobody listens on, below those that the kernel hands to
    outgoing connections: it stays free while a server is down, and none that
    is tried in vain can meet itself."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def reply_of(port, question):
    """All that a server says until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(question)
        return b"".join(iter(lambda: sock.recv(4096), b""))


def exchange(port, question):
    """The first bytes that a server says, after a question."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
        sock.sendall(question)
        return sock.recv(512)


def answers(name, port):
    """Whether it is ready: each protocol tells that from still starting."""
    try:
        if name == "postgres":
            body = struct.pack("!I", 3 << 16) + b"user\0olho\0\0"
            hello = struct.pack("!I", len(body) + 4) + body
            return exchange(port, hello)[:1] == b"R"
        if name == "mariadb":
            return exchange(port, b"")[4:5] == b"\x0a"
        if name == "redis":
            return exchange(port, b"PING\r\n")[:7] in (b"-NOAUTH", b"+PONG\r\n")
        if name == "milvus":
            return b'"code":200' in reply_of(
                port, b"GET /v1/vector/collections HTTP/1.0\r\n\r\n")
        if name == "milvus-lite":
            hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            settings = b"\0\0\0\4\0\0\0\0\0"
            return exchange(port, hello + settings)[3:4] == b"\4"
        return exchange(port, b"GET / HTTP/1.0\r\n\r\n")[:5] == b"HTTP/"
    except OSError:
        return False


def children_of(pid):
    """Every process below this one."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            direct = map(int, (task / "children").read_text().split())
        except OSError:
            continue
        for child in direct:
            found += [child, *children_of(child)]
    return found


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Service:
    """One server. Not started until start() or `with`."""

    def __init__(self, name):
        assert name in NAMES + EXTRA + ALONE, f"no service {name}"
        self.name = name
        self.port = free_port()
        # Not under a folder of the test's: a server that gives up being root
        # must be able to walk to it.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"olho-{name}-"))
        self.folder.chmod(0o755)
        self.log_path = self.folder / "log"
        self.url = None
        self.process = None
        self.start_count = 0

    def launch(self):
        """Starts it without waiting until it answers."""
        assert self.process is None, f"{self.name} runs"
        self.start_count += 1
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [SERVICES / self.name, self.folder / "run", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)

    def wait(self):
        """Waits until it answers."""
        deadline = time.monotonic() + START_MAX_S
        while not answers(self.name, self.port):
            rc = self.process.poll()
            if rc is not None and self.url is None \
                    and self.start_count < STARTS_MAX:
                self.launch_anew()
                continue
            assert rc is None, f"{self.name} ended with {rc}: {self.log()}"
            assert time.monotonic() < deadline, \
                f"{self.name} did not start: {self.log()}"
            time.sleep(0.02)
        self.url = re.search(
            rf"^[a-z]+://(?:\S+@)?127\.0\.0\.1:{self.port}\b\S*$",
            self.log_path.read_text(errors="replace"), re.M).group(0)

    def launch_anew(self):
        """From nothing on another port, after a first start that failed."""
        self.process = None
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        self.port = free_port()
        self.launch()

    def start(self):
        """Starts it on its port and the data that it left, and waits until it
        answers."""
        self.launch()
        self.wait()
        return self

    def stop(self):
        """Ends it as its operator would; nothing if it does not run."""
        if self.process is None:
            return
        self.resume()
        self.process.send_signal(END_SIGNALS.get(self.name, signal.SIGTERM))
        try:
            self.process.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self):
        """kill -9 of all its processes."""
        if self.process is None:
            return
        pids = [self.process.pid, *children_of(self.process.pid)]
        signal_all(pids, signal.SIGKILL)
        self.process.wait()
        self.process = None
        # Gone for good, so that none holds on to what the next start needs.
        deadline = time.monotonic() + STOP_MAX_S
        while any(is_alive(pid) for pid in pids):
            assert time.monotonic() < deadline, f"{self.name} survives"
            time.sleep(0.01)

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """Halts it: connections are accepted and nothing is answered."""
        signal_all([*children_of(self.process.pid), self.process.pid],
                   signal.SIGSTOP)

    def resume(self):
        signal_all([*children_of(self.process.pid), self.process.pid],
                   signal.SIGCONT)

    def environment(self):
        """What tells `olho-test contract` where it is."""
        if self.name in ("milvus", "milvus-lite"):
            return {"OLHO_TEST_MILVUS": f"127.0.0.1:{self.port}"}
        key = f"OLHO_TEST_{self.name.upper()}"
        if self.name != "s3":
            return {key: self.url}
        parts = urllib.parse.urlsplit(self.url)
        return {key: f"http://{parts.hostname}:{parts.port}",
                f"{key}_KEY": parts.username, f"{key}_SECRET": parts.password,
                f"{key}_BUCKET": "olho"}

    def log(self):
        return self.log_path.read_text(errors="replace")[-4000:]

    def close(self):
        """Stops it and removes what it kept."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


def is_alive(pid):
    """Whether that process still runs; one that only waits to be reaped does
    not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
