# SPDX-License-Identifier: Apache-2.0
"""Answers against ONNX Runtime and Pillow in Python (tools/reference.py)."""
import hashlib
import json

import numpy as np
import process
import pytest

PROBABILITY_DIFFERENCE_MAX = 1e-4
COSINE_MIN = 0.9999
AGREEMENT_MIN = 0.99


@pytest.fixture(scope="module")
def golden():
    folder = process.DATA / "reference"
    document = json.loads((folder / "mobilenet_v2.json").read_text())
    vectors = np.load(folder / "mobilenet_v2.npy").astype(np.float64)
    rows = document["files"]
    assert len(rows) >= 50 and vectors.shape == (len(rows), 1280)
    return document["about"], list(zip(rows, vectors))


@pytest.fixture(scope="module")
def labels(server):
    body = server.get("/api/model/classes").json()
    return {row["id"]: row["name"] for row in body["classes"]}


def ask(server, row):
    reply = server.classify(process.DATA / row["file"], top_k=5)
    assert reply.status_code == 200, reply.text
    return reply.json()


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_the_numbers_are_of_the_bundled_model(golden):
    model = process.ROOT / "models" / "mobilenet_v2" / "model.onnx"
    assert (hashlib.sha256(model.read_bytes()).hexdigest()
            == golden[0]["model_sha256"])


def test_exact_decoding_gives_the_reference_numbers(serve, golden, labels):
    server = serve({"DECODE_EXACT": 1})
    difference, nearest = 0.0, 1.0
    for row, vector in golden[1]:
        answer = ask(server, row)
        assert answer["classe_numerica"] == row["classes"][0], row["file"]
        got = {r["classe"]: r["confianca"] for r in answer["top_k_predictions"]}
        for i, probability in zip(row["classes"], row["probabilities"]):
            if labels[i] in got:
                difference = max(difference,
                                 abs(got[labels[i]] - probability))
            else:  # a tie at the end of the list may fall either way
                last = answer["top_k_predictions"][-1]["confianca"]
                assert abs(last - probability) <= PROBABILITY_DIFFERENCE_MAX
        made = np.asarray(answer["embedding"], np.float64)
        first = np.asarray(row["embedding_first"]) / row["embedding_norm"]
        assert np.abs(made[:8] - first).max() < 5e-3, row["file"]
        nearest = min(nearest, cosine(made, vector))
    print(f"largest difference {difference:.2e}, smallest cosine {nearest:.7f}")
    assert difference <= PROBABILITY_DIFFERENCE_MAX
    assert nearest > COSINE_MIN


def test_scaled_decoding_agrees_on_the_best_class(server, golden):
    same = [ask(server, row)["classe_numerica"] == row["classes"][0]
            for row, _ in golden[1]]
    assert sum(same) >= AGREEMENT_MIN * len(same), [
        row["file"] for (row, _), ok in zip(golden[1], same) if not ok]
