"""Models to measure a server with: the weights are random, the work is real.

    version_dir = export("cnn", "/tmp/models")

Each classifies MNIST images with a default classification signature, so that
mnist_inference serves it. The same seed gives the same model.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from tensorflow_serving.session_bundle import exporter

# Names that export() takes.
NAMES = ("softmax", "cnn")

_SIDE_PIXELS = 28
_NUM_PIXELS = _SIDE_PIXELS**2
_NUM_CLASSES = 10

tf1 = tf.compat.v1


def export(name: str, export_dir: str, seed: int = 0) -> str:
    """Exports version 1 of a model; returns the folder of the version.

    Args:
      name: One of NAMES: "softmax", y = softmax(x w + b); or "cnn", two
        convolutions of 5 x 5 with 32 and 64 channels, each with a pool of
        2 x 2, then 1024 units, then 10.
      export_dir: The folder of the model.
      seed: Decides the weights.

    Raises:
      AlreadyExistsError: There is a version 1.
    """
    build = {"softmax": _softmax, "cnn": _cnn}[name]
    tf1.logging.set_verbosity(tf1.logging.ERROR)
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, _NUM_PIXELS], name="x")
        y = tf.nn.softmax(build(x, np.random.default_rng(seed)), name="y")
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(
            sharded=True, write_version=tf1.train.SaverDef.V1
        )
        model_exporter = exporter.Exporter(saver)
        model_exporter.init(
            default_graph_signature=exporter.classification_signature(
                input_tensor=x, scores_tensor=y
            )
        )
        return model_exporter.export(export_dir, tf.constant(1), session)


def _softmax(x: tf.Tensor, rng: np.random.Generator) -> tf.Tensor:
    return _dense(x, "softmax", _NUM_CLASSES, rng)


def _cnn(x: tf.Tensor, rng: np.random.Generator) -> tf.Tensor:
    # Around 0, as otherwise the answers are alike for all images.
    layer = tf.reshape(x - 0.5, [-1, _SIDE_PIXELS, _SIDE_PIXELS, 1])
    layer = _convolution(layer, "conv1", 32, rng)
    layer = _convolution(layer, "conv2", 64, rng)
    num_values = (_SIDE_PIXELS // 4) ** 2 * 64
    layer = tf.reshape(layer, [-1, num_values])
    layer = tf.nn.relu(_dense(layer, "hidden", 1024, rng))
    return _dense(layer, "logits", _NUM_CLASSES, rng)


def _convolution(
    images: tf.Tensor, name: str, num_channels: int, rng: np.random.Generator
) -> tf.Tensor:
    shape = [5, 5, int(images.shape[3]), num_channels]
    weights = _variable(f"{name}/w", shape, rng)
    bias = _variable(f"{name}/b", [num_channels], rng)
    outputs = tf.nn.relu(tf.nn.conv2d(images, weights, 1, "SAME") + bias)
    return tf.nn.max_pool2d(outputs, 2, 2, "SAME")


def _dense(
    values: tf.Tensor, name: str, num_units: int, rng: np.random.Generator
) -> tf.Tensor:
    shape = [int(values.shape[1]), num_units]
    weights = _variable(f"{name}/w", shape, rng)
    return tf.matmul(values, weights) + _variable(f"{name}/b", [num_units], rng)


def _variable(name: str, shape: list[int], rng: np.random.Generator) -> Any:
    """Returns a variable that keeps the variance of a layer with ReLU."""
    num_inputs = np.prod(shape[:-1]) if len(shape) > 1 else 100
    values = rng.normal(0.0, np.sqrt(2.0 / num_inputs), shape)
    # Resource variables, as the fastest executor takes no others.
    return tf1.get_variable(
        name, initializer=values.astype(np.float32), use_resource=True
    )
