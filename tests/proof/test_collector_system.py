# SPDX-License-Identifier: Apache-2.0
"""The collector system when its parts fail, are exchanged, or are asked for
what they must not give."""
import collections
import itertools
import json
import shutil
import time

import process
import pytest
import requests
from installation import BUCKET, VERSIONS, key_of
from load import Ask, Load, answers
from process import until

UPDATES = 20
GROWTH_MAX = 1.3
MODEL_BUCKET = "models"
STAMP = "20251203_101500"
UPLOADS = 3  # the ways of asking that send the photo itself


@pytest.fixture(scope="module")
def asks(coins):
    """Requests without end, each with an id of its own."""
    photos = itertools.cycle(coins.items())
    numbers = itertools.count()

    def more(count, ways=5):
        return [Ask(next(numbers), *next(photos), ways=ways)
                for _ in range(count)]

    return more


def send(server, asks):
    """All at once, and all must be answered well."""
    with Load(server.url) as load:
        for ask in asks:
            load.begin(ask)
        return answers(load.replies())


def send_while(server, asks, claim):
    """Sends round after round until claim() is true; returns the rounds."""
    rounds = []
    deadline = time.monotonic() + process.PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, "waited too long"
        rounds.append(send(server, asks(8)))
    return rounds


def check_versions(answered, expected):
    """Every answer is that of the version that it names."""
    for ask, answer in answered:
        want = expected[answer["model_version"]][ask.path]
        assert answer["classe"] == want["classe"]
        assert abs(answer["confianca"] - want["confianca"]) <= 1e-3


def update(server, path, **more):
    return server.post("/api/model/update", json={"model_path": path, **more})


def check_order(rows, rounds):
    """Each request has its row, and a round's rows are before those of the
    next, which began when all of it was answered. A batch whose answer was
    lost may be there twice."""
    turns = {ask.id: turn for turn, answered in enumerate(rounds)
             for ask, _ in answered}
    found = list(dict.fromkeys(row["request_id"] for row in rows))
    assert set(found) == set(turns)
    order = [turns[name] for name in found]
    assert order == sorted(order)


def test_requests_and_rows_survive_a_database_that_is_killed(
        start, database, asks, settle):
    server = start(STORE_TIMEOUT=1, STORE_FLUSH=0.05, STORE_BATCH_MAX=8)
    rounds = [send(server, asks(20))]
    until(lambda: len(database.new("inference_logs")) > 0)
    with Load(server.url) as load:
        for ask in asks(60):
            load.begin(ask)
        until(lambda: load.done_count() >= 10)
        database.service.kill()
        rounds.append(answers(load.replies()))
    rounds += send_while(
        server, asks, lambda: server.metric("olho_store_away") > 0)
    rounds += send_while(
        server, asks, lambda: server.metric("olho_store_spill_rows") > 0)
    with Load(server.url) as load:
        for ask in asks(60):
            load.begin(ask)
        database.service.start()
        rounds.append(answers(load.replies()))
    settle(server)
    for outcome in ("dropped", "rejected", "damaged"):
        assert server.metric(
            f'olho_store_rows_total{{outcome="{outcome}"}}') == 0
    check_order(database.new("inference_logs"), rounds)
    assert len(database.new("predictions")) >= sum(map(len, rounds))


def test_requests_go_on_without_redis(start, redis, asks):
    server = start(CACHE_SIZE_MB=0, REDIS_URL=redis.url, REDIS_TIMEOUT=2)
    one = asks(1)[0]

    def is_hit():
        return send(server, [one])[0][1]["cache"] == "hit"

    assert not is_hit()
    until(is_hit)
    redis.kill()
    for _, answer in send(server, [one, *asks(20)]):
        assert answer["cache"] == "miss"
    assert server.metric("olho_cache_up") == 0
    redis.start()
    until(is_hit)
    redis.pause()
    send(server, asks(8))
    redis.resume()


def test_only_stored_photos_fail_without_the_bucket(start, bucket, coins, asks):
    server = start(BLOB_TIMEOUT=2)
    path = next(iter(coins))
    body = {"image_path": f"{BUCKET}/{key_of(path)}"}

    def is_given():
        return server.post("/api/classify", json=body).status_code == 200

    until(is_given)
    bucket.service.kill()
    try:
        reply = server.post("/api/classify", json=body)
        assert reply.status_code in (503, 504), reply.text
        error = reply.json()
        assert error["erro"] == error["error"]
        assert "testsecret" not in error["erro"]
        assert len(error["erro"]) > 10
        send(server, asks(10, UPLOADS))
    finally:
        bucket.service.start()
    until(is_given)
    bucket.service.pause()
    try:
        reply = server.post("/api/classify", json=body)
        assert reply.status_code in (503, 504), reply.text
        send(server, asks(10, UPLOADS))
    finally:
        bucket.service.resume()


def test_the_model_is_exchanged_under_load(start, asks, expected):
    server = start(CACHE_SIZE_MB=0)
    answered = []
    with Load(server.url) as load:
        for turn in range(6):
            for ask in asks(12):
                load.begin(ask)
            name = VERSIONS[(turn + 1) % 2]
            reply = update(server, f"models/{name}/model.keras",
                           embeddings_path=f"models/{name}/embeddings.faiss")
            assert reply.status_code == 200, reply.text
            assert reply.json() == {
                "status": "success",
                "message": f"Model {name} loaded successfully",
                "previous_version": VERSIONS[turn % 2], "new_version": name}
        answered = answers(load.replies())
    check_versions(answered, expected)
    assert {a["model_version"] for _, a in answered} == set(VERSIONS)


def test_twenty_updates_leave_the_memory_as_it_was(start, asks):
    server = start(CACHE_SIZE_MB=0)
    sizes = []
    for turn in range(UPDATES):
        reply = update(server, f"models/{VERSIONS[(turn + 1) % 2]}")
        assert reply.status_code == 200, reply.text
        send(server, asks(4))
        if turn % 2 == 1:
            sizes.append(server.rss())
    if not process.is_sanitized():
        assert max(sizes[-3:]) <= GROWTH_MAX * min(sizes[:3]), sizes


def damage(folder, kind):
    """A copy of a version with which something is wrong."""
    if kind == "cut network":
        data = (folder / "model.keras").read_bytes()
        (folder / "model.keras").write_bytes(data[:len(data) // 2])
    elif kind == "no network":
        (folder / "model.keras").unlink()
    elif kind == "cut index":
        data = (folder / "embeddings.faiss").read_bytes()
        (folder / "embeddings.faiss").write_bytes(data[:1000])
    elif kind == "short vectors":
        data = bytearray((folder / "embeddings.faiss").read_bytes())
        data[4:8] = (256).to_bytes(4, "little")
        (folder / "embeddings.faiss").write_bytes(bytes(data))
    elif kind == "fewer labels":
        (folder / "labels.npy").write_bytes(
            (folder / "labels.npy").read_bytes()[:200])
    elif kind == "checksum":
        (folder / "metadata.json").write_text(json.dumps(
            {"version": "v9", "sha256": {"model.keras": "0" * 64}}))


@pytest.mark.parametrize("kind", [
    "cut network", "no network", "cut index", "short vectors", "fewer labels",
    "checksum"])
def test_an_update_that_fails_leaves_the_old_version(
        server_of_one, kind, asks, expected):
    server = server_of_one
    room = server.room.work / "models"
    folder = room / kind.replace(" ", "_")
    shutil.copytree(room / VERSIONS[1], folder)
    damage(folder, kind)
    reply = update(server, f"models/{folder.name}")
    assert reply.status_code == 422, reply.text
    error = reply.json()
    assert error["erro"] == error["error"] and len(error["erro"]) > 10
    answered = send(server, asks(4))
    check_versions(answered, expected)
    assert {a["model_version"] for _, a in answered} == {VERSIONS[0]}
    assert server.get("/api/model/status").json()["status"] == "loaded"


@pytest.mark.parametrize("path", [
    "../models", "models/../../x", "/etc", "models/../../../etc/passwd"])
def test_an_update_outside_of_the_models_is_refused(server_of_one, path):
    assert update(server_of_one, path).status_code == 403


@pytest.mark.parametrize("path", [
    "private/secret.jpg", "s3://private/secret.jpg", "private//secret.jpg",
    "../private/secret.jpg", f"{BUCKET}/../private/secret.jpg",
    f"{BUCKET}/a/../../private/secret.jpg", f"{BUCKET}/..", "/etc/passwd"])
@pytest.mark.parametrize("name", ["image_path", "imagen_path"])
def test_paths_out_of_the_bucket_are_refused(server_of_one, bucket, coins,
                                             name, path):
    bucket.add("private", {"secret.jpg": next(iter(coins.values()))})
    reply = server_of_one.post("/api/classify", json={name: path})
    assert reply.status_code == 403, reply.text


def test_a_photo_that_is_not_there_is_not_found(server_of_one):
    reply = server_of_one.post("/api/classify",
                               json={"image_path": f"{BUCKET}/none.jpg"})
    assert reply.status_code == 404, reply.text


def test_foto_url_gives_the_photo(server_of_one, coins):
    for path in list(coins)[:5]:
        answer = server_of_one.classify(coins[path]).json()
        item, hit = answer["similar_items"][0], answer["semelhantes"][0]
        assert item["foto_url"].split("?")[0].endswith(
            "/".join(hit["item"].split("/")[-2:]))
        reply = requests.get(item["foto_url"], timeout=process.PATIENCE_S)
        assert reply.status_code == 200
        assert reply.content == coins[hit["item"]]
        changed = item["foto_url"].replace("Signature=", "Signature=0")
        assert requests.get(changed, timeout=process.PATIENCE_S
                            ).status_code == 403


def test_items_give_their_names(start, database, coins):
    named = database.add_items(p for p in coins if "/train_" in p)
    server = start()
    path = next(iter(named))
    answer = server.classify(coins[path]).json()
    item = answer["similar_items"][0]
    assert answer["semelhantes"][0]["item"] == path
    assert (item["item_id"], item["nome"]) == named[path]
    again = server.post("/api/classify/similarity", json={
        "embedding": answer["embedding"], "k": 1, "threshold": 0.7}).json()
    assert again["total_found"] == 1 and again["exact"] is True
    assert again["index_type"] == "Flat"
    assert (again["similar_items"][0]["item_id"],
            again["similar_items"][0]["nome"]) == named[path]


def test_feedback_becomes_accuracy(start, database, asks, settle):
    server = start(AB_VERSIONS=f"models/{VERSIONS[1]}=1", AB_SAMPLE_MIN=10)
    right = collections.Counter()
    given = collections.Counter()
    for ask, answer in send(server, asks(60)):
        truth = key_of(ask.path).split("/")[0]
        reply = server.post("/api/feedback", json={
            "request_id": ask.id, "classe": truth})
        assert reply.status_code in (200, 202), reply.text
        assert reply.json()["correct"] == (truth == answer["classe"])
        given[answer["model_version"]] += 1
        right[answer["model_version"]] += truth == answer["classe"]
    for arm in server.get("/api/ab").json()["arms"]:
        name = arm["version"]
        assert arm["feedback"] == given[name] > 0
        assert arm["correct"] == right[name]
        assert abs(arm["accuracy"] - right[name] / given[name]) < 1e-3
    settle(server)
    kept = database.rows("SELECT request_id, classe FROM feedback")
    assert len(kept) == 60


def trainer_bucket(bucket, models, stamp, version):
    """Leaves a version in a bucket as the trainer names its files."""
    folder = models / version
    bucket.add(MODEL_BUCKET, {
        f"classifier_{stamp}.keras": (folder / "model.keras").read_bytes(),
        f"class_indices_{stamp}.json":
            (folder / "class_indices.json").read_bytes(),
        f"index_original_{stamp}.faiss":
            (folder / "embeddings.faiss").read_bytes(),
        f"labels_original_{stamp}.npy": (folder / "labels.npy").read_bytes()})


def test_the_newest_model_of_the_trainers_bucket_serves(
        start, bucket, models, asks, expected):
    trainer_bucket(bucket, models, "20251101_090000", VERSIONS[1])
    trainer_bucket(bucket, models, STAMP, VERSIONS[0])
    server = start({"MODEL_PATH": f"s3://{MODEL_BUCKET}/",
                    "EMBEDDINGS_PATH": "", "MODEL_VERSION": VERSIONS[0]})
    answered = send(server, asks(12))
    check_versions(answered, expected)
    for ask, answer in answered:
        want = expected[VERSIONS[0]][ask.path]["semelhantes"]
        assert [hit["item"] for hit in answer["semelhantes"]] == [
            path for path, _ in want]
    status = server.get("/api/model/status").json()
    assert status["faiss_index_size"] == 80
    # A later model of the trainer's is loaded by an update of the same path.
    trainer_bucket(bucket, models, "20251204_080000", VERSIONS[1])
    reply = update(server, f"s3://{MODEL_BUCKET}/")
    assert reply.status_code == 200, reply.text
    for ask, answer in send(server, asks(8)):
        want = expected[VERSIONS[1]][ask.path]
        assert answer["classe"] == want["classe"]
        assert abs(answer["confianca"] - want["confianca"]) <= 1e-3
