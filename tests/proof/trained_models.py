# SPDX-License-Identifier: Apache-2.0
"""Makes what a trainer leaves: the reference model (a MobileNetV2 base, global
average pooling, Dense 512 `embedding_dense`, Dropout, softmax) as Keras saves
it, and a FAISS index of the training photos with their paths."""
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import faiss  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow  # noqa: E402
from reference_service import Network, pixels  # noqa: E402

SIDE = 224
EPOCHS = 30
CALIBRATION = 32


def settle(base, images):
    """Gives the batch norms of an untrained base the statistics of some
    images; with those they begin with, every image looks the same to it."""
    norms = [layer for layer in base.layers
             if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    base(images, training=True)
    for layer in norms:
        layer.momentum = 0.99


def trained(photos, places, class_count, alpha, seed):
    """The reference model, its head trained a little."""
    keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()
    images = np.stack([pixels(photo) for photo in photos])
    base = keras.applications.MobileNetV2(
        input_shape=(SIDE, SIDE, 3), alpha=alpha, include_top=False,
        weights=None)
    settle(base, images[::max(1, len(images) // CALIBRATION)])
    base.trainable = False
    pool = keras.layers.GlobalAveragePooling2D()
    head = [keras.layers.Dense(512, activation="relu", name="embedding_dense"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(class_count, activation="softmax")]
    inputs = keras.Input((SIDE, SIDE, 3))
    outputs = pool(base(inputs, training=False))
    for layer in head:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    features = np.concatenate([
        np.asarray(pool(base(images[i:i + 16], training=False)))
        for i in range(0, len(images), 16)])
    short = keras.Sequential([keras.Input(features.shape[1:]), *head])
    short.compile(keras.optimizers.Adam(1e-3),
                  "sparse_categorical_crossentropy")
    short.fit(features, np.array(places), batch_size=16, epochs=EPOCHS,
              verbose=0)
    return model


def write_index(vectors, path):
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(path))


def make_version(folder, photos, version, alpha=1.0, seed=1):
    """A folder models/VERSION of photos by path, whose folder is the class."""
    classes = sorted({path.split("/")[-2] for path in photos})
    places = [classes.index(path.split("/")[-2]) for path in photos]
    model = trained(list(photos.values()), places, len(classes), alpha, seed)
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    _, embeddings = Network(model).run(list(photos.values()))
    write_index(embeddings, folder / "embeddings.faiss")
    np.save(folder / "labels.npy", np.array(list(photos), dtype=object),
            allow_pickle=True)
    (folder / "class_indices.json").write_text(
        json.dumps({name: i for i, name in enumerate(classes)}))
    (folder / "metadata.json").write_text(
        json.dumps({"version": version, "accuracy": 0.9}))
