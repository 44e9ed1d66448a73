# SPDX-License-Identifier: Apache-2.0
"""A server whose MODEL_PATH is a root of versions follows what the commands
promote and roll back."""
import json

import process
import pytest
import tiny_model


@pytest.fixture
def root(tmp_path):
    for name in ("v1", "v2"):
        folder = tmp_path / "versions" / name
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(tiny_model.network())
        (folder / "labels.txt").write_text("red\ngreen\nblue\n")
        (folder / "metadata.json").write_text(json.dumps({"version": name}))
    return tmp_path / "versions"


def version(server):
    return server.get("/api/model/status").json()["model_version"]


def test_a_server_follows_promote_and_rollback(serve, root, room):
    server = serve({"MODEL_PATH": root})
    assert version(server) == "v2"
    for command, now in ((["promote", "v1"], "v1"), (["rollback"], "v2")):
        done = room.run("model", *command, "--model-root", root, "--pid",
                        server.pid)
        assert done.returncode == 0, done.stderr
        process.until(lambda now=now: version(server) == now)
    assert server.get("/health/ready").status_code == 200


def test_a_version_that_breaks_after_its_promotion_leaves_the_old_one(
        serve, root, room):
    server = serve({"MODEL_PATH": root})
    (root / "current.json").write_text('{"version":"gone"}')
    server.process.send_signal(1)
    process.until(lambda: "gone" in server.log())
    assert version(server) == "v2"
    (root / "current.json").write_text('{"version":"v1","history":["v2"]}')
    server.process.send_signal(1)
    process.until(lambda: version(server) == "v1")


def test_a_server_starts_with_the_promoted_version(serve, root, room):
    assert room.run("model", "promote", "v1", "--model-root",
                    root).returncode == 0
    assert version(serve({"MODEL_PATH": root})) == "v1"
