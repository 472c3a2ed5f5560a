"""The windows that a server opens to its peer, and room for large messages.

RFC 9113, section 5.2 and 6.9. Every byte of a DATA frame takes a byte of the
window of its stream and of that of the connection, until it is given back.

A message that fits in the window of its stream needs nothing else: the window
of the connection is as large as those of all streams together. Stream windows
that fit the largest message would let a peer fill the memory, and smaller ones
that are given back at once would not bound it either. So a message that is
larger waits until there is room for all of it, behind those that came before
it, and then gets a window of its size. Whole messages always get on. The room
is that of the message until its stream is closed, so that what waits for a slow
service is bounded, too.

At all times, with the bytes that a stream holds counted negatively while it has
room that it has not used,

    window + freed bytes + bytes held by all streams = connection_window_bytes
"""

from typing import Final, NoReturn

from tensorflow_serving.rpc.http2 import frames, outgoing
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib


class Incoming:
    """How much the peer of one connection may still send. Not thread-safe."""

    __slots__ = (
        "_limits",
        "_low_bytes",
        "_needy",
        "_num_freed_bytes",
        "_out",
        "_room_bytes",
        "_window",
    )

    def __init__(
        self, limits: limits_lib.Limits, out: outgoing.Outgoing
    ) -> None:
        """Opens the window of the connection.

        Args:
          limits: The sizes of windows and room.
          out: Where WINDOW_UPDATE frames go.
        """
        self._limits = limits
        self._out = out
        # As the peer knows it, once it has read all that was sent.
        self._window = frames.DEFAULT_WINDOW_BYTES
        # How many bytes the peer has not been given back yet. Negative if it
        # may send more than it should, because a stream did not use its room.
        self._num_freed_bytes = (
            limits.connection_window_bytes - frames.DEFAULT_WINDOW_BYTES
        )
        # Freed bytes are given back while the window is below this.
        self._low_bytes: Final = limits.connection_window_bytes // 2
        # Streams that wait for room, and how large their messages are.
        self._needy: dict[stream_lib.Stream, int] = {}
        self._room_bytes = limits.message_room_bytes
        self._update_window()

    def count(self, stream: stream_lib.Stream, num_bytes: int) -> None:
        """Counts the payload of a DATA frame.

        Raises:
          Http2ConnectionError: The peer sent more than the window of the
            connection.
          Http2StreamError: It sent more than the window of the stream.
        """
        self._window -= num_bytes
        stream.receive_window -= num_bytes
        if self._window < 0:
            self._fail()
        if stream.receive_window < 0:
            self.free(num_bytes)
            raise frames.Http2StreamError(
                stream.id, frames.ErrorCode.FLOW_CONTROL_ERROR
            )
        if stream.is_ended and not (
            stream.num_held_bytes or stream.room_bytes or self._needy
        ):
            # Nearly always: all of the message is in this frame.
            self._num_freed_bytes += num_bytes
        else:
            stream.num_held_bytes += num_bytes
            if stream.is_ended:
                self._finish(stream)
        if self._window < self._low_bytes:
            self._update_window()

    def count_unheld(self, num_bytes: int) -> None:
        """Counts bytes that no stream keeps, and gives them back.

        Raises:
          Http2ConnectionError: See count().
        """
        self._window -= num_bytes
        if self._window < 0:
            self._fail()
        self.free(num_bytes)

    def free_padding(self, stream: stream_lib.Stream, num_bytes: int) -> None:
        """Returns to the windows the bytes of padding that count() counted.

        A message with padding needs more than its size of the windows.
        """
        if stream.is_ended:
            return
        stream.num_held_bytes -= num_bytes
        self.free(num_bytes)
        self._open_stream(stream, num_bytes)

    def consume(self, stream: stream_lib.Stream) -> None:
        """Opens the window of a stream that goes on with another message."""
        # The beginning of the next message may be here already.
        num_bytes = stream.num_received_bytes
        self.release(stream, num_bytes)
        allowed = self._limits.stream_window_bytes - num_bytes
        if (num_more := allowed - stream.receive_window) > 0:
            self._open_stream(stream, num_more)

    def need_room(self, stream: stream_lib.Stream, message_bytes: int) -> None:
        """Sees to it that a message can arrive that has begun to.

        Args:
          stream: Its stream.
          message_bytes: Its size with its prefix; at most what a window may be.
        """
        num_missing = message_bytes - stream.num_received_bytes
        if (
            num_missing > stream.receive_window
            and not stream.room_bytes
            and not stream.is_ended
            and not stream.is_closed
        ):
            self._needy[stream] = message_bytes
            self._give_room()

    def is_waiting(self, stream: stream_lib.Stream) -> bool:
        """Returns whether a message waits for its room."""
        return stream in self._needy

    def take_room(self, stream: stream_lib.Stream, message_bytes: int) -> bool:
        """Takes room for what a message became when it was inflated.

        Returns:
          Whether there is room, or the message needs none.
        """
        if (
            stream.is_closed
            or message_bytes <= self._limits.stream_window_bytes
        ):
            return True
        room_bytes = min(message_bytes, self._limits.message_room_bytes)
        num_more = max(0, room_bytes - stream.room_bytes)
        if num_more > self._room_bytes:
            return False
        self._room_bytes -= num_more
        stream.room_bytes += num_more
        return True

    def release(
        self, stream: stream_lib.Stream, num_kept_bytes: int = 0
    ) -> None:
        """Gives back what a stream held: its message was taken, or it ended."""
        self.free(stream.num_held_bytes - num_kept_bytes)
        stream.num_held_bytes = num_kept_bytes
        if self._needy.pop(stream, None) is not None or stream.room_bytes:
            self._room_bytes += stream.room_bytes
            stream.room_bytes = 0
            self._give_room()

    def _finish(self, stream: stream_lib.Stream) -> None:
        """Gives back what a stream held but its room; it is all there."""
        self.free(stream.num_held_bytes)
        stream.num_held_bytes = 0
        if self._needy.pop(stream, None) is not None:
            self._give_room()

    def free(self, num_bytes: int) -> None:
        """Gives bytes back to the window of the connection."""
        self._num_freed_bytes += num_bytes
        if self._window < self._low_bytes:
            self._update_window()

    def _fail(self) -> NoReturn:
        raise frames.Http2ConnectionError(
            frames.ErrorCode.FLOW_CONTROL_ERROR,
            "data must be within the window of the connection",
        )

    def _give_room(self) -> None:
        """Gives room to those who wait for it, in their order."""
        while self._needy:
            stream, message_bytes = next(iter(self._needy.items()))
            # A message that is larger than all room has it to itself.
            room_bytes = min(message_bytes, self._limits.message_room_bytes)
            if room_bytes > self._room_bytes:
                return
            del self._needy[stream]
            self._room_bytes -= room_bytes
            stream.room_bytes = room_bytes
            num_missing = message_bytes - stream.num_received_bytes
            num_more = num_missing - stream.receive_window
            if num_more > 0:
                self._open_stream(stream, num_more)
            # All that is missing, and what came already, is in the room.
            num_held = stream.num_held_bytes + num_missing
            stream.num_held_bytes -= num_held
            self._num_freed_bytes += num_held
            self._update_window()

    def _open_stream(self, stream: stream_lib.Stream, num_bytes: int) -> None:
        stream.receive_window += num_bytes
        self._out.write(frames.window_update(stream.id, num_bytes))

    def _update_window(self) -> None:
        """Lets the peer send as much more on the connection as was freed."""
        num_bytes = min(
            self._num_freed_bytes, frames.MAX_WINDOW_BYTES - self._window
        )
        if num_bytes > 0:
            self._num_freed_bytes -= num_bytes
            self._window += num_bytes
            self._out.write(frames.window_update(0, num_bytes))
