#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes embeddings of photographs, for tests of search.

    build/olho classify --json FOLDER... | python tools/make_embeddings.py OUT

OUT holds the letters EMB1, dim and count (little-endian, 32 bits each), then
for each row its scale (float32) and dim bytes: a value is scale * byte. The
values of the bundled model's embedding are 0 or more, so nothing is lost but
what rounding to 255 steps takes away. Lines come in the order of the input.
"""
import array
import json
import struct
import sys


def rows(lines):
    for line in lines:
        if embedding := json.loads(line).get("embedding"):
            yield embedding


def main():
    packed = []
    for row in rows(sys.stdin):
        if min(row) < 0:
            sys.exit("an embedding has a value below 0")
        scale = max(row) / 255 or 1.0
        packed.append((len(row), struct.pack("<f", scale) +
                       array.array("B", (round(v / scale) for v in row))
                       .tobytes()))
    dims = {dim for dim, _ in packed}
    if len(dims) != 1:
        sys.exit(f"embeddings of one length are wanted, got {sorted(dims)}")
    with open(sys.argv[1], "wb") as out:
        out.write(struct.pack("<4sII", b"EMB1", dims.pop(), len(packed)))
        out.writelines(row for _, row in packed)


if __name__ == "__main__":
    main()
