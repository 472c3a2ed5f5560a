"""Models to measure a server with: the weights are random, the work is real.

    version_dir = export("cnn", "/tmp/models")
    with ReferenceModel(version_dir) as model:
        work = workload.classify(model.scored_images())

All but one classify MNIST images with a default classification signature, so
that mnist_inference serves them. The same seed gives the same model.
"""

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import tensorflow as tf
from typing_extensions import Self

from tensorflow_serving.benchmarks import workload
from tensorflow_serving.servables.tensorflow import saved_model
from tensorflow_serving.session_bundle import (
    exporter,
    session_bundle,
    signature,
)

# Names that export() takes.
NAMES = ("softmax", "cnn")

_SIDE_PIXELS = 28
_NUM_PIXELS = _SIDE_PIXELS**2
_NUM_CLASSES = 10
_NUM_IMAGES = 100

tf1 = tf.compat.v1


# From images, float32 [batch, 784], to logits, float32 [batch, 10].
_Build = Callable[[tf.Tensor], tf.Tensor]


def export(name: str, export_dir: str, seed: int = 0) -> str:
    """Exports version 1 of a model; returns its folder.

    Args:
      name: One of NAMES: "softmax", y = softmax(x w + b); or "cnn", two
        convolutions of 5 x 5 with 32 and 64 channels, each with a pool of
        2 x 2, then 1024 units, then 10.
      export_dir: The folder of the model.
      seed: Decides the weights.
    """
    build = {"softmax": _softmax, "cnn": _cnn}[name]
    return _export(build, export_dir, seed)


def export_large(export_dir: str, megabytes: int) -> str:
    """Exports a model with one hidden layer; like export().

    Args:
      export_dir: The folder of the model.
      megabytes: How much its variables take. Decides the number of units.
    """
    bytes_per_unit = 4 * (_NUM_PIXELS + 1 + _NUM_CLASSES)
    num_units = megabytes * 10**6 // bytes_per_unit
    return _export(
        functools.partial(_hidden_layer, num_units=num_units), export_dir, 0
    )


def export_resnet(export_dir: str, image_side: int) -> str:
    """Exports a ResNet-50 as a SavedModel; returns the folder of version 1.

    Its one signature maps images, float32 [batch, side, side, 3], to the scores
    of 1,000 classes.

    Args:
      export_dir: The folder of the model.
      image_side: The height and width of images.
    """
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.applications.ResNet50(
        weights=None, input_shape=(image_side, image_side, 3)
    )
    # Not model.export(), which writes each variable twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    images = tf.TensorSpec([None, image_side, image_side, 3], name="inputs")
    path = os.path.join(export_dir, "1")
    tf.saved_model.save(
        module,
        path,
        tf.function(
            lambda inputs: {"scores": model(inputs)}, [images]
        ).get_concrete_function(),
    )
    return path


class ReferenceModel:
    """The session of a model, without a server: right answers, and the limit.

    A context manager that closes the session. Not thread-safe.
    """

    def __init__(self, version_dir: str) -> None:
        """Loads an export or a SavedModel."""
        self._bundle: session_bundle.SessionBundle[Any]
        if os.path.exists(os.path.join(version_dir, "saved_model.pb")):
            self._bundle = saved_model.load_saved_model_from_path(version_dir)
            default = self._bundle.meta_graph_def.signature_def[
                "serving_default"
            ]
            self._input = default.inputs["inputs"].name
            self._output = default.outputs["scores"].name
        else:
            self._bundle = session_bundle.load_session_bundle_from_path(
                version_dir
            )
            classification = signature.get_classification_signature(
                self._bundle.meta_graph_def
            )
            self._input = classification.input.tensor_name
            self._output = classification.scores.tensor_name

    def scores(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns scores, float32 [batch, classes], of images [batch, ...]."""
        scores: npt.NDArray[Any] = self._bundle.session.run(
            self._output, {self._input: images}
        )
        return scores

    def scored_images(self) -> workload.ScoredImages:
        """Returns a hundred images of noise, of MNIST's size, with scores."""
        images = workload.random_images(_NUM_IMAGES, seed=0)
        return workload.ScoredImages(images, self.scores(images))

    def images_per_second(
        self, images: npt.NDArray[Any], seconds: float
    ) -> float:
        """Returns the throughput of session.run, in a batch of these images.

        Args:
          images: The batch.
          seconds: How long to run it.
        """
        self.scores(images)  # TensorFlow prepares itself for the shape
        num_runs = 0
        start = now = time.monotonic()
        while now - start < seconds:
            self.scores(images)
            num_runs += 1
            now = time.monotonic()
        return num_runs * len(images) / (now - start)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the session."""
        self._bundle.close()


def _export(build: _Build, export_dir: str, seed: int) -> str:
    tf1.logging.set_verbosity(tf1.logging.ERROR)
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(seed)
        x = tf1.placeholder(tf.float32, [None, _NUM_PIXELS], name="x")
        y = tf.nn.softmax(build(x), name="y")
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


def _softmax(x: tf.Tensor) -> tf.Tensor:
    return _dense(x, "softmax", _NUM_CLASSES)


def _cnn(x: tf.Tensor) -> tf.Tensor:
    # Around 0, as otherwise the answers are alike for all images.
    layer = tf.reshape(x - 0.5, [-1, _SIDE_PIXELS, _SIDE_PIXELS, 1])
    layer = _convolution(layer, "conv1", 32)
    layer = _convolution(layer, "conv2", 64)
    num_values = (_SIDE_PIXELS // 4) ** 2 * 64
    return _hidden_layer(tf.reshape(layer, [-1, num_values]), 1024)


def _hidden_layer(x: tf.Tensor, num_units: int) -> tf.Tensor:
    layer = tf.nn.relu(_dense(x, "hidden", num_units))
    return _dense(layer, "logits", _NUM_CLASSES)


def _convolution(images: tf.Tensor, name: str, num_channels: int) -> tf.Tensor:
    filters = _variable(f"{name}/w", [5, 5, int(images.shape[3]), num_channels])
    bias = _variable(f"{name}/b", [num_channels])
    outputs = tf.nn.relu(tf.nn.conv2d(images, filters, 1, "SAME") + bias)
    return tf.nn.max_pool2d(outputs, 2, 2, "SAME")


def _dense(values: tf.Tensor, name: str, num_units: int) -> tf.Tensor:
    matrix = _variable(f"{name}/w", [int(values.shape[1]), num_units])
    return tf.matmul(values, matrix) + _variable(f"{name}/b", [num_units])


def _variable(name: str, shape: list[int]) -> Any:
    """Returns a variable with random values that keep the variance, with ReLU.

    The graph does not hold them: a message of protobuf has 2 GB at most.
    """
    return tf1.get_variable(
        name,
        shape,
        tf.float32,
        initializer=tf1.variance_scaling_initializer(scale=2.0),
        # Resource variables, as the fastest executor takes no others.
        use_resource=True,
    )
