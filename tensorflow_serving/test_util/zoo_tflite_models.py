"""Writes the TFLite models of model_zoo."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf

from tensorflow_serving.test_util import model_zoo, tflite_models

_NUM_FEATURES: Final = model_zoo.WEIGHTS.shape[0]
_Tensors = Mapping[str, tf.Tensor]


def write(folder: str) -> None:
    """Writes each model to a folder of its name below this one."""
    for name, content in (
        ("tflite", _with_two_signatures()),
        ("tflite_quantized", _quantized()),
        (
            "tflite_table",
            _converted(_Table().find, key=_spec([None], "string")),
        ),
        ("tflite_of_tensorflow_1", tflite_models.half_plus(2)),
        ("tflite_recurrent", tflite_models.recurrent()),
    ):
        _write(folder, name, content)
    for name, content in (*_served(), *_refused()):
        _write(folder, f"tflite_{name}", content)
    for dtype in (*model_zoo.DTYPES, "bfloat16"):
        content = _converted(
            lambda x: {"y": tf.reshape(x, [-1, 2])}, x=_spec([None, 2], dtype)
        )
        _write(folder, f"tflite_dtype_{dtype}", content)


def _served() -> Iterator[tuple[str, bytes]]:
    """Yields models that are served, with their names."""
    rows = _spec([None, _NUM_FEATURES])
    yield "while", _converted(_powers, x=rows)
    yield (
        "strings",
        _converted(
            lambda text: {"joined": tf.reshape(text, [-1, 1])},
            text=_spec([None], "string"),
        ),
    )
    yield (
        "two_inputs",
        _converted(
            lambda x, scale: {"y": tf.matmul(x, model_zoo.WEIGHTS) * scale},
            x=rows,
            scale=_spec([None, 1]),
        ),
    )
    yield (
        "rows_of_any_shape",
        _converted(
            lambda x: {"y": tf.reduce_sum(x, axis=1)}, x=_spec([None, None])
        ),
    )
    yield "unknown_rank", _converted(lambda x: {"y": 2 * x}, x=_spec(None))
    yield "one_row", _converted(_centered, x=_spec([1, _NUM_FEATURES]))
    yield "coupled_rows", _converted(_centered, x=rows)
    yield (
        "scalar_output",
        _converted(lambda x: {"y": tf.reduce_sum(x)}, x=rows),
    )


def _refused() -> Iterator[tuple[str, bytes]]:
    """Yields models that are not served, with their names."""
    yield (
        "select_operators",
        _converted(
            lambda x: {"y": tf.linalg.det(x)},
            {
                "target_spec.supported_ops": [
                    tf.lite.OpsSet.TFLITE_BUILTINS,
                    tf.lite.OpsSet.SELECT_TF_OPS,
                ]
            },
            x=_spec([None, 2, 2]),
        ),
    )
    yield (
        "custom_operator",
        _converted(
            _parsed,
            {"allow_custom_ops": True},
            examples=_spec([None], "string"),
        ),
    )
    yield (
        "counter",
        _converted(
            _Counter().count,
            {"experimental_enable_resource_variables": True},
            x=_spec([]),
        ),
    )
    yield (
        "trusted_operand",
        _converted(
            lambda x, sizes: {"y": tf.reverse_sequence(x, sizes, seq_axis=1)},
            x=_spec([None, _NUM_FEATURES]),
            sizes=_spec([None], "int32"),
        ),
    )


def _spec(
    shape: list[int | None] | None, dtype: str = "float32"
) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.dtypes.as_dtype(dtype))


def _write(folder: str, name: str, content: bytes) -> None:
    path = os.path.join(folder, name, "00000001")
    os.makedirs(path)
    with open(os.path.join(path, "model.tflite"), "wb") as file:
        file.write(content)


def _converted(
    function: Callable[..., _Tensors],
    options: Mapping[str, Any] | None = None,
    **specs: tf.TensorSpec,
) -> bytes:
    """Returns a model of a function, which takes inputs of these names."""
    module = tf.Module()
    # Keeps what belongs to a method.
    module.owner = getattr(function, "__self__", None)
    concrete = tf.function(function).get_concrete_function(**specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], module
    )
    for name, value in (options or {}).items():
        owner, _, attribute = name.rpartition(".")
        setattr(
            getattr(converter, owner) if owner else converter, attribute, value
        )
    return bytes(converter.convert())


def _with_two_signatures() -> bytes:
    """Returns a model whose default signature is that of its second graph."""
    module = tf.Module()
    module.weights = tf.Variable(model_zoo.WEIGHTS)
    x = _spec([None, _NUM_FEATURES])
    signatures = {
        "serving_default": tf.function(
            lambda x: {"y": tf.matmul(x, module.weights)}
        ).get_concrete_function(x=x),
        "double": tf.function(lambda x: {"y": 2 * x}).get_concrete_function(
            x=x
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        return bytes(converter.convert())


def _quantized() -> bytes:
    """Returns a model of integers that stand for themselves."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [
            tf.function(lambda x: {"y": tf.nn.relu(x)}).get_concrete_function(
                x=_spec([None, 2])
            )
        ],
        tf.Module(),
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [
        [np.array([[0, 255]], np.float32)]
    ]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


class _Table(tf.Module):  # type: ignore[misc]
    """A table of texts."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(model_zoo.LINES),
                tf.range(len(model_zoo.LINES), dtype=tf.int64),
            ),
            -1,
        )

    def find(self, key: tf.Tensor) -> _Tensors:
        return {"number": self.table.lookup(key)}


class _Counter(tf.Module):  # type: ignore[misc]
    """A sum of all that it ever got."""

    def __init__(self) -> None:
        super().__init__()
        self.total = tf.Variable(0.0)

    def count(self, x: tf.Tensor) -> _Tensors:
        return {"y": self.total.assign_add(x)}


def _powers(x: tf.Tensor) -> _Tensors:
    def double(count: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return count + 1, 2 * x

    _, x = tf.while_loop(lambda count, x: count < 3, double, (0, x))
    return {"y": tf.matmul(x, model_zoo.WEIGHTS)}


def _centered(x: tf.Tensor) -> _Tensors:
    return {"y": x - tf.reduce_mean(x)}


def _parsed(examples: tf.Tensor) -> _Tensors:
    features = {"x": tf.io.FixedLenFeature([_NUM_FEATURES], tf.float32)}
    return {"y": tf.io.parse_example(examples, features)["x"]}
