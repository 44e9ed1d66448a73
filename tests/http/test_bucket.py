# SPDX-License-Identifier: Apache-2.0
"""Models and indexes in a bucket. The bucket is a small server of our own: it
lists, tells and gives, which is all that is asked for."""
import email.utils
import http.server
import io
import json
import struct
import threading
import urllib.parse
from xml.sax.saxutils import escape

import numpy
import pytest
import tiny_model
from PIL import Image

MODIFIED_S = 1_700_000_000


class Bucket(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        address = urllib.parse.urlsplit(self.path)
        key = urllib.parse.unquote(address.path).removeprefix("/fotos").lstrip("/")
        if key:
            self.answer(self.server.files.get(key))
            return
        prefix = urllib.parse.parse_qs(address.query).get("prefix", [""])[0]
        rows = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size>"
            "<LastModified>2023-11-14T22:13:20.000Z</LastModified></Contents>"
            for name, data in sorted(self.server.files.items()) if name.startswith(prefix))
        self.answer(("<ListBucketResult><IsTruncated>false</IsTruncated>"
                     f"{rows}</ListBucketResult>").encode())

    do_HEAD = do_GET

    def answer(self, data):
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("Last-Modified", email.utils.formatdate(MODIFIED_S, usegmt=True))
        self.end_headers()
        if self.command == "GET" and data is not None:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def bucket():
    """The server; what is in the bucket is bucket.files, by key."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.files = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def server(serve, bucket, tmp_path_factory):
    for name in ("v1", "v2"):
        bucket.files[f"models/{name}/model.onnx"] = tiny_model.network()
        bucket.files[f"models/{name}/metadata.json"] = json.dumps({"version": name}).encode()
        bucket.files[f"models/{name}/labels.txt"] = b"red\ngreen\nblue\n"
    return serve({"MODEL_PATH": "s3://fotos/models/v1", "MINIO_HOST": "127.0.0.1",
                  "MINIO_PORT": bucket.server_address[1], "MINIO_BUCKET_ORIGINAL": "fotos",
                  "MODEL_ROOT": tmp_path_factory.mktemp("none")})


def update(server, path, index=None):
    body = {"model_path": path} | ({"embeddings_path": index} if index else {})
    return server.post("/api/model/update", json=body)


def picture(color):
    out = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(out, "PNG")
    return out.getvalue()


def flat_index(rows):
    """An index as FAISS writes IndexFlatL2."""
    values = numpy.asarray(rows, "<f4")
    return (b"IxF2" + struct.pack("<iqqqBi", values.shape[1], len(values), 1 << 20, 1 << 20, 1, 1)
            + struct.pack("<Q", values.size) + values.tobytes())


def labels(names):
    out = io.BytesIO()
    numpy.save(out, numpy.array(names))
    return out.getvalue()


def test_a_server_takes_its_model_and_the_next_from_a_bucket(server):
    assert server.get("/api/model/status").json()["model_version"] == "v1"
    reply = update(server, "s3://fotos/models/v2/model.onnx")
    assert reply.status_code == 200, reply.text
    assert reply.json()["new_version"] == "v2"


@pytest.mark.parametrize("index, names", [
    ("vectors/embeddings.faiss", "vectors/labels.npy"),
    ("index_original_20250101.faiss", "labels_original_20250101.npy")])
def test_the_labels_of_an_index_come_with_it(server, bucket, index, names):
    bucket.files[index] = flat_index([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    bucket.files[names] = labels(["a//1.jpg", "b//2.jpg", "c//3.jpg"])
    reply = update(server, "s3://fotos/models/v1", f"s3://fotos/{index}")
    assert reply.status_code == 200, reply.text
    found = server.classify(picture(tiny_model.COLORS[1])).json()["semelhantes"]
    assert found[0]["item"] == "b//2.jpg"


def test_an_older_network_of_a_trainer_is_not_taken_for_the_newest(server, bucket):
    bucket.files["trained/classifier_20250101.keras"] = b"old"
    bucket.files["trained/classifier_20250202.keras"] = b"new"
    reply = update(server, "s3://fotos/trained/classifier_20250101.keras")
    assert reply.status_code == 422
    assert "classifier_20250202.keras" in reply.json()["erro"]
    assert "not the newest" in reply.json()["erro"]


@pytest.mark.parametrize("body", [
    {"model_path": "s3://fotos/" + "a" * 1100},
    {"model_path": "s3://fotos/models/v1",
     "embeddings_path": "s3://fotos/" + "a" * 1100 + ".faiss"}])
def test_a_key_that_is_too_long_is_not_cut(server, body):
    reply = server.post("/api/model/update", json=body)
    assert reply.status_code == 422
    assert "at most 1024" in reply.json()["erro"]
