# SPDX-License-Identifier: Apache-2.0
"""A Flask service of POST /api/classify on TensorFlow at its best.

One tf.function gives both outputs in one call; OpenCV decodes and resizes,
orjson writes the reply. Start it with `gunicorn server:app`; MODEL_DIR names
the model folder, PEER_GRAPH ("keras" or "folded") the form of the network
(network.py).
"""

import json
import os
import time
import uuid
from pathlib import Path

import cv2
import network
import numpy as np
import orjson
import tensorflow as tf
from flask import Flask, Response, request

SIDE_PX = network.SIDE_PX
MODEL_DIR = Path(os.environ["MODEL_DIR"])
METADATA = json.loads((MODEL_DIR / "metadata.json").read_text())
LABELS = (MODEL_DIR / "labels.txt").read_text().splitlines()

cv2.setNumThreads(1)
THREADS = int(os.environ.get("PEER_THREADS", "1"))
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)


BUILD = {"keras": network.keras_network, "folded": network.folded_network}
run = BUILD[os.environ.get("PEER_GRAPH", "keras")](MODEL_DIR / "model.onnx")
run(tf.zeros([1, SIDE_PX, SIDE_PX, 3]))
app = Flask(__name__)


def fail(status: int, text: str) -> Response:
    body = orjson.dumps({"erro": text, "error": text})
    return Response(body, status, mimetype="application/json")


@app.post("/api/classify")
def classify() -> Response:
    began = time.perf_counter()
    upload = request.files.get("image")
    if upload is None:
        return fail(400, "no image part")
    top_k = request.form.get("top_k", 3, type=int)
    photo = np.frombuffer(upload.read(), np.uint8)
    pixels = cv2.imdecode(photo, cv2.IMREAD_COLOR)
    if pixels is None:
        return fail(415, "not an image")
    pixels = cv2.resize(pixels, (SIDE_PX, SIDE_PX))
    pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    tensor = pixels.astype(np.float32)[None]
    tensor *= 1 / 127.5
    tensor -= 1
    probabilities, features = run(tf.constant(tensor))
    row, feature = probabilities.numpy()[0], features.numpy()[0]
    best = np.argpartition(row, -top_k)[-top_k:]
    best = best[np.argsort(-row[best])]
    top = [{"classe": LABELS[i], "confianca": float(row[i])} for i in best]
    reply = {
        "classe": top[0]["classe"],
        "confianca": top[0]["confianca"],
        "classe_numerica": int(best[0]),
        "top_k_predictions": top,
        "embedding": feature / np.linalg.norm(feature),
        "semelhantes": [],
        "similar_items": [],
        "inference_time_ms": (time.perf_counter() - began) * 1e3,
        "model_version": METADATA.get("version", ""),
        "aceito": top[0]["confianca"] >= 0.5,
        "avisos": [],
        "cache": "miss",
        "request_id": str(uuid.uuid4()),
    }
    return Response(
        orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY),
        mimetype="application/json",
    )


@app.get("/health/ready")
def health() -> dict[str, str]:
    return {"status": "ok"}
