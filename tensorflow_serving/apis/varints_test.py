"""Tests for varints, with protobuf's own serializer as the reference."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import varints
from tensorflow_serving.tensorflow_c.protos import tensor_pb2

# The tag of int64_val in two bytes, then the size of the packed numbers.
_INT64_VAL = bytes([10 << 3 | 2])


def _numbers(seed: int) -> np.ndarray:
    """Returns int64 numbers of any size; about half of them are negative."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(-(2**63), 2**63, 200, np.int64, endpoint=False)
    return numbers >> generator.integers(0, 64, 200)


class VarintsTest(parameterized.TestCase):
    """Packed integers."""

    @parameterized.parameters(range(20))
    def test_numbers_are_written_as_protobuf_does(self, seed: int) -> None:
        """The bytes are equal, and the numbers come back from them."""
        numbers = _numbers(seed)
        data = varints.encode(numbers)
        expected = tensor_pb2.TensorProto(int64_val=numbers.tolist())
        self.assertEqual(
            _INT64_VAL + varints.encode_one(len(data)) + data,
            expected.SerializeToString(),
        )
        np.testing.assert_array_equal(
            varints.decode(data).view(np.int64), numbers
        )

    @parameterized.parameters(0, 127, 128, 2**32, 2**63, 2**64 - 1)
    def test_one_number_is_written_like_many(self, number: int) -> None:
        """Both forms agree at the limits of a group."""
        data = varints.encode(np.array([number], np.uint64))
        self.assertEqual(varints.encode_one(number), data)
        self.assertEqual(varints.decode(data).tolist(), [number])

    def test_many_numbers_are_written_in_order(self) -> None:
        """More of them than are written at a time come back as they were."""
        numbers = np.arange(100_000, dtype=np.int32)
        np.testing.assert_array_equal(
            varints.decode(varints.encode(numbers)), numbers
        )

    def test_no_numbers_are_no_bytes(self) -> None:
        """An empty field stands for an empty array."""
        self.assertEqual(varints.encode(np.empty([0], np.int32)), b"")
        self.assertEqual(varints.decode(b"").shape, (0,))

    @parameterized.parameters(b"\x80", b"\x01\xff", b"\xff" * 10 + b"\x01")
    def test_broken_number_is_a_value_error(self, data: bytes) -> None:
        """A part of a number, or one that is too long, is not a number."""
        with self.assertRaisesRegex(ValueError, "packed numbers must"):
            varints.decode(data)


if __name__ == "__main__":
    absltest.main()
