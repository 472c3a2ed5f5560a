"""Steps from table to table of a FlatBuffer in a file.

Only what is asked for is read, so that a file of any size takes little memory,
and every place is checked before it is read. A file is never mapped into
memory: whoever cuts off a mapped file ends the process.

The format: https://flatbuffers.dev/internals
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

_OFFSET = struct.Struct("<I")
_SIGNED_OFFSET = struct.Struct("<i")
_VTABLE_ENTRY = struct.Struct("<H")
_VTABLE_HEADER = struct.Struct("<HH")
# No model has more; in garbage one table may be in any number of lists.
_MAX_TABLES: Final = 1 << 17


class TruncatedError(ValueError):
    """A file is no FlatBuffer of its kind, or ends within one."""


class File:
    """A file with a FlatBuffer."""

    def __init__(self, file: BinaryIO) -> None:
        """Takes a file that can seek."""
        self._file = file
        self.size: Final = file.seek(0, os.SEEK_END)
        self._num_tables = 0

    def root(self, identifier: bytes) -> "Table":
        """Returns the table that everything else hangs on.

        Args:
          identifier: The four bytes that tell the kind of file.

        Raises:
          TruncatedError: The file is of another kind, or too short.
        """
        if self.read(4, 4) != identifier:
            raise TruncatedError(
                f"file must be marked as {identifier.decode()}"
            )
        return self.table(0)

    def read(self, start: int, size: int) -> bytes:
        """Returns some bytes.

        Raises:
          TruncatedError: They are not all in the file.
        """
        self.require(start, size)
        self._file.seek(start)
        content = self._file.read(size)
        if len(content) != size:
            raise TruncatedError("file must not shrink while it is read")
        return content

    def require(self, start: int, size: int) -> None:
        """Raises TruncatedError unless some bytes are all in the file."""
        if start < 0 or start + size > self.size:
            raise TruncatedError(
                f"file must hold {size} bytes at {start}; got {self.size} bytes"
            )

    def number(self, number_format: struct.Struct, position: int) -> int:
        """Returns the integer at a place of the file; see read()."""
        (value,) = number_format.unpack(self.read(position, number_format.size))
        return int(value)

    def target(self, position: int) -> int:
        """Returns where the offset at a place of the file leads to."""
        return position + self.number(_OFFSET, position)

    def table(self, position: int) -> "Table":
        """Returns the table that the offset at a place leads to.

        Raises:
          TruncatedError: It is not all in the file, or there are too many.
        """
        self._num_tables += 1
        if self._num_tables > _MAX_TABLES:
            raise TruncatedError(f"file must have at most {_MAX_TABLES} tables")
        return Table(self, self.target(position))


class Table:
    """One table; its fields are known by their numbers, from 0 on."""

    def __init__(self, file: File, position: int) -> None:
        """Reads where the fields are.

        Raises:
          TruncatedError: The table is not all in the file.
        """
        self._file = file
        self._position = position
        vtable = position - file.number(_SIGNED_OFFSET, position)
        header = _VTABLE_HEADER.unpack(file.read(vtable, _VTABLE_HEADER.size))
        vtable_size, table_size = header
        if vtable_size < _VTABLE_HEADER.size or vtable_size % 2:
            raise TruncatedError("a table must say where its fields are")
        file.require(position, max(table_size, _SIGNED_OFFSET.size))
        entries = file.read(vtable, vtable_size)[_VTABLE_HEADER.size :]
        # Relative to the table; 0 for a field that has its default.
        self._fields: list[int] = [
            each for (each,) in _VTABLE_ENTRY.iter_unpack(entries)
        ]

    def number(self, field: int, number_format: str, default: int = 0) -> int:
        """Returns an integer.

        Args:
          field: The number of the field.
          number_format: The format of one integer, as in struct.
          default: The value if the table does not have the field.
        """
        position = self._place(field)
        if position is None:
            return default
        return self._file.number(struct.Struct(f"<{number_format}"), position)

    def numbers(self, field: int, number_format: str) -> tuple[int, ...] | None:
        """Returns a list of integers; None if there is none."""
        span = self.span(field, struct.calcsize(f"<{number_format}"))
        if span is None:
            return None
        content = self._file.read(span.start, len(span))
        found = struct.iter_unpack(f"<{number_format}", content)
        return tuple(value for (value,) in found)

    def floats(self, field: int) -> tuple[float, ...]:
        """Returns a list of float32 values; an empty one if there is none."""
        span = self.span(field, 4) or range(0)
        content = self._file.read(span.start, len(span))
        return struct.unpack(f"<{len(content) // 4}f", content)

    def text(self, field: int) -> str:
        """Returns a text; an empty one if there is none.

        Raises:
          TruncatedError: The file ends before it, or it is not UTF-8.
        """
        span = self.span(field, 1)
        if span is None:
            return ""
        self._file.require(span.stop, 1)
        try:
            return self._file.read(span.start, len(span)).decode()
        except UnicodeDecodeError:
            raise TruncatedError("a text must be UTF-8") from None

    def table(self, field: int) -> "Table | None":
        """Returns the table in a field; None if there is none."""
        position = self._place(field)
        return None if position is None else self._file.table(position)

    def tables(self, field: int) -> Iterator["Table"]:
        """Yields the tables of a list."""
        for position in (self.span(field, _OFFSET.size) or range(0))[
            :: _OFFSET.size
        ]:
            yield self._file.table(position)

    def span(self, field: int, element_bytes: int) -> range | None:
        """Returns where the elements of a list are; None if there is no list.

        Raises:
          TruncatedError: They are not all in the file.
        """
        place = self._place(field)
        if place is None:
            return None
        position = self._file.target(place)
        size = self._file.number(_OFFSET, position) * element_bytes
        start = position + _OFFSET.size
        self._file.require(start, size)
        return range(start, start + size)

    def _place(self, field: int) -> int | None:
        """Returns where a field is; None if the table does not have it."""
        if field >= len(self._fields) or not self._fields[field]:
            return None
        return self._position + self._fields[field]
