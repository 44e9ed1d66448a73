# SPDX-License-Identifier: Apache-2.0
"""The service that olho replaces, as far as its answers go: Pillow resizes to
224x224 (bilinear), values are divided by 255, Keras runs the network, the
layer before the last is the embedding, and faiss finds its neighbours."""
import io
import json

import faiss
import keras
import numpy as np
from PIL import Image

SIDE = 224
BATCH = 24
K = 3


def pixels(photo):
    """What the network is given of the bytes of a photo."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype="float32") / 255


def normalised(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Network:
    """A Keras model with its embedding."""

    def __init__(self, model):
        self.both = keras.Model(model.input, [
            model.output, model.get_layer("embedding_dense").output])

    def run(self, photos):
        """Scores and normalised embeddings, a row for each photo."""
        scores, embeddings = [], []
        for begin in range(0, len(photos), BATCH):
            batch = np.stack([pixels(p) for p in photos[begin:begin + BATCH]])
            both = self.both(batch, training=False)
            scores.append(np.asarray(both[0]))
            embeddings.append(np.asarray(both[1]))
        return (np.concatenate(scores),
                normalised(np.concatenate(embeddings)).astype("float32"))


class ReferenceService:
    """One version, loaded from its folder."""

    def __init__(self, folder):
        self.network = Network(keras.models.load_model(folder / "model.keras"))
        self.index = faiss.read_index(str(folder / "embeddings.faiss"))
        self.labels = np.load(folder / "labels.npy", allow_pickle=True)
        places = json.loads((folder / "class_indices.json").read_text())
        self.classes = sorted(places, key=places.get)

    def answer(self, photos):
        """For each photo what the service would say, and the distances of all
        that is indexed."""
        scores, embeddings = self.network.run(photos)
        distances, ids = self.index.search(embeddings, self.index.ntotal)
        return [self.one(*row) for row in
                zip(scores, embeddings, distances, ids)]

    def one(self, scores, embedding, distances, ids):
        best = int(scores.argmax())
        found = [(str(self.labels[i]), float(d)) for i, d in
                 zip(ids, distances)]
        return {
            "classe": self.classes[best], "classe_numerica": best,
            "confianca": float(scores[best]), "embedding": embedding,
            "semelhantes": found[:K], "all": dict(found)}
