#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How well the adversarial check tells attacked photographs from real ones.

    pip install tensorflow-cpu onnx onnxruntime pillow numpy
    python3 tools/adversarial_report.py --photos FOLDER:COUNT ... [--examples]

Takes COUNT photographs evenly from each folder, prepares them for the bundled
model, and attacks the class that it gives each with the fast gradient sign
method (Goodfellow, Shlens, Szegedy 2014) at 4/255 and 8/255: the network runs
in TensorFlow with the weights of the ONNX file, so that the gradient is that
of the model that serves. The score is that of src/models/adversarial.c,
computed again in Python, and beside it the distance of the paper on feature
squeezing: the largest L1 distance between probabilities. The limit is where
5 % of the real photographs lie above; a folder behind --also is held against
that limit without having set it.

With --examples writes tests/data/adversarial: of a few of the photographs of
tests/data the network's input and both attacks inside a frame of 256x256, which
is what the model's preparation leaves as it is, and a pixel reference of the
squeezers.
"""
import argparse
import io
import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import tensorflow as tf  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from PIL import Image, ImageOps  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "mobilenet_v2" / "model.onnx"
DATA = ROOT / "tests" / "data"
OUT = DATA / "adversarial"
FRAME, SIDE = 256, 224
EPSILONS = (4, 8)
FALSE_POSITIVES = 0.05
QUALITY, DEGREES, FLOOR = 75, 2, 1e-12
EXAMPLES = ("photos/parrot.jpg",
            "clothing/hat/2a12baab-f020-42e3-8e6b-5d82e3ed0b55.jpg",
            "clothing/shoes/54120c82-5bb7-4bba-a781-af18362eb24c.jpg",
            "clothing/dress/28b09463-6bbb-491d-9ffc-f36df5c6b211.jpg")


# --- the network, with a gradient ------------------------------------------
def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a)
            for a in node.attribute}


class Network:
    """The operators of the bundled model in TensorFlow."""

    def __init__(self, path):
        graph = onnx.load(path).graph
        self.values = {t.name: numpy_helper.to_array(t)
                       for t in graph.initializer}
        self.nodes = []
        for node in graph.node:
            if node.op_type == "DequantizeLinear":
                self.values[node.output[0]] = self.dequantize(node)
            else:
                self.nodes.append(node)
        self.gradient = tf.function(self.differentiate)

    def dequantize(self, node):
        quantised, scale, zero = (
            self.values[name].astype(np.float32) for name in node.input)
        shape = [-1] + [1] * (quantised.ndim - 1)
        return (quantised - zero.reshape(shape)) * scale.reshape(shape)

    @staticmethod
    def convolve(node, image, weights, bias):
        given = attributes(node)
        top, left, bottom, right = given["pads"]
        image = tf.pad(image, [[0, 0], [top, bottom], [left, right], [0, 0]])
        stride = given["strides"][0]
        if given["group"] == 1:
            return bias + tf.nn.conv2d(
                image, weights.transpose(2, 3, 1, 0), stride, "VALID")
        return bias + tf.nn.depthwise_conv2d(
            image, weights.transpose(2, 3, 0, 1), [1, stride, stride, 1],
            "VALID")

    def logits(self, image):
        values = {"image": image}
        for node in self.nodes:
            given = [values.get(name, self.values.get(name))
                     for name in node.input]
            if node.op_type == "Conv":
                out = self.convolve(node, *given)
            elif node.op_type == "Clip":
                out = tf.clip_by_value(given[0], 0, 6)
            elif node.op_type == "Add":
                out = given[0] + given[1]
            elif node.op_type == "GlobalAveragePool":
                out = tf.reduce_mean(given[0], [1, 2], keepdims=True)
            elif node.op_type == "Flatten":
                out = tf.reshape(given[0], [tf.shape(given[0])[0], -1])
            elif node.op_type == "Softmax":
                return given[0]
            else:
                sys.exit(f"{MODEL}: no {node.op_type} here")
            values[node.output[0]] = out
        sys.exit(f"{MODEL}: ends without Softmax")

    def differentiate(self, image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            logits = self.logits(image)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.argmax(logits, 1), logits)
        return tape.gradient(loss, image)

    def attack(self, pixels, epsilon):
        """FGSM in levels of 0..255."""
        image = tf.constant(pixels[np.newaxis].astype(np.float32) / 127.5 - 1)
        sign = np.sign(self.gradient(image).numpy()[0])
        return np.clip(pixels + epsilon * sign, 0, 255).astype(np.uint8)


# --- what the check does ----------------------------------------------------
def jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file))


def median(pixels):
    padded = np.pad(pixels.astype(int), ((1, 0), (1, 0), (0, 0)), "reflect")
    four = np.sort([padded[1:, 1:], padded[1:, :-1], padded[:-1, 1:],
                    padded[:-1, :-1]], axis=0)
    return ((four[1] + four[2] + 1) // 2).astype(np.uint8)


def rotate(pixels):
    height, width = pixels.shape[:2]
    down, across = np.mgrid[0:height, 0:width].astype(float)
    down, across = down - (height - 1) / 2, across - (width - 1) / 2
    cos, sin = np.cos(np.deg2rad(DEGREES)), np.sin(np.deg2rad(DEGREES))
    x = np.clip(cos * across + sin * down + (width - 1) / 2, 0, width - 1)
    y = np.clip(cos * down - sin * across + (height - 1) / 2, 0, height - 1)
    left, top = x.astype(int), y.astype(int)
    right = np.minimum(left + 1, width - 1)
    bottom = np.minimum(top + 1, height - 1)
    x, y = (x - left)[..., None], (y - top)[..., None]
    above = pixels[top, left] * (1 - x) + pixels[top, right] * x
    below = pixels[bottom, left] * (1 - x) + pixels[bottom, right] * x
    return (above * (1 - y) + below * y + 0.5).astype(np.uint8)


class Check:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(MODEL), options, providers=["CPUExecutionProvider"])

    def probabilities(self, pixels):
        tensor = pixels.astype(np.float32) / 127.5 - 1
        return self.session.run(["probabilities"], {
            "image": tensor.transpose(2, 0, 1)[np.newaxis].copy()
        })[0][0].astype(float)

    @staticmethod
    def direction(probabilities):
        logs = np.log(probabilities + FLOOR)
        logs -= logs.mean()
        return logs / np.linalg.norm(logs)

    def scores(self, pixels):
        """Ours, and the paper's."""
        own = self.probabilities(pixels)
        squeezed = [self.probabilities(squeeze(pixels))
                    for squeeze in (jpeg, median, rotate)]
        mean = sum(self.direction(p) for p in squeezed)
        ours = 1 - self.direction(own) @ mean / np.linalg.norm(mean)
        return ours, max(np.abs(own - p).sum() for p in squeezed)

    def is_deceived(self, pixels, attacked):
        return (self.probabilities(pixels).argmax()
                != self.probabilities(attacked).argmax())


# --- the report --------------------------------------------------------------
def prepare(path):
    """The frame of which the model sees the centre."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    width, height = image.size
    if width <= height:
        size = FRAME, int(FRAME * height / width)
    else:
        size = int(FRAME * width / height), FRAME
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - FRAME) / 2) for side in size)
    return np.asarray(image.crop((left, top, left + FRAME, top + FRAME)))


def centre(frame):
    margin = (FRAME - SIDE) // 2
    return frame[margin:margin + SIDE, margin:margin + SIDE]


def choose(what):
    folder, _, count = what.rpartition(":")
    paths = sorted(p for p in pathlib.Path(folder).rglob("*")
                   if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    places = np.linspace(0, len(paths) - 1, min(int(count), len(paths)))
    return [paths[int(i)] for i in places]


def measure(network, check, folders):
    """For each photograph a row: of the real one and of each attack our
    score and the paper's, and whether the attack succeeded."""
    rows = []
    for path in (path for folder in folders for path in choose(folder)):
        pixels = centre(prepare(path))
        row = [(*check.scores(pixels), False)]
        for epsilon in EPSILONS:
            attacked = network.attack(pixels, epsilon)
            row.append((*check.scores(attacked),
                        check.is_deceived(pixels, attacked)))
        rows.append(row)
    return np.array(rows, float)


def line(name, rows, limit, which):
    real = (rows[:, 0, which] > limit).mean()
    caught = [(rows[:, i + 1, which] > limit).mean()
              for i in range(len(EPSILONS))]
    print(f"| {name} | {len(rows)} | {limit:.4f} | {real:.1%} | "
          + " | ".join(f"{share:.1%}" for share in caught) + " |", flush=True)


def report(arguments):
    network, check = Network(MODEL), Check()
    rows = measure(network, check, arguments.photos)
    print("| measured on | photos | limit | false positives | "
          + " | ".join(f"caught at {e}/255" for e in EPSILONS) + " |\n"
          "|---|---|---|---|---|---|")
    limits = [np.quantile(rows[:, 0, which], 1 - FALSE_POSITIVES)
              for which in (0, 1)]
    line("directions", rows, limits[0], 0)
    line("L1 (the paper's)", rows, limits[1], 1)
    half = np.quantile(rows[::2, 0, 0], 1 - FALSE_POSITIVES)
    line("directions, limit from the other half", rows[1::2], half, 0)
    line(f"directions, limit {arguments.limit}", rows, arguments.limit, 0)
    for folder in arguments.also:
        line(f"{pathlib.Path(folder).name}, limit {arguments.limit}",
             measure(network, check, [folder]), arguments.limit, 0)
    for i, epsilon in enumerate(EPSILONS):
        print(f"{epsilon}/255 changed the class of {rows[:, i + 1, 2].mean():.1%}")


def write_examples():
    network, check = Network(MODEL), Check()
    OUT.mkdir(exist_ok=True)
    lines = ["# made by tools/adversarial_report.py --examples",
             "# NAME SCORE"]
    for name in EXAMPLES:
        frame = prepare(DATA / name)
        stem = pathlib.Path(name).stem[:8]
        for epsilon in (0, *EPSILONS):
            changed = frame.copy()
            centre(changed)[:] = network.attack(centre(frame), epsilon)
            file = f"{stem}_{epsilon}.png"
            Image.fromarray(changed).save(OUT / file, optimize=True)
            score, _ = check.scores(centre(changed))
            lines.append(f"{file} {score:.9f}")
    (OUT / "scores.txt").write_text("\n".join(lines) + "\n")
    source = centre(prepare(DATA / EXAMPLES[0]))[60:124, 40:137]
    for name, squeeze in (("source", np.asarray), ("jpeg", jpeg),
                          ("median", median), ("turned", rotate)):
        Image.fromarray(squeeze(source)).save(OUT / f"{name}.png",
                                              optimize=True)
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", nargs="+", metavar="FOLDER:COUNT",
                        help="what the limit is set on")
    parser.add_argument("--also", nargs="*", default=[],
                        metavar="FOLDER:COUNT",
                        help="what is held against --limit as well")
    parser.add_argument("--limit", type=float, default=0.043,
                        help="the preset of ADVERSARIAL_LIMIT")
    parser.add_argument("--examples", action="store_true",
                        help="write tests/data/adversarial")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    if arguments.examples:
        write_examples()
    if arguments.photos:
        report(arguments)
    if not arguments.examples and not arguments.photos:
        parser.error("name --photos or --examples")


if __name__ == "__main__":
    main()
