"""Reads fields of serialized protobuf messages without parsing the rest.

A GraphDef may have hundreds of megabytes, most of them in a few fields. To
parse it makes an object of each node, and holds the GIL meanwhile.

The format: https://protobuf.dev/programming-guides/encoding/
"""

import dataclasses
from collections.abc import Iterator
from typing import Final

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_MAX_VARINT_BYTES: Final = 10


class MalformedError(ValueError):
    """The bytes are not a message, or not all of one."""


@dataclasses.dataclass(frozen=True)
class Message:
    """A serialized message, which may be a part of a larger one."""

    # Has the message at data[start:end].
    data: bytes
    start: int
    end: int

    @classmethod
    def whole(cls, data: bytes) -> "Message":
        """Takes bytes that are a message and nothing else."""
        return cls(data, 0, len(data))

    def view(self) -> memoryview:
        """Returns the bytes of the message, without a copy."""
        return memoryview(self.data)[self.start : self.end]

    def part(self, start: int, end: int) -> "Message":
        """Returns a message in this one."""
        return Message(self.data, start, end)


def fields(message: Message) -> Iterator[tuple[int, int, int]]:
    """Yields the fields of a message; see spans()."""
    return spans(message.data, message.start, message.end)


def parts(message: Message, number: int) -> Iterator[Message]:
    """Yields the values of a field that holds messages, texts or bytes.

    Raises:
      MalformedError: See spans().
    """
    for found, start, end in fields(message):
        if found == number:
            yield message.part(start, end)


def spans(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields the fields of a message whose values are bytes.

    That is: texts, bytes, and messages. Other fields are checked and skipped.

    Args:
      data: Has the message at data[start:end].
      start: See data.
      end: See data.

    Yields:
      The number of the field; then where its value starts in data and ends.

    Raises:
      MalformedError: The message is not one.
    """
    position = start
    while position < end:
        tag = data[position]
        if tag < 0x80:
            position += 1
        else:
            tag, position = varint(data, position, end)
        kind = tag & 7
        if kind == _BYTES:
            size = data[position] if position < end else 0x80
            if size < 0x80:
                position += 1
            else:
                size, position = varint(data, position, end)
            start_of_value = position
            position += size
            if position <= end:
                yield tag >> 3, start_of_value, position
        elif kind == _VARINT:
            _, position = varint(data, position, end)
        elif kind == _FIXED32:
            position += 4
        elif kind == _FIXED64:
            position += 8
        else:
            raise MalformedError(f"wire type must be known; got {kind}")
    if position > end:
        raise MalformedError("message must be whole; got a part")


def number(data: bytes, start: int, end: int) -> int:
    """Returns the int64 that begins at data[start].

    Raises:
      MalformedError: It does not end before data[end].
    """
    value, _ = varint(data, start, end)
    return value - (value >> 63 << 64)


def varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Returns the number that begins at data[position], and where it ends.

    Raises:
      MalformedError: It does not end before data[end].
    """
    value = 0
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        if position >= end:
            raise MalformedError("message must be whole; got a part")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise MalformedError("number must have at most 10 bytes; got more")
