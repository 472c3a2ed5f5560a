"""Tests for tensor."""

import gc
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import data_type, tensor
from tensorflow_serving.util import aligned_array, errors

# Types with arrays, but for texts.
_NUMBERS = [n for n in range(1, 34) if n not in (7, 20, 21)]
_MANY = 1 << 20


def _there_and_back(number: int, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    converter = tensor.converter(number)
    result: npt.NDArray[Any] = converter.take_array(converter.new_tensor(array))
    return result


def _aligned(size: int, offset: int = 0) -> npt.NDArray[Any]:
    """Returns an array of float32 that is aligned, or off by some bytes."""
    memory = np.zeros(4 * size + 2 * aligned_array.ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % aligned_array.ALIGNMENT + offset
    return memory[start : start + 4 * size].view(np.float32)


class ConverterTest(parameterized.TestCase):
    """Arrays of numbers as tensors, and back."""

    @parameterized.product(
        number=_NUMBERS, shape=((), (0, 3), (2, 3), (700, 1000))
    )
    def test_values_of_every_type_are_kept(
        self, number: int, shape: tuple[int, ...]
    ) -> None:
        """Every byte is kept: of one element, of none, of few and of many."""
        dtype = tensor.converter(number).dtype
        count = int(np.prod(shape)) * dtype.itemsize
        values = np.arange(count, dtype=np.uint8) % 2
        array = values.view(dtype).reshape(shape)
        result = _there_and_back(number, array)
        self.assertEqual(result.shape, shape)
        self.assertEqual(result.dtype, data_type.of_values(number))
        self.assertEqual(result.tobytes(), array.tobytes())

    def test_gaps_between_elements_are_left_out(self) -> None:
        """A part of an array is as good as a whole one."""
        array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-3]
        np.testing.assert_array_equal(_there_and_back(1, array), array)

    def test_read_only_array_becomes_a_tensor(self) -> None:
        """A read-only array, such as one on a message, becomes a tensor."""
        array = np.frombuffer(b"\1\0\0\0\2\0\0\0", np.int32)
        np.testing.assert_array_equal(_there_and_back(3, array), [1, 2])

    def test_array_of_another_dtype_is_invalid(self) -> None:
        """An array of another dtype is not converted."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "array of float64 .* of float32"
        ):
            tensor.converter(1).new_tensor(np.zeros(3))

    @parameterized.parameters(10_000, _MANY)
    def test_tensor_owns_an_array_that_is_aligned(self, size: int) -> None:
        """The array is not copied, and given back with the tensor."""
        array = _aligned(size)
        lent = tensor.num_lent_arrays()
        made = tensor.converter(1).new_tensor(array)
        self.assertEqual(tensor.num_lent_arrays(), lent + 1)
        tensor.delete(made)
        self.assertEqual(tensor.num_lent_arrays(), lent)

    @parameterized.parameters(3, 10_000, _MANY)
    def test_array_that_is_not_aligned_is_copied(self, size: int) -> None:
        """The tensor does not change when the array does."""
        array = _aligned(size, offset=4)
        lent = tensor.num_lent_arrays()
        converter = tensor.converter(1)
        made = converter.new_tensor(array)
        self.assertEqual(tensor.num_lent_arrays(), lent)
        array[:] = 1
        self.assertFalse(converter.take_array(made).any())

    def test_large_array_owns_its_tensor(self) -> None:
        """A part of it keeps all of its memory."""
        array = np.arange(_MANY, dtype=np.float32)
        part = _there_and_back(1, array)[10:20]
        gc.collect()
        for _ in range(3):  # would get the memory if it were free
            _there_and_back(1, np.zeros(_MANY, np.float32))
        np.testing.assert_array_equal(part, np.arange(10, 20))
        part[:] = 7
        np.testing.assert_array_equal(part, np.full(10, 7))


class TextConverterTest(parameterized.TestCase):
    """Arrays of texts as tensors, and back."""

    @parameterized.named_parameters(
        ("bytes", np.array([b"a\0", b"", b"\xff"], object), None),
        ("numpy_bytes", np.array([b"a", b"bc"]), [b"a", b"bc"]),
        ("texts", np.array(["\xe4", "b"]), [b"\xc3\xa4", b"b"]),
        (
            "mixed",
            np.array([["\xe4"], [b"b"]], object),
            [[b"\xc3\xa4"], [b"b"]],
        ),
        ("long", np.array([b"x" * 70_000, b"y" * 23], object), None),
        ("none", np.zeros([0, 2], object), []),
        ("many", np.array([b"%d" % i for i in range(9999)], object), None),
    )
    def test_every_byte_is_kept(
        self, array: npt.NDArray[Any], expected: list[Any] | None
    ) -> None:
        """Texts become UTF-8 and lose no byte."""
        result = _there_and_back(7, array)
        self.assertEqual(result.shape, array.shape)
        self.assertEqual(
            result.tolist(), array.tolist() if expected is None else expected
        )

    @parameterized.parameters(
        (7, np.array(b"a", object)), (1, np.array(2, np.float32))
    )
    def test_value_without_dimensions_is_an_array(
        self, number: int, array: npt.NDArray[Any]
    ) -> None:
        """A text is one as a number is."""
        np.testing.assert_array_equal(
            _there_and_back(number, array), array, strict=True
        )

    @parameterized.parameters(1, None, 2.5, "\ud800")
    def test_what_is_not_a_text_is_invalid(self, value: object) -> None:
        """An object that is not a text is INVALID_ARGUMENT."""
        array = np.array([b"a", value], object)
        with self.assertRaisesRegex(errors.InvalidArgumentError, "not a text"):
            tensor.converter(7).new_tensor(array)

    def test_type_without_arrays_is_invalid(self) -> None:
        """Handles of variables cannot be fed or fetched."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "resource"):
            tensor.converter(20)


if __name__ == "__main__":
    absltest.main()
