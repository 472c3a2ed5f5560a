"""Steps from field to field of a protocol buffer in a file.

The classes of TensorFlow's messages need TensorFlow, and a graph may have
gigabytes. So only tags and lengths are read, and content is skipped: that takes
a few hundred bytes for a file of any size.

The format: https://protobuf.dev/programming-guides/encoding
"""

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
# No message that is walked has more; garbage may have any number.
_MAX_FIELDS = 1 << 17


class TruncatedError(ValueError):
    """A file is no message, or ends within one."""


class Field(NamedTuple):
    """A field: its number, and where its content is."""

    number: int
    # Empty for numbers.
    content: range


def whole(file: BinaryIO) -> range:
    """Returns where the message is that takes up a whole file."""
    return range(file.seek(0, os.SEEK_END))


def fields(file: BinaryIO, span: range) -> Iterator[Field]:
    """Yields the fields of the message at a place of a file.

    Raises:
      TruncatedError: A field is cut off, or is not a field. The last field may
        end where the file ends, and the message may still be a part of a longer
        one: nothing in it tells.
    """
    position = span.start
    for _ in range(_MAX_FIELDS):
        if position == span.stop:
            return
        file.seek(position)
        tag = _varint(file)
        number, wire_type = tag >> 3, tag & 7
        if not number:
            raise TruncatedError("number of a field must be positive; got 0")
        start = stop = file.tell()
        if wire_type == _LENGTH_DELIMITED:
            length = _varint(file)
            start = file.tell()
            stop = start + length
            position = stop
        elif wire_type == _VARINT:
            _varint(file)
            position = file.tell()
        elif wire_type in _FIXED_BYTES:
            position = start + _FIXED_BYTES[wire_type]
        else:
            raise TruncatedError(f"wire type must be known; got {wire_type}")
        if position > span.stop:
            raise TruncatedError("field must end within its message")
        yield Field(number, range(start, stop))
    raise TruncatedError(f"message must have at most {_MAX_FIELDS} fields")


def select(
    file: BinaryIO, spans: Iterable[range], number: int
) -> Iterator[range]:
    """Yields where the fields with a number are, of several messages."""
    for span in spans:
        for field in fields(file, span):
            if field.number == number:
                yield field.content


def _varint(file: BinaryIO) -> int:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            raise TruncatedError("number must end within its file")
        value |= (byte[0] & 0x7F) << (7 * index)
        if byte[0] < 0x80:
            return value
    raise TruncatedError("number must have at most 10 bytes")
