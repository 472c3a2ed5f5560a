"""How much one peer may ask of a server."""

import dataclasses
import math

from tensorflow_serving.rpc.http2 import frames
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Rate:
    """A number of events at once, and a number of further ones per second."""

    burst: int
    per_second: int

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, burst=self.burst, per_second=self.per_second)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of one connection.

    Whatever exceeds a rate ends its connection with ENHANCE_YOUR_CALM.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How many streams may be open at a time. Clients queue further calls
    # themselves; a call that comes all the same is refused, and clients try it
    # again. 256 keep a batch of 64 full four times over.
    max_concurrent_streams: int = 256
    # The largest list of header fields, counted as in RFC 9113, 6.5.2: names,
    # values and 32 bytes for each field. A call with a larger one is refused.
    # The default of gRPC is 8 KiB, and tokens grow.
    max_header_list_bytes: int = 16 << 10
    # The largest list that is decoded at all. A larger one ends the connection:
    # a few bytes can stand for megabytes of fields.
    max_decoded_header_bytes: int = 64 << 10
    # The largest frame. Larger ones than the default of 16 KiB save work for
    # large messages.
    max_frame_bytes: int = 64 << 10
    # How much a peer may send on a stream before the server has seen how large
    # the message is. Larger messages get room of their own. All streams of a
    # connection together hold up to 16 MiB of messages that are not whole.
    stream_window_bytes: int = 64 << 10
    # The room for the bytes of large messages, each from its beginning to its
    # answer. A message waits for its room behind those that came before it; one
    # that is larger has it all to itself.
    message_room_bytes: int = 64 << 20
    # How many bytes of replies may wait for the peer to take them. A call whose
    # reply would be more fails; one reply alone may have any size.
    reply_room_bytes: int = 256 << 20
    # How many bytes may wait for the socket to take them. A peer that does not
    # read is not read from.
    write_buffer_bytes: int = 1 << 20
    # How long the message of a call may take to arrive. Longer than a slow
    # network needs for the largest message; a slot that is held with half a
    # message is a slot that others do not have.
    message_seconds: float = 30.0
    # How long the rest of it may take once the server stops. After it the
    # caller gets an error and tries elsewhere, so that half a message does not
    # hold up the stop.
    drain_message_seconds: float = 1.0
    # How long a peer may take for the handshake and the first frame.
    handshake_seconds: float = 10.0
    # After this time without a sign of the peer, it is sent a PING; 0: never.
    keep_alive_seconds: float = 120.0
    # How long the answer to a PING may take.
    keep_alive_timeout_seconds: float = 20.0
    # After this time without a call, the connection is ended; 0: never.
    max_idle_seconds: float = 0.0
    # A connection is ended, without loss, after about this time, so that
    # clients spread over servers that were added since; 0: never. Each
    # connection adds or takes up to a tenth, so that they do not all end at
    # once.
    max_age_seconds: float = 0.0
    # How long the calls of such a connection may take to finish; those that are
    # left are broken off.
    max_age_grace_seconds: float = math.inf
    # Calls that a peer takes back, or breaks off with a fault. A client whose
    # deadlines all pass at the same time takes back all its streams; one that
    # does nothing else costs others their time (CVE-2023-44487, CVE-2025-8671).
    # A call that was answered earns one more: a client that sends each call
    # twice, and takes back the slower one, does no harm.
    resets: Rate = Rate(burst=1024, per_second=200)
    # Settings are sent once, and hardly ever changed.
    settings: Rate = Rate(burst=100, per_second=10)
    # Clients measure the delay of a connection with them, once a round trip.
    pings: Rate = Rate(burst=2_000, per_second=1_000)
    # Frames that carry nothing: DATA without bytes, CONTINUATION, PRIORITY,
    # unknown types, window updates, streams beyond their number. A call earns a
    # peer four more, and each KiB of data that it was sent another one.
    other_frames: Rate = Rate(burst=10_000, per_second=1_000)

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            max_concurrent_streams=self.max_concurrent_streams,
            max_header_list_bytes=self.max_header_list_bytes,
            stream_window_bytes=self.stream_window_bytes,
            message_room_bytes=self.message_room_bytes,
            reply_room_bytes=self.reply_room_bytes,
            write_buffer_bytes=self.write_buffer_bytes,
        )
        errors.require_at_least(
            frames.DEFAULT_FRAME_BYTES, max_frame_bytes=self.max_frame_bytes
        )
        errors.require_at_least(
            self.max_header_list_bytes,
            max_decoded_header_bytes=self.max_decoded_header_bytes,
        )
        for name, value, most in (
            ("max_frame_bytes", self.max_frame_bytes, frames.MAX_FRAME_BYTES),
            (
                "max_concurrent_streams * stream_window_bytes",
                self.max_concurrent_streams * self.stream_window_bytes,
                frames.MAX_WINDOW_BYTES,
            ),
        ):
            if value > most:
                raise errors.InvalidArgumentError(
                    f"{name} must be at most {most}; got {value}"
                )
        errors.require_at_least(
            0, **{name: getattr(self, name) for name in _SECONDS}
        )

    @property
    def connection_window_bytes(self) -> int:
        """The window of a connection, the sum of the windows of its streams.

        With a smaller one, messages that are all half there would wait for each
        other. No connection has a smaller one than the default.
        """
        return max(
            frames.DEFAULT_WINDOW_BYTES,
            self.max_concurrent_streams * self.stream_window_bytes,
        )


_SECONDS = [
    field.name
    for field in dataclasses.fields(Limits)
    if field.name.endswith("_seconds")
]
