# SPDX-License-Identifier: Apache-2.0
"""`olho model list|check|promote|rollback|remove` over folders of versions."""
import hashlib
import json
import os
import pty
import signal
import subprocess

import process
import pytest
import tiny_model


class Root:
    """A folder of versions, each the smallest network there is."""

    def __init__(self, folder, room):
        self.folder, self.room = folder, room
        folder.mkdir()

    def add(self, name, **more):
        version = self.folder / name
        version.mkdir()
        network = tiny_model.network()
        (version / "model.onnx").write_bytes(network)
        (version / "labels.txt").write_text("red\ngreen\nblue\n")
        (version / "metadata.json").write_text(json.dumps({
            "name": "colours", "version": name, "created": "2025-11-15",
            "accuracy": 0.875, "output": {"scores": "scores",
                                          "embedding": "features"},
            "sha256": {"model.onnx": hashlib.sha256(network).hexdigest()},
            **more}))
        return version

    def run(self, *args, **more):
        return self.room.run("model", *args, "--model-root", self.folder,
                             **more)

    def rows(self, *args):
        done = self.run("list", "--json", *args)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def current(self):
        rows = [r["version"] for r in self.rows() if r["state"] == "current"]
        assert len(rows) == 1
        return rows[0]


@pytest.fixture
def root(room):
    root = Root(room.folder / "versions", room)
    for name in ("v1", "v2", "v10"):
        root.add(name)
    return root


def test_list_shows_versions_lowest_first_with_their_state(root):
    root.run("promote", "v1")
    root.run("promote", "v2")
    done = root.run("list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["v1", "v2", "v10"]
    assert "previous" in lines[1] and "current" in lines[2]
    assert "87.50 %" in lines[1] and "ok" in lines[1]
    assert lines[4].startswith("3 versions in ")
    rows = root.rows()
    assert [r["state"] for r in rows] == ["previous", "current", None]
    assert rows[0]["classes"] == 3
    assert rows[0]["created"] == "2025-11-15"
    assert rows[0]["bytes"] > 500


def test_list_tells_a_file_that_is_not_as_its_checksum(root):
    with open(root.folder / "v2" / "model.onnx", "ab") as file:
        file.write(b"x")
    rows = {r["version"]: r for r in root.rows()}
    assert rows["v1"]["checksums"] == "ok"
    assert rows["v2"]["checksums"] == "wrong"
    assert "model.onnx" in rows["v2"]["problem"]
    assert {r["checksums"] for r in root.rows("--quick")} == {"not read"}
    done = root.run("check", "v2")
    assert done.returncode == 1
    assert "SHA-256" in done.stderr


def test_the_root_is_found_from_the_model(root):
    env = {"MODEL_PATH": root.folder / "v2"}
    done = root.room.run("model", "list", "--json", env=env)
    assert [json.loads(x)["version"] for x in done.stdout.splitlines()] == [
        "v1", "v2", "v10"]
    env = {"MODEL_PATH": root.folder}
    done = root.room.run("model", "list", env=env)
    assert "3 versions" in done.stdout


def test_a_sample_is_stored_and_found_again(root, cat):
    done = root.run("check", "v1")
    assert done.returncode == 0, done.stderr
    assert "none" in done.stdout
    done = root.run("check", "v1", "--write")
    assert done.returncode == 0, done.stderr
    metadata = json.loads((root.folder / "v1" / "metadata.json").read_text())
    assert metadata["sample"]["class"] in ("red", "green", "blue")
    assert len(metadata["sample"]["embedding"]) == 16
    assert metadata["accuracy"] == 0.875
    done = root.run("check", "v1")
    assert done.returncode == 0, done.stderr
    assert "may differ by 0.001" in done.stdout
    done = root.run("check", "v2", "--write", "--image", cat)
    assert done.returncode == 0, done.stderr
    assert (root.folder / "v2" / "sample.jpeg").read_bytes() == \
        cat.read_bytes()


def test_a_model_that_answers_otherwise_fails_and_is_not_promoted(root):
    assert root.run("check", "v1", "--write").returncode == 0
    path = root.folder / "v1" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["sample"]["score"] *= 0.5
    path.write_text(json.dumps(metadata))
    for command in ("check", "promote"):
        done = root.run(command, "v1")
        assert done.returncode == 1
        assert "may differ by" in done.stderr
    assert not (root.folder / "current.json").exists()


def test_a_model_that_does_not_load_is_not_promoted(root):
    (root.folder / "v1" / "metadata.json").unlink()
    (root.folder / "v1" / "model.onnx").write_bytes(b"no network")
    done = root.run("promote", "v1")
    assert done.returncode == 1
    assert root.current() == "v10"


def test_promote_and_rollback_change_which_one_is_current(root):
    assert root.current() == "v10"
    for name in ("v1", "v2"):
        done = root.run("promote", name)
        assert done.returncode == 0, done.stderr
        assert f"{name} is the current version" in done.stdout
        assert root.current() == name
    assert json.loads((root.folder / "current.json").read_text()) == {
        "version": "v2", "history": ["v1", "v10"]}
    for name in ("v1", "v10"):
        done = root.run("rollback")
        assert done.returncode == 0, done.stderr
        assert root.current() == name
    done = root.run("rollback")
    assert done.returncode == 1
    assert "before" in done.stderr


@pytest.mark.parametrize("name", ["v3", "../v1", "v1/", ".", ""])
def test_what_is_no_version_is_said(root, name):
    for command in ("promote", "remove"):
        args = ["--yes"] if command == "remove" else []
        done = root.run(command, name, *args)
        assert done.returncode in (1, 2)
        assert f'"{name}"' in done.stderr
    assert len(root.rows()) == 3


def test_remove_deletes_a_version_but_never_the_current_one(root):
    done = root.run("remove", "v10", "--yes")
    assert done.returncode == 1
    assert "current" in done.stderr
    done = root.run("remove", "v1", "--yes")
    assert done.returncode == 0, done.stderr
    assert not (root.folder / "v1").exists()
    assert [r["version"] for r in root.rows()] == ["v2", "v10"]


def test_remove_wants_yes_where_nobody_can_be_asked(root):
    done = root.run("remove", "v1")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert (root.folder / "v1").exists()


@pytest.mark.parametrize("answer, is_gone", [(b"y\n", True), (b"\n", False),
                                             (b"n\n", False)])
def test_remove_asks_on_a_terminal(root, answer, is_gone):
    master, slave = pty.openpty()
    os.write(master, answer)
    done = subprocess.run(
        [process.BIN, "model", "remove", "v1", "--model-root", root.folder],
        stdin=slave, capture_output=True, cwd=root.room.work,
        env=root.room.environment(), timeout=process.PATIENCE_S, check=False)
    os.close(slave)
    os.close(master)
    assert b"[y/N]" in done.stdout
    assert (done.returncode == 0) == is_gone
    assert (root.folder / "v1").exists() != is_gone


def test_promote_tells_the_process_that_pid_names(root):
    # Whoever runs the tests may ignore SIGHUP, as nohup does; a child does not.
    child = subprocess.Popen(
        ["sleep", "600"],
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    try:
        done = root.run("promote", "v1", "--pid", child.pid)
        assert done.returncode == 0, done.stderr
        assert f"told process {child.pid}" in done.stdout
        assert child.wait(process.PATIENCE_S) == -signal.SIGHUP
    finally:
        child.kill()
        child.wait()
    done = root.run("promote", "v2", "--pid", child.pid)
    assert done.returncode == 1
    assert root.current() == "v1", "nothing changes when nobody can be told"


@pytest.mark.parametrize("pid", ["0", "-1", "1", "x", "", "99999999999"])
def test_a_pid_that_cannot_be_is_refused(root, pid):
    done = root.run("promote", "v1", f"--pid={pid}")
    assert done.returncode == 2
    assert "--pid" in done.stderr
    assert root.current() == "v10"


def test_a_damaged_choice_is_said_and_nothing_is_guessed(root):
    (root.folder / "current.json").write_text('{"version":')
    for command in (["list"], ["rollback"], ["promote", "v1"],
                    ["remove", "v1", "--yes"]):
        done = root.run(*command)
        assert done.returncode == 1, command
        assert "current.json" in done.stderr
    assert (root.folder / "v1").exists()


def test_promotions_at_once_leave_a_whole_history(root):
    children = [subprocess.Popen(
        [process.BIN, "model", "promote", name, "--model-root", root.folder],
        cwd=root.room.work, env=root.room.environment(),
        stdout=subprocess.DEVNULL) for name in ("v1", "v2", "v1", "v2")]
    for child in children:
        assert child.wait(process.PATIENCE_S) == 0
    choice = json.loads((root.folder / "current.json").read_text())
    assert choice["version"] in ("v1", "v2")
    assert sorted([choice["version"], *choice["history"]]) == [
        "v1", "v10", "v2"]
