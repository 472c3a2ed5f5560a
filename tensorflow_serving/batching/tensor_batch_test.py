"""Tests for tensor_batch."""

from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import tensor_batch
from tensorflow_serving.util import aligned_array, errors


def _spec(
    dtype: npt.DTypeLike = np.float32,
    shape: tuple[int | None, ...] | None = None,
) -> tensor_batch.TensorSpec:
    return tensor_batch.TensorSpec("x:0", np.dtype(dtype), shape)


class TensorSpecTest(parameterized.TestCase):
    """Tests of the checks of inputs against a spec."""

    def test_array_that_fits_is_not_copied(self) -> None:
        """Whatever the sizes of dimensions that the model leaves open."""
        for shape in (None, (None, 3), (2, 3), (None, None)):
            array = np.zeros([2, 3], np.float32)
            self.assertIs(_spec(shape=shape).to_array(array), array)

    @parameterized.named_parameters(
        ("wider", np.float32, np.zeros([1]), "float32; got float64"),
        ("integers", np.float32, np.zeros([1], int), "float32; got int64"),
        (
            "byte_order",
            np.dtype("<f4"),
            np.zeros([1], ">f4"),
            "float32; got >f4",
        ),
        ("texts", np.float32, np.array(["a"]), "float32; got <U1"),
        ("no_texts", object, np.zeros([1]), "string; got float64"),
        ("objects", object, np.array([b"a", 1], object), "string; got int"),
    )
    def test_array_of_another_dtype_is_refused(
        self, dtype: npt.DTypeLike, array: npt.NDArray[Any], text: str
    ) -> None:
        """INVALID_ARGUMENT: an array is what its caller made it."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"^Input tensor x:0 must have dtype {text}$",
        ):
            _spec(dtype).to_array(array)

    @parameterized.named_parameters(
        ("rank", (None, 3), [3], r"\[\?, 3\]; got \[3\]"),
        ("size", (None, 3), [1, 4], r"\[\?, 3\]; got \[1, 4\]"),
        ("rows", (2, 3), [1, 3], r"\[2, 3\]; got \[1, 3\]"),
    )
    def test_array_of_another_shape_is_refused(
        self, shape: tuple[int | None, ...], other: list[int], text: str
    ) -> None:
        """INVALID_ARGUMENT says what the model expects."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"x:0 must have shape {text}"
        ):
            _spec(shape=shape).to_array(np.zeros(other, np.float32))

    def test_lists_are_converted(self) -> None:
        """Numbers in Python have no size."""
        array = _spec(shape=(None, 2)).to_array([[1, 2.5]])
        self.assertEqual(array.dtype, np.float32)
        np.testing.assert_array_equal(array, [[1, 2.5]])

    @parameterized.named_parameters(
        ("ragged", np.float32, [[1.0], [1.0, 2.0]]),
        ("text", np.float32, ["one"]),
        ("large", np.uint8, [256]),
        ("ragged_texts", object, [["a"], ["b", "c"]]),
        ("no_texts", object, [1]),
    )
    def test_lists_that_do_not_fit_are_refused(
        self, dtype: npt.DTypeLike, value: list[Any]
    ) -> None:
        """INVALID_ARGUMENT names the tensor."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "^Input tensor x:0 must"
        ):
            _spec(dtype).to_array(value)

    @parameterized.product(
        shape=[None, (), (None,), (2,), (None, None)],
        bad=[1, None, 2.5, np.bytes_, "\ud800", "a\udfff"],
    )
    def test_what_is_not_a_text_is_refused_in_any_shape(
        self, shape: tuple[int | None, ...] | None, bad: object
    ) -> None:
        """Every element is looked at before the call meets others."""
        sizes = [2] * len((None,) if shape is None else shape)
        value = np.full(sizes, b"good", object)
        value[(-1,) * len(sizes)] = bad
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "^Input tensor x:0 must"
        ):
            _spec(object, shape).to_array(value)

    @parameterized.parameters((), (3,), (2, 2))
    def test_texts_keep_their_shape(self, *sizes: int) -> None:
        """Each text becomes bytes, in its place."""
        texts = np.full(sizes, "\xe9", object)
        array = _spec(object, (None,) * len(sizes)).to_array(texts)
        self.assertEqual(array.shape, sizes)
        self.assertEqual({*array.ravel().tolist()}, {b"\xc3\xa9"})

    def test_texts_keep_their_zero_bytes(self) -> None:
        """Serialized messages may end with them."""
        values = [b"a\0", b"b\0\0"]
        self.assertEqual(list(_spec(object).to_array(values)), values)

    def test_texts_of_all_kinds_can_be_merged(self) -> None:
        """Bytes that are not ASCII, too: all become objects."""
        spec = _spec(object, (None,))
        merged = np.concatenate(
            [
                spec.to_array(np.array([b"\xff"])),
                spec.to_array(np.array(["\xe4"])),
            ]
        )
        self.assertEqual(list(merged), [b"\xff", b"\xc3\xa4"])

    @parameterized.parameters(
        (None, False),
        ((), True),
        ((None,), True),
        ((None, 3), True),
        ((None, None), False),
    )
    def test_rows_are_fixed_if_all_their_sizes_are_known(
        self, shape: tuple[int | None, ...] | None, fixed: bool
    ) -> None:
        """The number of rows does not matter."""
        self.assertEqual(_spec(shape=shape).has_rows_of_one_shape, fixed)

    @parameterized.parameters(
        (None, False),
        ((None,), False),
        ((None, 3), False),
        ((), True),
        ((1, 3), True),
        ((2, None), True),
    )
    def test_number_of_rows_is_fixed_by_the_0th_dimension(
        self, shape: tuple[int | None, ...] | None, fixed: bool
    ) -> None:
        """A scalar, or a 0th dimension with a size, cannot be batched."""
        self.assertEqual(_spec(shape=shape).fixes_num_rows, fixed)


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
