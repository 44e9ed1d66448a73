# SPDX-License-Identifier: Apache-2.0
"""Writes the smallest networks that tell colours apart, as ONNX files.

The mean colour of an image is its embedding, and ten times that its scores:
red is class 0, green 1, blue 2. Whoever mixes up layout or channel order gets
another class. The protobuf messages are written by hand (onnx.proto3: field
numbers below), so that no further package is needed."""
import struct

FLOAT, INT64 = 1, 7
COLORS = {0: (230, 20, 20), 1: (20, 230, 20), 2: (20, 20, 230)}


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """One field: an integer, or bytes, text or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def value_info(name, dims):
    """ValueInfoProto of a float tensor; a dimension is a number or a name."""
    shape = b"".join(
        field(1, field(1, d) if isinstance(d, int) else field(2, d))
        for d in dims)
    return field(1, name) + field(2, field(1, field(1, FLOAT)
                                           + field(2, shape)))


def tensor(name, dims, values):
    data = struct.pack(f"<{len(values)}f", *values)
    return (b"".join(field(1, d) for d in dims) + field(2, FLOAT)
            + field(8, name) + field(9, data))


def shape_tensor(name, values):
    return (field(1, len(values)) + field(2, INT64)
            + b"".join(field(7, v) for v in values) + field(8, name))


def node(op, inputs, outputs, **integers):
    """NodeProto; attributes are integers or lists of them."""
    out = b"".join(field(1, n) for n in inputs)
    out += b"".join(field(2, n) for n in outputs) + field(4, op)
    for name, value in integers.items():
        if isinstance(value, list):
            body = field(1, name) + b"".join(field(8, v) for v in value)
            body += field(20, 7)  # INTS
        else:
            body = field(1, name) + field(3, value) + field(20, 2)  # INT
        out += field(5, body)
    return out


def network(layout="NHWC", side=8, classes=3, has_softmax=True,
            has_embedding=True, embedding="features", scores="scores"):
    """The bytes of a model file."""
    axes = [1, 2] if layout == "NHWC" else [2, 3]
    dims = ["N", side, side, 3] if layout == "NHWC" else ["N", 3, side, side]
    weights = [10.0 if row == column else 0.0
               for row in range(3) for column in range(classes)]
    logits = "logits" if has_softmax else scores
    nodes = [
        node("ReduceMean", ["picture"], [embedding], axes=axes, keepdims=0),
        node("MatMul", [embedding, "weights"], [logits]),
    ]
    if has_softmax:
        nodes.append(node("Softmax", ["logits"], [scores], axis=1))
    outputs = [value_info(scores, ["N", classes])]
    if has_embedding:
        outputs.append(value_info(embedding, ["N", 3]))
    graph = b"".join(field(1, n) for n in nodes) + field(2, "colours")
    graph += field(5, tensor("weights", [3, classes], weights))
    graph += field(11, value_info("picture", dims))
    graph += b"".join(field(12, o) for o in outputs)
    return field(1, 7) + field(7, graph) + field(8, field(2, 13))


def grid(side):
    """Strides, and rows cx, cy, w, h of all cells of a YOLO-style detector."""
    cells = [((x + 0.5) * stride, (y + 0.5) * stride, stride, stride)
             for stride in (8, 16, 32)
             for y in range(side // stride) for x in range(side // stride)]
    return [[float(cell[row]) for cell in cells] for row in range(4)]


def detector(side=64, is_transposed=False):
    """A YOLOv8-style detector of red (class 0) and green (class 1) squares.

    Each cell of three grids is a box; its scores are how much redder or
    greener it is than the rest, larger cells before smaller ones."""
    boxes = grid(side)
    nodes, tensors, parts = [], [], []
    for stride, weight in ((8, 0.7), (16, 0.8), (32, 0.9)):
        rows = [weight * w for w in (1, -0.5, -0.5, -0.5, 1, -0.5)]
        tensors.append(tensor(f"colours{stride}", [2, 3, 1, 1], rows))
        tensors.append(shape_tensor(f"shape{stride}",
                                    [1, 2, (side // stride) ** 2]))
        nodes += [
            node("AveragePool", ["images"], [f"mean{stride}"],
                 kernel_shape=[stride, stride], strides=[stride, stride]),
            node("Conv", [f"mean{stride}", f"colours{stride}"],
                 [f"excess{stride}"], kernel_shape=[1, 1]),
            node("Relu", [f"excess{stride}"], [f"score{stride}"]),
            node("Reshape", [f"score{stride}", f"shape{stride}"],
                 [f"part{stride}"]),
        ]
        parts.append(f"part{stride}")
    tensors.append(tensor("boxes", [1, 4, len(boxes[0])], sum(boxes, [])))
    dims = [1, 6, len(boxes[0])]
    nodes.append(node("Concat", parts, ["scores"], axis=2))
    nodes.append(node("Concat", ["boxes", "scores"],
                      ["found" if is_transposed else "output0"], axis=1))
    if is_transposed:
        nodes.append(node("Transpose", ["found"], ["output0"], perm=[0, 2, 1]))
        dims = [1, dims[2], dims[1]]
    graph = b"".join(field(1, n) for n in nodes) + field(2, "squares")
    graph += b"".join(field(5, t) for t in tensors)
    graph += field(11, value_info("images", [1, 3, side, side]))
    graph += field(12, value_info("output0", dims))
    return field(1, 7) + field(7, graph) + field(8, field(2, 13))
