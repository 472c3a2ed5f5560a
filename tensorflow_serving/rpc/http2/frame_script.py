"""A client that sends what a test says, frame by frame, and reads the answers.

    client = Client()
    client.send(headers(1), data(1, b"abc", ends=True))
    -> ["RST_STREAM 1 REFUSED_STREAM"], for example

It breaks any rule that it is asked to. What comes back is text, a line for each
frame, because a table of texts is easier to check than one of bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from tensorflow_serving.rpc.http2 import (
    connection,
    frame_reader,
    frames,
    header_block,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib

# The header fields of a call.
REQUEST_FIELDS: Final[Sequence[header_block.Field]] = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/package.Service/Method"),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)
# The same as a block that leaves the table of HPACK as it is.
REQUEST: Final = header_block.encode(REQUEST_FIELDS)
TRAILERS: Final = header_block.encode([(b"x-checksum", b"1")])

_KINDS: Final = (
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
)


def hello(settings: Mapping[int, int] | None = None) -> bytes:
    """Returns the first bytes of a client."""
    return frames.PREFACE + frames.settings(settings or {})


def headers(
    stream_id: int,
    block: bytes = REQUEST,
    flags: int = frames.END_HEADERS,
    *,
    ends: bool = False,
) -> bytes:
    """Returns a HEADERS frame; by default, the beginning of a call."""
    flags |= frames.END_STREAM if ends else 0
    return frames.frame(frames.HEADERS, flags, stream_id, block)


def fields(stream_id: int, *more: header_block.Field) -> bytes:
    """Returns a call with further header fields."""
    return headers(
        stream_id, header_block.encode([*REQUEST_FIELDS, *more]), ends=True
    )


def trailers(stream_id: int, block: bytes = TRAILERS) -> bytes:
    """Returns the HEADERS frame that ends a request."""
    return headers(stream_id, block, ends=True)


def continuation(
    stream_id: int, block: bytes = b"", flags: int = frames.END_HEADERS
) -> bytes:
    """Returns a CONTINUATION frame; by default, the last one."""
    return frames.frame(frames.CONTINUATION, flags, stream_id, block)


def data(
    stream_id: int,
    payload: bytes = b"",
    *,
    ends: bool = False,
    num_padding_bytes: int | None = None,
) -> bytes:
    """Returns a DATA frame; padded, if only by 0 bytes, if that is not None."""
    flags = frames.END_STREAM if ends else 0
    if num_padding_bytes is not None:
        flags |= frames.PADDED
        payload = padded(payload, num_padding_bytes)
    return frames.frame(frames.DATA, flags, stream_id, payload)


def padded(payload: bytes, num_bytes: int) -> bytes:
    """Returns the payload of a frame with the flag PADDED."""
    return bytes([num_bytes]) + payload + bytes(num_bytes)


def ping(payload: bytes = b"12345678", *, flags: int = 0) -> bytes:
    """Returns a PING frame."""
    return frames.frame(frames.PING, flags, 0, payload)


def read(output: bytes) -> list[str]:
    """Returns what a server sent, a text for each frame."""
    return [_text(frame) for frame in read_frames(output)]


def read_frames(output: bytes) -> Iterator[frame_reader.Frame]:
    """Yields the frames that a server sent, all of which must be whole."""
    position = 0
    while position < len(output):
        high, low, kind, flags, stream_id = frames.HEADER.unpack_from(
            output, position
        )
        start = position + frames.HEADER_BYTES
        position = start + (high << 16 | low)
        assert position <= len(output), "frame must be whole"
        yield kind, flags, stream_id, output[start:position]


class Client:
    """A client on one connection, after both sides have said hello."""

    def __init__(
        self,
        limits: limits_lib.Limits | None = None,
        settings: Mapping[int, int] | None = None,
    ) -> None:
        """Begins with settings of both sides."""
        self.connection = connection.Connection(
            limits or limits_lib.Limits(), now=0.0
        )
        # The streams that had news, once each, by number.
        self.streams: dict[int, stream_lib.Stream] = {}
        self.now = 0.0
        self.send(hello(settings))

    def send(self, *data: bytes) -> list[str]:
        """Sends bytes at once, and returns the answer to them."""
        self.deliver(b"".join(data))
        return self.read()

    def deliver(self, data: bytes) -> None:
        """Sends bytes, and reads nothing."""
        for stream in self.connection.receive(data, self.now):
            self.streams[stream.id] = stream

    def read(self) -> list[str]:
        """Returns what the server has sent since the last time."""
        return read(self.connection.take_output())


def states(streams: Iterable[stream_lib.Stream]) -> list[str]:
    """Returns what is known of streams, a text for each."""
    return [
        f"{stream.id} {'ended' if stream.is_ended else 'open'}"
        f" {stream.num_received_bytes} bytes"
        + (
            f" {stream.reset_code.name}"
            if stream.reset_code is not None
            else ""
        )
        for stream in streams
    ]


def outcomes(sent: bytes) -> Iterator[list[str]]:
    """Yields the answer to what a client sends, and the states of its streams.

    Once for all bytes together, and once for each of several ways to cut them
    into pieces. All should be the same.
    """
    sizes = (len(sent), 1, 5, 9) if len(sent) < 10_000 else (len(sent), 1_009)
    for size in sizes:
        client = Client()
        for start in range(0, len(sent), max(1, size)):
            client.deliver(sent[start : start + size])
        yield client.read() + states(client.streams.values())


def _text(frame: frame_reader.Frame) -> str:
    kind, flags, stream_id, payload = frame
    words = [_KINDS[kind]]
    if kind == frames.GOAWAY:
        words += [str(_integer(payload[:4])), _code(payload[4:8])]
    elif kind in (frames.SETTINGS, frames.PING):
        words += ["ACK"] if flags & frames.ACK else []
    else:
        words.append(str(stream_id))
        if kind == frames.WINDOW_UPDATE:
            words.append(str(_integer(payload)))
        elif kind == frames.RST_STREAM:
            words.append(_code(payload))
        elif kind == frames.DATA:
            words.append(f"{len(payload)} bytes")
        if kind in (frames.DATA, frames.HEADERS) and flags & frames.END_STREAM:
            words.append("END_STREAM")
    return " ".join(words)


def _integer(payload: bytes) -> int:
    return int.from_bytes(payload, "big")


def _code(payload: bytes) -> str:
    return frames.ErrorCode(_integer(payload)).name
