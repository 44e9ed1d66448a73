# SPDX-License-Identifier: Apache-2.0
"""A service whose index is on a server that is away, and one whose index is
searched by a graph."""
import socket

import process
import pytest
from wire import check_error

SIMILARITY = "/api/classify/similarity"


@pytest.fixture(scope="module")
def away(serve):
    """Nobody listens on that port while the socket holds it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        yield serve({"VECTORS_URL":
                     f"milvus://root:geheim@127.0.0.1:{port}/photos",
                     "VECTORS_TIMEOUT": 2})


def test_without_its_server_images_are_classified_all_the_same(away, cat):
    reply = away.classify(cat)
    assert reply.status_code == 200
    assert reply.json()["classe"] and reply.json()["semelhantes"] == []


def test_a_search_says_that_the_server_is_away(away):
    reply = away.post(SIMILARITY, json={"embedding": [0.1] * 1280, "k": 3})
    assert "geheim" not in check_error(reply, (503, 504))


def test_health_tells_of_it_and_nothing_shows_the_password(away):
    reply = away.get("/health")
    assert reply.json()["parts"]["index"] not in ("ok", "none")
    assert "geheim" not in reply.text
    assert "geheim" not in away.log() and "away" in away.log()


def test_a_url_that_makes_no_sense_is_refused(room):
    done = room.run("index", "info", env={"VECTORS_URL": "milvus://"})
    assert done.returncode != 0 and done.stderr


@pytest.fixture(scope="module")
def graph(serve, tmp_path_factory, clothing):
    room = process.Room(tmp_path_factory.mktemp("graph"))
    done = room.run("index", "add", process.DATA / "clothing",
                    env={"FAISS_INDEX_TYPE": "HNSW"})
    assert done.returncode == 0, done.stderr
    return serve(room=room)


def test_an_index_may_be_a_graph(graph, clothing):
    status = graph.get("/api/model/status").json()
    assert (status["index_type"], status["faiss_index_size"]) == ("HNSW", 50)
    vector = graph.classify(clothing[9]).json()["embedding"]
    body = graph.post(SIMILARITY, json={"embedding": vector, "k": 5,
                                        "threshold": 0}).json()
    assert body["index_type"] == "HNSW" and body["exact"] is False
    best = body["similar_items"][0]
    assert best["distancia"] == pytest.approx(0, abs=1e-3)
    assert best["nome"] == clothing[9].name
