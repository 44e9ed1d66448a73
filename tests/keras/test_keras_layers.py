# SPDX-License-Identifier: Apache-2.0
"""Layer by layer: tiny models for every layer and option, and the models that
are refused, each by name."""
import pytest
from keras_models import LIBRARIES, Imported, answers, near, random, shake

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SIDE = (9, 11, 3)


def conv4(layers, x):
    return layers.Conv2D(4, 1, name="before")(x)


def one(make):
    """A layer by itself on four channels that are not the image."""
    return lambda layers, x: make(layers)(conv4(layers, x))


def joined(make):
    """A layer over two branches."""
    return lambda layers, x: make(layers)(
        [conv4(layers, x), layers.Conv2D(4, 3, padding="same")(x)])


CONVOLUTIONS = {
    "valid": dict(filters=5, kernel_size=3),
    "same": dict(filters=5, kernel_size=3, padding="same"),
    "same_stride_2": dict(filters=5, kernel_size=3, padding="same", strides=2),
    "same_stride_2_even": dict(filters=5, kernel_size=4, padding="same",
                               strides=2),
    "valid_stride_3": dict(filters=2, kernel_size=2, strides=3),
    "oblong": dict(filters=5, kernel_size=(1, 5), strides=(2, 1),
                   padding="same"),
    "dilated": dict(filters=5, kernel_size=3, dilation_rate=2),
    "dilated_same": dict(filters=5, kernel_size=(2, 3), dilation_rate=(3, 2),
                         padding="same"),
    "without_bias": dict(filters=5, kernel_size=1, use_bias=False),
    "with_activation": dict(filters=5, kernel_size=3, activation="relu"),
    "grouped": dict(filters=6, kernel_size=3, groups=2),
}
DEPTHWISE = {
    "valid": dict(kernel_size=3),
    "same_stride_2": dict(kernel_size=3, strides=2, padding="same"),
    "multiplied": dict(kernel_size=(2, 3), depth_multiplier=3),
    "dilated": dict(kernel_size=3, dilation_rate=2, padding="same"),
    "without_bias": dict(kernel_size=5, padding="same", use_bias=False),
}
SEPARABLE = {
    "valid": dict(filters=6, kernel_size=3),
    "same_stride_2": dict(filters=6, kernel_size=3, strides=2, padding="same",
                          depth_multiplier=2, activation="tanh"),
    "without_bias": dict(filters=6, kernel_size=3, use_bias=False),
}
TRANSPOSED = {
    "valid": dict(filters=3, kernel_size=3),
    "valid_stride_2": dict(filters=3, kernel_size=3, strides=2),
    "valid_stride_over_kernel": dict(filters=3, kernel_size=2, strides=3),
    "same": dict(filters=3, kernel_size=3, padding="same"),
    "same_stride_2": dict(filters=3, kernel_size=3, strides=2, padding="same"),
    "same_even": dict(filters=3, kernel_size=4, strides=2, padding="same"),
    "same_stride_over_kernel": dict(filters=3, kernel_size=1, strides=2,
                                    padding="same"),
}
POOLS = {
    "twos": dict(pool_size=2),
    "same": dict(pool_size=3, strides=2, padding="same"),
    "oblong": dict(pool_size=(2, 3), strides=(1, 2)),
    "same_even": dict(pool_size=2, strides=1, padding="same"),
}
ACTIVATIONS = """linear relu relu6 elu selu gelu silu swish sigmoid
    hard_sigmoid tanh softmax softplus softsign exponential""".split()


def batch_norm(**options):
    return one(lambda layers: layers.BatchNormalization(**options))


def residual(layers, x):
    """A batch norm with two readers, and a convolution with two."""
    x = conv4(layers, x)
    y = layers.BatchNormalization()(x)
    z = layers.Conv2D(4, 3, padding="same")(y)
    return layers.Add()([x, y, z])


def squeeze(layers, x):
    """A squeeze-and-excite block with the Reshape of EfficientNet."""
    x = conv4(layers, x)
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Reshape((1, 1, 4))(gate)
    gate = layers.Conv2D(2, 1, activation="swish")(gate)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])


def padded(layers, x):
    x = layers.ZeroPadding2D(((0, 1), (2, 3)))(x)
    return layers.Conv2D(4, 3, strides=2)(x)


def padded_twice(layers, x):
    """The padded image has two readers, and one is no convolution."""
    x = layers.ZeroPadding2D(1)(x)
    return layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(x)])


def shared(layers, x):
    """One convolution called twice, and its batch norm."""
    conv = layers.Conv2D(3, 3, padding="same")
    norm = layers.BatchNormalization()
    return layers.Add()([norm(conv(x)), norm(conv(norm(conv(x))))])


def scaled(layers, x):
    x = layers.Rescaling([1 / 127.5, 1 / 100.0, 0.02], offset=-1)(x)
    return conv4(layers, x)


def normalised(layers, x):
    x = layers.Normalization(mean=[10.0, 20.0, 30.0],
                             variance=[4.0, 5.0, 6.0])(x)
    return conv4(layers, x)


def adapted(layers, x):
    return conv4(layers, layers.Normalization()(x))


def arithmetic(layers, x):
    x = conv4(layers, (x / 127.5) - 1.0)
    return 3.0 * x + (1.5 - x)


def two_values(layers, x):
    x = conv4(layers, x)
    return x * layers.Conv2D(4, 1)(x) - x


def dense_on_image(layers, x):
    return layers.Dense(5, activation="relu")(conv4(layers, x))


def permuted(layers, x):
    x = layers.Permute((3, 1, 2))(conv4(layers, x))
    return layers.Reshape((-1, 12))(x)


def reshaped(layers, x):
    x = layers.Reshape((11, -1))(conv4(layers, x))
    return layers.Dense(3)(x)


LAYERS = {
    **{f"conv_{k}": one(lambda L, o=o: L.Conv2D(**o))
       for k, o in CONVOLUTIONS.items()},
    **{f"depthwise_{k}": one(lambda L, o=o: L.DepthwiseConv2D(**o))
       for k, o in DEPTHWISE.items()},
    **{f"separable_{k}": one(lambda L, o=o: L.SeparableConv2D(**o))
       for k, o in SEPARABLE.items()},
    **{f"transposed_{k}": one(lambda L, o=o: L.Conv2DTranspose(**o))
       for k, o in TRANSPOSED.items()},
    **{f"max_{k}": one(lambda L, o=o: L.MaxPooling2D(**o))
       for k, o in POOLS.items()},
    **{f"average_{k}": one(lambda L, o=o: L.AveragePooling2D(**o))
       for k, o in POOLS.items()},
    **{f"activation_{k}": one(lambda L, k=k: L.Activation(k))
       for k in ACTIVATIONS},
    "global_average": one(lambda L: L.GlobalAveragePooling2D()),
    "global_average_kept": one(lambda L: L.GlobalAveragePooling2D(
        keepdims=True)),
    "global_max": one(lambda L: L.GlobalMaxPooling2D()),
    "global_max_kept": one(lambda L: L.GlobalMaxPooling2D(keepdims=True)),
    "batch_norm": batch_norm(),
    "batch_norm_without_scale": batch_norm(scale=False, epsilon=0.01),
    "batch_norm_without_centre": batch_norm(center=False),
    "batch_norm_on_height": batch_norm(axis=1),
    "batch_norm_before": lambda L, x: L.Conv2D(4, 3)(
        L.BatchNormalization()(x)),
    "batch_norm_of_dense": lambda L, x: L.BatchNormalization()(
        L.Dense(6)(L.Flatten()(x))),
    "batch_norm_after_depthwise": one(lambda L: lambda x:
                                      L.BatchNormalization()(
                                          L.DepthwiseConv2D(3)(x))),
    "layer_norm": one(lambda L: L.LayerNormalization()),
    "layer_norm_bare": one(lambda L: L.LayerNormalization(
        scale=False, center=False, epsilon=0.1)),
    "relu_layer": one(lambda L: L.ReLU()),
    "relu_max": one(lambda L: L.ReLU(max_value=0.5)),
    "relu_slope": one(lambda L: L.ReLU(negative_slope=0.1, max_value=0.7)),
    "relu_threshold": one(lambda L: L.ReLU(threshold=0.2, max_value=0.9)),
    "relu_all": one(lambda L: L.ReLU(negative_slope=0.2, threshold=0.3)),
    "leaky_relu": one(lambda L: L.LeakyReLU()),
    "leaky_relu_given": one(lambda L: L.LeakyReLU(0.15)),
    "elu_layer": one(lambda L: L.ELU(alpha=0.4)),
    "prelu": one(lambda L: L.PReLU()),
    "prelu_shared": one(lambda L: L.PReLU(shared_axes=[1, 2])),
    "prelu_half_shared": one(lambda L: L.PReLU(shared_axes=[2])),
    "softmax_layer": one(lambda L: L.Softmax()),
    "softmax_on_width": one(lambda L: L.Softmax(axis=2)),
    "padding_one": one(lambda L: L.ZeroPadding2D(2)),
    "padding_two": one(lambda L: L.ZeroPadding2D((1, 3))),
    "padding_four": one(lambda L: L.ZeroPadding2D(((1, 0), (2, 4)))),
    "padding_before_conv": padded,
    "padding_with_two_readers": padded_twice,
    "cropping": one(lambda L: L.Cropping2D(((1, 2), (3, 1)))),
    "cropping_one": one(lambda L: L.Cropping2D(1)),
    "enlarge_nearest": one(lambda L: L.UpSampling2D((2, 3))),
    "enlarge_bilinear": one(lambda L: L.UpSampling2D(
        3, interpolation="bilinear")),
    "add": joined(lambda L: L.Add()),
    "subtract": joined(lambda L: L.Subtract()),
    "multiply": joined(lambda L: L.Multiply()),
    "average": joined(lambda L: L.Average()),
    "maximum": joined(lambda L: L.Maximum()),
    "minimum": joined(lambda L: L.Minimum()),
    "concatenate": joined(lambda L: L.Concatenate()),
    "concatenate_height": joined(lambda L: L.Concatenate(axis=1)),
    "dropouts": one(lambda L: lambda x: L.GaussianNoise(0.5)(
        L.SpatialDropout2D(0.3)(L.Dropout(0.5)(x)))),
    "residual": residual,
    "squeeze": squeeze,
    "shared": shared,
    "rescaling": scaled,
    "normalization": normalised,
    "normalization_adapted": adapted,
    "arithmetic": arithmetic,
    "arithmetic_of_two": two_values,
    "dense_on_image": dense_on_image,
    "permute": permuted,
    "reshape": reshaped,
    "flatten_image": lambda L, x: L.Flatten()(x),
}
ENDINGS = {"keras2": ".h5", "keras3": ".keras"}


def compare(room, model, ending, *args):
    shake(model, random(5))
    path = room.work / f"model{ending}"
    model.save(path)
    imported = Imported(room, path, *args)
    images = imported.images(random(6))
    near(imported.run(images)[0], answers(model, images)[0])
    return imported


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_answers_as_in_keras(room, library, name):
    keras = LIBRARIES[library]
    image = keras.Input(SIDE)
    x = LAYERS[name](keras.layers, image)
    model = keras.Model(image, keras.layers.Flatten()(x))
    compare(room, model, ENDINGS[library])


def nested(keras):
    """Three models in each other, with layers of one name in two of them."""
    layers = keras.layers
    inner = keras.Sequential([keras.Input((9, 11, 4)),
                              layers.Conv2D(4, 3, name="twin"),
                              layers.BatchNormalization(name="norm")],
                             name="inner")
    image = keras.Input(SIDE)
    x = layers.Conv2D(4, 1, name="twin")(image)
    middle = keras.Model(image, inner(x), name="middle")
    image = keras.Input(SIDE)
    x = middle(image)
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def stacked(keras):
    """A Sequential whose first layer is a model."""
    base = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.35)
    base.trainable = False
    layers = keras.layers
    return keras.Sequential([base, layers.GlobalAveragePooling2D(),
                             layers.Dense(8, activation="relu"),
                             layers.Dense(3, activation="softmax")])


def first_shape(keras):
    """A Sequential that has no InputLayer of its own."""
    layers = keras.layers
    return keras.Sequential([
        layers.Conv2D(4, 3, activation="relu", input_shape=SIDE),
        layers.Flatten(), layers.Dense(2)])


def twice(keras):
    """A nested model that is called twice."""
    layers = keras.layers
    part_in = keras.Input(SIDE)
    part = keras.Model(part_in, layers.BatchNormalization()(
        layers.Conv2D(3, 3, padding="same", activation="relu")(part_in)))
    image = keras.Input(SIDE)
    x = layers.Add()([part(image), part(part(image))])
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))


def two_classes(keras):
    layers = keras.layers
    return keras.Sequential([keras.Input(SIDE), layers.Conv2D(4, 3),
                             layers.Flatten(),
                             layers.Dense(1, activation="sigmoid")])


MODELS = [nested, stacked, first_shape, twice, two_classes]


@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_model_of_models_answers_as_in_keras(room, make, library, ending):
    if (make, library, ending) == (nested, "keras2", ".h5"):
        pytest.skip("Keras 2 itself cannot save two layers of one name")
    compare(room, make(LIBRARIES[library]), ending)


def small(keras, *, classes=3):
    layers = keras.layers
    image = keras.Input(SIDE)
    x = layers.Conv2D(4, 3, name="spread")(image)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(6, name="first")(x)
    x = layers.Dense(5, name="second")(x)
    return keras.Model(image, layers.Dense(classes, name="last")(x))


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_embedding_is_the_layer_that_is_named(room, library):
    model = small(LIBRARIES[library])
    imported = compare(room, model, ".keras", "--embedding", "first")
    images = imported.images(random(7))
    near(imported.run(images)[1], answers(model, images, "first")[1])
    assert imported.metadata["output"]["activation"] == "softmax"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_free_size_is_given_by_a_flag(room, library):
    keras = LIBRARIES[library]
    layers = keras.layers
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    model = keras.Model(image, layers.Dense(2)(
        layers.GlobalMaxPooling2D()(x)))
    imported = compare(room, model, ".h5", "--input-size", 21)
    assert imported.input.shape[1:] == [21, 21, 3]


def with_lambda(keras):
    image = keras.Input(SIDE)
    x = keras.layers.Lambda(lambda x: x * 2, name="twice")(image)
    return keras.Model(image, keras.layers.Flatten()(x))


def with_attention(keras):
    image = keras.Input(SIDE)
    x = keras.layers.Reshape((99, 3))(image)
    x = keras.layers.LSTM(4, name="memory")(x)
    return keras.Model(image, x)


def with_two_outputs(keras):
    image = keras.Input(SIDE)
    x = keras.layers.Flatten()(image)
    return keras.Model(image, [keras.layers.Dense(2)(x),
                               keras.layers.Dense(3)(x)])


def with_two_inputs(keras):
    a, b = keras.Input(SIDE), keras.Input(SIDE)
    x = keras.layers.Flatten()(keras.layers.Add()([a, b]))
    return keras.Model([a, b], keras.layers.Dense(2)(x))


def grey(keras):
    image = keras.Input((28, 28, 1))
    return keras.Model(image, keras.layers.Flatten()(image))


def many_rows(keras):
    image = keras.Input(SIDE)
    return keras.Model(image, keras.layers.Conv2D(2, 3)(image))


REFUSED = [(with_lambda, ("twice", "Lambda", "Python")),
           (with_attention, ("memory", "LSTM", '"units": 4')),
           (with_two_outputs, ("2 outputs",)),
           (with_two_inputs, ("2 inputs",)),
           (grey, ("1 channels",)),
           (many_rows, ("one row of scores",))]


@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("make, words", REFUSED,
                         ids=[make.__name__ for make, _ in REFUSED])
def test_what_cannot_be_read_is_refused_by_name(room, make, words, library,
                                                ending):
    path = room.work / f"model{ending}"
    make(LIBRARIES[library]).save(path)
    done = room.run("model", "import", path, "--out", room.work / "out")
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr
    assert sorted(p.name for p in room.work.iterdir()) == [path.name]


def test_weights_alone_are_refused(room):
    path = room.work / "only.weights.h5"
    small(LIBRARIES["keras3"]).save_weights(path)
    done = room.run("model", "import", path)
    assert done.returncode == 1
    assert "weights only" in done.stderr


def test_a_saved_model_folder_is_refused(room):
    path = room.work / "saved"
    small(LIBRARIES["keras3"]).export(path)
    done = room.run("model", "import", path)
    assert done.returncode == 1
    assert "SavedModel" in done.stderr


def test_a_folder_that_is_there_stays_as_it_is(room):
    path = room.work / "model.keras"
    small(LIBRARIES["keras3"]).save(path)
    out = room.work / "out"
    out.mkdir()
    done = room.run("model", "import", path, "--out", out)
    assert done.returncode == 1
    assert "there already" in done.stderr
    assert not any(out.iterdir())
