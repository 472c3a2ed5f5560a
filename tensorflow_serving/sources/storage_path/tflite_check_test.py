"""Tests for tflite_check."""

import io
import math
import struct

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import (
    flatbuffer,
    tflite_check,
    tflite_file,
)
from tensorflow_serving.test_util import tflite_models

_INT8 = tflite_models.TensorType.INT8
_STRING = tflite_models.TensorType.STRING


def _check(content: bytes) -> None:
    tflite_check.require_sound(tflite_file.read(io.BytesIO(content)))


def _quantized(scale: float, zero_point: int) -> bytes:
    """Returns a model of a quantized tensor."""
    quantization = (scale, zero_point)
    return tflite_models.copy(
        tflite_models.Tensor("x", [1], _INT8, quantization=quantization)
    )


def _with_texts(content: bytes) -> bytes:
    """Returns a model with a constant of texts."""
    value = np.frombuffer(content, np.uint8)
    return tflite_models.write(
        [tflite_models.Tensor("x", [2], _STRING, value)], [], [], [0]
    )


class TfliteCheckTest(parameterized.TestCase):
    """Tests of what LiteRT takes on trust."""

    @parameterized.parameters(
        tflite_models.half_plus(2),
        tflite_models.reshape(),
        tflite_models.recurrent(),
        tflite_models.custom("Zap"),
        _quantized(0.5, -128),
        _with_texts(struct.pack("<4i", 2, 16, 17, 19) + b"abc"),
    )
    def test_sound_model_passes(self, content: bytes) -> None:
        """A model as converters write it is sound."""
        _check(content)

    @parameterized.parameters(
        (0.5, -129),
        (0.5, 128),
        (0.5, 1 << 40),
        (-0.5, 0),
        (math.inf, 0),
        (math.nan, 0),
    )
    def test_number_that_a_quantized_tensor_cannot_hold_is_refused(
        self, scale: float, zero_point: int
    ) -> None:
        """LiteRT would make tables of such numbers, past their ends."""
        with self.assertRaisesRegex(flatbuffer.TruncatedError, "must be"):
            _check(_quantized(scale, zero_point))

    @parameterized.parameters(
        b"\2",
        struct.pack("<2i", 2, 16),
        struct.pack("<2i", -1, 8),
        struct.pack("<2i", 1 << 30, 8),
        struct.pack("<4i", 2, 16, 17, 20) + b"abc",
        struct.pack("<4i", 2, 16, 15, 19) + b"abc",
        struct.pack("<4i", 2, -8, 17, 19) + b"abc",
        struct.pack("<4i", 2, 12, 17, 19) + b"abc",
    )
    def test_texts_that_are_not_in_their_list_are_refused(
        self, content: bytes
    ) -> None:
        """LiteRT would read texts from elsewhere in the process."""
        with self.assertRaisesRegex(flatbuffer.TruncatedError, "texts? must"):
            _check(_with_texts(content))

    def test_tensor_without_a_value_is_refused(self) -> None:
        """LiteRT would answer with what happens to be in memory."""
        tensors = [tflite_models.Tensor(name, [1]) for name in "xyz"]
        for operator, output in (((1, 2), 2), ((0, 1), 2)):
            source, target = operator
            content = tflite_models.write(
                tensors,
                [
                    tflite_models.Operator(
                        [source, source],
                        [target],
                        tflite_models.BuiltinOperator.ADD,
                    )
                ],
                [0],
                [output],
            )
            with self.assertRaisesRegex(
                flatbuffer.TruncatedError, "a value before it is used"
            ):
                _check(content)

    def test_operator_may_leave_out_an_input(self) -> None:
        """An input of an operator that is left out has no value."""
        tensors = [tflite_models.Tensor(name, [1]) for name in "xy"]
        operator = tflite_models.Operator([0, -1], [1], "Zap")
        _check(tflite_models.write(tensors, [operator], [0], [1]))


if __name__ == "__main__":
    absltest.main()
