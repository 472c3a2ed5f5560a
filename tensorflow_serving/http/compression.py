"""Compression of the bodies of a server of HTTP, by gzip."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from tensorflow_serving.http import messages
from tensorflow_serving.util import errors

# Compressing less saves nothing.
_MIN_GZIP_BYTES: Final = 1024
_GZIP_LEVEL: Final = 1
# Compressing more takes longer than a millisecond.
_MAX_QUICK_GZIP_BYTES: Final = 64 << 10
# Decompressing more takes longer than that; there may be nothing in it, many
# times over.
_MAX_QUICK_BYTES: Final = 64 << 10
_MAX_QUICK_PLAIN_BYTES: Final = 256 << 10
# To read both what gzip and what zlib wrote.
_ANY_HEADER: Final = 32 + zlib.MAX_WBITS
_GZIP_MAGIC: Final = b"\x1f\x8b"
# No byte of deflate stands for more (https://zlib.net/zlib_tech.html).
_MAX_RATIO: Final = 1032
# The members of a file of gzip: each takes time, also if it is empty.
_MAX_MEMBERS: Final = 10_000
# Decompressed in one go: little, as the interpreter is held while the result is
# put together.
_INPUT_BYTES: Final = 16 << 10
_OUTPUT_BYTES: Final = 64 << 10


async def compressed(data: bytes) -> bytes:
    """Returns a compressed body; others do not wait for a large one."""
    if len(data) <= _MAX_QUICK_GZIP_BYTES:
        return gzip.compress(data, _GZIP_LEVEL)
    return await asyncio.to_thread(gzip.compress, data, _GZIP_LEVEL)


def is_wanted(data: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Returns whether a client takes gzip, and it makes a body smaller.

    A client that gives gzip a weight of 0 does not take it.
    """
    if len(data) < _MIN_GZIP_BYTES:
        return False
    for name, value in headers:
        if name == b"accept-encoding":
            for coding in value.lower().split(b","):
                token, _, weight = coding.partition(b";")
                if token.strip() == b"gzip":
                    return weight.replace(b" ", b"").rstrip(b"0.") != b"q="
    return False


class Decompressor:
    """Decompresses bodies of requests, large ones on a thread, one at a time.

    A large body is decompressed twice, first only to see how large it is: one
    that is made to fill the memory takes none. One thread may use it, on the
    event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        """Makes one for bodies of so many bytes, once decompressed."""
        self._max_bytes = max_bytes
        self._one_at_a_time = asyncio.Lock()

    async def decompress(self, data: bytes) -> bytes:
        """Returns a body without its compression, by gzip or zlib.

        Raises:
          InvalidArgumentError: It is not compressed, or not a whole file.
            Permanent.
          BodyTooLargeError: It is larger than the limit. Permanent.
        """
        self._require_room(_named_size(data))
        if len(data) <= _MAX_QUICK_BYTES:
            plain = bytearray()
            for piece in _pieces(data):
                plain += piece
                if len(plain) > _MAX_QUICK_PLAIN_BYTES:
                    break
            else:
                self._require_room(len(plain))
                return bytes(plain)
        is_left = threading.Event()
        try:
            async with self._one_at_a_time:
                return await asyncio.to_thread(self._read, data, is_left)
        except asyncio.CancelledError:
            is_left.set()  # the thread would go on
            raise

    def _read(self, data: bytes, is_left: threading.Event) -> bytes:
        """Returns a body; empty if its client left meanwhile."""
        num_bytes = 0
        for piece in _pieces(data):
            num_bytes += len(piece)
            self._require_room(num_bytes)
            if is_left.is_set():
                return b""
        return b"".join(_pieces(data))

    def _require_room(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            raise messages.BodyTooLargeError(
                f"body must have at most {self._max_bytes} bytes once "
                "decompressed, by --rest_api_max_body_bytes; got more"
            )


def _named_size(data: bytes) -> int:
    """Returns the size that a file of gzip names, once decompressed.

    It is the last field of the file, modulo 2 ** 32 (RFC 1952, section 2.3.1).
    A file of another size is broken, or has more in members before the last
    one: to refuse it for the name is never wrong, and takes no time. 0 for what
    only zlib wrote, which names no size, and if it is more than there can be,
    so that the file must be broken.
    """
    size = int.from_bytes(data[-4:], "little")
    is_possible = size <= _MAX_RATIO * len(data)
    return size if data.startswith(_GZIP_MAGIC) and is_possible else 0


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yields what compressed data holds, in small pieces, some of them empty.

    A file of gzip may have several members (RFC 1952, section 2.2).

    Raises:
      InvalidArgumentError: It is not compressed, or not a whole file.
    """
    reader = zlib.decompressobj(_ANY_HEADER)
    num_members = 1
    start = 0
    try:
        while start < len(data):
            if reader.eof:
                num_members += 1
                if num_members > _MAX_MEMBERS or not data.startswith(
                    _GZIP_MAGIC, start
                ):
                    break
                reader = zlib.decompressobj(_ANY_HEADER)
            part = data[start : start + _INPUT_BYTES]
            start += len(part)
            piece = reader.decompress(part, _OUTPUT_BYTES)
            yield piece
            while piece:
                rest = b"" if reader.eof else reader.unconsumed_tail
                piece = reader.decompress(rest, _OUTPUT_BYTES)
                yield piece
            start -= len(reader.unused_data)
    except zlib.error:
        raise errors.InvalidArgumentError(
            "body must be compressed by gzip, as Content-Encoding says; got "
            "something else"
        ) from None
    if not reader.eof or start < len(data):
        raise errors.InvalidArgumentError(
            "body must be a whole file of gzip; got "
            f"{'more' if reader.eof else 'a part'}"
        )
