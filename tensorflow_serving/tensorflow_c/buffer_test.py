"""Tests for buffer."""

import ctypes
import resource

from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import buffer


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class BufferTest(parameterized.TestCase):
    """Tests of bytes for the C API."""

    def test_view_has_the_bytes_themselves(self) -> None:
        """Nothing is copied, and a part of other bytes is fine."""
        data = b"some bytes"
        view = buffer.View(memoryview(data)[5:])
        self.assertEqual(
            ctypes.string_at(view.struct.data, view.struct.length), b"bytes"
        )

    def test_memory_that_is_given_back_is_free(self) -> None:
        """The process is smaller while somebody still has the bytes."""
        size = 64 << 20
        data = b"x" * size
        before = _resident_bytes()
        buffer.give_back(data)
        self.assertLess(_resident_bytes(), before - size // 2)
        self.assertEqual(len(data), size)

    @parameterized.parameters(0, 1, 1 << 19, (1 << 20) + 1, (1 << 22) - 1)
    def test_bytes_beside_those_given_back_stay(self, size: int) -> None:
        """Memory that other objects share a page with is not touched."""
        all_bytes = [bytes([number]) * size for number in range(5)]
        buffer.give_back(all_bytes[2])
        for number in (0, 1, 3, 4):
            self.assertEqual(all_bytes[number], bytes([number]) * size)


if __name__ == "__main__":
    absltest.main()
