"""Tests for message_walk."""

import io
import os

from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import message_walk
from tensorflow_serving.test_util import tiny_versions


class MessageWalkTest(parameterized.TestCase):
    """Fields of messages in files."""

    def _walk(self, data: bytes) -> list[tuple[int, bytes]]:
        """Returns the numbers and contents of the fields of a message."""
        file = io.BytesIO(data)
        return [
            (field.number, data[field.content.start : field.content.stop])
            for field in message_walk.fields(file, message_walk.whole(file))
        ]

    def test_fields_come_in_order_with_their_contents(self) -> None:
        """Numbers have no content, whatever their wire type."""
        data = (
            tiny_versions.field(1, b"one")
            + bytes([2 << 3, 0x80, 1])
            + bytes([3 << 3 | 1, *range(8)])
            + bytes([4 << 3 | 5, *range(4)])
            + tiny_versions.field(5, b"x" * 300)
        )
        self.assertEqual(
            self._walk(data),
            [(1, b"one"), (2, b""), (3, b""), (4, b""), (5, b"x" * 300)],
        )

    @parameterized.named_parameters(
        ("cut_off_content", tiny_versions.field(1, b"one")[:-1]),
        ("cut_off_number", bytes([2 << 3, 0x80])),
        ("cut_off_fixed", bytes([3 << 3 | 1, 0])),
        ("field_zero", bytes([0, 0])),
        ("unknown_wire_type", bytes([1 << 3 | 7])),
        ("endless_number", bytes([2 << 3]) + b"\xff" * 20),
        ("endless_fields", bytes([2 << 3, 1]) * (1 << 18)),
    )
    def test_what_is_no_message_is_truncated(self, data: bytes) -> None:
        """No garbage is walked for long."""
        with self.assertRaises(message_walk.TruncatedError):
            self._walk(data)

    def test_nested_message_is_selected(self) -> None:
        """A field number selects a nested message in each of several ones."""
        data = tiny_versions.field(2, tiny_versions.field(7, b"a")) * 2
        file = io.BytesIO(data)
        outer = message_walk.select(file, [message_walk.whole(file)], 2)
        self.assertEqual(
            [
                data[each.start : each.stop]
                for each in message_walk.select(file, outer, 7)
            ],
            [b"a", b"a"],
        )

    def test_field_of_gigabytes_is_skipped(self) -> None:
        """A file with a hole takes no room, and none of it is read."""
        path = os.path.join(self.create_tempdir().full_path, "message")
        length = 3 << 30
        head = bytes([2 << 3 | 2, 0x80, 0x80, 0x80, 0x80, 0x0C])
        tail = tiny_versions.field(3, b"saver")
        with open(path, "wb") as file:
            file.write(head)
            file.seek(len(head) + length)
            file.write(tail)
        with open(path, "rb") as file:
            fields = list(message_walk.fields(file, message_walk.whole(file)))
        self.assertEqual([field.number for field in fields], [2, 3])
        content = fields[0].content
        self.assertEqual(content.stop - content.start, length)


if __name__ == "__main__":
    absltest.main()
