# SPDX-License-Identifier: Apache-2.0
"""The commands and the HTTP API on a collection of Milvus, beside the same on
a file of ours. `tests/services/with milvus -- pytest tests/contract/...` says
where the server is."""
import json
import os
import uuid

import numpy as np
import pytest

SERVER = os.environ.get("OLHO_TEST_MILVUS")
# Only a failure takes so long.
PATIENT = {"VECTORS_TIMEOUT": 180}
pytestmark = pytest.mark.skipif(
    not SERVER, reason="OLHO_TEST_MILVUS does not say where Milvus is")


@pytest.fixture
def url():
    return f"milvus://{SERVER}/t{uuid.uuid4().hex}"


def run(room, *args, code=0, env=None, **more):
    done = room.run(*args, env={**PATIENT, **(env or {})}, **more)
    assert done.returncode == code, done
    return done


def lines(room, *args, **more):
    return [json.loads(text) for text
            in run(room, *args, **more).stdout.splitlines()]


def rows(count, dim=24):
    rng = np.random.default_rng(5)
    return rng.normal(size=(count, dim)).astype("f4")


def test_both_find_the_same_in_the_same_vectors(room, url):
    np.save(room.work / "rows.npy", rows(300))
    np.save(room.work / "queries.npy", rows(320)[300:])
    names = [f"{'abc'[i % 3]}/{i}.jpg" for i in range(300)]
    (room.work / "names.json").write_text(json.dumps(names))
    found = {}
    for where in (url, "here.olho"):
        done = run(room, "index", "add", "rows.npy", "--names", "names.json",
                   "--metric", "L2", "--collection", where)
        assert f"300 in {where}" in done.stdout
        for flags in ([], ["--where", "label=a"], ["--where", "label!=a,b"]):
            got = lines(room, "index", "search", "--vector", "queries.npy",
                        "--exact", "--json", "--collection", where, *flags)
            assert all(len(row["neighbours"]) == 10 for row in got)
            found.setdefault(where, []).append(
                [[hit["path"] for hit in row["neighbours"]] for row in got])
    assert found[url] == found["here.olho"]
    (info,) = lines(room, "index", "info", "--json", "--collection", url)
    assert info["backend"] == "milvus" and info["images"] == 300
    done = run(room, "index", "remove", "--where", "label=a", "--collection",
               url)
    assert "100 removed; 200 in" in done.stdout
    run(room, "index", "remove", "b", "--collection", url)
    run(room, "index", "export", "left.jsonl", "--collection", url)
    left = [json.loads(text) for text
            in (room.work / "left.jsonl").read_text().splitlines()]
    assert {row["path"] for row in left} == set(names[2::3])


def test_a_service_may_keep_its_index_there(serve, room, url, clothing):
    there, here = {"VECTORS_URL": url}, {}
    for env in (there, here):
        done = run(room, "index", "add", *clothing[:10], "--label", "hat",
                   env=env)
        assert "10 in" in done.stdout
    answers = []
    for env in (there, here):
        server = serve({**PATIENT, **env}, room=room)
        vector = server.classify(clothing[3]).json()["embedding"]
        reply = server.post("/api/classify/similarity",
                            json={"embedding": vector, "k": 5, "threshold": 0})
        assert reply.status_code == 200, reply.text
        answers.append(reply.json()["similar_items"])
        status = server.get("/api/model/status").json()
        assert status["faiss_index_size"] == 10
        server.stop()
    for one, other in zip(*answers, strict=True):
        assert one["nome"] == other["nome"]
        assert one["distancia"] == pytest.approx(other["distancia"], abs=1e-4)
    assert answers[0][0]["distancia"] == pytest.approx(0, abs=1e-4)


def test_adding_again_doubles_nothing_there(room, url, clothing):
    for _ in range(2):
        done = run(room, "index", "add", *clothing[:3], "--collection", url)
        assert "3 written" in done.stdout and "3 in" in done.stdout


def test_a_measurement_there_leaves_nothing_behind(room, url):
    got = json.loads(run(room, "bench", "vectors", "--rows", 1200, "--dim", 16,
                         "--queries", 10, "--store", url, "--store", "a.olho",
                         "--json").stdout)
    there, here = got["stores"]
    assert there["backend"] == "milvus" and here["backend"] == "olho"
    assert there["recall"] >= 0.95 and here["recall"] == 1
    assert there["memory_added_bytes"] is None
    done = run(room, "index", "info", "--collection", url, code=1)
    assert "no index" in done.stderr or "there is no" in done.stderr
    assert list(room.work.iterdir()) == []
