# SPDX-License-Identifier: Apache-2.0
import itertools
import os

import process
import pytest

# Every server of the tests is on this machine: no proxy stands in between.
for name in list(os.environ):
    if name.lower().endswith("_proxy"):
        del os.environ[name]


def pytest_collection_modifyitems(items):
    """Without the binary every test would fail for the same reason."""
    if items and not os.access(process.BIN, os.X_OK):
        pytest.exit(f"{process.BIN} is not there: build it with `make`", 2)


@pytest.fixture
def room(tmp_path):
    return process.Room(tmp_path)


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Starts servers: serve(env={...}, args=[...], room=...). All are stopped
    and looked over when the module's tests are done."""
    started = []

    def start(env=None, args=(), room=None):
        room = room or process.Room(tmp_path_factory.mktemp("room"))
        server = process.Server(room, env, args)
        started.append(server)
        return server

    yield start
    failures = []
    for server in reversed(started):
        try:
            if not server.log_file.closed:
                server.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def server(serve):
    """A server with the presets, shared by the tests of one module."""
    return serve()


@pytest.fixture(scope="session")
def photos():
    found = sorted((process.DATA / "photos").glob("*.jpg"))
    assert len(found) == 8
    return found


@pytest.fixture(scope="session")
def clothing():
    found = sorted((process.DATA / "clothing").rglob("*.jpg"))
    assert len(found) == 50
    return found


@pytest.fixture(scope="session")
def cat():
    return process.DATA / "photos" / "cat_720p.jpg"


counter = itertools.count(1)


@pytest.fixture
def request_id():
    """An id that nobody else uses."""
    return f"test-{os.getpid()}-{next(counter)}"
