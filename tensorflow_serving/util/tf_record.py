"""TFRecord files: any number of records, each a sequence of bytes.

Example:
    with open("requests", "wb") as file:
        tf_record.write(file, b"one")
    with open("requests", "rb") as file:
        print(*tf_record.read(file))

A record is, with all numbers in little endian,

    length   uint64
    check    uint32, of the eight bytes of the length
    content  as many bytes as the length says
    check    uint32, of the content

where a check is a masked CRC-32C. See "TFRecords format details" in
https://www.tensorflow.org/tutorials/load_data/tfrecord.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import google_crc32c

from tensorflow_serving.util import errors

_LENGTH: Final = struct.Struct("<Q")
_CHECK: Final = struct.Struct("<I")
# The bytes of a record beside its content.
FRAME_BYTES: Final = _LENGTH.size + 2 * _CHECK.size
_MASK: Final = 0xA282EAD8
# Beyond this no protocol buffer can be read.
_MAX_RECORD_BYTES: Final = 2**31 - 1
# The first bytes of files that TensorFlow compresses when asked to; a file of
# zlib begins with a multiple of 31.
_GZIP: Final = b"\x1f\x8b"
_ZLIB: Final = 0x78
_ZLIB_FACTOR: Final = 31


def read(file: BinaryIO) -> Iterator[bytes]:
    """Yields the records of a file that was opened at its start.

    Raises:
      DataLossError: The file is corrupt, truncated or compressed, or has
        another format; records before the fault were yielded. Permanent.
      OSError: The storage failed.
    """
    position = 0
    while header := file.read(_LENGTH.size + _CHECK.size):
        if len(header) < _LENGTH.size + _CHECK.size:
            raise _truncated(position)
        if not _is_intact(header[: _LENGTH.size], header[_LENGTH.size :]):
            raise _unreadable(position, header)
        (length,) = _LENGTH.unpack_from(header)
        if length > _MAX_RECORD_BYTES:
            raise _corrupt(position, f"a length of {length} bytes")
        record = file.read(length)
        check = file.read(_CHECK.size)
        if len(check) < _CHECK.size:
            raise _truncated(position)
        if not _is_intact(record, check):
            raise _corrupt(position, "content of another checksum")
        yield record
        position += len(header) + length + len(check)


def write(file: BinaryIO, record: bytes) -> None:
    """Writes a record with a single call of the method of the file.

    Raises:
      OSError: The storage failed.
    """
    length = _LENGTH.pack(len(record))
    file.write(b"".join([length, _check(length), record, _check(record)]))


def _check(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = crc >> 15 | crc << 17
    return _CHECK.pack(rotated + _MASK & 0xFFFFFFFF)


def _is_intact(data: bytes, check: bytes) -> bool:
    return _check(data) == check


def _corrupt(position: int, found: str) -> errors.DataLossError:
    return errors.DataLossError(
        f"file must be a whole one in TFRecord format; got {found} in the "
        f"record at byte {position}"
    )


def _truncated(position: int) -> errors.DataLossError:
    return _corrupt(position, "the end of the file")


def _unreadable(position: int, header: bytes) -> errors.DataLossError:
    """Returns why a length cannot be read."""
    is_zlib = header[0] == _ZLIB and not (
        int.from_bytes(header[:2], "big") % _ZLIB_FACTOR
    )
    if position == 0 and (header.startswith(_GZIP) or is_zlib):
        kind = "zlib" if is_zlib else "gzip"
        return errors.DataLossError(
            "file must be one in TFRecord format without compression; got one "
            f"that {kind} has compressed"
        )
    return _corrupt(position, "a length of another checksum")
