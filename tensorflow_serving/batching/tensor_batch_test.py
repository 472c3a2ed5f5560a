"""Tests for tensor_batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import tensor_batch
from tensorflow_serving.util import errors


class TensorBatchTest(parameterized.TestCase):
    """Merging inputs, padding them, and splitting outputs."""

    def test_as_array_keeps_zero_bytes(self) -> None:
        """Serialized messages may end with them; arrays stay as they are."""
        values = [b"a\0", b"b\0\0"]
        self.assertEqual(list(tensor_batch.as_array(values)), values)
        array = np.zeros([2])
        self.assertIs(tensor_batch.as_array(array), array)

    def test_as_array_refuses_rows_of_different_lengths(self) -> None:
        """The caller gets an error of this project."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be an array"
        ):
            tensor_batch.as_array([[1.0], [1.0, 2.0]])

    def test_num_rows_is_the_common_0th_dimension(self) -> None:
        """Whatever the other dimensions are."""
        inputs = {"x:0": np.zeros([3, 2]), "y:0": np.zeros([3])}
        self.assertEqual(tensor_batch.num_rows(inputs), 3)

    @parameterized.named_parameters(
        ("no_inputs", {}, "at least one input tensor"),
        ("scalar", {"x:0": np.float32(1)}, "one dimension; got a scalar"),
        (
            "unequal",
            {"x:0": np.zeros([3, 2]), "y:0": np.zeros([2])},
            "Batching session Run\\(\\) input tensors must have equal "
            "0th-dimension size; got x:0 \\[3, 2\\], y:0 \\[2\\]",
        ),
    )
    def test_num_rows_refuses_inputs_without_a_common_size(
        self, inputs: dict[str, npt.NDArray[Any]], text: str
    ) -> None:
        """INVALID_ARGUMENT says which input and why."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            tensor_batch.num_rows(inputs)

    def test_merge_puts_rows_one_below_the_other(self) -> None:
        """In the order of the calls, for each input."""
        merged = tensor_batch.merge(
            [
                {"x:0": np.array([[1, 2]]), "s:0": np.array([b"a"])},
                {
                    "x:0": np.array([[3, 4], [5, 6]]),
                    "s:0": np.array([b"longer", b"c"]),
                },
            ]
        )
        np.testing.assert_array_equal(merged["x:0"], [[1, 2], [3, 4], [5, 6]])
        np.testing.assert_array_equal(merged["s:0"], [b"a", b"longer", b"c"])

    @parameterized.named_parameters(
        ("name", {"y:0": np.zeros([1])}, "must supply the same input tensors"),
        (
            "count",
            {"x:0": np.zeros([1]), "y:0": np.zeros([1])},
            "must supply the same input tensors",
        ),
        ("dtype", {"x:0": np.zeros([1], np.int32)}, "must have one dtype"),
        ("shape", {"x:0": np.zeros([1, 2])}, "must have one shape"),
    )
    def test_merge_refuses_calls_that_differ(
        self, other: dict[str, npt.NDArray[Any]], text: str
    ) -> None:
        """INVALID_ARGUMENT, rather than rows that belong together apart."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            tensor_batch.merge([{"x:0": np.zeros([1])}, other])

    def test_merge_refuses_another_order_of_inputs(self) -> None:
        """As the original does."""
        x, y = np.zeros([1]), np.zeros([1])
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must supply the same input tensors"
        ):
            tensor_batch.merge([{"x:0": x, "y:0": y}, {"y:0": y, "x:0": x}])

    @parameterized.parameters((0, 0), (1, 1), (2, 3), (3, 3), (4, 4), (5, 5))
    def test_padded_size_is_the_next_allowed_one(
        self, size: int, expected: int
    ) -> None:
        """0, and a size above all that are allowed, stay as they are."""
        self.assertEqual(tensor_batch.padded_size(size, (1, 3, 4)), expected)

    def test_pad_repeats_row_0(self) -> None:
        """The rows that were there come first."""
        padded = tensor_batch.pad({"x:0": np.array([[1, 2], [3, 4]])}, 4)
        np.testing.assert_array_equal(
            padded["x:0"], [[1, 2], [3, 4], [1, 2], [1, 2]]
        )

    def test_split_gives_each_call_its_rows(self) -> None:
        """Padding goes to nobody; outputs keep their order."""
        outputs = [("y:0", np.arange(5)), ("z:0", np.arange(10).reshape(5, 2))]
        first, second = tensor_batch.split(outputs, [1, 3], num_padding=1)
        np.testing.assert_array_equal(first[0], [0])
        np.testing.assert_array_equal(first[1], [[0, 1]])
        np.testing.assert_array_equal(second[0], [1, 2, 3])
        np.testing.assert_array_equal(second[1], [[2, 3], [4, 5], [6, 7]])

    @parameterized.named_parameters(
        ("scalar", np.float32(1)), ("rows", np.zeros([2, 3]))
    )
    def test_split_refuses_outputs_with_other_rows(
        self, output: npt.NDArray[Any]
    ) -> None:
        """FAILED_PRECONDITION: this model cannot be batched."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            "Batched output tensor y:0 must have 0th-dimension size 3",
        ):
            tensor_batch.split([("y:0", output)], [1, 2], num_padding=0)


if __name__ == "__main__":
    absltest.main()
