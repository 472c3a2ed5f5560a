"""Facts about a connection that hold whatever a client sends.

    check(data, random.Random(1))

A client's bytes go through connections in several ways: at once, in pieces, and
with a server that answers. The check is that

- nothing raises an exception;
- the streams and the output are the same however the bytes are cut;
- frames of the server are on streams that the client has opened, and follow
  each other as RFC 9113 says;
- what the connection keeps, and what it sends, is bounded.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tensorflow_serving.rpc.http2 import (
    connection,
    frame_script,
    frames,
    fuzz_inputs,
    header_block,
)
from tensorflow_serving.rpc.http2 import stream as stream_lib

_HEAD: Final = header_block.encode([(b":status", b"200"), (b"a", b"b")])
_TRAILERS: Final = header_block.encode([(b"grpc-status", b"0")])

# Limits on the bytes that the server sends: some without being asked, and some
# for each byte of the client. A frame of 9 bytes can be answered with one of
# 13, and the first one that breaks a rule with a text.
_MAX_FIRST_BYTES = 400
_MAX_BYTES_PER_BYTE = 3


class Outcome(NamedTuple):
    """How a conversation ended."""

    output: bytes
    # The states of all streams that were reported, in words.
    streams: Sequence[str]
    # The fault of the connection, or "".
    fault: str
    # How many streams the server reset for a fault of the client's.
    num_resets: int


def check(data: bytes, random_: random.Random) -> Outcome:
    """Checks all facts; returns how the conversation ended.

    Raises:
      AssertionError: One of them does not hold.
    """
    outcome = _run([data])
    _check_output(outcome.output, data)
    in_pieces = _run(_cut(data, random_))
    assert in_pieces == outcome, "outcome must not depend on the cuts"
    _check_output(_Server(random_).run(_cut(data, random_)), data)
    return outcome


def _run(pieces: Sequence[bytes]) -> Outcome:
    """Returns the outcome with a server that only listens."""
    subject = connection.Connection(fuzz_inputs.LIMITS, 0.0)
    streams: dict[int, stream_lib.Stream] = {}
    for piece in pieces:
        for stream in subject.receive(piece, 0.0):
            streams[stream.id] = stream
        _check_memory(streams)
    output = subject.take_output()
    num_bytes = sum(map(len, pieces))
    assert len(output) <= _MAX_FIRST_BYTES + _MAX_BYTES_PER_BYTE * num_bytes, (
        f"output must be small; got {len(output)} bytes for {num_bytes}"
    )
    fault = subject.fault
    return Outcome(
        output,
        [
            f"{state} {b''.join(stream.chunks).hex()}"
            for stream, state in zip(
                streams.values(),
                frame_script.states(streams.values()),
                strict=True,
            )
        ],
        "" if fault is None else f"{fault.code.name}: {fault}",
        sum(
            kind == frames.RST_STREAM
            for kind, _, _, _ in frame_script.read_frames(output)
        ),
    )


def _check_memory(streams: dict[int, stream_lib.Stream]) -> None:
    limits = fuzz_inputs.LIMITS
    still_open = [each for each in streams.values() if not each.is_closed]
    assert len(still_open) <= limits.max_concurrent_streams
    for stream in still_open:
        size = stream.num_received_bytes
        assert size <= limits.stream_window_bytes, f"{stream} holds too much"
        assert len(stream.chunks) <= 3 + size // 512, f"{stream} is in shreds"
    for stream in streams.values():
        if stream.is_closed:
            assert not stream.chunks, f"{stream} is closed, and holds data"


def _cut(data: bytes, random_: random.Random) -> list[bytes]:
    """Returns the bytes in pieces, sometimes very small ones."""
    largest = random_.choice((1, 4, 30, 200, max(1, len(data))))
    if len(data) > 2_000:
        largest = max(largest, 30)
    pieces = []
    position = 0
    while position < len(data):
        size = random_.randint(1, largest)
        pieces.append(data[position : position + size])
        position += size
    return pieces


class _Server:
    """The layer above a connection: reads, and answers as it likes."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._connection = connection.Connection(fuzz_inputs.LIMITS, 0.0)
        self._streams: dict[int, stream_lib.Stream] = {}

    def run(self, pieces: Sequence[bytes]) -> bytes:
        """Returns what was sent to a client."""
        output = []
        for piece in pieces:
            for stream in self._connection.receive(piece, 0.0):
                self._streams[stream.id] = stream
                self._act(stream)
            if self._streams and self._random.random() < 0.1:
                self._act(self._random.choice(list(self._streams.values())))
            if self._random.random() < 0.5:
                output.append(self._connection.take_output())
        for stream in self._connection.abandon():
            assert stream.is_closed, f"{stream} must be closed"
        output.append(self._connection.take_output())
        assert self._connection.is_over, "connection must be over"
        return b"".join(output)

    def _act(self, stream: stream_lib.Stream) -> None:
        random_ = self._random
        subject = self._connection
        what = random_.random()
        if what < 0.3:
            subject.send_headers(stream, _HEAD)
            subject.send_data(stream, bytes(random_.choice((0, 3, 90_000))))
            subject.send_end(stream, _TRAILERS)
        elif what < 0.4:
            subject.send_end(stream, _HEAD)
        elif what < 0.5:
            subject.reset(stream, frames.ErrorCode.CANCEL)
        elif what < 0.7:
            size = random_.choice((1_000, 4_000, 20_000))
            if not stream.room_bytes:
                subject.incoming.need_room(stream, size)
        elif what < 0.8 and not stream.room_bytes:
            stream.take(random_.randint(0, stream.num_received_bytes))
            subject.consume(stream)
        elif what < 0.82:
            subject.go_away()
        elif what < 0.83:
            subject.finish_going_away()
        elif what < 0.85:
            subject.ping()
        elif what < 0.95 and stream.is_ended and not stream.is_closed:
            self._send_whole(stream)

    def _send_whole(self, stream: stream_lib.Stream) -> None:
        if stream.unsent is None and self._connection.may_send_whole(1, 3):
            rendered = frame_script.headers(stream.id, _HEAD)
            rendered += frame_script.data(stream.id, b"abc")
            rendered += frame_script.trailers(stream.id, _TRAILERS)
            self._connection.send_whole([stream], rendered, 3)


def _check_output(output: bytes, sent: bytes) -> None:
    """Checks that a client can understand what a server sent."""
    opened = set(_opened(sent))
    ended: set[int] = set()
    reset: set[int] = set()
    last_goaway = frames.MAX_STREAM_ID
    for kind, flags, stream_id, payload in frame_script.read_frames(output):
        if kind == frames.GOAWAY:
            last = int.from_bytes(payload[:4], "big")
            assert last <= last_goaway, "GOAWAY must not take back another"
            last_goaway = last
        if stream_id == 0:
            continue
        assert stream_id in opened, f"{stream_id} must be open"
        assert stream_id not in reset, f"{stream_id} must not be reset"
        if kind == frames.RST_STREAM:
            reset.add(stream_id)
            continue
        assert stream_id not in ended, f"{stream_id} must not be ended"
        if flags & frames.END_STREAM and kind <= frames.HEADERS:
            ended.add(stream_id)


def _opened(sent: bytes) -> Iterator[int]:
    """Yields the streams for which a client has sent HEADERS."""
    position = len(frames.PREFACE)
    while position + frames.HEADER_BYTES <= len(sent):
        high, low, kind, _, stream_id = frames.HEADER.unpack_from(
            sent, position
        )
        if kind == frames.HEADERS:
            yield stream_id & frames.MAX_STREAM_ID
        position += frames.HEADER_BYTES + (high << 16 | low)
