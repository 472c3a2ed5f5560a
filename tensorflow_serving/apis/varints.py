"""Arrays of integers as protobuf messages have them.

The format: https://protobuf.dev/programming-guides/encoding/#varints. A number
is written in groups of seven bits, the lowest first; all bytes but the last one
have the highest bit set. Negative numbers are written as 64 bits.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

# How many numbers are written at a time: it takes several times their memory.
_CHUNK: Final = 1 << 15


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
    octets = np.empty([len(numbers), num_groups], np.uint8)
    is_written = np.ones([len(numbers), num_groups], np.bool_)
    for group in range(num_groups - 1):
        rest = numbers >> np.uint64(7)
        has_more = rest != 0
        octets[:, group] = numbers.astype(np.uint8) & 0x7F
        octets[:, group] |= has_more.view(np.uint8) << 7
        is_written[:, group + 1] = has_more
        numbers = rest
    octets[:, -1] = numbers
    return bytes(octets[is_written])
