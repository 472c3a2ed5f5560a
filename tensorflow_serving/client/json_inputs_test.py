"""Tests for json_inputs."""

from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.client import json_inputs
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

_NUMBERS = {data_type.name(number): number for number in range(1, 33)}


def _signature(dtype: str) -> meta_graph_pb2.SignatureDef:
    signature = meta_graph_pb2.SignatureDef()
    signature.inputs["x"].dtype = _NUMBERS[dtype]  # type: ignore[assignment]
    return signature


class JsonInputsTest(parameterized.TestCase):
    """Arrays from JSON, and back."""

    @parameterized.parameters(
        ("float32", "[[1, 2.5]]", [[1.0, 2.5]]),
        ("bfloat16", "[1, 2.5]", [1.0, 2.5]),
        ("int32", "[]", []),
        ("int64", "7", 7),
        ("uint8", "[255]", [255]),
        ("bool", "[true, false]", [True, False]),
        ("string", '["a", ""]', [b"a", b""]),
        ("complex64", "[1]", [1.0]),
    )
    def test_array_has_the_dtype_of_the_signature(
        self, dtype: str, text: str, expected: Any
    ) -> None:
        """Values and shape are those of the lists."""
        array = json_inputs.parse(f'{{"x": {text}}}', _signature(dtype))["x"]
        self.assertEqual(array.dtype, data_type.of_values(_NUMBERS[dtype]))
        self.assertEqual(array.tolist(), expected)

    @parameterized.parameters(
        ("int32", "1.0"),
        ("int32", "true"),
        ("uint8", "[256]"),
        ("uint8", "[-1]"),
        ("float32", '"1"'),
        ("float32", "true"),
        ("float32", "null"),
        ("float32", "[[1], [1, 2]]"),
        ("bool", "[1]"),
        ("string", "1"),
        ("string", '["a", 1]'),
        ("string", '["a", {}]'),
    )
    def test_value_of_another_type_is_invalid(
        self, dtype: str, text: str
    ) -> None:
        """No value is changed to fit."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f'input "x" must be of {dtype}; got'
        ):
            json_inputs.parse(f'{{"x": {text}}}', _signature(dtype))

    @parameterized.parameters(
        ("{", "--json must be JSON; got"),
        ("[1]", r"object with the inputs \['x'\]; got another value"),
        ('{"y": 1}', r"object with the inputs \['x'\]; got \['y'\]"),
    )
    def test_other_text_is_invalid(self, text: str, expected: str) -> None:
        """The error says what is missing."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, expected):
            json_inputs.parse(text, _signature("float32"))

    def test_outputs_are_one_line(self) -> None:
        """Names are sorted, numbers short, and texts readable if they are."""
        texts = np.empty([2], object)
        texts[:] = [b"a", b"\xff"]
        outputs = {
            "f": np.array([[0.1, 2]], np.float32),
            "i": np.array(3),
            "t": texts,
            "c": np.array([1j]),
            "b": np.array([1.5]).astype(data_type.of_values(14)),
        }
        self.assertEqual(
            json_inputs.format_outputs(outputs),
            '{"b": [1.5], "c": ["1j"], "f": [[0.1, 2.0]], "i": 3, '
            '"t": ["a", {"b64": "/w=="}]}',
        )


if __name__ == "__main__":
    absltest.main()
