"""Messages of gRPC in the data of a stream, compressed or not.

Format: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md and
compression.md beside it.
"""

import struct
import zlib
from typing import Final

from tensorflow_serving.util import errors

# A flag, and the size of the message that follows.
_PREFIX: Final = struct.Struct(">BI")
PREFIX_BYTES: Final = _PREFIX.size

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_WINDOW_BITS: Final = {"gzip": _GZIP, "deflate": _ZLIB}


def frame(message: bytes) -> bytes:
    """Returns a message as it goes into a stream, not compressed."""
    return _PREFIX.pack(0, len(message)) + message


def read_prefix(data: bytes) -> tuple[bool, int]:
    """Returns whether a message is compressed, and its size.

    Args:
      data: At least PREFIX_BYTES.

    Raises:
      InternalError: The flag is neither 0 nor 1. Permanent.
    """
    flag, size = _PREFIX.unpack_from(data)
    if flag > 1:
        raise errors.InternalError(
            f"flag of a message must be 0 or 1; got {flag}"
        )
    return bool(flag), size


def require_known_encoding(encoding: str) -> None:
    """Checks the encoding of a call with a compressed message.

    Raises:
      InternalError: The call did not name an encoding. Permanent.
      UnimplementedError: The encoding is not one of ours. Permanent.
    """
    if encoding == "identity":
        raise errors.InternalError(
            "grpc-encoding must say how a message is compressed; got identity"
        )
    if encoding not in _WINDOW_BITS:
        raise errors.UnimplementedError(
            f"grpc-encoding must be identity, deflate or gzip; got "
            f"{encoding[:20]}"
        )


def inflate(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """Returns a compressed message as it was.

    Never makes more than one byte over the limit: a few bytes can stand for
    gigabytes.

    Raises:
      ResourceExhaustedError: The message is larger than that. Permanent.
      InternalError: The data is broken. Permanent.
    """
    inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        message = inflater.decompress(data, max_bytes + 1)
    except zlib.error:
        raise errors.InternalError(
            f"message must be compressed with {encoding}; got something else"
        ) from None
    if len(message) > max_bytes:
        # The error keeps this frame, and so what is in it, until it is handled.
        del message
        raise too_large_error(max_bytes)
    if not inflater.eof:
        raise errors.InternalError(
            f"message must be all of a {encoding} stream; got a part of one"
        )
    return message


def too_large_error(max_bytes: int) -> errors.ResourceExhaustedError:
    """Returns the error of a request that is too large."""
    return errors.ResourceExhaustedError(
        f"request must be at most {max_bytes} bytes; got a larger one"
    )
