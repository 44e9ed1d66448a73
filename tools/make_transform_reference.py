#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/transform: what Pillow, OpenCV and TensorFlow answer.

    pip install -r tests/data/transform/requirements.txt
    python3 tools/make_transform_reference.py [--check]

Pillow from 13.0 on runs the vertical pass first where the height shrinks much
more than the width; the reference is the order of all versions before it.

cases.txt has a line for each source and each case, pixels.bin their bytes at
the offsets named there. A case of kind `u8` is rows of RGB; `u16` is the same
in little-endian 256ths, from a library that answers in floats.
With --check nothing is written; differences from what is stored are an error.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import PIL  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
DATA = os.path.join(ROOT, "tests", "data")
OUT = os.path.join(DATA, "transform")

# Levels of 0..255: Pillow and the nearest filters are met exactly; OpenCV
# rounds to 8 bits by its own fixed-point; TensorFlow computes in float32.
EXACT, ROUNDED, FLOAT = 0.0, 1.0, 0.05

PILLOW = {
    "bilinear-aa": Image.Resampling.BILINEAR,
    "bicubic-aa": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
OPENCV = {
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "nearest-corner": cv2.INTER_NEAREST,
}

# Source by name, target width, target height.
STRETCHES = [
    ("1x1", 5, 4),
    ("1x1", 1, 1),
    ("1x9", 4, 4),
    ("9x1", 4, 4),
    ("2x3", 7, 5),
    ("13x17", 13, 17),
    ("13x17", 1, 1),
    ("13x17", 30, 11),
    ("37x53", 16, 16),
    ("37x53", 40, 20),
    ("37x53", 37, 9),
    ("37x53", 9, 53),
    ("64x48", 32, 24),
    ("64x48", 21, 16),
    ("64x48", 63, 20),
    ("300x3", 7, 9),
    ("3x300", 9, 7),
    ("photo-wide", 24, 24),
    ("photo-tall", 24, 24),
    ("photo-tall", 70, 17),
    ("photo-large", 40, 40),
    ("photo-large", 33, 21),
]
# Source, filter, target width and height, short side (0: the target's).
CROPS = [
    ("photo-wide", "bilinear-aa", 24, 24, 0),
    ("photo-tall", "bilinear-aa", 24, 24, 32),
    ("photo-tall", "bicubic-aa", 17, 31, 33),
    ("photo-large", "box", 20, 30, 40),
    ("photo-large", "nearest", 21, 21, 30),
    ("photo-wide", "bilinear-aa", 60, 20, 19),
    ("13x17", "bicubic-aa", 9, 30, 11),
    ("300x3", "bilinear-aa", 8, 8, 8),
]
# Source, filter, target width and height, pad.
LETTERBOXES = [
    ("photo-wide", "bilinear", 32, 32, 114),
    ("photo-tall", "bilinear", 32, 32, 114),
    ("photo-large", "bilinear", 33, 41, 0),
    ("photo-tall", "area", 19, 40, 255),
    ("13x17", "bilinear", 40, 40, 7),
    ("300x3", "area", 16, 16, 9),
]


def noise(width, height):
    """The same bytes for ever, from a linear congruential generator."""
    out = np.empty(width * height * 3, np.uint8)
    state = width * 65536 + height
    for i in range(out.size):
        state = (state * 1664525 + 1013904223) % 2**32
        out[i] = state >> 24
    return out.reshape(height, width, 3)


def photo(name, box):
    path = os.path.join(DATA, "photos", name)
    return np.asarray(Image.open(path).convert("RGB").crop(box))


def make_sources():
    sources = {
        f"{width}x{height}": noise(width, height)
        for width, height in [
            (1, 1), (1, 9), (9, 1), (2, 3), (13, 17), (37, 53), (64, 48),
            (300, 3), (3, 300),
        ]
    }
    sources["photo-wide"] = photo("cat_720p.jpg", (600, 200, 697, 261))
    sources["photo-tall"] = photo("cat_720p.jpg", (500, 150, 561, 247))
    sources["photo-large"] = photo("cat_720p.jpg", (520, 160, 680, 280))
    return sources


def pillow(pixels, width, height, name):
    return np.asarray(Image.fromarray(pixels).resize((width, height),
                                                     PILLOW[name]))


def opencv(pixels, width, height, name):
    return cv2.resize(pixels, (width, height), interpolation=OPENCV[name])


def tensorflow(pixels, width, height, antialias):
    out = tf.image.resize(pixels, (height, width), "bilinear",
                          antialias=antialias).numpy()
    return np.rint(out * 256).astype("<u2")


def resize(pixels, width, height, name):
    if name in PILLOW:
        return pillow(pixels, width, height, name), EXACT, "pillow"
    tolerance = EXACT if name == "nearest-corner" else ROUNDED
    return opencv(pixels, width, height, name), tolerance, "opencv"


def crop(pixels, width, height, short, name):
    """torchvision's Resize(short) and CenterCrop((height, width))."""
    source_height, source_width = pixels.shape[:2]
    short = short or min(width, height)
    if source_width <= source_height:
        size = short, int(short * source_height / source_width)
    else:
        size = int(short * source_width / source_height), short
    resized, tolerance, library = resize(pixels, *size, name)
    left = max((width - size[0]) // 2, 0)
    above = max((height - size[1]) // 2, 0)
    resized = np.pad(resized, (
        (above, max(height - size[1], 0) - above),
        (left, max(width - size[0], 0) - left), (0, 0)))
    top = int(round((resized.shape[0] - height) / 2.0))
    left = int(round((resized.shape[1] - width) / 2.0))
    return (resized[top:top + height, left:left + width], tolerance, library)


def letterbox(pixels, width, height, pad, name):
    """Ultralytics' LetterBox."""
    source_height, source_width = pixels.shape[:2]
    ratio = min(height / source_height, width / source_width)
    size = (max(round(source_width * ratio), 1),
            max(round(source_height * ratio), 1))
    resized, tolerance, library = resize(pixels, *size, name)
    across, down = (width - size[0]) / 2, (height - size[1]) / 2
    out = cv2.copyMakeBorder(
        resized, round(down - 0.1), round(down + 0.1), round(across - 0.1),
        round(across + 0.1), cv2.BORDER_CONSTANT, value=(pad, pad, pad))
    return out, tolerance, library


def make_cases(sources):
    """Yields source, filter, fit, short, pad, library, tolerance, result."""
    for source, width, height in STRETCHES:
        pixels = sources[source]
        for name in list(PILLOW) + list(OPENCV):
            out, tolerance, library = resize(pixels, width, height, name)
            yield source, name, "stretch", 0, 0, library, tolerance, out
        out = tensorflow(pixels, width, height, False)
        yield source, "bilinear", "stretch", 0, 0, "tensorflow", FLOAT, out
        if source.startswith("photo"):
            out = tensorflow(pixels, width, height, True)
            yield (source, "bilinear-aa", "stretch", 0, 0, "tensorflow",
                   ROUNDED, out)
    for source, name, width, height, short in CROPS:
        out, tolerance, library = crop(sources[source], width, height, short,
                                       name)
        yield source, name, "crop", short, 0, library, tolerance, out
    for source, name, width, height, pad in LETTERBOXES:
        out, tolerance, library = letterbox(sources[source], width, height,
                                            pad, name)
        yield source, name, "letterbox", 0, pad, library, tolerance, out


def make():
    sources = make_sources()
    lines = [
        "# made by tools/make_transform_reference.py with "
        f"Pillow {PIL.__version__}, OpenCV {cv2.__version__}, "
        f"TensorFlow {tf.__version__}",
        "# source NAME WIDTH HEIGHT OFFSET",
        "# case SOURCE FILTER FIT WIDTH HEIGHT SHORT PAD LIBRARY TOLERANCE "
        "KIND OFFSET",
    ]
    blob = bytearray()
    for name, pixels in sources.items():
        height, width = pixels.shape[:2]
        lines.append(f"source {name} {width} {height} {len(blob)}")
        blob += pixels.tobytes()
    for case in make_cases(sources):
        source, name, fit, short, pad, library, tolerance, out = case
        height, width = out.shape[:2]
        kind = "u16" if out.dtype.itemsize == 2 else "u8"
        lines.append(
            f"case {source} {name} {fit} {width} {height} {short} {pad} "
            f"{library} {tolerance} {kind} {len(blob)}")
        blob += np.ascontiguousarray(out).tobytes()
    return ("\n".join(lines) + "\n").encode(), bytes(blob)


def main():
    if int(PIL.__version__.split(".")[0]) >= 13:
        sys.exit("Pillow 13 orders its passes by another rule; "
                 "install 'pillow<13'")
    made = dict(zip(("cases.txt", "pixels.bin"), make()))
    os.makedirs(OUT, exist_ok=True)
    for name, content in made.items():
        path = os.path.join(OUT, name)
        if "--check" not in sys.argv[1:]:
            with open(path, "wb") as file:
                file.write(content)
            print(f"{name}: {len(content)} bytes written")
            continue
        with open(path, "rb") as file:
            if file.read() != content:
                sys.exit(f"{name}: differs from what is stored")
        print(f"{name}: as stored")


if __name__ == "__main__":
    main()
