# SPDX-License-Identifier: Apache-2.0
"""What stands around the model: cache, rows in SQLite, stored images."""
import concurrent.futures
import io
import json
import sqlite3
import struct

import process
import pytest
from PIL import Image


def picture(number, size=(64, 48)):
    """A PNG that no other test sends."""
    out = io.BytesIO()
    image = Image.new("RGB", size, (number % 256, 120, 40))
    image.putpixel((0, 0), (1, 2, number // 256))
    image.save(out, "PNG")
    return out.getvalue()


def rows(server, sql, *values):
    path = server.room.data / "olho.db"

    def read():
        if not path.exists():
            return None
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as base:
                return base.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            return None  # its tables are being made

    return process.until(read)


# --- the cache ---


def test_the_same_image_again_is_a_hit_with_the_same_answer(server):
    first, second = (server.classify(picture(1)).json() for _ in range(2))
    assert (first["cache"], second["cache"]) == ("miss", "hit")
    for name in ("classe", "confianca", "top_k_predictions", "embedding", "avisos"):
        assert first[name] == second[name]
    assert first["request_id"] != second["request_id"]


def test_another_top_k_is_another_answer(server):
    assert len(server.classify(picture(2)).json()["top_k_predictions"]) == 3
    again = server.classify(picture(2), top_k="5").json()
    assert (len(again["top_k_predictions"]), again["cache"]) == (5, "miss")


def test_hits_and_misses_are_counted(server):
    before = server.metric('olho_cache_requests_total{backend="memory",result="hit"}')
    server.classify(picture(3))
    server.classify(picture(3))
    after = server.metric('olho_cache_requests_total{backend="memory",result="hit"}')
    assert after == before + 1


def test_identical_images_at_once_are_computed_once(serve):
    server = serve({"WORKERS": 4, "LOG_LEVEL": "warn"})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: server.classify(picture(4)).json(), range(8)))
    assert len({reply["classe"] for reply in replies}) == 1
    assert server.metric("olho_phase_seconds_count{phase=\"inference\"}") == 1


def test_without_a_cache_nothing_is_a_hit(serve):
    server = serve({"CACHE_SIZE_MB": 0})
    answers = [server.classify(picture(5)).json()["cache"] for _ in range(3)]
    assert answers == ["miss"] * 3


def test_redis_that_is_away_is_no_error(serve):
    server = serve({"REDIS_URL": "redis://127.0.0.1:1"})
    for _ in range(2):
        reply = server.classify(picture(6))
        assert (reply.status_code, reply.json()["cache"]) == (200, "miss")
    assert server.get("/health").json()["parts"]["cache"] == "away"


# --- the rows ---


def test_an_answer_leaves_its_rows(server, request_id):
    reply = server.post(
        "/api/classify?user_id=42", files={"image": ("a.png", picture(7))},
        headers={"X-Request-Id": request_id}).json()
    process.until(lambda: rows(
        server, "SELECT 1 FROM inference_logs WHERE request_id = ?", request_id))
    (row,) = rows(
        server, "SELECT predicted_class, confidence, top_k_predictions, status, user_id,"
        " image_hash, model_version FROM inference_logs WHERE request_id = ?", request_id)
    assert row[0] == reply["classe"]
    assert row[1] == pytest.approx(reply["confianca"], abs=1e-4)
    assert json.loads(row[2]) == reply["top_k_predictions"]
    assert row[3:5] == ("success", 42)
    assert len(row[5]) == 64
    assert row[6] == reply["model_version"]


def test_embeddings_are_kept_when_asked(serve):
    server = serve({"STORE_EMBEDDINGS": "on"})
    embedding = server.classify(picture(8)).json()["embedding"]
    process.until(lambda: rows(server, "SELECT 1 FROM predictions"))
    ((kept, path),) = rows(server, "SELECT embedding, image_path FROM predictions")
    assert struct.unpack(f"<{len(embedding)}f", kept) == pytest.approx(embedding, abs=1e-7)
    assert path == "photo.jpg"


def test_a_failure_leaves_a_row_with_its_reason(server, request_id):
    server.post("/api/classify", data=b"\xff\xd8\xffdamaged",
                headers={"X-Request-Id": request_id, "Content-Type": "image/jpeg"})
    process.until(lambda: rows(
        server, "SELECT 1 FROM inference_logs WHERE request_id = ?", request_id))
    ((status, message),) = rows(
        server, "SELECT status, error_message FROM inference_logs WHERE request_id = ?",
        request_id)
    assert status == "error" and "JPEG" in message


def test_a_batch_leaves_a_row_for_each_image(server, request_id):
    files = [("images", (f"{n}.png", picture(20 + n))) for n in range(3)]
    files.append(("images", ("bad.png", b"no image")))
    server.post("/api/classify/batch", files=files, headers={"X-Request-Id": request_id})
    process.until(lambda: len(rows(
        server, "SELECT 1 FROM inference_logs WHERE request_id = ?", request_id)) == 4)
    states = rows(server, "SELECT status FROM inference_logs WHERE request_id = ?", request_id)
    assert sorted(state for (state,) in states) == ["error"] + ["success"] * 3


def test_rows_are_there_after_the_end(serve):
    server = serve({"STORE_FLUSH": 60})
    for number in range(5):
        server.classify(picture(30 + number))
    server.stop()
    assert len(rows(server, "SELECT 1 FROM predictions")) == 5


def test_a_database_that_is_away_fails_no_request(serve):
    server = serve({"STORE_URL": "postgres://olho:secret@127.0.0.1:1/olho"})
    assert server.classify(picture(9)).status_code == 200
    process.until(lambda: "127.0.0.1" in server.get("/health").json()["parts"]["database"])
    assert "secret" not in server.get("/health").text + server.log()


def test_no_database_at_all_is_a_choice(serve):
    server = serve({"STORE_URL": "none"})
    assert server.classify(picture(10)).status_code == 200
    assert server.get("/health").json()["parts"]["database"] == "none"
    assert not (server.room.data / "olho.db").exists()


# --- stored images ---


@pytest.fixture(scope="module")
def stored(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blobs")
    (folder / "carros").mkdir()
    (folder / "carros" / "1.png").write_bytes(picture(40))
    (folder / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * (2 << 20))
    (folder.parent / "outside.png").write_bytes(picture(41))
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    return serve({"BLOB_URL": folder, "MINIO_BUCKET_ORIGINAL": "fotos",
                  "MAX_IMAGE_SIZE_MB": 1, "MAX_BATCH_SIZE_MB": 1})


def by_path(server, path, name="image_path"):
    return server.post("/api/classify?embedding=0", json={name: path})


@pytest.mark.parametrize("path", ["fotos/carros/1.png", "fotos//carros/1.png"])
@pytest.mark.parametrize("name", ["image_path", "imagen_path"])
def test_a_stored_image_is_classified_by_its_path(stored, path, name):
    sent = stored.classify(picture(40)).json()
    reply = by_path(stored, path, name)
    assert reply.status_code == 200
    assert reply.json()["classe"] == sent["classe"]


@pytest.mark.parametrize("path", [
    "fotos/../outside.png", "../outside.png", "/etc/passwd", "fotos/carros/../../outside.png",
    "fotos/link.png", "fotos/carros\\1.png", "s3://other/1.png"])
def test_what_is_outside_of_the_store_is_forbidden(stored, path):
    reply = by_path(stored, path)
    assert reply.status_code == 403, reply.text
    assert reply.json()["erro"] == reply.json()["error"]


def test_a_path_to_nothing_is_not_found(stored):
    assert by_path(stored, "fotos/none.png").status_code == 404


def test_a_stored_image_over_the_limit_is_refused_unread(stored):
    reply = by_path(stored, "fotos/large.png")
    assert reply.status_code == 413


def test_without_a_store_a_path_is_unsupported(server):
    assert by_path(server, "fotos/1.png").status_code == 501
