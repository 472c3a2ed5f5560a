"""Tests for aligned_array."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.util import aligned_array


class AlignedArrayTest(parameterized.TestCase):
    """Tests of empty()."""

    @parameterized.parameters(np.uint8, np.float32, np.complex128)
    def test_address_is_a_multiple_of_the_alignment(self, dtype: type) -> None:
        """Arrays of any size begin at an aligned address."""
        for rows in range(1, 40):
            array = aligned_array.empty((rows, 3), np.dtype(dtype))

            self.assertEqual(array.ctypes.data % aligned_array.ALIGNMENT, 0)
            self.assertEqual(array.shape, (rows, 3))
            self.assertEqual(array.dtype, dtype)
            self.assertTrue(array.flags.c_contiguous)

    def test_array_can_be_written_to_as_a_whole(self) -> None:
        """All of the memory belongs to the array."""
        array = aligned_array.empty((5, 7), np.dtype(np.int64))
        array[:] = np.arange(35).reshape(5, 7)

        self.assertEqual(array.ravel().tolist(), [*range(35)])

    @parameterized.parameters(((0, 3), np.float32), ((2, 2), object))
    def test_array_without_numbers_is_an_ordinary_one(
        self, shape: tuple[int, int], dtype: type
    ) -> None:
        """An array without rows, or one of objects, can be had as well."""
        array = aligned_array.empty(shape, np.dtype(dtype))

        self.assertEqual(array.shape, shape)
        self.assertEqual(array.dtype, dtype)


if __name__ == "__main__":
    absltest.main()
