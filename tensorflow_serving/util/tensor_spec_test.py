"""Tests for tensor_spec."""

from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.util import errors, tensor_spec


def _spec(
    dtype: npt.DTypeLike = np.float32,
    shape: tuple[int | None, ...] | None = None,
) -> tensor_spec.TensorSpec:
    return tensor_spec.TensorSpec("x:0", np.dtype(dtype), shape)


class TensorSpecTest(parameterized.TestCase):
    """Tests of the checks of inputs against a spec."""

    def test_array_that_fits_is_not_copied(self) -> None:
        """An array that fits is not copied, whatever the sizes left open."""
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
        """An array of another dtype is INVALID_ARGUMENT, not converted."""
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

    @parameterized.parameters(
        (np.array([1, 2], np.int8),),
        (np.array([1, 2], [("qint8", "i1")]),),
        ([1, 2],),
    )
    def test_quantized_values_are_integers(self, value: npt.ArrayLike) -> None:
        """A quantized tensor takes integers and what numpy calls qint8."""
        array = _spec([("qint8", "i1")], (None,)).to_array(value)
        self.assertEqual((array.dtype, array.tolist()), (np.int8, [1, 2]))

    @parameterized.parameters(np.int16, np.float32)
    def test_other_numbers_are_not_quantized(self, dtype: type[Any]) -> None:
        """The error names the type of the integers."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "x:0 must have dtype int8; got"
        ):
            _spec([("qint8", "i1")], (None,)).to_array(np.zeros(2, dtype))

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
        """Texts that are not ASCII become objects like all others."""
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

    @parameterized.named_parameters(
        ("rows", [(None, 2)], [(None,), None], True),
        ("no_input", [], [(None,)], False),
        ("scalar_output", [(None, 2)], [(None,), ()], False),
        ("one_row_at_a_time", [(None,), (1, 2)], [(None,)], False),
    )
    def test_calls_share_a_batch_if_all_leave_rows_open(
        self,
        inputs: list[tuple[int | None, ...]],
        outputs: list[tuple[int | None, ...]],
        expected: bool,
    ) -> None:
        """One tensor without rows of its own is enough to run alone."""
        self.assertEqual(
            tensor_spec.leave_rows_open(
                [_spec(shape=shape) for shape in inputs],
                [_spec(shape=shape) for shape in outputs],
            ),
            expected,
        )


if __name__ == "__main__":
    absltest.main()
