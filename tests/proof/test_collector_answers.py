# SPDX-License-Identifier: Apache-2.0
"""olho in the place of the service it replaces: the same .env, models, photos
and tables; the same answers as Keras, Pillow and faiss give; every row."""
import collections
import hashlib
import random

import numpy as np
import pytest
from installation import OLD_VERSION, VERSIONS
from load import USERS, Ask, Load, answers

REQUESTS = 1000
NEAR = 1e-3
TIE = 1e-5
SIMILARITY_MIN = 0.7
DECIMALS = 0.5001e-4  # of a decimal(5,4)


def check_answer(got, want):
    """One answer against the reference's."""
    assert got["classe"] == want["classe"]
    assert got["classe_numerica"] == want["classe_numerica"]
    assert abs(got["confianca"] - want["confianca"]) <= NEAR
    assert got["top_k_predictions"][0]["classe"] == want["classe"]
    assert got["aceito"] == (got["confianca"] >= 0.5)
    embedding = np.array(got["embedding"], dtype="float32")
    assert np.abs(embedding - want["embedding"]).max() <= NEAR
    check_neighbours(got["semelhantes"], want)


def check_neighbours(found, want):
    assert len(found) == len(want["semelhantes"])
    assert len({hit["item"] for hit in found}) == len(found)
    for hit, (path, distance) in zip(found, want["semelhantes"]):
        assert abs(hit["distancia"] - distance) <= NEAR
        assert (hit["item"] == path
                or abs(want["all"][hit["item"]] - distance) <= TIE), \
            f"{hit} where {path} at {distance} is nearer"


def check_items(answer, named):
    """similar_items carry what the items table says."""
    near = [hit for hit in answer["semelhantes"]
            if 1 / (1 + hit["distancia"]) >= SIMILARITY_MIN]
    assert len(answer["similar_items"]) == len(near)
    for item, hit in zip(answer["similar_items"], near):
        assert item["distancia"] == hit["distancia"]
        assert abs(item["confianca_similaridade"]
                   - 1 / (1 + hit["distancia"])) < 1e-6
        if hit["item"] in named:
            assert (item["item_id"], item["nome"]) == named[hit["item"]]
        else:
            assert item["nome"] == hit["item"].split("/")[-1]
        assert item["foto_url"].startswith("http://127.0.0.1:")


def check_arms(answered):
    """A user meets one version, those without a key meet both."""
    met = collections.defaultdict(set)
    for ask, answer in answered:
        met[ask.user].add(answer["model_version"])
    assert met.pop(None) == set(VERSIONS)
    assert len(met) == USERS
    assert all(len(versions) == 1 for versions in met.values())
    assert set.union(*met.values()) == set(VERSIONS)


def check_predictions(database, answered):
    """Each answer has its row, whose bytes numpy reads as its embedding."""
    want = collections.Counter()
    vectors = {}
    for ask, answer in answered:
        path = ask.row_path(hashlib.sha256(ask.photo).hexdigest())
        version = answer["model_version"]
        want[path, version, answer["classe"], answer["classe_numerica"]] += 1
        vectors[path, version] = (answer["confianca"], answer["embedding"])
    rows = database.new("predictions")
    assert want == collections.Counter(
        (r["image_path"], r["model_version"], r["classe"],
         r["classe_numerica"]) for r in rows)
    for row in rows:
        confidence, embedding = vectors[row["image_path"],
                                        row["model_version"]]
        assert abs(float(row["confianca"]) - confidence) <= DECIMALS
        kept = np.frombuffer(row["embedding"], "<f4")
        assert np.array_equal(kept, np.array(embedding, dtype="<f4"))


def check_logs(database, answered):
    rows = {row["request_id"]: row for row in database.new("inference_logs")}
    assert len(rows) == len(database.new("inference_logs")) == len(answered)
    for ask, answer in answered:
        row = rows[ask.id]
        assert row["status"] == "success" and row["error_message"] is None
        assert row["image_hash"] == hashlib.sha256(ask.photo).hexdigest()
        assert row["predicted_class"] == answer["classe"]
        assert row["model_version"] == answer["model_version"]
        assert row["user_id"] == ask.user
        assert row["top_k_predictions"] == answer["top_k_predictions"]
        assert abs(float(row["confidence"]) - answer["confianca"]) <= DECIMALS


def check_ab(server, database, answered):
    rows = {row["request_id"]: row for row in database.new("ab_test_results")}
    assert len(rows) == len(database.new("ab_test_results")) == len(answered)
    for ask, answer in answered:
        row = rows[ask.id]
        assert row["model_version"] == answer["model_version"]
        assert row["prediction"] == answer["classe"]
        assert row["status"] == "success" and row["latency_ms"] >= 0
    sent = collections.Counter(a["model_version"] for _, a in answered)
    arms = {arm["version"]: arm["requests"]
            for arm in server.get("/api/ab").json()["arms"]}
    assert arms == dict(sent)


def check_old_rows(database, before):
    for table, rows in before.items():
        assert database.old(table) == rows
    assert all(row["model_version"] in (OLD_VERSION, None)
               for row in before["ab_test_results"])


@pytest.mark.parametrize("cache", ["none", "redis"])
def test_a_thousand_requests_are_answered_as_the_replaced_service_would(
        start, database, redis, coins, expected, settle, cache):
    tables = ("predictions", "inference_logs", "ab_test_results",
              "model_metrics")
    before = {table: database.old(table) for table in tables}
    named = database.add_items(p for p in coins if "/train_" in p)
    server = start(
        AB_VERSIONS=f"models/{VERSIONS[1]}=1", CACHE_SIZE_MB=0,
        REDIS_URL=redis.url if cache == "redis" else "", REDIS_TIMEOUT=10)
    rng = random.Random(7)
    paths = list(coins)
    with Load(server.url) as load:
        for number in range(REQUESTS):
            path = rng.choice(paths)
            user = 1 + number // 2 % USERS if number % 2 else None
            load.begin(Ask(number, path, coins[path], user))
        answered = answers(load.replies())
    for ask, answer in answered:
        check_answer(answer, expected[answer["model_version"]][ask.path])
        check_items(answer, named)
        assert answer["request_id"] == ask.id
    check_arms(answered)
    hits = sum(answer["cache"] == "hit" for _, answer in answered)
    different = len({(a.path, b["model_version"]) for a, b in answered})
    if cache == "none":
        assert hits == 0
    else:
        assert hits == REQUESTS - different
    settle(server)
    check_predictions(database, answered)
    check_logs(database, answered)
    check_ab(server, database, answered)
    check_old_rows(database, before)


def test_large_photos_are_answered_so_when_they_are_decoded_exactly(
        start, photos, references):
    """By default a large JPEG is decoded at a reduced scale, which the replaced
    service did not do. The coins are too small to be scaled."""
    files = [photo.read_bytes() for photo in photos]
    server = start(DECODE_EXACT="true")
    want = references[VERSIONS[0]].answer(files)
    for photo, one in zip(files, want):
        check_answer(server.classify(photo).json(), one)
