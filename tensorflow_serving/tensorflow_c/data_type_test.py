"""Tests for data_type, with Python's TensorFlow as the reference."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.util import errors

_WITH_ARRAYS = [number for number in range(1, 34) if number not in (20, 21)]


class DataTypeTest(parameterized.TestCase):
    """The types of the elements of tensors."""

    @parameterized.parameters(_WITH_ARRAYS)
    def test_dtype_is_that_of_tensorflow(self, number: int) -> None:
        """Names and dtypes are those that Python's TensorFlow uses."""
        expected = tf.dtypes.as_dtype(number)
        self.assertEqual(data_type.name(number), expected.name)
        self.assertEqual(
            data_type.to_numpy(number), np.dtype(expected.as_numpy_dtype)
        )

    @parameterized.parameters(_WITH_ARRAYS)
    def test_number_comes_back_from_the_dtype(self, number: int) -> None:
        """An array says by its dtype which tensor it becomes."""
        dtype = data_type.to_numpy(number)
        self.assertEqual(data_type.from_numpy(dtype), number)

    @parameterized.parameters(("U3", 7), ("S3", 7), (">f4", 1))
    def test_number_ignores_how_values_are_stored(
        self, dtype: str, number: int
    ) -> None:
        """Texts of a fixed size and other byte orders have the same type."""
        self.assertEqual(data_type.from_numpy(np.dtype(dtype)), number)

    @parameterized.parameters("M8[s]", "V3", "float128", "i4,i4")
    def test_dtype_that_no_tensor_has_is_invalid(self, dtype: str) -> None:
        """The error names the dtype."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "one that TensorFlow has; got"
        ):
            data_type.from_numpy(np.dtype(dtype))

    @parameterized.parameters(
        (11, np.int8), (12, np.uint8), (13, np.int32), (1, np.float32)
    )
    def test_values_of_quantized_types_are_plain_numbers(
        self, number: int, expected: type[np.generic]
    ) -> None:
        """Quantized values are plain numbers, as in Python's TensorFlow."""
        self.assertEqual(data_type.of_values(number), expected)

    def test_reference_stands_for_its_value(self) -> None:
        """A variable of TensorFlow 1 has a type of its own."""
        reference = tf.dtypes.as_dtype(101)
        self.assertEqual(reference.name, "float32_ref")
        self.assertEqual(data_type.name(101), "float32")
        self.assertEqual(data_type.to_numpy(101), np.float32)

    @parameterized.parameters(
        (20, "resource"), (21, "variant"), (99, "type 99")
    )
    def test_type_without_arrays_is_invalid(
        self, number: int, name: str
    ) -> None:
        """The error names the type."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"dtype of arrays; got {name}"
        ):
            data_type.to_numpy(number)


if __name__ == "__main__":
    absltest.main()
