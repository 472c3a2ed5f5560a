"""Tests for json_arrays."""

import json
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import json_arrays, json_document
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.util import errors

_FLOAT = types_pb2.DT_FLOAT
_INT32 = types_pb2.DT_INT32
_STRING = types_pb2.DT_STRING
_NUMBERS = {data_type.name(number): number for number in range(1, 34)}


def _array(values: str, dtype: int) -> Any:
    """Returns the array that a text of JSON is."""
    document = json_document.parse(b'{"x": %b}' % values.encode())
    return json_arrays.array("x", document["x"], dtype)


class JsonArraysTest(parameterized.TestCase):
    """The values of one input."""

    @parameterized.parameters(
        ("float32", "[0.1, -1, 16777215]"),
        ("float64", "[0.1, 1e300, 9007199254740991]"),
        ("float16", "[0.5, 1]"),
        ("bfloat16", "[0.5, 1]"),
        ("int8", "[-128, 127]"),
        ("uint8", "[0, 255]"),
        ("int16", "[-32768, 32767]"),
        ("uint16", "[0, 65535]"),
        ("int32", "[-2147483648, 2147483647]"),
        ("uint32", "[0, 4294967295]"),
        ("int64", "[-9223372036854775808, 9007199254740993]"),
        ("uint64", "[0, 18446744073709551615]"),
        ("bool", "[true, false]"),
    )
    def test_values_of_a_type_are_exact(self, name: str, values: str) -> None:
        """Every type takes its whole range, and int64 beyond 2**53."""
        found = _array(values, _NUMBERS[name])
        self.assertEqual(
            data_type.name(data_type.from_numpy(found.dtype)), name
        )
        self.assertEqual(
            [found.dtype.type(each) for each in json.loads(values)],
            list(found),
        )

    def test_texts_are_strings_and_base64(self) -> None:
        """Strings and base64 may stand beside one another."""
        found = _array('["é", {"b64": "/w=="}]', _STRING)
        self.assertEqual(found.tolist(), ["é".encode(), b"\xff"])
        found = _array('{"b64": "/w=="}', _STRING)
        self.assertEqual(found.tolist(), b"\xff")

    @parameterized.named_parameters(
        ("decimal_for_int", _INT32, "1.0", "a decimal number is not of"),
        ("bool_for_int", _INT32, "true", "a bool is not of .*type: int32"),
        ("bool_for_float", _FLOAT, "true", "a bool is not of .*type: float32"),
        ("string_for_float", _FLOAT, '"1"', "a string is not of expected type"),
        ("null", _FLOAT, "null", "null is not of expected type: float32"),
        ("object", _FLOAT, '[{"b64": ""}]', "an object is not of expected"),
        ("number_for_string", _STRING, "1", "number is not of .*type: string"),
        ("null_for_string", _STRING, "null", "null is not of .*type: string"),
        ("bad_base64", _STRING, '{"b64": "A"}', "not formatted correctly for"),
        ("other_object", _STRING, '{"x": "A"}', "not formatted correctly for"),
        ("number_for_bool", types_pb2.DT_BOOL, "1", "a whole number is not"),
        ("int8_range", types_pb2.DT_INT8, "128", "its range is not .*: int8"),
        ("uint8_range", types_pb2.DT_UINT8, "-1", "its range is not .*: uint8"),
        ("int64_range", types_pb2.DT_INT64, str(1 << 63), "not .*: int64"),
        ("float_range", _FLOAT, "1e39", "float32 without loss of precision"),
        ("float_precision", _FLOAT, "[1, 16777217]", "to float32 without loss"),
        ("double_precision", types_pb2.DT_DOUBLE, str((1 << 53) + 1), "loss"),
        ("half_range", types_pb2.DT_HALF, "65520", "to float16 without loss"),
        ("bfloat16_range", types_pb2.DT_BFLOAT16, "3.4e38", "to bfloat16"),
        ("ragged", _FLOAT, "[[1, 2], [3]]", "tensor size: 2 but got: 1"),
        ("beside_lists", _FLOAT, "[[1], 2]", r"shape \[1\] but got: \[\]"),
        ("lists_beside", _FLOAT, "[1, [2]]", r"shape \[\] but got: \[1\]"),
        ("inside", _FLOAT, "[[[1]], [[2, 3]]]", "tensor size: 1 but got: 2"),
        ("first", _FLOAT, "[[[1], 2], [[3], 4]]", "something else at depth 2"),
        ("deep", _FLOAT, "[" * 65 + "]" * 65, "at most 64 dimensions"),
    )
    def test_value_of_another_kind_is_refused(
        self, dtype: int, values: str, error: str
    ) -> None:
        """A value that would have to be changed is the fault of the caller."""
        with self.assertRaisesRegex(
            json_arrays.ItemError, f"^input x.*{error}"
        ):
            _array(values, dtype)

    @parameterized.parameters("DT_COMPLEX64", "DT_QINT8", "DT_FLOAT8_E5M2")
    def test_type_without_a_form_is_unimplemented(self, name: str) -> None:
        """Clients of such models use gRPC."""
        with self.assertRaisesRegex(
            errors.UnimplementedError, "a dtype that JSON can express; got"
        ):
            _array("[1]", types_pb2.DataType.Value(name))

    def test_error_has_no_value_of_the_request(self) -> None:
        """Error texts go to logs, where data of callers must not be."""
        with self.assertRaises(errors.InvalidArgumentError) as raised:
            _array('["secret"]', _FLOAT)
        self.assertNotIn("secret", str(raised.exception))

    @parameterized.named_parameters(
        ("value", '[1, 2, "a"]', 2),
        ("deep_value", "[[[1], [2]], [[3], [null]]]", 1),
        ("range", "[[1, 1], [1, 1e39]]", 1),
        ("size", "[[1], [1], [1, 2]]", 2),
        ("scalar", '"a"', 0),
    )
    def test_error_has_the_row(self, values: str, row: int) -> None:
        """The first dimension is that of the rows."""
        with self.assertRaises(json_arrays.ItemError) as raised:
            _array(values, _FLOAT)
        self.assertEqual(raised.exception.row, row)

    @parameterized.parameters(
        ("1.5", '"a"', _FLOAT),
        ("1", "1e39", _FLOAT),
        ("0.5", "16777217", _FLOAT),
        ("1", "128", types_pb2.DT_INT8),
        ("[1]", "[1, 2]", _FLOAT),
        ("[1]", "1", _FLOAT),
        ('"a"', '{"b64": "A"}', _STRING),
    )
    def test_error_has_the_row_wherever_it_is(
        self, value: str, bad: str, dtype: int
    ) -> None:
        """A bad value is found among good ones, and before other bad ones."""
        for row in range(1, 9):
            rows = [value] * row + [bad] + [value] * (9 - row) + [bad]
            with self.assertRaises(json_arrays.ItemError) as raised:
                _array(f"[{','.join(rows)}]", dtype)
            self.assertEqual(raised.exception.row, row)

    def test_short_floats_are_rounded(self) -> None:
        """A number that they do not have becomes the nearest that they have."""
        found = _array("[0.1, 65519, -Infinity, 1e-9]", types_pb2.DT_HALF)
        expected = np.array([0.1, 65504, -np.inf, 0], np.float16)
        self.assertEqual(found.tobytes(), expected.tobytes())


if __name__ == "__main__":
    absltest.main()
