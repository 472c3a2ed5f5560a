"""Tests for examples."""

from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.client import examples
from tensorflow_serving.util import errors


class ExamplesTest(parameterized.TestCase):
    """Features from plain values."""

    @parameterized.parameters(
        (1, "int64_list", [1]),
        ([1, 2], "int64_list", [1, 2]),
        (True, "int64_list", [1]),
        (np.array([3], np.uint8), "int64_list", [3]),
        (0.5, "float_list", [0.5]),
        ([1, 0.5], "float_list", [1.0, 0.5]),
        ("a", "bytes_list", [b"a"]),
        (b"\xff", "bytes_list", [b"\xff"]),
        (
            ["a", "\N{GREEK SMALL LETTER ALPHA}"],
            "bytes_list",
            [b"a", b"\xce\xb1"],
        ),
    )
    def test_kind_is_that_of_the_values(
        self, value: Any, kind: str, expected: list[Any]
    ) -> None:
        """A value alone is a list of one."""
        feature = examples.to_example({"x": value}).features.feature["x"]
        self.assertEqual(feature.WhichOneof("kind"), kind)
        self.assertEqual(list(getattr(feature, kind).value), expected)

    def test_empty_text_is_kept(self) -> None:
        """A NUL at the end of a text is kept as well."""
        feature = examples.to_example({"x": [b"", b"a\0"]}).features.feature
        self.assertEqual(feature["x"].bytes_list.value, [b"", b"a\0"])

    @parameterized.parameters(
        (None,), ([[1]],), ([[1], [2, 3]],), (1j,), (2**64,), ([None, "a"],)
    )
    def test_other_value_is_invalid(self, value: Any) -> None:
        """The error names the feature."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, 'feature "x" must be a value, or'
        ):
            examples.to_example({"x": value})


if __name__ == "__main__":
    absltest.main()
