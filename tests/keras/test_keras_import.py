# SPDX-License-Identifier: Apache-2.0
"""Whole networks: the applications of both Keras and the reference model, from
.h5 and .keras, give what Keras gives."""
import json

import numpy as np
import pytest
from keras_models import (LIBRARIES, Imported, answers, images, near, random,
                          shake)

CLASSES = 10


def reference(library, side=64):
    """What the trainer makes: a frozen base whose last blocks were let go."""
    base = library.applications.MobileNetV2(
        input_shape=(side, side, 3), include_top=False, weights=None,
        alpha=0.35)
    for layer in base.layers[:-30]:
        layer.trainable = False
    layers = library.layers
    image = library.Input((side, side, 3))
    x = base(image, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(512, activation="relu", name="embedding_dense")(x)
    x = layers.Dropout(0.5)(x)
    return library.Model(image, layers.Dense(CLASSES, activation="softmax")(x))


def application(name, side):
    def make(library):
        return getattr(library.applications, name)(
            input_shape=(side, side, 3), weights=None, classes=CLASSES)
    return make


# The sides are the smallest that leave every stage something to do.
NETWORKS = {
    "reference": (reference, "embedding_dense", 512, False),
    "MobileNetV2": (application("MobileNetV2", 64),
                    "global_average_pooling2d", 1280, False),
    "MobileNetV3Small": (application("MobileNetV3Small", 64), None, 1024,
                         True),
    "ResNet50": (application("ResNet50", 64), "avg_pool", 2048, False),
    "EfficientNetB0": (application("EfficientNetB0", 64), "avg_pool", 1280,
                       True),
    "DenseNet121": (application("DenseNet121", 64), "avg_pool", 1024, False),
    "VGG16": (application("VGG16", 32), "fc2", 4096, False),
}


@pytest.fixture(scope="module", params=[(name, library)
                                        for name in NETWORKS
                                        for library in LIBRARIES],
                ids=lambda pair: "-".join(pair))
def network(request):
    name, library = request.param
    make, embedding, length, has_scaling = NETWORKS[name]
    keras = LIBRARIES[library]
    keras.backend.clear_session()
    model = make(keras)
    shake(model, random(3))
    given = images(random(4), model.input_shape[1:], has_scaling)
    return model, given, answers(model, given, embedding), embedding, length


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_a_network_answers_as_in_keras(room, network, ending):
    model, given, (want, want_vector), embedding, length = network
    path = room.work / f"model{ending}"
    model.save(path)
    imported = Imported(room, path)
    path.unlink()
    assert imported.wants_levels == (given.max() > 1)
    scores, vector = imported.run(given)
    near(scores, want)
    assert np.argmax(scores, 1).tolist() == np.argmax(want, 1).tolist()
    assert vector.shape == (2, length)
    if embedding is not None:
        assert imported.metadata["output"]["embedding"] == embedding
        near(vector, want_vector)
    (imported.out / "model.onnx").unlink()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("library", LIBRARIES)
def test_batch_norms_are_gone_and_one_transpose_is_left(room, library):
    model = reference(LIBRARIES[library])
    model.save(room.work / "model.keras")
    imported = Imported(room, room.work / "model.keras")
    graph = (imported.out / "model.onnx").read_bytes()
    assert b"BatchNormalization" not in graph
    # The node's type; its output's name has it too, and those that read that.
    assert graph.count(b"\x22\x09Transpose") == 1
    assert "52 batch norms folded" in imported.said


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_folder_says_what_it_was_made_of(room):
    model = reference(LIBRARIES["keras3"])
    path = room.work / "model.keras"
    model.save(path)
    (room.work / "class_indices.json").write_text(
        json.dumps({f"k{i}": i for i in range(CLASSES)}))
    imported = Imported(room, path)
    assert imported.metadata["source"]["file"] == "model.keras"
    assert imported.metadata["input"]["layout"] == "NHWC"
    assert imported.metadata["output"]["activation"] == "none"
    assert (imported.out / "class_indices.json").exists()
    shown = room.run("model", "show", imported.out, "--json")
    assert json.loads(shown.stdout)["embedding_len"] == 512
