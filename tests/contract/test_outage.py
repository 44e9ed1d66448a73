# SPDX-License-Identifier: Apache-2.0
"""The database is killed, halted and absent while requests go on: none fails,
no row is lost, and the order is kept."""
import json

import process
import pytest
from process import until
from service import Service

DATABASES = ("postgres", "mariadb")
ROWS_EACH = 2  # of predictions and inference_logs


@pytest.fixture(params=DATABASES)
def database(request):
    with Service(request.param) as service:
        yield service


@pytest.fixture
def start(serve, room, database):
    """Starts a server over that database that notices soon what becomes of
    it."""
    return lambda: serve(room=room, env={
        "STORE_URL": database.url, "STORE_TIMEOUT": "1", "STORE_FLUSH": "0.05",
        "STORE_BATCH_MAX": "7", "CACHE_SIZE_MB": "0"})


class Load:
    """Requests one after the other, each with an id of its own."""

    def __init__(self, image):
        self.image = image.read_bytes()
        self.sent = []

    def send(self, server, count):
        for _ in range(count):
            name = f"load-{len(self.sent):05}"
            answer = server.session.post(
                server.url + "/api/classify", timeout=process.PATIENCE_S,
                files={"image": ("photo.jpg", self.image)},
                headers={"X-Request-ID": name})
            assert answer.status_code == 200, answer.text
            self.sent.append(name)


def written(server):
    return server.metric('olho_store_rows_total{outcome="written"}')


def is_written(server):
    return (server.metric("olho_store_away") == 0
            and server.metric("olho_store_spill_rows") == 0
            and server.metric("olho_store_waiting") == 0)


def ids_in(room, database):
    """The request ids of inference_logs in the order in which they were
    written."""
    done = room.run("store", "export", env={"STORE_URL": database.url})
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [row["request_id"] for row in rows
            if row.get("table") == "inference_logs"]


def check_all_there(room, database, load):
    """A batch whose answer was lost may be there twice."""
    found = ids_in(room, database)
    assert list(dict.fromkeys(found)) == load.sent


def test_requests_go_on_while_the_database_is_killed(start, room, database, cat):
    server = start()
    load = Load(cat)
    load.send(server, 10)
    until(lambda: written(server) > 0)
    database.kill()
    load.send(server, 15)
    until(lambda: server.metric("olho_store_away") == 1)
    load.send(server, 5)
    until(lambda: server.metric("olho_store_spill_rows") > 0)
    database.start()
    load.send(server, 10)
    until(lambda: is_written(server))
    assert server.metric('olho_store_rows_total{outcome="dropped"}') == 0
    server.stop()
    check_all_there(room, database, load)


def test_requests_go_on_while_the_database_is_halted(start, room, database, cat):
    server = start()
    load = Load(cat)
    load.send(server, 5)
    until(lambda: written(server) > 0)
    database.pause()
    load.send(server, 15)
    until(lambda: server.metric("olho_store_away") == 1)
    database.resume()
    load.send(server, 5)
    until(lambda: is_written(server))
    server.stop()
    check_all_there(room, database, load)


def test_rows_wait_on_disk_for_a_database_that_comes_later(start, room,
                                                           database, cat):
    database.stop()
    load = Load(cat)
    server = start()
    load.send(server, 5)
    until(lambda: server.metric("olho_store_spill_rows") > 0)
    server.stop()
    server = start()
    load.send(server, 5)
    until(lambda: server.metric("olho_store_spill_rows") >= 10 * ROWS_EACH)
    server.kill()
    database.start()
    server = start()
    load.send(server, 5)
    until(lambda: is_written(server))
    server.stop()
    check_all_there(room, database, load)
