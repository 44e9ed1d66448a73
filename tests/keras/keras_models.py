# SPDX-License-Identifier: Apache-2.0
"""Models of both Keras, made to be compared: nothing in their weights is zero
or one where a mistake could hide."""
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import tf_keras  # noqa: E402

LIBRARIES = {"keras2": tf_keras, "keras3": keras}
TOLERANCE = 1e-4


def random(seed=1):
    return np.random.default_rng(seed)


def shake(model, rng):
    """Gives statistics and biases values that show."""
    for weight in model.weights:
        name = getattr(weight, "path", weight.name).split(":")[0]
        value = weight.numpy()
        if value.dtype.kind != "f":
            continue
        if name.endswith("variance"):
            value = rng.uniform(0.5, 1.5, value.shape)
        elif name.endswith("gamma"):
            value = rng.uniform(0.7, 1.3, value.shape)
        elif name.endswith(("mean", "beta", "bias")):
            value = rng.normal(0, 0.1, value.shape)
        elif name.endswith("alpha"):
            value = rng.uniform(0.1, 0.5, value.shape)
        else:
            continue
        weight.assign(value.astype("float32"))
    for layer in model.layers:
        if hasattr(layer, "finalize_state") and layer.weights:
            layer.finalize_state()


def images(rng, shape, has_scaling, count=2):
    """Random images: 0..1, or 0..255 for a model that scales by itself."""
    return rng.uniform(0, 255 if has_scaling else 1,
                       (count, *shape)).astype("float32")


def answers(model, images, embedding=None):
    """What Keras says: scores and, of a layer, the embedding."""
    if embedding is None:
        return np.asarray(model(images, training=False)), None
    both = type(model)(model.inputs, [*model.outputs,
                                      model.get_layer(embedding).output])
    return tuple(map(np.asarray, both(images, training=False)))


class Imported:
    """A model folder that `olho model import` made."""

    def __init__(self, room, path, *args):
        self.out = room.work / "imported"
        done = room.run("model", "import", path, "--out", self.out, *args)
        assert done.returncode == 0, done.stderr
        self.said = done.stdout
        self.metadata = json.loads((self.out / "metadata.json").read_text())
        self.session = onnxruntime.InferenceSession(
            self.out / "model.onnx", providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]
        self.wants_levels = self.metadata["input"]["std"] < 0.5

    def images(self, rng, count=2):
        """Random images of the model's size and range."""
        return images(rng, self.input.shape[1:], self.wants_levels, count)

    def run(self, images):
        """Scores and embedding (None where there is none)."""
        names = self.metadata["output"]
        given = dict(zip([o.name for o in self.session.get_outputs()],
                         self.session.run(None, {self.input.name: images})))
        return given[names["scores"]], given.get(names.get("embedding"))


def near(got, want):
    """Whether answers are the same within the tolerance, for answers of any
    size."""
    want = want.reshape(got.shape)
    room = TOLERANCE * max(1.0, float(np.abs(want).max()))
    worst = float(np.abs(got - want).max())
    assert worst <= room, f"off by {worst:.3g}; {room:.3g} are allowed"
    return True
