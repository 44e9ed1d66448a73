# SPDX-License-Identifier: Apache-2.0
"""Nobody is called and nothing is left: what the processes do, seen by
strace."""
import os
import re
import shutil

import process
import pytest

CALLS = ("socket,connect,bind,sendto,sendmsg,open,openat,creat,mkdir,mkdirat,"
         "rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,"
         "mknodat,unlink,unlinkat")
WRITES = re.compile(r"O_(CREAT|WRONLY|RDWR|TRUNC)")
DEVICES = ("/dev/null", "/dev/tty", "/proc/self/", "/dev/pts/")


@pytest.fixture
def trace(room):
    """Runs a command under strace; returns what it did, a line a call."""
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is missing: apt-get install strace")
        pytest.skip("strace is missing: apt-get install strace")
    if process.is_sanitized():
        pytest.skip("a sanitizer's own calls would be seen")

    def run(*args):
        log = room.folder / "calls"
        original = process.BIN
        process.BIN = "strace"
        try:
            done = room.run("-f", "-qq", "-s", "400", "-o", log, "-e",
                            "trace=" + CALLS, original, *args)
        finally:
            process.BIN = original
        return done, log.read_text().splitlines()

    return run


def check_calls(lines, allowed):
    """No socket of the internet, nothing made or written elsewhere."""
    for line in lines:
        assert "AF_INET" not in line and "AF_NETLINK" not in line, line
        call = re.search(r"\b(\w+)\((.*)", line)
        if not call or re.search(r"= -1 E\w+", line):
            continue
        name, rest = call.groups()
        if name in ("open", "openat") and not WRITES.search(rest):
            continue
        if name in ("socket", "connect", "bind", "sendto", "sendmsg"):
            assert "AF_UNIX" in line or name.startswith("send"), line
            continue
        for path in re.findall(r'"([^"]*)"', rest):
            assert path.startswith((*map(str, allowed), *DEVICES)), line


def test_classify_opens_no_socket_and_writes_no_file(trace, room, cat):
    done, lines = trace("classify", cat)
    assert done.returncode == 0, done.stderr
    assert "cat" in done.stdout.lower()
    assert lines, "strace saw nothing"
    check_calls(lines, [])
    assert list(room.home.rglob("*")) == []
    assert list(room.tmp.rglob("*")) == []
    assert list(room.data.rglob("*")) == []


def test_index_add_writes_its_index_only(trace, room, cat):
    done, lines = trace("index", "add", cat)
    assert done.returncode == 0, done.stderr
    check_calls(lines, [room.data])
    assert list(room.home.rglob("*")) == []
    assert list(room.tmp.rglob("*")) == []


def test_nothing_of_the_engine_reaches_stderr(room, cat):
    done = room.run("classify", cat)
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_server_leaves_the_home_folder_empty(serve, cat):
    server = serve()
    assert server.classify(cat).status_code == 200
    assert server.terminate() == 0
    assert list(server.room.home.rglob("*")) == []
    assert "onnxruntime" not in server.log().lower()
