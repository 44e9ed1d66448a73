# SPDX-License-Identifier: Apache-2.0
"""The servers that the benchmark compares: how each is installed, started,
watched and ended.

Every process is started in a session of its own and ended by its id, also
when the program that uses this module fails or is interrupted.
"""

from __future__ import annotations

import atexit
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("BUILD", "build")
MODEL_DIR = ROOT / "models" / "mobilenet_v2"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_MAX_S = 120.0
FAVOURED_NICE = -10
BOUNDARY = "----olho-bench-1f0e2d3c"


@dataclass(frozen=True)
class Kind:
    """One competitor: a row of the table below."""

    name: str
    title: str
    command: tuple[str, ...]
    peer: str = ""  # folder of bench/peers, empty for olho
    env: dict[str, str] = field(default_factory=dict)


# {port}, {venv} and {build} are filled in at the start.
KINDS = (
    Kind(
        "olho",
        "olho",
        ("{build}/olho", "serve"),
        # The others check, keep and store nothing, so olho does neither.
        env={
            "FLASK_PORT": "{port}",
            "LOG_LEVEL": "warn",
            "QUALITY_MODE": "off",
            "CACHE_SIZE_MB": "0",
            "STORE_URL": "none",
        },
    ),
    Kind(
        "olho_int8",
        "olho with the model that `olho model quantize` makes of it",
        ("{build}/olho", "serve"),
        env={
            "FLASK_PORT": "{port}",
            "LOG_LEVEL": "warn",
            "QUALITY_MODE": "off",
            "CACHE_SIZE_MB": "0",
            "STORE_URL": "none",
            "MODEL_PATH": "{build}/bench-int8",
        },
    ),
    Kind(
        "fastapi_ort",
        "FastAPI + uvicorn + ONNX Runtime",
        ("{venv}/bin/uvicorn", "server:app", "--workers", "2", "--port")
        + ("{port}", "--log-level", "warning", "--no-access-log"),
        peer="fastapi_ort",
    ),
    Kind(
        "flask_tf",
        "Flask + gunicorn + TensorFlow (Keras in a tf.function)",
        ("{venv}/bin/gunicorn", "server:app", "--workers", "2")
        + ("--worker-class", "gthread", "--threads", "4")
        + ("--bind", "127.0.0.1:{port}", "--log-level", "warning"),
        peer="flask_tf",
    ),
    Kind(
        "flask_tf_folded",
        "the same with a hand-folded graph",
        ("{venv}/bin/gunicorn", "server:app", "--workers", "2")
        + ("--worker-class", "gthread", "--threads", "4")
        + ("--bind", "127.0.0.1:{port}", "--log-level", "warning"),
        peer="flask_tf",
        env={"PEER_GRAPH": "folded"},
    ),
)
NAMES = tuple(kind.name for kind in KINDS)


def find_kind(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


# --- installing ------------------------------------------------------------


def venv_dir(kind: Kind) -> Path:
    return BUILD / f"bench-venv-{kind.peer}"


def quantize() -> None:
    """Makes the int8 model anew: the program that made it may have changed."""
    folder = BUILD / "bench-int8"
    shutil.rmtree(folder, ignore_errors=True)
    command = [str(BUILD / "olho"), "model", "quantize", str(MODEL_DIR)]
    command += ["--out", str(folder), "--images", str(ROOT / "tests/data")]
    subprocess.run(command, check=True)


def install(kind: Kind) -> None:
    """Makes the peer's virtual environment unless it is there as pinned."""
    if kind.name == "olho_int8":
        quantize()
    if not kind.peer:
        return
    wanted = ROOT / "bench" / "peers" / kind.peer / "requirements.txt"
    stamp = venv_dir(kind) / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return
    print(f"installing {kind.title} (once)", file=sys.stderr, flush=True)
    venv = str(venv_dir(kind))
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [f"{venv}/bin/pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "-r", str(wanted)], check=True)
    stamp.write_text(wanted.read_text())


def versions(kind: Kind) -> str:
    """The versions that matter, in one line."""
    if not kind.peer:
        shown = subprocess.run(
            [str(BUILD / "olho"), "version"], capture_output=True, text=True
        )
        return " ".join(shown.stdout.split("\n")[0].split())
    pinned = ROOT / "bench" / "peers" / kind.peer / "requirements.txt"
    told = tuple(
        "fastapi= uvicorn= onnxruntime= opencv orjson= flask= gunicorn= "
        "tensorflow keras= numpy=".split()
    )
    # "tensorflow-cpu" is "tensorflow" by another name on some processors.
    lines = [
        line.split(";")[0].strip().replace("-cpu==", "==")
        for line in pinned.read_text().split("\n")
    ]
    return ", ".join(
        line.replace("==", " ")
        for line in dict.fromkeys(lines)
        if line.lower().startswith(told)
    )


def build_load() -> Path:
    """Compiles the load client when it is older than its sources."""
    program = BUILD / "bench-load"
    sources = sorted((ROOT / "bench").glob("load*.c"))
    sources += [
        ROOT / "src" / "base" / f"{n}.c" for n in ("mem", "buf", "err", "url")
    ]
    newest = max(path.stat().st_mtime for path in sources)
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    BUILD.mkdir(exist_ok=True)
    compiler = [os.environ.get("CC", "cc"), "-O2", "-std=c17", "-D_GNU_SOURCE"]
    include = ["-I", str(ROOT / "src"), "-I", str(ROOT / "bench")]
    command = [*compiler, *include, "-o", str(program), *map(str, sources)]
    subprocess.run(command, check=True)
    return program


# --- processes -------------------------------------------------------------


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat from the state (field 3) on; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def tree(root: int) -> list[int]:
    """The process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def busy_seconds() -> float:
    """Processor seconds that the whole machine has worked since its start."""
    user, nice, system, _, _, irq, soft = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:8]
    )
    return (user + nice + system + irq + soft) / TICKS_PER_SECOND


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def form(
    photo: bytes, field_name: str = "image"
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a multipart POST of one photo."""
    head = (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
        f'name="{field_name}"; filename="photo.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()
    return {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, body


def raise_priority(pid: int) -> None:
    """Puts a process before others of a busy machine; needs privileges. The
    kernel weighs sessions before processes where autogroups are on."""
    os.setpriority(os.PRIO_PROCESS, pid, FAVOURED_NICE)
    group = Path(f"/proc/{pid or 'self'}/autogroup")
    if group.exists():
        group.write_text(str(FAVOURED_NICE))


class Service:
    """One running server on a free port of 127.0.0.1."""

    def __init__(self, kind: Kind, env: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.port = free_port()
        self.env = dict(kind.env) | (env or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.log = BUILD / f"bench-{kind.name}.log"
        self.home = BUILD / "bench-home"

    def _fill(self, text: str) -> str:
        return text.format(
            port=self.port, venv=venv_dir(self.kind), build=BUILD
        )

    def start(self, photo: bytes) -> float:
        """Starts it; returns the seconds from there to its first answer."""
        peer = ROOT / "bench" / "peers" / self.kind.peer
        self.home.mkdir(parents=True, exist_ok=True)
        env = dict(os.environ) | {
            "MODEL_DIR": str(MODEL_DIR),
            "MODEL_PATH": str(MODEL_DIR),
            "OLHO_HOME": str(self.home),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        env |= {name: self._fill(value) for name, value in self.env.items()}
        command = [self._fill(word) for word in self.kind.command]
        _running.append(self)
        with self.log.open("wb") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(
                command,
                cwd=peer if self.kind.peer else self.home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if is_favoured:
            raise_priority(self.process.pid)
        while time.monotonic() - began < START_MAX_S:
            if self.process.poll() is not None:
                break
            if self._answers(photo):
                return time.monotonic() - began
            time.sleep(0.002)
        tail = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.kind.title} does not answer:\n{tail}")

    def _answers(self, photo: bytes) -> bool:
        try:
            return self.classify(photo)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def classify(self, photo: bytes) -> tuple[int, bytes]:
        """Status and body of one POST /api/classify."""
        headers, body = form(photo)
        return self.request("POST", "/api/classify", body, headers)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=START_MAX_S
        )
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def pids(self) -> list[int]:
        if self.process is None:
            return []
        return tree(self.process.pid)

    def cpu_seconds(self) -> float:
        """User and system time of all its processes, ended ones too."""
        total = 0
        for pid in self.pids():
            if fields := stat_fields(pid):
                total += sum(map(int, fields[11:15]))
        return total / TICKS_PER_SECOND

    def memory_mb(self) -> tuple[float, float]:
        """Resident and proportional memory of all its processes, in MB of
        10^6 bytes."""
        sums = {"Rss:": 0, "Pss:": 0}
        for pid in self.pids():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            for line in lines.split("\n"):
                words = line.split()
                if words and words[0] in sums:
                    sums[words[0]] += int(words[1])
        return sums["Rss:"] * 1024 / 1e6, sums["Pss:"] * 1024 / 1e6

    def open_files(self) -> int:
        """File descriptors open in all its processes."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())

    def stop(self) -> int | None:
        """Ends it politely, then by force; returns its exit code."""
        if self.process is None:
            return None
        known = self.pids()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in known[1:]:
            _kill_orphan(pid, self.process.pid)
        code, self.process = self.process.returncode, None
        _running.remove(self)
        return code


def _kill_orphan(pid: int, session: int) -> None:
    """Kills a process that outlived its parent, if it is still the one that
    was started in that session and not a later one with the same id."""
    fields = stat_fields(pid)
    if fields and int(fields[3]) == session:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


is_favoured = False  # set before servers start: see raise_priority
_running: list[Service] = []


def stop_all() -> None:
    for service in list(_running):
        service.stop()


def _interrupted(number: int, _frame: object) -> None:
    sys.exit(128 + number)


atexit.register(stop_all)
for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, _interrupted)
