# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/keras: Keras files of a few kB, and what Keras answers.

    python tools/make_keras_data.py     (packages: tests/keras/requirements.txt)
    python tools/make_keras_data.py --old        (with tensorflow-cpu==2.13.1)

tiny_2.h5, tiny_2.keras, tiny_3.h5 and tiny_3.keras are one network of Keras 2
or 3: a frozen base inside a functional model, with convolutions, batch norms,
a residual sum, ReLU6, an `embedding` layer and softmax. tiny.json has the
answers, for the image whose value number i (height, width, channel) is
(i * 37 % 101) / 101. tiny_old.keras is the same network by TensorFlow 2.13,
whose archives have other paths. The fuzzing corpus gets config_*.json, their
configurations."""
import json
import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "data" / "keras"
CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "keras"
SIDE, CLASSES = 8, 3


def make(library):
    layers = library.layers
    image = library.Input((SIDE, SIDE, 3), name="photo")
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(image)
    x = layers.Conv2D(4, 3, strides=2, use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(6.0, name="cut")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = layers.BatchNormalization(name="depthwise_norm")(y)
    x = layers.Add(name="sum")([x, y])
    base = library.Model(image, x, name="base")
    base.trainable = False
    image = library.Input((SIDE, SIDE, 3), name="image")
    x = base(image, training=False)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(5, activation="relu", name="embedding")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    x = layers.Dense(CLASSES, activation="softmax", name="scores")(x)
    return library.Model(image, x, name="tiny")


def fill(model):
    """The same numbers in every weight of either Keras, in layer order."""
    rng = np.random.default_rng(7)
    for owner in (model.get_layer("base"), model):
        for layer in owner.layers:
            if layer.name == "base":
                continue
            for weight in layer.weights:
                name = getattr(weight, "path", weight.name)
                value = rng.normal(0, 0.4, weight.shape)
                if "variance" in name or "gamma" in name:
                    value = 0.5 + np.abs(value)
                weight.assign(value.astype("float32"))


def main_old():
    from tensorflow import keras
    model = make(keras)
    fill(model)
    model.save(OUT / "tiny_old.keras")


def main():
    import h5py
    import keras
    import tf_keras
    OUT.mkdir(parents=True, exist_ok=True)
    CORPUS.mkdir(parents=True, exist_ok=True)
    count = SIDE * SIDE * 3
    image = (np.arange(count) * 37 % 101 / 101).astype("float32")
    image = image.reshape(1, SIDE, SIDE, 3)
    answers = []
    for number, library in ((2, tf_keras), (3, keras)):
        model = make(library)
        fill(model)
        both = library.Model(model.inputs,
                             [*model.outputs,
                              model.get_layer("embedding").output])
        scores, embedding = map(np.asarray, both(image))
        answers.append((scores[0], embedding[0]))
        for ending in ("h5", "keras"):
            model.save(OUT / f"tiny_{number}.{ending}")
        with h5py.File(OUT / f"tiny_{number}.h5") as file:
            config = json.loads(file.attrs["model_config"])
        (CORPUS / f"config_{number}.json").write_text(json.dumps(config))
    assert np.allclose(answers[0][0], answers[1][0], atol=1e-6)
    (OUT / "tiny.json").write_text(json.dumps(
        {"scores": answers[0][0].round(6).tolist(),
         "embedding": answers[0][1].round(6).tolist()}, indent=1) + "\n")


if __name__ == "__main__":
    main_old() if "--old" in sys.argv else main()
