# SPDX-License-Identifier: Apache-2.0
"""The fastest Python service of POST /api/classify that we know.

FastAPI on uvicorn (uvloop, httptools), ONNX Runtime with one thread a run,
OpenCV for decode, linear resize and layout, orjson for the reply. Start it
with `uvicorn server:app --workers 2`; MODEL_DIR names the model folder.
"""

import asyncio
import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import orjson
from fastapi import FastAPI, File, Form, Response, UploadFile

SIDE_PX = 224
MODEL_DIR = Path(os.environ["MODEL_DIR"])
METADATA = json.loads((MODEL_DIR / "metadata.json").read_text())
LABELS = (MODEL_DIR / "labels.txt").read_text().splitlines()

cv2.setNumThreads(1)


def open_session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The file holds int8 weights that are turned into floats; unless this is
    # set that happens in every run, at twice the cost.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = 3
    return ort.InferenceSession(
        str(MODEL_DIR / "model.onnx"), options, ["CPUExecutionProvider"]
    )


session = open_session()
# A thread for each core that a worker may find idle; more only queue here
# instead of in the socket.
pool = ThreadPoolExecutor(int(os.environ.get("PEER_THREADS", "2")))
app = FastAPI()


def classify(photo: bytes, top_k: int) -> bytes | None:
    """The reply of the contract, or None when the photo is not an image."""
    began = time.perf_counter()
    pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    pixels = cv2.resize(pixels, (SIDE_PX, SIDE_PX))
    tensor = cv2.dnn.blobFromImage(
        pixels, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True
    )
    probabilities, features = session.run(
        ["probabilities", "features"], {"image": tensor}
    )
    row = probabilities[0]
    best = np.argpartition(row, -top_k)[-top_k:]
    best = best[np.argsort(-row[best])]
    embedding = features[0] / np.linalg.norm(features[0])
    top = [{"classe": LABELS[i], "confianca": float(row[i])} for i in best]
    return orjson.dumps(
        {
            "classe": top[0]["classe"],
            "confianca": top[0]["confianca"],
            "classe_numerica": int(best[0]),
            "top_k_predictions": top,
            "embedding": embedding,
            "semelhantes": [],
            "similar_items": [],
            "inference_time_ms": (time.perf_counter() - began) * 1e3,
            "model_version": METADATA.get("version", ""),
            "aceito": top[0]["confianca"] >= 0.5,
            "avisos": [],
            "cache": "miss",
            "request_id": str(uuid.uuid4()),
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


@app.post("/api/classify")
async def post_classify(
    image: UploadFile = File(), top_k: int = Form(3, ge=1, le=1001)
) -> Response:
    photo = await image.read()
    loop = asyncio.get_running_loop()
    reply = await loop.run_in_executor(pool, classify, photo, top_k)
    if reply is None:
        return Response(
            orjson.dumps({"erro": "not an image", "error": "not an image"}),
            status_code=415,
            media_type="application/json",
        )
    return Response(reply, media_type="application/json")


@app.get("/health/ready")
async def health() -> dict[str, str]:
    return {"status": "ok"}
