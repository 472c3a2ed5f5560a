r"""Tests for json_responses.

The expected bytes are those that TensorFlow Serving writes.
"""

import json
from typing import Any

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_serving.apis import (
    classification_pb2,
    json_responses,
    json_tensors,
    regression_pb2,
)
from tensorflow_serving.util import errors

_ROW = json_tensors.Format.ROW
_COLUMNAR = json_tensors.Format.COLUMNAR
_ROWS = '{\n    "predictions": %s\n    ]\n}'


def _array(dtype: Any, values: Any) -> Any:
    return np.array(values, dtype)


def _texts(*values: bytes) -> Any:
    array = np.empty([len(values)], object)
    array[:] = values
    return array


def _predictions(form: json_tensors.Format, **outputs: Any) -> str:
    return json_responses.predictions(outputs, form).decode()


class JsonResponsesTest(parameterized.TestCase):
    """Bodies of responses."""

    @parameterized.named_parameters(
        ("values", _array(np.float32, [3.5, 4, 5.5]), "[3.5, 4.0, 5.5"),
        (
            "lists",
            _array(np.float32, [[1, 2], [3, 4]]),
            "[[1.0, 2.0], [3.0, 4.0]",
        ),
        ("deep", _array(np.int32, [[[1], [2]]]), "[[[1], [2]]"),
        ("empty_lists", np.zeros([2, 0]), "[[], []"),
        ("texts", _texts(b"a", "é".encode()), '["a", "é"'),
    )
    def test_rows_of_one_output_are_on_one_line(
        self, output: Any, expected: str
    ) -> None:
        """The only output has no name, and its rows no lines of their own."""
        self.assertEqual(_predictions(_ROW, y=output), _ROWS % expected)

    def test_rows_of_several_outputs_are_objects(self) -> None:
        """Each row is an object with the outputs by their names."""
        self.assertEqual(
            _predictions(
                _ROW,
                b=_array(np.int64, [1, 2]),
                a=_array(np.int64, [[3, 4], [5, 6]]),
            ),
            "{\n"
            '    "predictions": [\n'
            "        {\n"
            '            "a": [3, 4],\n'
            '            "b": 1\n'
            "        },\n"
            "        {\n"
            '            "a": [5, 6],\n'
            '            "b": 2\n'
            "        }\n"
            "    ]\n"
            "}",
        )

    def test_no_rows_are_an_empty_list(self) -> None:
        """A batch of size 0 has an answer too."""
        expected = '{\n    "predictions": []\n}'
        none = np.zeros([0, 2])
        self.assertEqual(_predictions(_ROW, y=none), expected)
        self.assertEqual(_predictions(_ROW, y=none, z=none), expected)

    @parameterized.named_parameters(
        ("scalar", np.float32(0.5), "0.5"),
        ("list", _array(np.int32, [1, 2]), "[\n        1,\n        2\n    ]"),
        ("empty", _array(np.int32, []), "[]"),
        (
            "lists",
            _array(np.int32, [[1], [2]]),
            "[\n        [\n            1\n        ],\n"
            "        [\n            2\n        ]\n    ]",
        ),
    )
    def test_columns_have_a_line_for_each_value(
        self, output: Any, expected: str
    ) -> None:
        """The only output has no name."""
        self.assertEqual(
            _predictions(_COLUMNAR, y=np.asarray(output)),
            f'{{\n    "outputs": {expected}\n}}',
        )

    def test_several_columns_have_names(self) -> None:
        """Outputs of any shapes stand beside one another."""
        self.assertEqual(
            _predictions(_COLUMNAR, b=np.array(True), a=_array(np.int32, [1])),
            '{\n    "outputs": {\n        "a": [\n            1\n        ],\n'
            '        "b": true\n    }\n}',
        )

    @parameterized.named_parameters(
        ("whole", 4.0, "4.0", "4.0"),
        ("negative_zero", -0.0, "-0.0", "-0.0"),
        ("short", 0.1, "0.1", "0.1"),
        ("six_digits", 0.123456, "0.123456", "0.123456"),
        ("more", 0.1234567, "0.123456702", "0.1234567"),
        ("large", 9e6, "9e+06", "9e+06"),
        ("large_and_exact", 123456789.0, "123456792.0", "123456789.0"),
        ("small", 3e-5, "3e-05", "3e-05"),
        ("third", 1 / 3, "0.333333343", "0.33333333333333331"),
        ("not_a_number", np.nan, "NaN", "NaN"),
        ("infinity", np.inf, "Infinity", "Infinity"),
        ("minus_infinity", -np.inf, "-Infinity", "-Infinity"),
    )
    def test_float_has_as_many_digits_as_it_needs(
        self, value: float, as_float: str, as_double: str
    ) -> None:
        """Six digits are tried first, then all that the type can need."""
        for dtype, expected in (
            (np.float32, as_float),
            (np.float64, as_double),
        ):
            self.assertEqual(
                _predictions(_ROW, y=np.array([value], dtype)),
                _ROWS % f"[{expected}",
            )

    @parameterized.parameters(np.float16, ml_dtypes.bfloat16)
    def test_short_floats_are_written_as_float32(self, dtype: Any) -> None:
        """Every value of the short types is one of float32."""
        self.assertEqual(
            _predictions(_ROW, y=np.array([0.5, 3], dtype)), _ROWS % "[0.5, 3.0"
        )

    @parameterized.named_parameters(
        ("int64", _array(np.int64, [-(1 << 63)]), "[-9223372036854775808"),
        ("uint64", _array(np.uint64, [(1 << 64) - 1]), "[18446744073709551615"),
        ("int8", _array(np.int8, [-128]), "[-128"),
        ("uint16", _array(np.uint16, [65535]), "[65535"),
        ("bool", np.array([True, False]), "[true, false"),
        ("quote", _texts(b'"\\/'), '["\\"\\\\/"'),
        ("control", _texts(b"\n\x1f\x7f"), '["\\n\\u001F\x7f"'),
        ("backslash_u", _texts(b"\\u00ff"), '["\\\\u00ff"'),
    )
    def test_value_is_written_as_json(self, output: Any, expected: str) -> None:
        """Whole numbers are exact, and strings have the original's escapes."""
        self.assertEqual(_predictions(_ROW, y=output), _ROWS % expected)

    def test_bytes_are_base64(self) -> None:
        """A name that ends in _bytes says so, or bytes that are no text."""
        expected = _ROWS % '[{\n            "b64": "%s"\n        }'
        self.assertEqual(
            _predictions(_ROW, y_bytes=_texts(b"a")), expected % "YQ=="
        )
        self.assertEqual(
            _predictions(_ROW, y=_texts(b"\xff")), expected % "/w=="
        )

    @parameterized.named_parameters(
        (
            "scalar",
            {"x": np.zeros([2]), "y": np.array(1.0)},
            "Tensor name: y has no shape information",
        ),
        (
            "other_rows",
            {"y": np.zeros([2]), "z": np.zeros([3])},
            "Tensor name: z has inconsistent batch size: 3 expecting: 2",
        ),
        (
            "no_rows",
            {"y": np.zeros([0]), "z": np.zeros([1])},
            "Tensor name: z has inconsistent batch size: 1 expecting: 0",
        ),
    )
    def test_rows_need_outputs_that_have_them(
        self, outputs: Any, error: str
    ) -> None:
        """The error says how to ask for such outputs."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"{error}; ask with 'inputs' instead"
        ):
            _predictions(
                _ROW,
                **{name: np.asarray(each) for name, each in outputs.items()},
            )

    def test_type_without_a_form_is_unimplemented(self) -> None:
        """Complex numbers have no form in JSON."""
        with self.assertRaisesRegex(
            errors.UnimplementedError, "tensor type: complex64 of output y"
        ):
            _predictions(_ROW, y=_array(np.complex64, [1j]))

    def test_classes_have_labels_and_scores(self) -> None:
        """Each example has a list of pairs, perhaps an empty one."""
        response = classification_pb2.ClassificationResponse()
        classes = response.result.classifications.add().classes
        classes.add(label="a", score=0.5)
        classes.add(score=1)
        response.result.classifications.add()
        self.assertEqual(
            json_responses.classifications(
                response.SerializeToString()
            ).decode(),
            '{\n    "results": [[["a", 0.5], ["", 1.0]], []\n    ]\n}',
        )

    def test_regressions_are_numbers(self) -> None:
        """Each example has a number, all on one line."""
        response = regression_pb2.RegressionResponse()
        response.result.regressions.add(value=2.5)
        response.result.regressions.add(value=0.1)
        self.assertEqual(
            json_responses.regressions(response.SerializeToString()).decode(),
            '{\n    "results": [2.5, 0.1]\n}',
        )

    def test_error_is_a_text(self) -> None:
        """The text of an error may have quotes."""
        self.assertEqual(
            json_responses.error('no "x"').decode(),
            '{\n    "error": "no \\"x\\""\n}',
        )

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.floats(width=32), min_size=1), st.booleans())
    def test_floats_come_back_as_they_were(
        self, values: list[float], is_double: bool
    ) -> None:
        """The text of each number has the number's value."""
        array = np.array(values, np.float64 if is_double else np.float32)
        found = json.loads(_predictions(_ROW, y=array))["predictions"]
        np.testing.assert_array_equal(np.array(found, array.dtype), array)


if __name__ == "__main__":
    absltest.main()
