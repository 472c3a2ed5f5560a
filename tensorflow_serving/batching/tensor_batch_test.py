"""Tests for tensor_batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import tensor_batch
from tensorflow_serving.util import aligned_array, errors


class TensorBatchTest(parameterized.TestCase):
    """Counting rows, and padding them."""

    def test_num_rows_is_the_common_0th_dimension(self) -> None:
        """The rows are the common dimension 0; others do not matter."""
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

    @parameterized.parameters((0, 0), (1, 1), (2, 3), (3, 3), (4, 4), (5, 5))
    def test_padded_size_is_the_next_allowed_one(
        self, size: int, expected: int
    ) -> None:
        """0, and a size above all that are allowed, stay as they are."""
        self.assertEqual(tensor_batch.padded_size(size, (1, 3, 4)), expected)

    @parameterized.named_parameters(
        ("one_array", [2], 2, [0, 1]),
        ("several", [1, 0, 2], 3, [0, 1, 2]),
        ("one_with_padding", [2], 4, [0, 1, 0, 0]),
        ("several_with_padding", [1, 2], 5, [0, 1, 2, 0, 0]),
        ("no_rows", [0, 0], 0, []),
    )
    def test_merge_joins_rows_and_repeats_row_0(
        self, sizes: list[int], num_rows: int, expected: list[int]
    ) -> None:
        """All rows come in their order, then row 0 as often as it takes."""
        rows = np.arange(6).reshape(3, 2)
        for table in (rows, rows.astype(str).astype(object)):
            starts = np.cumsum([0, *sizes])
            arrays = [
                table[start : start + size]
                for start, size in zip(starts, sizes, strict=False)
            ]
            merged = tensor_batch.merge(arrays, num_rows)
            self.assertEqual(merged.tolist(), table[expected].tolist())
            self.assertEqual(merged.dtype, table.dtype)

    @parameterized.named_parameters(
        ("lengths", [[[7, 8]], [[5]]], [[7, 8], [5, 5], [7, 8]]),
        (
            "two_rows",
            [[[1], [2]], [[3, 4, 6]]],
            [[1, 1, 1], [2, 1, 1], [3, 4, 6], [1, 1, 1]],
        ),
        (
            "two_dimensions",
            [[[[1, 2]]], [[[3], [4]]]],
            [[[1, 2], [1, 1]], [[3, 3], [4, 3]], [[1, 2], [1, 1]]],
        ),
        ("no_row", [[[1]], np.zeros([0, 2])], [[1, 1], [1, 1]]),
        ("no_value", [[[1]], [[]]], [[1], [0], [1]]),
    )
    def test_rows_of_other_shapes_are_padded_to_the_largest(
        self, inputs: list[Any], expected: list[Any]
    ) -> None:
        """The first value of an array pads its rows, below it row 0."""
        arrays = [np.array(each, np.int32) for each in inputs]
        merged = tensor_batch.merge(arrays, len(expected))
        self.assertEqual(merged.tolist(), expected)

    def test_texts_are_padded_with_their_first(self) -> None:
        """A text is a value as any other; without one there is no text."""
        arrays = [np.full(shape, b"a", object) for shape in ([1, 1], [1, 2])]
        arrays.append(np.zeros([1, 0], object))
        self.assertEqual(
            tensor_batch.merge(arrays, 3).tolist(),
            [[b"a", b"a"], [b"a", b"a"], [b"", b""]],
        )

    @parameterized.parameters(*range(1, 8))
    def test_rows_of_any_rank_are_padded(self, rank: int) -> None:
        """Real values stay where they were."""
        small, large = (
            np.full([1] * (rank + 1), 3),
            np.full([2] * (rank + 1), 4),
        )
        merged = tensor_batch.merge([small, large], 3)
        self.assertEqual(merged.shape, (3, *[2] * rank))
        self.assertEqual(
            [{*row.ravel().tolist()} for row in merged], [{3}, {4}, {4}]
        )

    def test_merged_numbers_are_aligned(self) -> None:
        """TensorFlow uses the memory of a merged batch without a copy."""
        for size in range(1, 20):
            merged = tensor_batch.merge([np.zeros([size, 3])] * 2, 2 * size + 1)
            self.assertEqual(
                merged.ctypes.data % aligned_array.ALIGNMENT, 0, size
            )

    def test_outputs_with_all_rows_are_fine(self) -> None:
        """The other dimensions of an output may have any size."""
        self.assertIsNone(
            tensor_batch.without_rows(
                ["y:0", "z:0"], [np.zeros([3]), np.zeros([3, 0])], 3
            )
        )

    @parameterized.named_parameters(
        ("scalar", np.float32(1)), ("other_rows", np.zeros([2, 3]))
    )
    def test_output_with_other_rows_is_named(
        self, output: npt.NDArray[Any]
    ) -> None:
        """The first output that does not have the rows of the batch is it."""
        self.assertEqual(
            tensor_batch.without_rows(
                ["y:0", "z:0"], [np.zeros([3]), output], 3
            ),
            "z:0",
        )


if __name__ == "__main__":
    absltest.main()
