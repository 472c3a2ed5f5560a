"""The header blocks of gRPC responses: what comes before and after messages.

Format: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import base64
import re
from typing import Final

from tensorflow_serving.rpc import call
from tensorflow_serving.rpc.http2 import header_block
from tensorflow_serving.util import errors

_HEAD_FIELDS: Final = (
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity,deflate,gzip"),
)
# Before the first message.
HEAD: Final = header_block.encode(_HEAD_FIELDS)
# After the last one, if all went well.
OK: Final = header_block.encode([(b"grpc-status", b"0")])

# A key of metadata; gRPC keeps names with this prefix for itself.
_KEY = re.compile(r"(?!grpc-)[0-9a-z_.\-]+")
_ASCII_VALUE = re.compile(r"[\x20-\x7e]*")
# The ASCII characters that must be escaped in a text; so must all that are not
# ASCII. A field of HTTP/2 has no space around its value.
_ESCAPED = re.compile(rb"[^\x20-\x24\x26-\x7e]|^ | $")


def require_metadata(metadata: call.Metadata) -> None:
    """Checks metadata of a service.

    Raises:
      InvalidArgumentError: They cannot be sent. Permanent.
    """
    for pair in metadata:
        _field(pair)


def ok(metadata: call.Metadata) -> bytes:
    """Returns what ends a call that went well.

    Raises:
      InvalidArgumentError: The metadata cannot be sent. Permanent.
    """
    if not metadata:
        return OK
    return header_block.encode([(b"grpc-status", b"0"), *map(_field, metadata)])


def failure(
    error: errors.ServingError,
    metadata: call.Metadata = (),
    *,
    is_begun: bool = False,
) -> bytes:
    """Returns what ends a call that failed.

    Args:
      error: Its code, and its text, which is cut to 1,024 bytes.
      metadata: What the caller gets.
      is_begun: Whether HEAD was sent before.

    Raises:
      InvalidArgumentError: The metadata cannot be sent. Permanent.
    """
    fields = [
        (b"grpc-status", b"%d" % error.code),
        (b"grpc-message", _message(errors.short_text(error))),
        *map(_field, metadata),
    ]
    return header_block.encode(fields if is_begun else [*_HEAD_FIELDS, *fields])


def http_status(status: int) -> bytes:
    """Returns the whole response to what is not a gRPC call."""
    return header_block.encode([(b":status", b"%d" % status)])


def _message(text: str) -> bytes:
    """Returns a text, percent-encoded."""
    return _ESCAPED.sub(lambda match: b"%%%02X" % match[0][0], text.encode())


def _field(pair: tuple[str, str | bytes]) -> header_block.Field:
    key, value = pair
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise errors.InvalidArgumentError(
            "key of metadata must be lower-case letters, digits and _-., and "
            f"must not begin with grpc-; got {key!r}"
        )
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise errors.InvalidArgumentError(
                f"metadata {key} must be bytes; got {type(value).__name__}"
            )
        return key.encode(), base64.b64encode(value).rstrip(b"=")
    if not isinstance(value, str) or not _ASCII_VALUE.fullmatch(value):
        raise errors.InvalidArgumentError(
            f"metadata {key} must be printable ASCII; got something else"
        )
    return key.encode(), value.strip(" ").encode()
