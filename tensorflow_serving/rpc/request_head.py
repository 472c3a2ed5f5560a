"""Header fields of a gRPC request: method, deadline, encoding, metadata.

Format: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import base64
import binascii
import dataclasses
import math
import re

from tensorflow_serving.rpc import call
from tensorflow_serving.rpc.http2 import header_block
from tensorflow_serving.util import errors

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {
    b"H": 3600.0,
    b"M": 60.0,
    b"S": 1.0,
    b"m": 1e-3,
    b"u": 1e-6,
    b"n": 1e-9,
}
# The protocol's own fields, of which services learn by other means.
_PROTOCOL_FIELDS = frozenset([b"content-type", b"content-length", b"te"])
_PROTOCOL_PREFIX = b"grpc-"
_BINARY_SUFFIX = b"-bin"


@dataclasses.dataclass(frozen=True)
class RequestHead:
    """The header fields of a call, read.

    All requests that repeat the fields share the object.
    """

    # The name of the method on the wire.
    path: str
    # How long the caller waits; infinite for as long as it takes.
    timeout_seconds: float = math.inf
    # How messages are compressed that are flagged so.
    encoding: str = "identity"
    metadata: call.Metadata = ()
    # The HTTP status to answer with if this is not a gRPC call; or 200.
    http_status: int = 200
    # The answer to the call if it breaks a rule of gRPC.
    error: errors.ServingError | None = None


def read(head: header_block.Head) -> RequestHead:
    """Returns the head of a call."""
    if head.is_too_large:
        return RequestHead(
            "",
            error=errors.ResourceExhaustedError(
                "metadata must be smaller, counting names and values; got too "
                "many bytes"
            ),
        )
    path = head.path.decode("ascii", "replace")
    fields = dict(head.fields)
    if head.method != b"POST":
        return RequestHead(path, http_status=405)
    content_type = fields.get(b"content-type", b"")
    if not re.match(rb"application/grpc($|[+;])", content_type):
        return RequestHead(path, http_status=415)
    try:
        return RequestHead(
            path,
            _timeout_seconds(fields.get(b"grpc-timeout")),
            fields.get(b"grpc-encoding", b"identity").decode(
                "ascii", "replace"
            ),
            tuple(
                (name.decode(), _value(name, value))
                for name, values in head.fields
                if not _is_of_protocol(name)
                for value in _split(name, values)
            ),
        )
    except errors.ServingError as error:
        return RequestHead(path, error=error)


def _is_of_protocol(name: bytes) -> bool:
    return name in _PROTOCOL_FIELDS or name.startswith(_PROTOCOL_PREFIX)


def _timeout_seconds(text: bytes | None) -> float:
    if text is None:
        return math.inf
    match = _TIMEOUT.fullmatch(text)
    if not match:
        raise errors.InvalidArgumentError(
            "grpc-timeout must be up to 8 digits and a unit of HMSmun, such as "
            f"100m; got {text[:20].decode('ascii', 'replace')}"
        )
    return int(match[1]) * _SECONDS[match[2]]


def _split(name: bytes, values: bytes) -> list[bytes]:
    """Returns the values of a field; binary ones may be joined by commas."""
    return values.split(b",") if name.endswith(_BINARY_SUFFIX) else [values]


def _value(name: bytes, value: bytes) -> str | bytes:
    if not name.endswith(_BINARY_SUFFIX):
        return value.decode("utf-8", "replace")
    try:
        # Padding is optional on the wire, and not in the library.
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        raise errors.InvalidArgumentError(
            f"metadata {name.decode()} must be base64; got something else"
        ) from None
