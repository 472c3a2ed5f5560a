"""Tests for flatbuffer."""

import io

import flatbuffers
import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import flatbuffer

_IDENTIFIER = b"TEST"


def _written() -> bytes:
    """Returns a table of a number, a text, integers, a table and tables."""
    builder = flatbuffers.Builder()
    text = builder.CreateString("grün")
    numbers = builder.CreateNumpyVector(np.array([1, -2, 3], np.int32))
    children = []
    for number in (7, 8):
        builder.StartObject(1)
        builder.PrependInt32Slot(0, number, 0)
        children.append(builder.EndObject())
    builder.StartVector(4, 2, 4)
    for child in reversed(children):
        builder.PrependUOffsetTRelative(child)
    tables = builder.EndVector()
    builder.StartObject(6)
    builder.PrependInt64Slot(0, -5, 0)
    for field, offset in ((1, text), (2, numbers), (3, children[0])):
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    builder.PrependUOffsetTRelativeSlot(4, tables, 0)
    builder.Finish(builder.EndObject(), _IDENTIFIER)
    return bytes(builder.Output())


def _root(content: bytes) -> flatbuffer.Table:
    return flatbuffer.File(io.BytesIO(content)).root(_IDENTIFIER)


def _read(content: bytes) -> list[object]:
    """Returns all that _written() wrote."""
    root = _root(content)
    child = root.table(3)
    assert child is not None
    return [
        root.number(0, "q"),
        root.text(1),
        root.numbers(2, "i"),
        child.number(0, "i"),
        [each.number(0, "i") for each in root.tables(4)],
    ]


class FlatbufferTest(parameterized.TestCase):
    """Tests of what flatbuffers writes, and of garbage."""

    def test_fields_are_what_was_written(self) -> None:
        """Numbers, texts, lists and tables are read as they were written."""
        self.assertEqual(_read(_written()), [-5, "grün", (1, -2, 3), 7, [7, 8]])

    @parameterized.parameters(5, 6, 1000)
    def test_field_that_is_not_there_has_its_default(self, field: int) -> None:
        """A field that an old file does not have yet has its default."""
        root = _root(_written())
        self.assertEqual(root.number(field, "i", 3), 3)
        self.assertEqual(root.text(field), "")
        self.assertIsNone(root.numbers(field, "i"))
        self.assertIsNone(root.table(field))
        self.assertEqual([*root.tables(field)], [])

    def test_file_that_ends_anywhere_is_refused(self) -> None:
        """A file is refused wherever it ends, but for zeros that fill it up."""
        content = _written()
        for size in range(len(content.rstrip(b"\0")) + 1):
            with self.assertRaises(flatbuffer.TruncatedError):
                _read(content[:size])

    @parameterized.parameters(b"", b"\0" * 100, b"\xff" * 100)
    def test_garbage_is_refused(self, content: bytes) -> None:
        """An empty file, zeros and ones are refused."""
        with self.assertRaisesRegex(flatbuffer.TruncatedError, "file must"):
            _root(content)
        marked = content[:4] + _IDENTIFIER + content[8:]
        with self.assertRaises(flatbuffer.TruncatedError):
            _root(marked)

    def test_table_in_any_number_of_lists_has_an_end(self) -> None:
        """A reader gives up on a file with more tables than any model has."""
        file = flatbuffer.File(io.BytesIO(_written()))
        with self.assertRaisesRegex(flatbuffer.TruncatedError, "at most"):
            for _ in range(1 << 18):
                file.table(0)


if __name__ == "__main__":
    absltest.main()
