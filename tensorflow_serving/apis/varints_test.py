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
        """The bytes are equal."""
        numbers = _numbers(seed)
        data = varints.encode(numbers)
        expected = tensor_pb2.TensorProto(int64_val=numbers.tolist())
        self.assertEqual(
            _INT64_VAL + varints.encode_one(len(data)) + data,
            expected.SerializeToString(),
        )

    @parameterized.parameters(0, 127, 128, 2**32, 2**63, 2**64 - 1)
    def test_one_number_is_written_like_many(self, number: int) -> None:
        """Both forms agree at the limits of a group."""
        data = varints.encode(np.array([number], np.uint64))
        self.assertEqual(varints.encode_one(number), data)

    def test_many_numbers_are_written_in_order(self) -> None:
        """More than are written at a time look as if written one by one."""
        numbers = np.arange(100_000, dtype=np.int32)
        self.assertEqual(
            varints.encode(numbers),
            b"".join(map(varints.encode_one, numbers.tolist())),
        )

    def test_no_numbers_are_no_bytes(self) -> None:
        """An empty field stands for an empty array."""
        self.assertEqual(varints.encode(np.empty([0], np.int32)), b"")


if __name__ == "__main__":
    absltest.main()
