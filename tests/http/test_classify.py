# SPDX-License-Identifier: Apache-2.0
"""POST /api/classify as contracts have it."""
import concurrent.futures
import io
import json
import math

import pytest
from PIL import Image
from wire import check_error

KEYS = {"classe", "confianca", "classe_numerica", "top_k_predictions",
        "embedding", "semelhantes", "similar_items", "inference_time_ms",
        "model_version", "aceito", "avisos", "cache", "request_id"}


def jpeg(color=(200, 30, 30), size=(64, 64), form="JPEG", **more):
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, form, **more)
    return out.getvalue()


def check_answer(answer, top_k=3):
    """What holds for every answer."""
    best = answer["top_k_predictions"][0]
    assert answer["classe"] == best["classe"]
    assert answer["confianca"] == best["confianca"]
    assert len(answer["top_k_predictions"]) == top_k
    scores = [row["confianca"] for row in answer["top_k_predictions"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert sum(scores) <= 1 + 1e-4
    assert answer["aceito"] == (answer["confianca"] >= 0.5)
    assert answer["inference_time_ms"] > 0 or answer["cache"] == "hit"


def test_an_answer_has_every_field_of_the_contract(server, cat):
    reply = server.classify(cat)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    answer = reply.json()
    assert KEYS <= set(answer)
    check_answer(answer)
    assert isinstance(answer["classe"], str) and answer["classe"]
    assert isinstance(answer["classe_numerica"], int)
    assert answer["semelhantes"] == [] and answer["similar_items"] == []
    assert isinstance(answer["avisos"], list)
    assert answer["cache"] in ("miss", "hit", "off")
    assert answer["request_id"] == reply.headers["X-Request-Id"]


def test_the_embedding_has_length_one(server, cat):
    vector = server.classify(cat).json()["embedding"]
    assert len(vector) == 1280
    assert all(math.isfinite(v) for v in vector)
    assert math.sqrt(sum(v * v for v in vector)) == pytest.approx(1, abs=1e-4)


def test_both_names_of_the_file_field_give_the_same_answer(server, cat):
    image = server.classify(cat, field="image").json()
    file = server.classify(cat, field="file").json()
    for key in ("classe", "confianca", "classe_numerica", "embedding"):
        assert image[key] == file[key]


def test_a_raw_image_body_gives_the_same_answer(server, cat):
    form = server.classify(cat).json()
    for kind in ("image/jpeg", "image/png", "application/octet-stream"):
        reply = server.post("/api/classify", data=cat.read_bytes(),
                            headers={"Content-Type": kind})
        assert reply.status_code == 200, reply.text
        assert reply.json()["embedding"] == form["embedding"]


def test_content_decides_about_the_format_and_names_do_not(server):
    pixels = Image.effect_noise((80, 60), 90).convert("RGB")
    for form in ("PNG", "BMP", "GIF", "WEBP", "JPEG"):
        out = io.BytesIO()
        pixels.save(out, form)
        reply = server.classify(out.getvalue(), name="misnamed.txt")
        assert reply.status_code == 200, (form, reply.text)
        check_answer(reply.json())


def test_lossless_formats_give_the_same_embedding(server):
    pixels = Image.effect_noise((80, 60), 90).convert("RGB")
    vectors = []
    for form in ("PNG", "BMP", "WEBP"):
        out = io.BytesIO()
        pixels.save(out, form, **({"lossless": True} if form == "WEBP" else {}))
        vectors.append(server.classify(out.getvalue()).json()["embedding"])
    assert vectors[0] == vectors[1] == vectors[2]


def test_exif_orientation_is_applied(server, cat):
    """A picture stored turned, with the tag that turns it back, is the same
    picture but for the coder's noise."""
    upright = Image.open(cat).convert("RGB").resize((320, 240))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    plain, tagged = io.BytesIO(), io.BytesIO()
    upright.save(plain, "JPEG", quality=100, subsampling=0)
    turned.save(tagged, "JPEG", quality=100, subsampling=0, exif=exif)
    a = server.classify(plain.getvalue()).json()["embedding"]
    b = server.classify(tagged.getvalue()).json()["embedding"]
    assert sum(x * y for x, y in zip(a, b)) > 0.99


@pytest.mark.parametrize("top_k", [1, 2, 5, 1001])
def test_top_k_says_how_many_classes_come_back(server, cat, top_k):
    answer = server.classify(cat, top_k=top_k).json()
    check_answer(answer, top_k)
    query = server.classify(cat, path=f"/api/classify?top_k={top_k}").json()
    assert query["top_k_predictions"] == answer["top_k_predictions"]
    if top_k == 1001:
        scores = [r["confianca"] for r in answer["top_k_predictions"]]
        assert sum(scores) == pytest.approx(1, abs=1e-3)
        names = {r["classe"] for r in answer["top_k_predictions"]}
        assert len(names) > 990


@pytest.mark.parametrize("top_k", [1, 3, 7])
def test_the_best_class_is_the_first_of_the_top_k(server, clothing, top_k):
    for photo in clothing[::7]:
        check_answer(server.classify(photo, top_k=top_k).json(), top_k)


def test_embedding_0_leaves_the_vector_out(server, cat):
    answer = server.classify(cat, embedding=0).json()
    assert "embedding" not in answer
    assert KEYS - {"embedding"} <= set(answer)
    assert "embedding" in server.classify(cat, embedding=1).json()


@pytest.mark.parametrize("name", ["embedding", "similar"])
def test_a_switch_that_is_neither_on_nor_off_is_refused(server, cat, name):
    check_error(server.classify(cat, **{name: "maybe"}), 400, name, "maybe")


def test_similar_without_an_index_finds_nothing(server, cat):
    for similar in ("0", "1"):
        answer = server.classify(cat, similar=similar).json()
        assert answer["semelhantes"] == [] and answer["similar_items"] == []


@pytest.mark.parametrize("key", ["image_path", "imagen_path"])
def test_a_path_without_a_blob_store_is_refused_plainly(server, key):
    reply = server.post("/api/classify", json={key: "bucket/key.jpg"})
    check_error(reply, (404, 501, 503))


def test_a_path_of_a_wrong_type_is_the_clients_fault(server):
    check_error(server.post("/api/classify", json={"image_path": 7}), 400,
                "image_path")
    check_error(server.post("/api/classify", json={}), 400, "image_path")


def test_the_confidence_threshold_decides_about_aceito(serve, cat):
    for threshold, accepted in ((0, True), (1, False)):
        server = serve({"CONFIDENCE_THRESHOLD": threshold})
        assert server.classify(cat).json()["aceito"] is accepted


def test_below_undefined_below_the_answer_is_indefinido(serve, cat):
    server = serve({"UNDEFINED_BELOW": 1})
    answer = server.classify(cat).json()
    assert answer["classe"] == "Indefinido"
    assert answer["confianca"] == 0
    assert answer["semelhantes"] == []
    assert answer["aceito"] is False


def test_without_top_k_the_setting_decides(serve, cat):
    server = serve({"TOP_K": 4})
    check_answer(server.classify(cat).json(), 4)


def test_the_same_photo_always_gets_the_same_answer(server, cat):
    first = server.classify(cat).json()
    for _ in range(5):
        again = server.classify(cat).json()
        assert again["top_k_predictions"] == first["top_k_predictions"]
        assert again["embedding"] == first["embedding"]
        assert again["request_id"] != first["request_id"]


def test_many_clients_at_once_each_get_their_own_answer(server, clothing):
    alone = {p: server.classify(p).json()["embedding"] for p in clothing[:16]}

    def ask(photo):
        return photo, server.classify(photo).json()["embedding"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for photo, vector in pool.map(ask, list(alone) * 4):
            assert vector == alone[photo]


def test_numbers_in_json_are_plain_and_round_trip_float32(server, cat):
    import numpy as np
    text = server.classify(cat).text
    answer = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    for value in answer["embedding"]:
        assert float(np.float32(value)) == pytest.approx(value, rel=1e-7)
    assert len(text) < 1280 * 16 + 2000
