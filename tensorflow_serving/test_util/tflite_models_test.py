"""Tests for tflite_models."""

from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest
from ai_edge_litert import interpreter

from tensorflow_serving.test_util import tflite_models


def _run(content: bytes, *inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the output of a model as LiteRT itself computes it."""
    opened = interpreter.Interpreter(model_content=content)
    details = opened.get_input_details()
    for detail, value in zip(details, inputs, strict=True):
        opened.resize_tensor_input(detail["index"], value.shape)
    opened.allocate_tensors()
    for detail, value in zip(details, inputs, strict=True):
        opened.set_tensor(detail["index"], value)
    opened.invoke()
    (output,) = opened.get_output_details()
    found: npt.NDArray[Any] = opened.get_tensor(output["index"])
    return found


class TfliteModelsTest(absltest.TestCase):
    """Models are what they say."""

    def test_half_plus_two_computes(self) -> None:
        """LiteRT computes half plus two, for any number of rows."""
        x = np.array([[1], [5]], np.float32)
        np.testing.assert_array_equal(
            _run(tflite_models.half_plus(2), x), x / 2 + 2
        )

    def test_list_gets_another_shape(self) -> None:
        """LiteRT gives texts of any bytes the shape that is wanted."""
        texts = np.array([b"a\0", b"", b"\xff", b"d"], object)
        np.testing.assert_array_equal(
            _run(tflite_models.reshape(), texts, np.array([2, 2], np.int32)),
            texts.reshape(2, 2),
        )

    def test_copy_has_the_values_of_its_input(self) -> None:
        """LiteRT copies the input to a column."""
        tensor = tflite_models.Tensor("x", [1], tflite_models.TensorType.INT8)
        x = np.array([1, -2], np.int8)
        np.testing.assert_array_equal(
            _run(tflite_models.copy(tensor), x), x.reshape(2, 1)
        )

    def test_recurrent_model_begins_with_nothing(self) -> None:
        """The state of a model that keeps one is zero at first."""
        x = np.ones([1, 1], np.float32)
        np.testing.assert_array_equal(_run(tflite_models.recurrent(), x), x)

    def test_custom_operator_is_unknown(self) -> None:
        """LiteRT does not know the operator, and names it."""
        with self.assertRaisesRegex(RuntimeError, "Zap"):
            _run(tflite_models.custom("Zap"), np.ones([1], np.float32))


if __name__ == "__main__":
    absltest.main()
