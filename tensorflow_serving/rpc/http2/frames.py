"""The frames of HTTP/2 as bytes: their types, flags, codes and layout.

Format: RFC 9113, section 4.1 (layout), 6 (types), 6.5.2 (settings), 7 (codes).
"""

import enum
import struct
from collections.abc import Mapping
from typing import Final

# The first bytes of every connection; section 3.4.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Types; section 6.
DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

# Flags; the first two share a bit.
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

# Settings; section 6.5.2.
HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

# The values that hold until a peer has read other settings.
DEFAULT_WINDOW_BYTES: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
DEFAULT_TABLE_BYTES: Final = 4_096

MAX_STREAM_ID: Final = 0x7FFF_FFFF
MAX_WINDOW_BYTES: Final = 0x7FFF_FFFF
MAX_FRAME_BYTES: Final = 0xFF_FFFF

HEADER_BYTES: Final = 9
# The size of a PRIORITY frame, and of a priority in HEADERS.
PRIORITY_BYTES: Final = 5
# The length in two parts, the type, the flags and the stream.
HEADER: Final = struct.Struct(">BHBBI")
_SETTING = struct.Struct(">HI")


class ErrorCode(enum.IntEnum):
    """Why a stream or a connection ended; section 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Http2ConnectionError(Exception):
    """The peer broke a rule, which ends the connection; section 5.4.1."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        """Takes the code and the rule, which the peer reads in the GOAWAY."""
        super().__init__(text)
        self.code = code


class Http2StreamError(Exception):
    """The peer broke a rule, which ends one stream; section 5.4.2."""

    def __init__(self, stream_id: int, code: ErrorCode) -> None:
        """Takes the code that goes into the RST_STREAM."""
        super().__init__(f"{code.name} on stream {stream_id}")
        self.stream_id = stream_id
        self.code = code


# The least and the most of a setting, and the code if it is neither.
_RANGES: Final = {
    ENABLE_PUSH: (0, 1, ErrorCode.PROTOCOL_ERROR),
    INITIAL_WINDOW_SIZE: (0, MAX_WINDOW_BYTES, ErrorCode.FLOW_CONTROL_ERROR),
    MAX_FRAME_SIZE: (
        DEFAULT_FRAME_BYTES,
        MAX_FRAME_BYTES,
        ErrorCode.PROTOCOL_ERROR,
    ),
}
_ANY: Final = (0, 0xFFFF_FFFF, ErrorCode.PROTOCOL_ERROR)


def frame(
    kind: int, flags: int, stream_id: int, payload: bytes | memoryview = b""
) -> bytes:
    """Returns a frame; the payload must fit in the peer's MAX_FRAME_SIZE."""
    size = len(payload)
    return (
        HEADER.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload
    )


def settings(values: Mapping[int, int]) -> bytes:
    """Returns a SETTINGS frame."""
    return frame(
        SETTINGS,
        0,
        0,
        b"".join(_SETTING.pack(*setting) for setting in values.items()),
    )


def parse_settings(payload: bytes) -> list[tuple[int, int]]:
    """Returns the settings of a frame, in their order; section 6.5.

    Raises:
      Http2ConnectionError: The size is not a multiple of 6, or a value is
        out of range.
    """
    if len(payload) % _SETTING.size:
        raise Http2ConnectionError(
            ErrorCode.FRAME_SIZE_ERROR,
            f"SETTINGS must be a multiple of 6 bytes; got {len(payload)}",
        )
    values = list(_SETTING.iter_unpack(payload))
    for setting, value in values:
        least, most, code = _RANGES.get(setting, _ANY)
        if not least <= value <= most:
            raise Http2ConnectionError(
                code,
                f"setting {setting} must be {least} to {most}; got {value}",
            )
    return values


def without_padding(payload: bytes) -> bytes:
    """Returns the payload of a frame with the flag PADDED; section 6.1.

    Raises:
      Http2ConnectionError: The length of the padding is missing, or there is
        more padding than payload.
    """
    if not payload:
        raise Http2ConnectionError(
            ErrorCode.FRAME_SIZE_ERROR,
            "padded frame must be at least 1 byte; got 0",
        )
    if payload[0] >= len(payload):
        raise Http2ConnectionError(
            ErrorCode.PROTOCOL_ERROR, "padding must fit in its frame"
        )
    return payload[1 : len(payload) - payload[0]]


def require_size(payload: bytes, size: int, what: str) -> None:
    """Raises Http2ConnectionError if a frame is not of its fixed size."""
    if len(payload) != size:
        raise Http2ConnectionError(
            ErrorCode.FRAME_SIZE_ERROR,
            f"{what} must be {size} bytes; got {len(payload)}",
        )


def require_stream(stream_id: int, what: str) -> None:
    """Raises Http2ConnectionError if a frame is not on a stream."""
    if stream_id == 0:
        raise Http2ConnectionError(
            ErrorCode.PROTOCOL_ERROR, f"{what} must be on a stream; got 0"
        )


def require_connection(stream_id: int, what: str) -> None:
    """Raises Http2ConnectionError if a frame is on a stream."""
    if stream_id != 0:
        raise Http2ConnectionError(
            ErrorCode.PROTOCOL_ERROR,
            f"{what} must be on stream 0; got {stream_id}",
        )


def window_update(stream_id: int, num_bytes: int) -> bytes:
    """Returns a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, num_bytes.to_bytes(4, "big"))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    """Returns an RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def goaway(last_stream_id: int, code: ErrorCode, text: str = "") -> bytes:
    """Returns a GOAWAY frame."""
    payload = struct.pack(">II", last_stream_id, code)
    return frame(GOAWAY, 0, 0, payload + text.encode("utf-8", "replace"))
