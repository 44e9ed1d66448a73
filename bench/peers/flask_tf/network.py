# SPDX-License-Identifier: Apache-2.0
"""MobileNetV2 of an ONNX file as a tf.function, in two forms.

keras_network: keras.applications.MobileNetV2 with the file's weights, wrapped
in a tf.function: what a service that trained with Keras can run at its best.
folded_network: the file's own graph, batch normalisation folded into its
convolutions and all weights constant: faster, for who converts by hand.
Both give (probabilities, features) and agree to float rounding.
"""

from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import helper, numpy_helper

SIDE_PX = 224
SIGNATURE = [tf.TensorSpec([1, SIDE_PX, SIDE_PX, 3], tf.float32)]


def read_graph(path: Path) -> tuple[onnx.GraphProto, dict[str, np.ndarray]]:
    """The graph, and its constants with int8 weights turned into floats."""
    graph = onnx.load(str(path)).graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            q, scale, zero = (constants[name] for name in node.input)
            axis = [-1] + [1] * (q.ndim - 1)
            q = q.astype(np.float32) - zero.astype(np.float32).reshape(axis)
            constants[node.output[0]] = q * scale.reshape(axis)
    return graph, constants


def keras_network(path: Path):
    graph, constants = read_graph(path)
    weights = [
        [constants[name] for name in node.input[1:3]]
        for node in graph.node
        if node.op_type == "Conv"
    ]
    model = keras.applications.MobileNetV2(
        input_shape=(SIDE_PX, SIDE_PX, 3),
        weights=None,
        classes=len(weights[-1][1]),
    )
    layers = keras.layers
    convolutions = [
        layer
        for layer in model.layers
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D))
    ]
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, layers.BatchNormalization)
    ]
    # The file's biases are the folded batch normalisations, so that the norm
    # layers become "add the bias": scale 1, variance 1 with their epsilon.
    for (kernel, bias), conv, norm in zip(weights, convolutions, norms):
        is_depthwise = isinstance(conv, layers.DepthwiseConv2D)
        order = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)
        one = np.ones_like(bias)
        conv.set_weights([kernel.transpose(order)])
        norm.set_weights([one, bias, 0 * one, one * (1 - norm.epsilon)])
    kernel, bias = weights[-1]
    model.layers[-1].set_weights([kernel[:, :, 0, 0].T, bias])
    both = keras.Model(model.input, [model.output, model.layers[-2].output])
    return tf.function(
        lambda image: both(image, training=False), input_signature=SIGNATURE
    )


def convolve(x: tf.Tensor, node: onnx.NodeProto, weight, bias) -> tf.Tensor:
    """One ONNX Conv (OIHW) as TensorFlow's NHWC convolution."""
    of = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    stride = of["strides"][0]
    # 'SAME' pads 3x3 kernels exactly as this graph says: 1 on each side, or
    # below and right only at stride 2 of an even size.
    wanted = {1: [0, 0, 0, 0], 3: [0, 0, 1, 1] if stride == 2 else [1] * 4}
    if of["pads"] != wanted[of["kernel_shape"][0]]:
        raise ValueError(f"padding {of['pads']} is not TensorFlow's SAME")
    if of["group"] == 1:
        kernel = tf.constant(weight.transpose(2, 3, 1, 0))
        x = tf.nn.conv2d(x, kernel, stride, "SAME")
    else:
        kernel = tf.constant(weight.transpose(2, 3, 0, 1))
        x = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
    return tf.nn.bias_add(x, tf.constant(bias))


def folded_network(path: Path):
    graph, constants = read_graph(path)

    @tf.function(input_signature=SIGNATURE)
    def network(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = {"image": image}
        for node in graph.node:
            op, out = node.op_type, node.output[0]
            if op == "DequantizeLinear":
                continue
            x = values[node.input[0]]
            if op == "Conv":
                weight, bias = (constants[name] for name in node.input[1:3])
                values[out] = convolve(x, node, weight, bias)
            elif op == "Clip":
                values[out] = tf.nn.relu6(x)
            elif op == "Add":
                values[out] = x + values[node.input[1]]
            elif op == "GlobalAveragePool":
                values[out] = tf.reduce_mean(x, [1, 2], keepdims=True)
            elif op == "Flatten":
                values[out] = tf.reshape(x, [1, -1])
            elif op == "Softmax":
                values[out] = tf.nn.softmax(x)
            else:
                raise ValueError(f"operator {op} is not known here")
        return values["probabilities"], values["features"]

    return network
