"""Packed integers of protobuf messages as arrays, and back.

The format: https://protobuf.dev/programming-guides/encoding/#varints. A number
is written in groups of seven bits, the lowest first; all bytes but the last one
have the highest bit set. Negative numbers are written as 64 bits.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_MAX_BYTES: Final = 10
# How many numbers are written at a time: what is needed meanwhile is 90 times
# as large as a byte for each.
_CHUNK: Final = 1 << 15


def decode(data: bytes | memoryview) -> npt.NDArray[np.uint64]:
    """Returns the numbers, without a Python object for each.

    Raises:
      ValueError: The last number is not whole, or one has over ten bytes.
    """
    octets = np.frombuffer(data, np.uint8)
    is_last = octets < 0x80
    if is_last.all():
        return octets.astype(np.uint64)
    if not is_last[-1]:
        raise ValueError("packed numbers must be whole; got a part of one")
    ends = np.flatnonzero(is_last)
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    num_bytes = ends - starts + 1
    longest = int(num_bytes.max())
    if longest > _MAX_BYTES:
        raise ValueError(
            f"packed numbers must have at most {_MAX_BYTES} bytes; got "
            f"{longest}"
        )
    numbers = (octets[starts] & 0x7F).astype(np.uint64)
    for index in range(1, longest):
        rows = np.flatnonzero(num_bytes > index)
        groups = (octets[starts[rows] + index] & 0x7F).astype(np.uint64)
        numbers[rows] |= groups << np.uint64(7 * index)
    return numbers


def encode(numbers: npt.NDArray[Any]) -> bytes:
    """Returns what a serializer writes for the integers, flat or not."""
    flat = numbers.reshape(-1)
    if flat.dtype.kind == "i":
        flat = flat.astype(np.int64).view(np.uint64)
    else:
        flat = flat.astype(np.uint64)
    return b"".join(
        _encode_some(flat[start : start + _CHUNK])
        for start in range(0, len(flat), _CHUNK)
    )


def encode_one(number: int) -> bytes:
    """Returns what a serializer writes for a number that is not negative."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _encode_some(numbers: npt.NDArray[np.uint64]) -> bytes:
    largest = int(numbers.max())
    if largest < 0x80:
        return numbers.astype(np.uint8).tobytes()
    num_groups = -(-largest.bit_length() // 7)
    shifts = np.arange(0, 7 * num_groups, 7, dtype=np.uint64)
    # What is left of each number from each group on; nothing is written of it
    # once that is 0.
    rest = numbers[:, np.newaxis] >> shifts
    is_written = rest != 0
    is_written[:, 0] = True
    octets = (rest & np.uint64(0x7F)).astype(np.uint8)
    octets[:, :-1] |= is_written[:, 1:].astype(np.uint8) << 7
    return bytes(octets[is_written])
