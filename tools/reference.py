#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden numbers of the bundled model with Pillow and ONNX Runtime.

    tools/reference.py                    makes them in build/reference and
                                          compares with tests/data/reference
    tools/reference.py --write            and then puts them there

Every photograph of tests/data goes the long way: full decode, EXIF
orientation, RGB, short side to 256 with Pillow's antialiased bilinear filter
(the long side is int(256 * long / short), as torchvision has it), the centre
224x224 (offsets int(round((side - 224) / 2.0))), value / 127.5 - 1, NCHW.

The JSON file keeps the five best classes with their probabilities and, of the
embedding, its L2 norm and first eight values as the network gives them. The
.npy file beside it keeps the L2-normalised embeddings as float16, a row for
each file in the order of the JSON file.
"""
import argparse
import hashlib
import json
import os
import pathlib
import platform
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
import PIL
from PIL import Image, ImageOps, features

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "mobilenet_v2"
STORED = ROOT / "tests" / "data" / "reference"
FOLDERS = ("clothing", "photos")
SHORT_SIDE, SIDE, TOP = 256, 224, 5
PROBABILITY_DIFFERENCE_MAX = 1e-4
COSINE_MIN = 0.9999


def photos():
    data = ROOT / "tests" / "data"
    return sorted(p for folder in FOLDERS for p in (data / folder).rglob("*.jpg"))


def tensor(path):
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    width, height = image.size
    if width <= height:
        size = (SHORT_SIDE, int(SHORT_SIDE * height / width))
    else:
        size = (int(SHORT_SIDE * width / height), SHORT_SIDE)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left = int(round((size[0] - SIDE) / 2.0))
    top = int(round((size[1] - SIDE) / 2.0))
    image = image.crop((left, top, left + SIDE, top + SIDE))
    pixels = np.asarray(image, np.float32) / 127.5 - 1
    return pixels.transpose(2, 0, 1)[np.newaxis].copy()


def model_file():
    files = sorted(MODEL.glob("*.onnx"))
    if len(files) != 1:
        sys.exit(f"{MODEL} holds {len(files)} .onnx files; one is needed")
    return files[0]


def open_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"])


def measure():
    """Returns the JSON document and the array of embeddings."""
    path = model_file()
    session = open_session(path)
    rows, vectors = [], []
    for photo in photos():
        probabilities, vector = (
            out[0].astype(np.float64) for out in session.run(
                ["probabilities", "features"], {"image": tensor(photo)}))
        best = np.argsort(-probabilities, kind="stable")[:TOP]
        norm = float(np.linalg.norm(vector))
        rows.append({
            "file": str(photo.relative_to(ROOT / "tests" / "data")),
            "classes": [int(i) for i in best],
            "probabilities": [float(f"{probabilities[i]:.8g}") for i in best],
            "embedding_norm": float(f"{norm:.8g}"),
            "embedding_first": [float(f"{v:.8g}") for v in vector[:8]],
        })
        vectors.append((vector / norm).astype(np.float16))
    about = {
        "command": "tools/reference.py --write",
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "preprocessing": "short side 256, bilinear-aa, centre crop 224, "
                         "value / 127.5 - 1, RGB, NCHW",
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "pillow": PIL.__version__,
        "libjpeg": features.version("libjpeg_turbo") or features.version("jpg"),
        "numpy": np.__version__,
    }
    return {"about": about, "files": rows}, np.stack(vectors)


def save(folder, document, vectors):
    folder.mkdir(parents=True, exist_ok=True)
    about = json.dumps(document["about"], indent=1)
    lines = ",\n".join(json.dumps(row) for row in document["files"])
    (folder / "mobilenet_v2.json").write_text(
        f'{{"about": {about},\n"files": [\n{lines}\n]}}\n')
    np.save(folder / "mobilenet_v2.npy", vectors)


def load(folder):
    document = json.loads((folder / "mobilenet_v2.json").read_text())
    return document, np.load(folder / "mobilenet_v2.npy")


def compare(made, stored):
    """Prints the largest differences; true when they are within bounds."""
    new = {row["file"]: (row, v) for row, v in zip(made[0]["files"], made[1])}
    old = {row["file"]: (row, v)
           for row, v in zip(stored[0]["files"], stored[1])}
    if set(new) != set(old):
        print("other files:", ", ".join(sorted(set(new) ^ set(old))))
        return False
    swaps, difference, cosine = 0, 0.0, 1.0
    for name, (row, vector) in new.items():
        before, before_vector = old[name]
        swaps += row["classes"][0] != before["classes"][0]
        difference = max(difference, np.abs(
            np.subtract(row["probabilities"], before["probabilities"])).max())
        a, b = vector.astype(np.float64), before_vector.astype(np.float64)
        cosine = min(cosine,
                     a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    print(f"{len(new)} files: {swaps} other best classes, largest difference "
          f"of a probability {difference:.2e}, smallest cosine of the "
          f"embeddings {cosine:.7f}")
    return (swaps == 0 and difference <= PROBABILITY_DIFFERENCE_MAX
            and cosine >= COSINE_MIN)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true",
                        help="replace tests/data/reference")
    parser.add_argument("--out", type=pathlib.Path,
                        default=ROOT / "build" / "reference",
                        help="folder for what is made (build/reference)")
    args = parser.parse_args()
    made = measure()
    save(args.out, *made)
    is_same = False
    if (STORED / "mobilenet_v2.json").exists():
        is_same = compare(made, load(STORED))
    if args.write:
        save(STORED, *made)
        print(f"wrote the numbers of {len(made[1])} files")
    elif not is_same:
        sys.exit("the stored numbers differ; --write replaces them")


if __name__ == "__main__":
    main()
