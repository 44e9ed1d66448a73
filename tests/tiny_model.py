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
