"""Compression of the responses of a server of HTTP, by gzip."""

import asyncio
import gzip
from collections.abc import Iterable
from typing import Final

# Compressing less saves nothing.
_MIN_GZIP_BYTES: Final = 1024
_GZIP_LEVEL: Final = 1
# Compressing more takes longer than a millisecond.
_MAX_QUICK_GZIP_BYTES: Final = 64 << 10


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
