# SPDX-License-Identifier: Apache-2.0
"""POST /api/classify/similarity and what /api/classify finds, with an index
that `olho index add` made."""
import io
import json
import math

import process
import pytest
from PIL import Image
from wire import check_error

PATH = "/api/classify/similarity"


@pytest.fixture(scope="module")
def indexed(serve, tmp_path_factory, clothing):
    """A server on an index of the 50 clothing photographs."""
    room = process.Room(tmp_path_factory.mktemp("indexed"))
    done = room.run("index", "add", process.DATA / "clothing")
    assert done.returncode == 0, done.stderr
    return serve(room=room)


@pytest.fixture(scope="module")
def vectors(indexed, clothing):
    return {str(p): indexed.classify(p).json()["embedding"] for p in clothing}


def search(server, **body):
    return server.post(PATH, json=body)


def path_of(item):
    """The file that an item stands for, whichever field carries it."""
    return next(str(item[k]) for k in ("foto_url", "item", "nome")
                if str(item.get(k) or "").endswith(".jpg"))


def test_the_index_of_the_command_is_the_index_of_the_server(indexed):
    assert indexed.get("/api/model/status").json()["faiss_index_size"] == 50


def test_the_nearest_item_of_a_vector_is_its_own_photo(indexed, vectors):
    for photo, vector in list(vectors.items())[::10]:
        body = search(indexed, embedding=vector, k=3, threshold=0).json()
        best = body["similar_items"][0]
        assert path_of(best).endswith(photo.rsplit("/", 1)[1])
        assert best["distancia"] == pytest.approx(0, abs=1e-3)
        assert best["confianca_similaridade"] == pytest.approx(1, abs=1e-3)


def test_an_answer_has_every_field_of_the_contract(indexed, vectors):
    vector = next(iter(vectors.values()))
    body = search(indexed, embedding=vector, k=5, threshold=0).json()
    assert body["index_type"] == "Flat" and body["exact"] is True
    assert body["search_time_ms"] >= 0
    assert body["total_found"] == len(body["similar_items"]) == 5
    for item in body["similar_items"]:
        assert {"item_id", "nome", "distancia", "confianca_similaridade",
                "foto_url"} <= set(item)
        assert item["confianca_similaridade"] == pytest.approx(
            1 / (1 + item["distancia"]), abs=1e-4)
    distances = [i["distancia"] for i in body["similar_items"]]
    assert distances == sorted(distances)
    assert len({i["item_id"] for i in body["similar_items"]}) == 5


def test_distances_are_the_squared_ones_of_all_vectors(indexed, vectors):
    """Exact search: the k nearest by brute force, counted as FAISS counts."""
    query = next(iter(vectors.values()))
    want = sorted(math.dist(query, v) ** 2 for v in vectors.values())[:10]
    body = search(indexed, embedding=query, k=10, threshold=0).json()
    got = [i["distancia"] for i in body["similar_items"]]
    assert got == pytest.approx(want, abs=1e-4)


def test_the_threshold_leaves_items_out(indexed, vectors):
    vector = next(iter(vectors.values()))
    every = search(indexed, embedding=vector, k=50, threshold=0).json()
    assert every["total_found"] == 50
    edge = every["similar_items"][10]["confianca_similaridade"]
    some = search(indexed, embedding=vector, k=50, threshold=edge).json()
    assert 10 <= some["total_found"] <= 12
    assert all(i["confianca_similaridade"] >= edge - 1e-6
               for i in some["similar_items"])


def test_k_over_the_index_gives_all_there_is(indexed, vectors):
    vector = next(iter(vectors.values()))
    body = search(indexed, embedding=vector, k=1000, threshold=0).json()
    assert body["total_found"] == 50


def test_an_image_may_be_sent_instead_of_a_vector(indexed, clothing):
    reply = indexed.post(PATH, data={"k": 3, "threshold": 0},
                         files={"image": ("x.jpg", clothing[0].read_bytes())})
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["similar_items"]) == 3


@pytest.mark.parametrize("length", [0, 1, 1279, 1281, 5000])
def test_a_vector_of_the_wrong_length_names_both_lengths(indexed, length):
    text = check_error(search(indexed, embedding=[0.5] * length, k=1), 400)
    assert length == 0 or (str(length) in text and "1280" in text), text


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999",
                                     "null", '"1"', "[1]", "1e39"])
def test_a_vector_with_something_that_is_no_number_is_refused(indexed, literal):
    body = '{"embedding": [' + ",".join(["0.1"] * 1279 + [literal]) + "]}"
    reply = indexed.post(PATH, data=body,
                         headers={"Content-Type": "application/json"})
    check_error(reply, 400)


@pytest.mark.parametrize("body", [
    {}, [], 7, "text", None, {"embedding": 7}, {"embedding": None},
    {"embedding": {"0": 1}}])
def test_a_body_without_a_vector_is_refused(indexed, body):
    reply = indexed.post(PATH, data=json.dumps(body),
                         headers={"Content-Type": "application/json"})
    check_error(reply, 400, "embedding")


@pytest.mark.parametrize("field, value", [
    ("k", 0), ("k", -1), ("k", 10**9), ("k", "abc"), ("k", 1.5),
    ("threshold", -0.1), ("threshold", 1.5), ("threshold", "abc")])
def test_k_and_threshold_are_checked(indexed, vectors, field, value):
    vector = next(iter(vectors.values()))
    check_error(search(indexed, embedding=vector, **{field: value}), 400, field)


def test_classify_finds_the_photo_that_a_new_copy_was_made_from(indexed,
                                                                clothing):
    copy = io.BytesIO()
    Image.open(clothing[7]).save(copy, "JPEG", quality=92)
    answer = indexed.classify(copy.getvalue()).json()
    assert 1 <= len(answer["semelhantes"]) <= 3
    nearest = answer["semelhantes"][0]
    assert nearest["item"].endswith(clothing[7].name)
    assert nearest["distancia"] < 0.5
    assert answer["similar_items"][0]["distancia"] == nearest["distancia"]


def test_k_says_how_many_come_back_and_similar_0_that_none_do(indexed,
                                                               clothing):
    five = indexed.classify(clothing[3], k=5).json()
    assert len(five["semelhantes"]) == 5
    none = indexed.classify(clothing[3], similar=0).json()
    assert none["semelhantes"] == [] and none["similar_items"] == []


def test_an_image_added_while_serving_is_found(serve, room, photos):
    assert room.run("index", "add", photos[1]).returncode == 0
    server = serve(room=room)
    added = room.run("index", "add", photos[0])
    assert added.returncode == 0, added.stderr
    vector = server.classify(photos[0]).json()["embedding"]

    def is_found():
        body = search(server, embedding=vector, k=1, threshold=0).json()
        best = body["similar_items"][0]
        return path_of(best).endswith(photos[0].name)

    process.until(is_found)


def test_far_from_every_item_the_answer_may_be_indefinido(serve, indexed,
                                                          photos):
    server = serve({"UNDEFINED_DISTANCE_ABOVE": 0.01}, room=indexed.room)
    answer = server.classify(photos[-1]).json()
    assert answer["classe"] == "Indefinido" and answer["confianca"] == 0
    assert answer["semelhantes"] == []


def test_without_an_index_nothing_is_similar(server):
    reply = search(server, embedding=[0.1] * 1280, k=3)
    if reply.status_code == 200:
        assert reply.json()["similar_items"] == []
        assert reply.json()["total_found"] == 0
    else:
        check_error(reply, (404, 409, 503), "index")
