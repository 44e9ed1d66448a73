#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/flat_reference.bin: what faiss finds in random vectors.

    pip install faiss-cpu==1.15.1 numpy==2.4.6
    tools/make_flat_reference.py [FOLDER]      FOLDER: tests/data

The vectors are int8 numbers divided by 64, which float32 holds exactly. The
file is little-endian: "FLATREF1", int32 n, d, queries, k, the n x d and the
queries x d numbers as int8, then for L2 and for IP queries x k ids as int32
and as many distances as float32: of L2 the root of what faiss gives, of IP one
minus it. Queries with ties among the first k + 1 are left out, since faiss
promises no order there. flat_reference.json says with what it was made.
"""
import hashlib
import json
import pathlib
import struct
import sys

import faiss
import numpy as np

N, D, QUERIES, K, SEED = 500, 64, 20, 10, 20261121
ROOT = pathlib.Path(__file__).resolve().parent.parent


def ask(index, rows, queries):
    index.add(rows)
    return index.search(queries, K + 1)


def has_ties(distances):
    return (np.diff(distances, axis=1) == 0).any(axis=1)


def main():
    folder = pathlib.Path(sys.argv[1] if sys.argv[1:] else
                          ROOT / "tests" / "data")
    random = np.random.default_rng(SEED)
    rows = random.integers(-64, 64, (N, D), dtype=np.int8)
    queries = random.integers(-64, 64, (4 * QUERIES, D), dtype=np.int8)
    exact = rows.astype("<f4") / 64, queries.astype("<f4") / 64
    l2, l2_ids = ask(faiss.IndexFlatL2(D), *exact)
    ip, ip_ids = ask(faiss.IndexFlatIP(D), *exact)
    kept = np.flatnonzero(~(has_ties(l2) | has_ties(ip)))[:QUERIES]
    if len(kept) < QUERIES:
        sys.exit(f"only {len(kept)} of {QUERIES} queries are without ties")
    parts = [
        b"FLATREF1",
        struct.pack("<4i", N, D, QUERIES, K),
        rows.tobytes(),
        queries[kept].tobytes(),
    ]
    for ids, distances in ((l2_ids, np.sqrt(l2)), (ip_ids, 1 - ip)):
        parts.append(ids[kept, :K].astype("<i4").tobytes())
        parts.append(distances[kept, :K].astype("<f4").tobytes())
    data = b"".join(parts)
    (folder / "flat_reference.bin").write_bytes(data)
    about = {
        "command": "tools/make_flat_reference.py",
        "faiss-cpu": faiss.__version__,
        "numpy": np.__version__,
        "seed": SEED,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (folder / "flat_reference.json").write_text(
        json.dumps(about, indent=1) + "\n")


main()
