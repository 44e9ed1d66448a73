#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/detector: tiny detectors and what plain Python makes of
random outputs.

    python3 tools/make_boxes_reference.py [--check]

reference.txt has a line for each case: the width and height of the image and
of the network's input, classes, anchors, whether the output is transposed,
the seed of its values, the least score and the largest overlap; then a line
for each box that is left, in pixels of the image. The values come from the
generator of tests/unit/test_boxes.c, whole numbers of 24 bits each, so that
both languages compute with the same ones.
With --check nothing is written; differences from what is stored are an error.
"""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import tiny_model  # noqa: E402

OUT = ROOT / "tests" / "data" / "detector"
KEPT_MAX = 300

# Image width and height, input width and height, classes, anchors,
# transposed, seed, least score, largest overlap.
CASES = [
    (640, 480, 640, 640, 80, 8400, 0, 1, 0.995, 0.7),
    (480, 640, 640, 640, 80, 8400, 1, 2, 0.995, 0.45),
    (1920, 1080, 640, 640, 1, 8400, 0, 3, 0.9, 0.1),
    (333, 77, 640, 384, 3, 5040, 0, 4, 0.8, 0.5),
    (77, 333, 320, 320, 3, 2100, 1, 5, 0.7, 0.3),
    (17, 19, 64, 64, 2, 84, 0, 6, 0.0, 0.0),
    (64, 64, 64, 64, 2, 84, 1, 7, 0.25, 1.0),
    (500, 333, 64, 64, 2, 84, 0, 8, 1.0, 0.7),
    (640, 480, 640, 640, 2, 8400, 1, 9, 0.0, 0.9),
]


def random_values(seed):
    """24 random bits at a time as a fraction."""
    state = seed
    while True:
        state = (state * 1664525 + 1013904223) % 2**32
        yield (state >> 8) / 2**24


def candidates(case):
    """Class, score and corners of each anchor, in pixels of the input."""
    _, _, _, _, classes, anchors, _, seed, score_min, _ = case
    values = random_values(seed)
    for _ in range(anchors):
        cx, cy = next(values) * 512, next(values) * 512
        width, height = next(values) * 256, next(values) * 256
        scores = [next(values) for _ in range(classes)]
        best = max(range(classes), key=lambda i: scores[i])
        if scores[best] >= score_min and width > 0 and height > 0:
            yield (scores[best], best, cx - width / 2, cy - height / 2,
                   cx + width / 2, cy + height / 2)


def overlap(a, b):
    width = min(a[4], b[4]) - max(a[2], b[2])
    height = min(a[5], b[5]) - max(a[3], b[3])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[4] - box[2]) * (box[5] - box[3]) for box in (a, b))
    return width * height / (areas - width * height)


def suppress(boxes, overlap_max):
    kept = []
    for box in sorted(boxes, key=lambda b: (-b[0], b[2], b[3])):
        if len(kept) < KEPT_MAX and all(
                other[1] != box[1] or overlap(other, box) <= overlap_max
                for other in kept):
            kept.append(box)
    return kept


def place(image, inside):
    """Margin and length of a letterboxed side, for both sides."""
    ratio = min(inside[0] / image[0], inside[1] / image[1])
    for length, target in zip(image, inside):
        resized = min(max(round(length * ratio), 1), target)
        yield round((target - resized) / 2 - 0.1), resized


def unfit(box, case):
    """The box in pixels of the image; None when it lies outside."""
    image = case[:2]
    corners = list(box[2:])
    for axis, (margin, resized) in enumerate(place(image, case[2:4])):
        for i in (axis, axis + 2):
            value = (corners[i] - margin) * image[axis] / resized
            corners[i] = min(max(value, 0), image[axis])
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        return None
    return box[:2] + tuple(corners)


def make_reference():
    lines = ["# made by tools/make_boxes_reference.py",
             "# case IMAGE_WIDTH IMAGE_HEIGHT INPUT_WIDTH INPUT_HEIGHT CLASSES "
             "ANCHORS TRANSPOSED SEED SCORE_MIN OVERLAP_MAX BOXES",
             "# box CLASS SCORE LEFT TOP RIGHT BOTTOM"]
    for case in CASES:
        boxes = suppress(candidates(case), case[-1])
        boxes = [b for b in (unfit(box, case) for box in boxes) if b]
        lines.append(" ".join(["case", *map(str, case), str(len(boxes))]))
        for score, best, *corners in boxes:
            lines.append(f"box {best} {score:.9g} "
                         + " ".join(f"{c:.7g}" for c in corners))
    return ("\n".join(lines) + "\n").encode()


def main():
    made = {"reference.txt": make_reference(),
            "tiny.onnx": tiny_model.detector(),
            "tiny_transposed.onnx": tiny_model.detector(is_transposed=True)}
    OUT.mkdir(exist_ok=True)
    for name, content in made.items():
        path = OUT / name
        if "--check" not in sys.argv[1:]:
            path.write_bytes(content)
            print(f"{name}: {len(content)} bytes written")
        elif path.read_bytes() != content:
            sys.exit(f"{name}: differs from what is stored")
        else:
            print(f"{name}: as stored")


if __name__ == "__main__":
    main()
