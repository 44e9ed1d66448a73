# SPDX-License-Identifier: Apache-2.0
"""POST /api/model/update: another version in the place of the one that serves."""
import concurrent.futures
import io
import json
import os
import signal
import threading

import process
import pytest
import tiny_model
from PIL import Image


def picture(color, size=(40, 30)):
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def make_version(root, name, **metadata):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(tiny_model.network())
    (folder / "labels.txt").write_text(f"red-{name}\ngreen-{name}\nblue-{name}\n")
    (folder / "metadata.json").write_text(json.dumps({"version": name} | metadata))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name in ("v1", "v2"):
        make_version(root, name)
    (root / "broken").mkdir()
    (root / "broken" / "model.onnx").write_bytes(b"no network")
    return root


@pytest.fixture(scope="module")
def server(serve, root):
    return serve({"MODEL_PATH": root / "v1", "MODEL_ROOT": root})


@pytest.fixture(scope="module")
def bucketed(serve, root):
    """A server with a bucket of images that nobody answers for."""
    return serve({"MODEL_PATH": root / "v1", "MODEL_ROOT": root, "MINIO_HOST": "127.0.0.1",
                  "MINIO_PORT": 1, "MINIO_BUCKET_ORIGINAL": "fotos", "BLOB_TIMEOUT": 1})


@pytest.fixture(autouse=True)
def begin_with_v1(server):
    yield
    if version(server) != "v1":
        assert update(server, "v1").status_code == 200


def update(server, path, **more):
    return server.post("/api/model/update", json={"model_path": str(path)} | more)


def version(server):
    return server.get("/api/model/status").json()["model_version"]


def test_the_new_version_answers_and_both_are_named(server):
    reply = update(server, "v2/model.onnx")
    assert reply.status_code == 200
    assert reply.json() == {
        "status": "success",
        "message": "Model v2 loaded successfully",
        "previous_version": "v1",
        "new_version": "v2",
    }
    answer = server.classify(picture(tiny_model.COLORS[2])).json()
    assert (answer["classe"], answer["model_version"]) == ("blue-v2", "v2")
    names = [row["name"] for row in server.get("/api/model/classes").json()["classes"]]
    assert names == ["red-v2", "green-v2", "blue-v2"]


def test_cached_answers_of_the_old_version_are_not_given(server):
    image = picture(tiny_model.COLORS[1], (41, 31))
    assert server.classify(image).json()["classe"] == "green-v1"
    assert server.classify(image).json()["cache"] == "hit"
    update(server, "v2")
    answer = server.classify(image).json()
    assert (answer["classe"], answer["cache"]) == ("green-v2", "miss")


@pytest.mark.parametrize("path", ["../outside", "v1/../../outside", "/etc/passwd", "a/.."])
def test_what_leads_out_of_the_root_is_forbidden(server, path):
    reply = update(server, path)
    assert reply.status_code == 403
    assert path in reply.json()["erro"]
    assert version(server) == "v1"


@pytest.mark.parametrize("path", [
    "s3://secret/v2", "s3://fotos/../secret/v2", "s3://fotos2/v2", "s3://foto/v2", "s3://", "s3:///v2"])
def test_a_bucket_that_the_settings_do_not_name_is_forbidden(bucketed, path):
    for body in ({"model_path": path}, {"model_path": "v1", "embeddings_path": path}):
        reply = bucketed.post("/api/model/update", json=body)
        assert reply.status_code == 403, reply.text


@pytest.mark.parametrize("path", ["s3://fotos/v2", "s3://fotos"])
def test_the_bucket_of_the_images_is_asked(bucketed, path):
    reply = update(bucketed, path)
    assert reply.status_code == 422, reply.text
    assert version(bucketed) == "v1"


def test_a_link_out_of_the_root_is_forbidden(server, root, tmp_path):
    make_version(tmp_path, "elsewhere")
    os.symlink(tmp_path / "elsewhere", root / "link")
    assert update(server, "link").status_code == 403
    os.unlink(root / "link")


@pytest.mark.parametrize("path, part", [("broken", "broken"), ("nowhere", "nowhere")])
def test_a_model_that_does_not_load_leaves_the_old_one(server, path, part):
    reply = update(server, path)
    assert reply.status_code == 422
    assert part in reply.json()["erro"]
    assert server.classify(picture(tiny_model.COLORS[0])).json()["model_version"] == "v1"


def test_an_index_of_another_length_leaves_the_old_one(server, root):
    folder = make_version(root, "v3")
    (folder / "embeddings.faiss").write_bytes(b"IxF2" + b"\0" * 40)
    reply = update(server, "v3")
    assert reply.status_code == 422
    assert "embeddings.faiss" in reply.json()["erro"]
    assert version(server) == "v1"


@pytest.mark.parametrize("body", [{}, {"model_path": ""}, {"model_path": 3}, []])
def test_a_body_without_a_path_is_refused(server, body):
    assert server.post("/api/model/update", json=body).status_code == 400


def test_no_request_fails_while_versions_change(server):
    images = [picture(color, (50, 50)) for color in tiny_model.COLORS.values()]
    done = threading.Event()

    def ask(number):
        answers = []
        while not done.is_set():
            reply = server.classify(images[number % 3])
            answers.append((reply.status_code, reply.json()))
        return answers

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        for turn in range(12):
            assert update(server, "v2" if turn % 2 == 0 else "v1").status_code == 200
        done.set()
        answers = [answer for future in asking for answer in future.result()]
    assert len(answers) >= 12
    for status, answer in answers:
        assert status == 200, answer
        assert answer["classe"].endswith(answer["model_version"])
        assert answer["model_version"] in ("v1", "v2")


@pytest.mark.skipif(process.is_sanitized(), reason="a sanitizer keeps freed memory")
def test_forty_updates_take_no_memory(server):
    for _ in range(5):
        update(server, "v2")
    before = server.rss()
    for turn in range(40):
        assert update(server, "v1" if turn % 2 else "v2").status_code == 200
    assert server.rss() < before + 16 * 1024 * 1024


def test_an_admin_key_is_needed_where_keys_are(serve, root):
    guarded = serve({"MODEL_PATH": root / "v1", "MODEL_ROOT": root,
                     "API_KEYS": "read:r1,admin:a1"})
    for key, status in (("r1", 403), ("a1", 200)):
        reply = guarded.post("/api/model/update", json={"model_path": "v2"},
                             headers={"X-API-Key": key})
        assert reply.status_code == status


def hang_up(server):
    """SIGHUP, and waits until it is done with."""
    before = server.metric("olho_model_updates_total")
    os.kill(server.pid, signal.SIGHUP)
    process.until(lambda: server.metric("olho_model_updates_total") > before)


def test_a_hang_up_leaves_the_version_that_a_client_put_there(serve, tmp_path):
    for name in ("v1", "v2"):
        make_version(tmp_path, name)
    server = serve({"MODEL_PATH": tmp_path / "v1", "MODEL_ROOT": tmp_path})
    assert update(server, "v2").status_code == 200
    hang_up(server)
    assert version(server) == "v2"
    (tmp_path / "v1" / "metadata.json").write_text('{"version": "v1b"}')
    hang_up(server)
    assert version(server) == "v1b"


def test_other_metadata_makes_old_answers_unreachable(serve, tmp_path):
    folder = make_version(tmp_path, "v1")
    server = serve({"MODEL_PATH": folder, "MODEL_ROOT": tmp_path})
    image = picture(tiny_model.COLORS[1], (43, 31))
    before = server.classify(image).json()
    assert server.classify(image).json()["cache"] == "hit"
    metadata = {"version": "v1", "input": {"mean": [250, 250, 250], "std": [1, 1, 1]}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    assert update(server, "v1").status_code == 200
    after = server.classify(image).json()
    assert after["cache"] == "miss"
    assert after["embedding"] != before["embedding"]
