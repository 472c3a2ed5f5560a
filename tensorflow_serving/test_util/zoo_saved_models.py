"""Writes the SavedModels of model_zoo."""

import os
from typing import Final

import tensorflow as tf

from tensorflow_serving.test_util import model_zoo

tf1 = tf.compat.v1

_NUM_FEATURES: Final = model_zoo.WEIGHTS.shape[0]
_FEATURES: Final = tf.TensorSpec([None, _NUM_FEATURES], tf.float32, "x")


def write(folder: str) -> None:
    """Writes each SavedModel to a folder of its name below this one."""
    keras = _keras()
    keras.export(_version(folder, "keras_export"), verbose=False)
    tf.saved_model.save(keras, _version(folder, "keras_save"))
    _keras_lstm().export(_version(folder, "keras_lstm"), verbose=False)
    module = _Module()
    tf.saved_model.save(module, _version(folder, "module_without_signatures"))
    for name, function in (
        ("module", module.predict),
        ("jit_compiled", module.compiled),
        ("no_inputs", module.totals),
        ("ragged", module.sums),
        ("while", module.powers),
    ):
        tf.saved_model.save(module, _version(folder, name), function)
    tf.saved_model.save(
        module,
        _version(folder, "signatures_with_effects"),
        {
            "serving_default": module.predict,
            "reset": module.reset,
            "save": module.save,
            "train": module.train,
        },
    )
    _simple_save(_version(folder, "simple_save"))


def _version(folder: str, name: str) -> str:
    return os.path.join(folder, name, "00000001")


class _Module(tf.Module):  # type: ignore[misc]
    """Functions that become signatures."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(model_zoo.WEIGHTS)

    @tf.function(input_signature=[_FEATURES])
    def predict(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, self.weights)}

    @tf.function(input_signature=[_FEATURES], jit_compile=True)
    def compiled(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, self.weights)}

    @tf.function(
        input_signature=[tf.RaggedTensorSpec([None, None], tf.float32)]
    )
    def sums(self, x: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        return {"y": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[])
    def totals(self) -> dict[str, tf.Tensor]:
        return {"output_0": tf.reduce_sum(self.weights, axis=0)}

    @tf.function(input_signature=[_FEATURES])
    def powers(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        for _ in tf.range(3):
            x = x * 2.0
        return {"y": tf.matmul(x, self.weights)}

    @tf.function(input_signature=[_FEATURES])
    def train(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        self.weights.assign_add(tf.ones_like(self.weights))
        return {"loss": tf.reduce_sum(x)}

    @tf.function(input_signature=[_FEATURES])
    def reset(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        self.weights.assign(tf.zeros_like(self.weights))
        return {"x": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, "path")])
    def save(self, path: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.io.write_file(path, "saved")
        return {"path": tf.identity(path)}


def _keras() -> tf.keras.Model:
    x = tf.keras.layers.Input((_NUM_FEATURES,), name="x")
    layer = tf.keras.layers.Dense(model_zoo.WEIGHTS.shape[1], use_bias=False)
    model = tf.keras.Model(x, layer(x))
    layer.set_weights([model_zoo.WEIGHTS])
    return model


def _keras_lstm() -> tf.keras.Model:
    """All weights are 0, and so is the output."""
    x = tf.keras.layers.Input((2, _NUM_FEATURES), name="x")
    layer = tf.keras.layers.LSTM(
        2, kernel_initializer="zeros", recurrent_initializer="zeros"
    )
    return tf.keras.Model(x, layer(x))


def _simple_save(path: str) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, _NUM_FEATURES])
        y = tf.matmul(x, tf1.get_variable("w", initializer=model_zoo.WEIGHTS))
        session.run(tf1.global_variables_initializer())
        tf1.saved_model.simple_save(session, path, {"x": x}, {"y": y})
