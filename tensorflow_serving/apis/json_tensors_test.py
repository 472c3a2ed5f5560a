"""Tests for json_tensors."""

import json
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import json_document, json_tensors
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.util import errors

_ROW = json_tensors.Format.ROW
_COLUMNAR = json_tensors.Format.COLUMNAR
_FLOAT = types_pb2.DT_FLOAT
_NUMBERS = {data_type.name(number): number for number in range(1, 34)}


def _tensors(
    text: str, **dtypes: int
) -> tuple[json_tensors.Format, json_tensors.Tensors]:
    return json_tensors.tensors(json_document.parse(text.encode()), dtypes)


def _only(values: str, dtype: int) -> Any:
    """Returns the tensor of the only input of a request in columns."""
    return _tensors(f'{{"inputs": {values}}}', x=dtype)[1]["x"]


class JsonTensorsTest(parameterized.TestCase):
    """The inputs of requests to Predict."""

    @parameterized.named_parameters(
        ("values", '{"instances": [1, 2.5]}', _ROW, [1, 2.5]),
        ("lists", '{"instances": [[1], [2]]}', _ROW, [[1], [2]]),
        ("one_row", '{"instances": [[[1, 2]]]}', _ROW, [[[1, 2]]]),
        ("empty_rows", '{"instances": [[], []]}', _ROW, [[], []]),
        ("named", '{"instances": [{"x": 1}, {"x": 2}]}', _ROW, [1, 2]),
        ("column", '{"inputs": [1, 2]}', _COLUMNAR, [1, 2]),
        ("scalar", '{"inputs": 3}', _COLUMNAR, 3),
        ("empty", '{"inputs": []}', _COLUMNAR, []),
        ("named_column", '{"inputs": {"x": [1]}}', _COLUMNAR, [1]),
        ("other_keys", '{"inputs": {"x": 1, "y": "a"}, "z": 0}', _COLUMNAR, 1),
        (
            "special",
            '{"inputs": [NaN, -Infinity]}',
            _COLUMNAR,
            [np.nan, -np.inf],
        ),
    )
    def test_request_has_a_form_and_a_tensor(
        self, text: str, form: json_tensors.Format, expected: Any
    ) -> None:
        """Rows become a tensor with a row for each, columns are tensors."""
        found_form, tensors = _tensors(text, x=_FLOAT)
        self.assertIs(found_form, form)
        self.assertEqual(list(tensors), ["x"])
        self.assertEqual(tensors["x"].dtype, np.float32)
        np.testing.assert_array_equal(
            tensors["x"], np.array(expected, np.float32), strict=True
        )

    def test_rows_may_have_several_inputs(self) -> None:
        """Each input gets the values of its name."""
        _, tensors = _tensors(
            '{"instances": [{"a": [1, 2], "b": "x"}, {"b": "y", "a": [3, 4]}]}',
            a=types_pb2.DT_INT64,
            b=types_pb2.DT_STRING,
        )
        self.assertEqual(tensors["a"].tolist(), [[1, 2], [3, 4]])
        self.assertEqual(tensors["b"].tolist(), [b"x", b"y"])

    def test_columns_may_have_several_inputs(self) -> None:
        """Each input has a shape of its own."""
        _, tensors = _tensors(
            '{"inputs": {"a": [[1, 2]], "b": "x", "more": 1}}',
            a=types_pb2.DT_INT64,
            b=types_pb2.DT_STRING,
        )
        self.assertEqual(tensors["a"].tolist(), [[1, 2]])
        self.assertEqual(tensors["b"].tolist(), b"x")

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
        found = _only(values, _NUMBERS[name])
        self.assertEqual(
            data_type.name(data_type.from_numpy(found.dtype)), name
        )
        self.assertEqual(
            [found.dtype.type(each) for each in json.loads(values)],
            list(found),
        )

    def test_texts_are_strings_and_base64(self) -> None:
        """Strings and base64 may stand beside one another."""
        found = _only('["é", {"b64": "/w=="}]', types_pb2.DT_STRING)
        self.assertEqual(found.tolist(), ["é".encode(), b"\xff"])
        found = _only('{"b64": "/w=="}', types_pb2.DT_STRING)
        self.assertEqual(found.tolist(), b"\xff")

    @parameterized.named_parameters(
        ("decimal_for_int", types_pb2.DT_INT32, "1.0", "got a decimal number"),
        ("bool_for_int", types_pb2.DT_INT32, "true", "of int32; got a bool"),
        ("bool_for_float", _FLOAT, "true", "of float32; got a bool"),
        ("string_for_float", _FLOAT, '"1"', "of float32; got a string"),
        ("null", _FLOAT, "null", "of float32; got null"),
        ("object", _FLOAT, '[{"b64": ""}]', "of float32; got an object"),
        ("number_for_string", types_pb2.DT_STRING, "1", "got something else"),
        ("null_for_string", types_pb2.DT_STRING, "null", "got something else"),
        ("bad_base64", types_pb2.DT_STRING, '{"b64": "A"}', "something else"),
        ("number_for_bool", types_pb2.DT_BOOL, "1", "of bool; got a whole"),
        ("int8_range", types_pb2.DT_INT8, "128", "that int8 can hold"),
        ("uint8_range", types_pb2.DT_UINT8, "-1", "that uint8 can hold"),
        ("int64_range", types_pb2.DT_INT64, "9223372036854775808", "int64"),
        ("float_range", _FLOAT, "1e39", "that float32 can hold"),
        ("float_precision", _FLOAT, "16777217", "that float32 can hold"),
        (
            "double_precision",
            types_pb2.DT_DOUBLE,
            "9007199254740993",
            "float64",
        ),
        ("ragged", _FLOAT, "[[1, 2], [3]]", "got something else at depth 1"),
        ("beside_lists", _FLOAT, "[[1], 2]", "got something else at depth 1"),
        ("lists_beside", _FLOAT, "[1, [2]]", "got something else at depth 1"),
        ("deep", _FLOAT, "[" * 65 + "]" * 65, "at most 64 dimensions"),
    )
    def test_value_of_another_kind_is_refused(
        self, dtype: int, values: str, error: str
    ) -> None:
        """A value that would have to be changed is the fault of the caller."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, error):
            _only(values, dtype)

    @parameterized.parameters("DT_COMPLEX64", "DT_QINT8", "DT_FLOAT8_E5M2")
    def test_type_without_a_form_is_unimplemented(self, name: str) -> None:
        """Clients of such models use gRPC."""
        with self.assertRaisesRegex(
            errors.UnimplementedError, "a dtype that JSON can express; got"
        ):
            _only("[1]", types_pb2.DataType.Value(name))

    @parameterized.named_parameters(
        ("neither", "{}", "Missing 'inputs' or 'instances' key"),
        ("both", '{"inputs": 1, "instances": [1]}', "got both"),
        ("no_row", '{"instances": []}', "at least one item; got no item"),
        ("rows_not_a_list", '{"instances": 1}', "got a whole number"),
        ("unnamed_rows", '{"instances": [1]}', "must name the inputs"),
        ("unnamed_columns", '{"inputs": [1]}', "must name the inputs"),
        (
            "missing_in_row",
            '{"instances": [{"a": 1, "b": 1}, {"a": 1}]}',
            r"item 1 .* the keys \['a', 'b'\]; got the keys \['a'\]",
        ),
        (
            "unknown_in_row",
            '{"instances": [{"a": 1, "b": 1, "c": 1}]}',
            r"item 0 .* got the keys \['a', 'b', 'c'\]",
        ),
        (
            "value_beside_objects",
            '{"instances": [{"a": 1, "b": 1}, 1]}',
            "item 1 .* got a whole number",
        ),
        (
            "missing_column",
            '{"inputs": {"b": 1}}',
            r"the keys \['a', 'b'\]; got none of \['a'\]",
        ),
    )
    def test_inputs_that_do_not_fit_the_signature_are_refused(
        self, text: str, error: str
    ) -> None:
        """A request must have the inputs of its signature."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, error):
            _tensors(text, a=_FLOAT, b=_FLOAT)

    def test_signature_without_inputs_takes_no_values(self) -> None:
        """An empty object is all that can be asked of such a signature."""
        for text in ('{"instances": [{}, {}]}', '{"inputs": {}}'):
            self.assertEqual(_tensors(text)[1], {})
        for text in ('{"instances": [1]}', '{"inputs": 1}'):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, "as the signature has no inputs"
            ):
                _tensors(text)

    def test_error_has_no_value_of_the_request(self) -> None:
        """Error texts go to logs, where data of callers must not be."""
        with self.assertRaises(errors.InvalidArgumentError) as raised:
            _only('["secret"]', _FLOAT)
        self.assertNotIn("secret", str(raised.exception))


if __name__ == "__main__":
    absltest.main()
