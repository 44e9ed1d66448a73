#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/quality/reference.txt: what OpenCV and imagehash say.

    pip install opencv-python-headless numpy pillow ImageHash
    python3 tools/make_quality_reference.py [--check]

A line for each photograph and each source of tests/data/transform: the
variance of the Laplacian, the mean of the grey values, the shares of values up
to 16 and from 235 on, our perceptual hash by numpy, and imagehash's (`-` for
sources, which are noise).
With --check nothing is written; differences from what is stored are an error.
"""
import pathlib
import sys

import cv2
import imagehash
import numpy as np
import PIL
from PIL import Image, ImageOps

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"
OUT = DATA / "quality" / "reference.txt"
SIDE, LOW, STEPS, BLACK, WHITE = 32, 8, 1024, 16, 235


def hash_of(rgb):
    """Box to 32x32, grey, DCT-II both ways, above the median of 8x8."""
    small = np.asarray(Image.fromarray(rgb).resize(
        (SIDE, SIDE), Image.Resampling.BOX))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64)
    waves = np.cos(np.pi / SIDE * np.outer(np.arange(LOW),
                                           np.arange(SIDE) + 0.5))
    low = np.rint(waves @ grey @ waves.T * STEPS)
    bits = (low > np.median(low)).ravel()
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


def numbers(rgb):
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    blur = cv2.Laplacian(grey, cv2.CV_64F).var()
    return (f"{blur:.12g} {grey.mean():.12g} {(grey <= BLACK).mean():.12g} "
            f"{(grey >= WHITE).mean():.12g} {hash_of(rgb)}")


def photographs():
    for folder in ("clothing", "photos"):
        for path in sorted((DATA / folder).rglob("*.jpg")):
            rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            theirs = imagehash.phash(
                ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
            yield (f"photo {path.relative_to(DATA)} {numbers(rgb)} {theirs}")


def sources():
    """The pixels that tools/make_transform_reference.py stored."""
    pixels = (DATA / "transform" / "pixels.bin").read_bytes()
    for line in (DATA / "transform" / "cases.txt").read_text().splitlines():
        words = line.split()
        if words[0] != "source":
            continue
        width, height, offset = map(int, words[2:])
        rgb = np.frombuffer(pixels, np.uint8, width * height * 3, offset)
        rgb = rgb.reshape(height, width, 3)
        yield (f"source {words[1]} {width} {height} {offset} "
               f"{numbers(rgb)} -")


def make():
    return "\n".join([
        "# made by tools/make_quality_reference.py with "
        f"OpenCV {cv2.__version__}, Pillow {PIL.__version__}, "
        f"imagehash {imagehash.__version__}",
        "# photo FILE BLUR MEAN DARK BRIGHT HASH IMAGEHASH",
        "# source NAME WIDTH HEIGHT OFFSET BLUR MEAN DARK BRIGHT HASH -",
        *photographs(), *sources()]) + "\n"


def main():
    made = make()
    if "--check" in sys.argv[1:]:
        if OUT.read_text() != made:
            sys.exit(f"{OUT.name}: differs from what is stored")
        print(f"{OUT.name}: as stored")
        return
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(made)
    print(f"{OUT.name}: {len(made)} bytes written")


if __name__ == "__main__":
    main()
