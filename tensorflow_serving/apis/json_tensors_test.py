"""Tests for json_tensors."""

from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import json_document, json_tensors
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.util import errors

_ROW = json_tensors.Format.ROW
_COLUMNAR = json_tensors.Format.COLUMNAR
_FLOAT = types_pb2.DT_FLOAT


def _tensors(
    text: str, **dtypes: int
) -> tuple[json_tensors.Format, json_tensors.Tensors]:
    return json_tensors.tensors(json_document.parse(text.encode()), dtypes)


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

    @parameterized.named_parameters(
        ("neither", "{}", "Missing 'inputs' or 'instances' key"),
        ("both", '{"inputs": 1, "instances": [1]}', "Not formatted correctly"),
        ("no_row", '{"instances": []}', "at least one item; got no item"),
        ("rows_not_a_list", '{"instances": 1}', "got a whole number"),
        ("unnamed_rows", '{"instances": [1]}', "must name the inputs"),
        ("unnamed_columns", '{"inputs": [1]}', "must name the inputs"),
        (
            "missing_in_row",
            '{"instances": [{"a": 1, "b": 1}, {"a": 1}]}',
            r"element: 1 of .* keys must be equal to: a,b; got \['a'\]",
        ),
        (
            "unknown_in_row",
            '{"instances": [{"a": 1, "b": 1, "c": 1}]}',
            r"element: 0 of .* a,b; got \['a', 'b', 'c'\]",
        ),
        (
            "value_beside_objects",
            '{"instances": [{"a": 1, "b": 1}, 1]}',
            "Expecting object but got list/value at item 1",
        ),
        (
            "missing_column",
            '{"inputs": {"b": 1}}',
            "Missing named input: a in 'inputs' object",
        ),
    )
    def test_inputs_that_do_not_fit_the_signature_are_refused(
        self, text: str, error: str
    ) -> None:
        """A request must have the inputs of its signature."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, error):
            _tensors(text, a=_FLOAT, b=_FLOAT)

    @parameterized.named_parameters(
        ("value", '[1, 2, "a", 3]', 2, "a string is not of expected type"),
        ("list", "[[[1, 2]], [[3, 4]], [[5, null]]]", 2, "null is not"),
        ("size", "[[1, 2], [3, 4], [5, 6, 7]]", 2, "size: 2 but got: 3"),
        ("shape", "[[1, 2], [[3, 4]]]", 1, r"shape \[2\] but got: \[1, 2\]"),
        ("list_among_values", "[1, 2, [3]]", 2, r"shape \[\] but got: \[1\]"),
        ("ragged_row", "[[1, 2], [3, [4]], [5, 6]]", 1, "at depth 2"),
        ("range", "[0, 1e39]", 1, "without loss of precision"),
        ("named", '[{"x": 1}, {"x": true}]', 1, "a bool is not"),
    )
    def test_error_says_which_row_is_at_fault(
        self, rows: str, number: int, error: str
    ) -> None:
        """A client can leave out the row, and send the others again."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            rf"^Failed to process element: {number} of 'instances' list\. "
            rf"Error: input x: .*{error}",
        ):
            _tensors(f'{{"instances": {rows}}}', x=_FLOAT)

    def test_object_among_values_is_refused(self) -> None:
        """Rows have names all of them, or none."""
        for value, dtype in (("1", _FLOAT), ('"a"', types_pb2.DT_STRING)):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError,
                "Expecting value/list but got object at item 1 of 'instances'",
            ):
                _tensors(f'{{"instances": [{value}, {{"x": 1}}]}}', x=dtype)

    def test_signature_without_inputs_takes_no_values(self) -> None:
        """An empty object is all that can be asked of such a signature."""
        for text in ('{"instances": [{}, {}]}', '{"inputs": {}}'):
            self.assertEqual(_tensors(text)[1], {})
        for text in ('{"instances": [1]}', '{"inputs": 1}'):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, "as the signature has no inputs"
            ):
                _tensors(text)


if __name__ == "__main__":
    absltest.main()
