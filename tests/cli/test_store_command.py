# SPDX-License-Identifier: Apache-2.0
"""`olho store` on SQLite, looked at with Python's own sqlite3."""
import base64
import json
import os
import pty
import resource
import signal
import sqlite3
import struct
import subprocess

import process
import pytest

TABLES = ["items", "predictions", "model_metrics", "inference_logs",
          "ab_test_results", "feedback"]
VECTOR = struct.pack("<4f", 0.25, -1.5, 3e-5, 0)


def connect(path):
    return sqlite3.connect(path, isolation_level=None)


def rows(path, sql):
    with connect(path) as database:
        return database.execute(sql).fetchall()


def status(room, *args):
    done = room.run("store", "status", "--json", *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def filled(room):
    """A migrated database with some rows of most kinds."""
    assert room.run("store", "migrate").returncode == 0
    with connect(room.data / "olho.db") as database:
        database.execute(
            "INSERT INTO items (item_id, nome, foto_path) VALUES "
            "(101, 'Ferrari \"250\" ''ação'' 🐈', NULL)")
        database.executemany(
            "INSERT INTO predictions (image_path, classe, confianca, "
            "embedding, item_id, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            [("a\n\t.jpg", "carro", 0.9235, VECTOR, 1,
              "2025-11-21 12:00:00.123"),
             ("b.jpg", "moto", None, None, None, "2025-11-21 12:00:01"),
             ("c.jpg", "moto", 1, b"", None, None)])
        database.executemany(
            "INSERT INTO inference_logs (request_id, top_k_predictions, "
            "status) VALUES (?, ?, 'success')",
            [(f"r{i}", json.dumps([{"classe": "é"}])) for i in range(730)])
    return room


def test_migrate_makes_the_tables_in_the_data_folder(room):
    done = room.run("store", "migrate")
    assert done.returncode == 0, done.stderr
    assert "from version 0 to 2" in done.stdout
    path = room.data / "olho.db"
    assert str(path) in done.stdout
    found = {name for (name,) in rows(
        path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert found >= {*TABLES, "olho_migrations"}
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    done = room.run("store", "migrate")
    assert done.returncode == 0
    assert "already" in done.stdout


def test_four_processes_migrate_at_once(room):
    children = [subprocess.Popen(
        [process.BIN, "store", "migrate"], cwd=room.work,
        env=room.environment({"STORE_TIMEOUT": 60}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    said = [child.communicate(timeout=process.PATIENCE_S) for child in children]
    assert [child.returncode for child in children] == [0] * 4, said
    assert rows(room.data / "olho.db",
                "SELECT version FROM olho_migrations ORDER BY version") == [
                    (0,), (1,), (2,)]


def test_status_counts_rows(filled):
    state = status(filled)
    assert state["version"] == state["version_latest"] == 2
    assert state["adopted"] is False
    assert state["rows"] == {
        "items": 1, "predictions": 3, "inference_logs": 730,
        "ab_test_results": 0, "feedback": 0, "model_metrics": 0}
    text = filled.run("store", "status").stdout
    for word in ("olho.db", "2 of 2", "730", "made by olho"):
        assert word in text


def test_status_makes_nothing(room):
    done = room.run("store", "status")
    assert done.returncode == 1
    assert "olho.db" in done.stderr
    assert list(room.data.iterdir()) == []


def test_the_database_of_the_former_service_is_adopted(room):
    path = room.work / "old.db"
    with connect(path) as database:
        database.execute(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, item_id INT, nome "
            "TEXT, dono TEXT)")
        database.execute(
            "CREATE TABLE predictions (id INTEGER PRIMARY KEY, image_path "
            "TEXT NOT NULL, classe TEXT NOT NULL, embedding BLOB)")
        database.execute("INSERT INTO items VALUES (7, 101, 'x', 'ana')")
        database.execute("INSERT INTO predictions VALUES (3, 'a', 'b', ?)",
                         (VECTOR,))
    before = status(room, "--store", path)
    assert (before["version"], before["adopted"]) == (0, True)
    done = room.run("store", "migrate", "--store", f"sqlite://{path}")
    assert done.returncode == 0, done.stderr
    assert "adopted" in done.stdout
    state = status(room, "--store", path)
    assert (state["version"], state["adopted"]) == (2, True)
    assert state["rows"]["items"] == state["rows"]["predictions"] == 1
    assert rows(path, "SELECT dono, categoria FROM items") == [("ana", None)]
    assert rows(path, "SELECT id, embedding, confianca FROM predictions") == [
        (3, VECTOR, None)]


def test_a_newer_database_is_refused(filled):
    with connect(filled.data / "olho.db") as database:
        database.execute("INSERT INTO olho_migrations (version, name, "
                         "is_adopted) VALUES (99, 'x', 0)")
    done = filled.run("store", "migrate")
    assert done.returncode == 1
    assert "99" in done.stderr and "newer" in done.stderr


def test_export_and_import_carry_every_row_over(filled):
    done = filled.run("store", "export", "all.jsonl")
    assert done.returncode == 0, done.stderr
    assert "734 rows" in done.stdout
    other = filled.work / "other.db"
    done = filled.run("store", "import", "--store", other, "all.jsonl")
    assert done.returncode == 0, done.stderr
    for table in TABLES:
        query = f"SELECT * FROM {table} ORDER BY id"
        assert rows(other, query) == rows(filled.data / "olho.db", query)
    again = filled.run("store", "export", "--store", other)
    assert again.stdout == (filled.work / "all.jsonl").read_text()


def test_an_export_is_lines_of_json(filled):
    done = filled.run("store", "export")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1] == {"end": True, "rows": 734}
    assert lines[0]["table"] == "items" and lines[0]["item_id"] == 101
    first = lines[1]
    assert first["table"] == "predictions"
    assert base64.b64decode(first["embedding"]) == VECTOR
    assert (first["confianca"], first["item_id"]) == (0.9235, 1)
    assert first["created_at"] == "2025-11-21 12:00:00.123"
    assert first["image_path"] == "a\n\t.jpg"


def test_importing_again_doubles_nothing_and_says_so(filled):
    assert filled.run("store", "export", "all.jsonl").returncode == 0
    done = filled.run("store", "import", "all.jsonl")
    assert done.returncode == 0, done.stderr
    assert "0 added, 730 there already" in done.stdout
    assert "left as they are" in done.stdout
    assert status(filled)["rows"]["inference_logs"] == 730


def test_an_import_that_was_ended_can_be_run_again(filled):
    """A cut file is said, and what it had is kept."""
    text = filled.run("store", "export").stdout
    lines = text.splitlines(keepends=True)
    (filled.work / "cut.jsonl").write_text("".join(lines[:300]))
    other = filled.work / "other.db"
    done = filled.run("store", "import", "--store", other, "cut.jsonl")
    assert done.returncode == 1
    assert "cut off" in done.stderr and "300 rows" in done.stderr
    done = filled.run("store", "import", "--store", other, "-",
                      stdin=text.encode())
    assert done.returncode == 0, done.stderr
    assert "434 added, 296 there already" in done.stdout
    assert status(filled, "--store", other)["rows"]["inference_logs"] == 730


@pytest.mark.parametrize("line, says", [
    ("no json", "line 2"),
    ('{"table":"users","id":1}', "no table"),
    ('{"table":"items","id":1,"senha":"x"}', "senha"),
    ('{"table":"items","item_id":1}', "no id"),
    ('{"table":"items","id":"1"}', "id"),
    ('{"table":"predictions","id":9,"image_path":"a","classe":"b",'
     '"embedding":"===="}', "Base64"),
    ('{"table":"predictions","id":9,"image_path":"a"}', "refused"),
    ('{"table":"predictions","id":9,"image_path":"a","classe":"b",'
     '"item_id":77}', "refused"),
    ("[" * 100, "line 2"),
    ("", "line 2"),
    ("\0", "line 2"),
])
def test_a_line_that_is_no_row_is_named(room, line, says):
    (room.work / "bad.jsonl").write_text(
        '{"table":"items","id":5,"nome":"x"}\n' + line + "\n")
    done = room.run("store", "import", "bad.jsonl")
    assert done.returncode != 0
    assert says in done.stderr, done.stderr
    assert "bad.jsonl" in done.stderr


def test_a_line_without_an_end_is_refused(room):
    (room.work / "big.jsonl").write_text('{"table":"' + "x" * (9 << 20))
    done = room.run("store", "import", "big.jsonl")
    assert done.returncode == 1
    assert "line 1" in done.stderr


def test_an_export_that_fails_leaves_the_old_file(filled):
    path = filled.work / "all.jsonl"
    path.write_text("precious\n")
    with connect(filled.data / "olho.db") as database:
        database.execute("DROP TABLE feedback")
    done = filled.run("store", "export", "all.jsonl")
    assert done.returncode == 1
    assert "lacks a table" in done.stderr
    assert path.read_text() == "precious\n"
    assert list(filled.work.glob("*.part")) == []


def test_a_full_disk_under_the_export_is_said(filled):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([process.BIN, "store", "export"], stdout=full,
                              stderr=subprocess.PIPE, cwd=filled.work,
                              env=filled.environment(),
                              timeout=process.PATIENCE_S)
    assert done.returncode == 1
    assert b"cannot be written" in done.stderr


def test_a_full_disk_under_the_database_loses_nothing_of_it(filled):
    """The size limit of the process stands in for the disk."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    assert filled.run("store", "export", "all.jsonl").returncode == 0
    other = filled.work / "other.db"
    with open(filled.work / "more.jsonl", "w", encoding="utf-8") as file:
        for number in range(1, 2000):
            file.write(json.dumps({"table": "feedback", "id": number,
                                   "request_id": "r" * 36,
                                   "classe": "x" * 100}) + "\n")
    done = subprocess.run(
        [process.BIN, "store", "import", "--store", other, "more.jsonl"],
        capture_output=True, cwd=filled.work, env=filled.environment(),
        preexec_fn=limit, timeout=process.PATIENCE_S)
    assert done.returncode == 1, done
    assert b"other.db" in done.stderr and b"space" in done.stderr \
        or b"cannot be read or written" in done.stderr, done.stderr
    kept = status(filled, "--store", other)["rows"]["feedback"]
    assert 0 < kept < 1999 and kept % 256 == 0
    done = filled.run("store", "import", "--store", other, "all.jsonl")
    assert done.returncode == 0, done.stderr


def test_a_database_that_was_never_migrated_is_not_exported(room):
    connect(room.work / "empty.db").execute("CREATE TABLE t (x)")
    done = room.run("store", "export", "--store", room.work / "empty.db")
    assert done.returncode != 0
    assert "olho store migrate" in done.stderr


@pytest.mark.parametrize("url", [
    "postgres://ana:geheim@127.0.0.1:1/olho",
    "mysql://ana:geheim@127.0.0.1:1/olho",
    "postgres://ana:geheim@127.0.0.1:1",
    "oracle://ana:geheim@127.0.0.1/olho",
])
def test_no_message_shows_the_password(room, url):
    for env, args in (({}, ["--store", url]), ({"STORE_URL": url}, []),
                      ({"STORE_URL": url, "LOG_LEVEL": "debug"}, [])):
        done = room.run("store", "status", *args, env=env)
        assert done.returncode != 0
        assert "geheim" not in done.stdout + done.stderr
    done = room.run("config", env={"STORE_URL": url, "DB_PASSWORD": "geheim"})
    assert "geheim" not in done.stdout + done.stderr


def test_the_names_of_the_former_service_say_where_the_database_is(room):
    env = {"DB_HOST": "127.0.0.1", "DB_PORT": "1", "DB_NAME": "c",
           "DB_USER": "a b", "DB_PASSWORD": "p@ss/word"}
    done = room.run("store", "status", env=env)
    assert done.returncode == 1
    assert "postgres://a b@127.0.0.1:1/c does not answer" in done.stderr
    done = room.run("store", "status",
                    env={**env, "STORE_URL": "sqlite:///nowhere/x.db"})
    assert "no database /nowhere/x.db" in done.stderr


def test_a_file_that_is_no_database_is_said_and_kept(room):
    path = room.data / "olho.db"
    path.write_bytes(b"a photo, perhaps " * 100)
    done = room.run("store", "migrate")
    assert done.returncode == 1
    assert "no database" in done.stderr and "olho.db" in done.stderr
    assert path.read_bytes() == b"a photo, perhaps " * 100


def test_a_damaged_database_is_an_error_and_never_a_crash(filled):
    path = filled.data / "olho.db"
    connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    for place in range(100, len(whole), len(whole) // 23):
        data = bytearray(whole)
        data[place:place + 64] = b"\xa5" * 64
        path.write_bytes(data)
        for command in (["status"], ["export"], ["migrate"]):
            done = filled.run("store", *command)
            assert done.returncode in (0, 1), (place, command, done)
        path.write_bytes(whole)
        for rest in path.parent.glob("olho.db-*"):
            rest.unlink()
    assert status(filled)["rows"]["inference_logs"] == 730


def test_rows_stay_apart_from_progress_on_a_terminal(filled):
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [process.BIN, "store", "export"], cwd=filled.work,
        env=filled.environment(), stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    out, _ = child.communicate(timeout=process.PATIENCE_S)
    os.close(leader)
    assert child.returncode == 0
    assert len(out.splitlines()) == 735
