"""Conversations of a client, right and wrong, made from random numbers.

    inputs = FuzzInputs(seed=1)
    inputs.next()  # -> FuzzInput(data=b"PRI * HTTP/2.0...", is_valid=False)

The same seed makes the same inputs.
"""

import random
from collections.abc import Callable
from typing import Final, NamedTuple

import hpack

from tensorflow_serving.rpc.http2 import frame_script, frames, header_block
from tensorflow_serving.rpc.http2 import limits as limits_lib

# Small limits, so that short conversations reach them.
LIMITS: Final = limits_lib.Limits(
    max_concurrent_streams=4,
    max_header_list_bytes=600,
    max_decoded_header_bytes=1_500,
    max_frame_bytes=16_384,
    stream_window_bytes=2_000,
    message_room_bytes=5_000,
    resets=limits_lib.Rate(burst=6, per_second=1),
    settings=limits_lib.Rate(burst=8, per_second=1),
    pings=limits_lib.Rate(burst=8, per_second=1),
    other_frames=limits_lib.Rate(burst=20, per_second=1),
)

# How many inputs are made of one valid conversation.
_INPUTS_PER_CONVERSATION = 20
_MAX_FRAMES = 16
_MAX_MUTATIONS = 4
_BYTES: Final = (0x00, 0x01, 0x20, 0x3F, 0x40, 0x7F, 0x80, 0xFF)
_STREAMS: Final = (0, 1, 1, 2, 3, 3, 5, 7, 9, 99, frames.MAX_STREAM_ID)
_SIZES: Final = (0, 1, 3, 4, 5, 6, 8, 9, 12, 60, 300)
_FIELDS: Final = (
    (b"user-agent", b"fuzz"),
    (b"grpc-timeout", b"100m"),
    (b"x-data-bin", b"AAECAwQ"),
    (b"x-long", b"0123456789" * 9),
    (b"x-empty", b""),
)


class FuzzInput(NamedTuple):
    """The bytes of a client."""

    data: bytes
    # Whether they keep to all rules, and come to no limit.
    is_valid: bool


class FuzzInputs:
    """Makes inputs, one after the other."""

    def __init__(self, seed: int) -> None:
        """Begins with a seed."""
        self._random = random.Random(seed)
        self._units: list[bytes] = []
        self._num_left = 0
        self._mutations: tuple[Callable[[list[bytes]], None], ...] = (
            self._duplicate,
            self._drop,
            self._swap,
            self._insert_frame,
            self._insert_block,
            self._change_header,
            self._flip_bits,
            self._set_byte,
            self._cut,
            self._lengthen,
        )

    def next(self) -> FuzzInput:
        """Returns the next input."""
        if self._num_left == 0:
            self._units = _Conversation(self._random).units
            self._num_left = _INPUTS_PER_CONVERSATION
            return FuzzInput(b"".join(self._units), True)
        self._num_left -= 1
        units = list(self._units)
        for _ in range(self._random.randint(1, _MAX_MUTATIONS)):
            self._random.choice(self._mutations)(units)
        return FuzzInput(b"".join(units), False)

    def _position(self, units: list[bytes]) -> int:
        """Returns where something is changed; rarely in the preface."""
        first = 0 if self._random.random() < 0.02 else 1
        return self._random.randrange(min(first, len(units) - 1), len(units))

    def _duplicate(self, units: list[bytes]) -> None:
        unit = units[self._position(units)]
        for _ in range(self._random.choice((1, 1, 1, 2, 30))):
            units.insert(self._position(units) + 1, unit)

    def _drop(self, units: list[bytes]) -> None:
        if len(units) > 1:
            del units[self._position(units)]

    def _swap(self, units: list[bytes]) -> None:
        one, other = self._position(units), self._position(units)
        units[one], units[other] = units[other], units[one]

    def _insert_frame(self, units: list[bytes]) -> None:
        random_ = self._random
        frame = frames.frame(
            random_.randrange(12),
            random_.choice((0, 1, 4, 5, 8, random_.getrandbits(8))),
            random_.choice(_STREAMS),
            random_.randbytes(random_.choice(_SIZES)),
        )
        units.insert(self._position(units) + 1, frame)

    def _insert_block(self, units: list[bytes]) -> None:
        """Inserts a header block of random fields, or of random bytes."""
        random_ = self._random
        if random_.random() < 0.5:
            block = random_.randbytes(random_.choice(_SIZES))
        else:
            names = (b":method", b":path", b":scheme", b"te", b"A", b"a", b"")
            block = header_block.encode(
                (random_.choice(names), random_.choice((b"", b"x", b"POST")))
                for _ in range(random_.randrange(6))
            )
        stream_id = random_.choice((*_STREAMS, 11, 13, 15))
        frame = frame_script.headers(
            stream_id, block, random_.choice((4, 5, 0))
        )
        units.insert(self._position(units) + 1, frame)

    def _change_header(self, units: list[bytes]) -> None:
        """Changes the type, the flags or the stream of a frame."""
        position = self._position(units)
        unit = bytearray(units[position])
        if len(unit) >= frames.HEADER_BYTES:
            index = self._random.randrange(3, frames.HEADER_BYTES)
            unit[index] = self._random.choice((0, 1, 3, 4, 5, 8, 9, 0x80))
            units[position] = bytes(unit)

    def _flip_bits(self, units: list[bytes]) -> None:
        for _ in range(self._random.randint(1, 3)):
            position = self._position(units)
            unit = bytearray(units[position])
            if unit:
                index = self._random.randrange(len(unit))
                unit[index] ^= 1 << self._random.randrange(8)
                units[position] = bytes(unit)

    def _set_byte(self, units: list[bytes]) -> None:
        position = self._position(units)
        unit = bytearray(units[position])
        if unit:
            unit[self._random.randrange(len(unit))] = self._random.choice(
                _BYTES
            )
            units[position] = bytes(unit)

    def _cut(self, units: list[bytes]) -> None:
        position = self._position(units)
        size = len(units[position])
        units[position] = units[position][: self._random.randrange(size + 1)]

    def _lengthen(self, units: list[bytes]) -> None:
        """Makes the payload of a frame longer, and its length right."""
        position = self._position(units)
        unit = units[position]
        if len(unit) >= frames.HEADER_BYTES and position > 0:
            more = self._random.randbytes(self._random.choice(_SIZES))
            size = len(unit) + len(more) - frames.HEADER_BYTES
            units[position] = size.to_bytes(3, "big") + unit[3:] + more


class _Conversation:
    """The pieces of a conversation: the preface, and then frames."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._encoder = hpack.Encoder()
        # Streams that take data, and how much of it.
        self._windows: dict[int, int] = {}
        # Only a few calls may be taken back.
        self._num_resets = 3
        self._num_open = 0
        self._next_id = random_.choice((1, 1, 1, 3, 101))
        self.units = [frames.PREFACE, frames.settings(self._settings())]
        actions = (
            *(self._open,) * 4,
            *(self._send_data,) * 4,
            self._send_trailers,
            self._reset,
            self._send_other,
        )
        for _ in range(random_.randint(1, _MAX_FRAMES)):
            random_.choice(actions)()

    def _settings(self) -> dict[int, int]:
        values = {
            frames.HEADER_TABLE_SIZE: (0, 100, 4_096, 1 << 20),
            frames.ENABLE_PUSH: (0, 1),
            frames.INITIAL_WINDOW_SIZE: (0, 10, 65_535, 1 << 20),
            frames.MAX_FRAME_SIZE: (16_384, 16_385, 1 << 20),
            0x99: (0, 1),
        }
        return {
            setting: self._random.choice(choices)
            for setting, choices in values.items()
            if self._random.random() < 0.3
        }

    def _open(self) -> None:
        if self._num_open == LIMITS.max_concurrent_streams:
            return
        self._num_open += 1
        stream_id = self._next_id
        self._next_id += self._random.choice((2, 2, 2, 4))
        if self._random.random() < 0.1:
            self._encoder.header_table_size = self._random.choice(
                (0, 60, 200, 4_096)
            )
        more = self._random.sample(_FIELDS, self._random.randrange(3))
        ends = self._random.random() < 0.3
        if ends and self._random.random() < 0.2:
            more.append((b"content-length", b"0"))
        self._send_block(
            stream_id, [*frame_script.REQUEST_FIELDS, *more], ends=ends
        )
        if not ends:
            self._windows[stream_id] = LIMITS.stream_window_bytes

    def _send_block(
        self, stream_id: int, fields: list[header_block.Field], *, ends: bool
    ) -> None:
        block = self._encoder.encode(
            fields, huffman=self._random.random() < 0.5
        )
        flags = frames.END_STREAM if ends else 0
        size = len(block)
        if self._random.random() < 0.3:
            size = self._random.randrange(size + 1)
        first, rest = block[:size], block[size:]
        if self._random.random() < 0.2:
            flags |= frames.HAS_PRIORITY
            first = self._random.randbytes(frames.PRIORITY_BYTES) + first
        if self._random.random() < 0.2:
            flags |= frames.PADDED
            first = frame_script.padded(first, self._random.randrange(20))
        if not rest:
            flags |= frames.END_HEADERS
        self.units.append(frame_script.headers(stream_id, first, flags))
        if rest:
            self.units.append(frame_script.continuation(stream_id, rest))

    def _send_data(self) -> None:
        if not self._windows:
            return
        stream_id = self._random.choice(list(self._windows))
        window = self._windows[stream_id]
        size = min(window, self._random.choice((1, 5, 100, 1_000)))
        num_padding: int | None = None
        if self._random.random() < 0.2 and window - size > 0:
            num_padding = self._random.randrange(min(256, window - size))
            self._windows[stream_id] -= num_padding + 1
        self._windows[stream_id] -= size
        ends = self._random.random() < 0.3
        if ends:
            del self._windows[stream_id]
        self.units.append(
            frame_script.data(
                stream_id,
                self._random.randbytes(size),
                ends=ends,
                num_padding_bytes=num_padding,
            )
        )

    def _send_trailers(self) -> None:
        if self._windows:
            stream_id = self._random.choice(list(self._windows))
            del self._windows[stream_id]
            self._send_block(stream_id, [(b"x-checksum", b"1")], ends=True)

    def _reset(self) -> None:
        if self._windows and self._num_resets:
            self._num_resets -= 1
            self._num_open -= 1
            stream_id = self._random.choice(list(self._windows))
            del self._windows[stream_id]
            self.units.append(
                frames.rst_stream(stream_id, frames.ErrorCode.CANCEL)
            )

    def _send_other(self) -> None:
        stream_id = self._random.choice((0, *self._windows))
        self.units.append(
            self._random.choice(
                (
                    frame_script.ping(self._random.randbytes(8)),
                    frames.frame(frames.SETTINGS, frames.ACK, 0),
                    frames.settings(self._settings()),
                    frames.window_update(
                        stream_id, self._random.randint(1, 1 << 16)
                    ),
                    frames.frame(frames.PRIORITY, 0, stream_id or 1, bytes(5)),
                    frames.frame(0x55, self._random.getrandbits(8), stream_id),
                    frames.goaway(0, frames.ErrorCode.NO_ERROR, "bye"),
                )
            )
        )
