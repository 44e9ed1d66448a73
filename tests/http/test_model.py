# SPDX-License-Identifier: Apache-2.0
"""GET /api/model/status and /api/model/classes."""
import process


def test_status_has_every_field_of_the_contract(server):
    reply = server.get("/api/model/status")
    assert reply.status_code == 200
    body = reply.json()
    assert body["status"] == "loaded"
    assert body["model_version"]
    assert body["total_classes"] == 1001
    assert body["input_shape"] == [224, 224, 3]
    assert body["faiss_index_size"] == 0
    assert body["instances_ready"] >= 1
    assert "onnxruntime" in body["backend"]
    assert {"accuracy", "index_type", "last_updated", "model_path"} <= set(body)
    assert body["accuracy"] is None or 0 < body["accuracy"] <= 1


def test_every_answer_names_the_same_model_version(server, cat):
    version = server.get("/api/model/status").json()["model_version"]
    assert server.get("/api/model/classes").json()["model_version"] == version
    assert server.classify(cat).json()["model_version"] == version


def test_the_version_may_be_set(serve, cat):
    server = serve({"MODEL_VERSION": "v9_20261121"})
    assert server.classify(cat).json()["model_version"] == "v9_20261121"


def test_classes_are_the_labels_in_order(server):
    body = server.get("/api/model/classes").json()
    assert body["total_classes"] == 1001
    rows = body["classes"]
    assert [row["id"] for row in rows] == list(range(1001))
    folder = process.ROOT / "models" / "mobilenet_v2"
    labels = (folder / "labels.txt").read_text().splitlines()
    assert [row["name"] for row in rows] == labels


def test_the_number_of_a_class_names_it(server, photos):
    names = [r["name"]
             for r in server.get("/api/model/classes").json()["classes"]]
    for photo in photos:
        answer = server.classify(photo).json()
        assert names[answer["classe_numerica"]] == answer["classe"]
