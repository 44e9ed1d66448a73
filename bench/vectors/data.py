# SPDX-License-Identifier: Apache-2.0
"""Rows and queries to compare with, and the true answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

CENTRES = 500
NOISE = 0.3  # the length of what is added to a centre
QUERIES = 200
K = 10
ROUNDING = 1e-6  # of an inner product of unit rows, in single precision
STEP = 8192
NO_ID = -2  # unlike -1, which is found when there are fewer
SETS = ("random", "clustered")


@dataclass
class Data:
    """One set of rows, in files."""

    name: str
    count: int
    dim: int
    rows: Path
    queries: Path
    truth: np.ndarray  # of each query, ids of the nearest; NO_ID: no more


def unit(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def make_rows(name: str, count: int, dim: int, seed: int) -> np.ndarray:
    """Rows of unit length; the centres depend on dim alone."""
    rng = np.random.default_rng(seed)
    rows = np.empty((count, dim), dtype=np.float32)
    centres = unit(
        np.random.default_rng(7).standard_normal((CENTRES, dim), np.float32)
    )
    for begin in range(0, count, STEP):
        part = rng.standard_normal(
            (min(STEP, count - begin), dim), dtype=np.float32
        )
        unit(part)
        if name == "clustered":
            part *= NOISE
            part += centres[rng.integers(0, CENTRES, len(part))]
            unit(part)
        rows[begin : begin + len(part)] = part
    return rows


def nearest(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The K nearest by looking at every row, and those that single precision
    may take for as near as the last of them."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    ids = np.empty((len(queries), 0), dtype=np.int64)
    for begin in range(0, len(rows), STEP):
        part = queries @ rows[begin : begin + STEP].T
        best = np.concatenate([best, part], axis=1)
        numbers = np.arange(begin, begin + part.shape[1], dtype=np.int64)
        ids = np.concatenate(
            [ids, np.broadcast_to(numbers, part.shape)], axis=1
        )
        order = np.argsort(-best, axis=1)[:, : 2 * K]
        best = np.take_along_axis(best, order, axis=1)
        ids = np.take_along_axis(ids, order, axis=1)
    products = np.einsum(
        "qkd,qd->qk",
        rows[ids].astype(np.float64),
        queries.astype(np.float64),
    )
    last = np.sort(products, axis=1)[:, -K]
    return np.where(products >= last[:, None] - ROUNDING, ids, NO_ID)


def make(folder: Path, name: str, count: int, dim: int) -> Data:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{count}-{dim}"
    data = Data(
        name,
        count,
        dim,
        folder / f"{stem}.npy",
        folder / f"{stem}-queries.npy",
        np.empty(0),
    )
    rows = make_rows(name, count, dim, 1)
    queries = make_rows(name, QUERIES, dim, 2)
    np.save(data.rows, rows)
    np.save(data.queries, queries)
    data.truth = nearest(rows, queries)
    return data


def recall(truth: np.ndarray, found: list[int]) -> float:
    ids = np.array(found, dtype=np.int64).reshape(-1, K)
    hits = (ids[:, :, None] == truth[:, None, :]).any(axis=2)
    return float(hits.sum()) / ids.size
