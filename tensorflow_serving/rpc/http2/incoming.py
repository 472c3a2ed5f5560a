"""The windows that a server opens to its peer, and room for large messages.

RFC 9113, section 5.2 and 6.9. Every byte of a DATA frame takes a byte of the
window of its stream and of that of the connection, until it is given back.

A message that fits in the window of its stream needs nothing else. Windows that
fit the largest message on every stream would let a peer fill the memory, and
smaller ones that are given back at once would not bound it either. So a message
that is larger waits until there is room for all of it, behind those that came
before it, and then gets a window of its size. Whole messages always get on.
"""

import collections
from typing import NoReturn

from tensorflow_serving.rpc.http2 import frames, outgoing
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib


class Incoming:
    """What the peer of one connection may still send. Not thread-safe."""

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
        self._window = frames.DEFAULT_WINDOW_BYTES
        # What the peer has to be told of; negative if it may send more than it
        # should, because room that it was given was not used.
        self._num_freed_bytes = (
            limits.connection_window_bytes - frames.DEFAULT_WINDOW_BYTES
        )
        self._tell()
        # Worth a frame of its own.
        self._enough_bytes = limits.connection_window_bytes // 2
        # Streams with a large message, and how large it is.
        self._needy: collections.deque[tuple[stream_lib.Stream, int]] = (
            collections.deque()
        )
        self._room_bytes = limits.message_room_bytes

    def count(self, stream: stream_lib.Stream, num_bytes: int) -> None:
        """Counts the payload of a DATA frame.

        Raises:
          Http2ConnectionError: The peer sent more than the window of the
            connection.
          Http2StreamError: It sent more than the window of the stream.
        """
        self._window -= num_bytes
        stream.receive_window -= num_bytes
        if self._window < 0 or stream.receive_window < 0:
            self._refuse(stream)
        if stream.is_ended and not (stream.num_held_bytes or stream.room_bytes):
            # Nearly always: all of the message is in this frame.
            self.free(num_bytes)
            return
        stream.num_held_bytes += num_bytes
        if stream.is_ended:
            self.release(stream)

    def count_unheld(self, num_bytes: int) -> None:
        """Counts bytes that no stream keeps; free() gives them back.

        Raises:
          Http2ConnectionError: See count().
        """
        self._window -= num_bytes
        if self._window < 0:
            self._refuse(None)

    def free(self, num_bytes: int) -> None:
        """Gives bytes back to the window of the connection."""
        self._num_freed_bytes += num_bytes
        if self._num_freed_bytes >= self._enough_bytes:
            self._tell()

    def consume(self, stream: stream_lib.Stream, num_bytes: int) -> None:
        """Gives bytes of a stream back that goes on with another message."""
        self.release(stream)
        stream.receive_window += num_bytes
        self._out.write(frames.window_update(stream.id, num_bytes))

    def need_room(self, stream: stream_lib.Stream, message_bytes: int) -> None:
        """Sees to it that a message can arrive that has begun to.

        Args:
          stream: Its stream.
          message_bytes: Its size with its prefix; at most what a window may be.
        """
        num_missing = message_bytes - stream.num_received_bytes
        if num_missing <= stream.receive_window or stream.room_bytes:
            return
        self._needy.append((stream, message_bytes))
        self._give_room()

    def release(self, stream: stream_lib.Stream) -> None:
        """Gives back what a stream held: its message is whole, or it ended."""
        self.free(stream.num_held_bytes)
        stream.num_held_bytes = 0
        if stream.room_bytes:
            self._room_bytes += stream.room_bytes
            stream.room_bytes = 0
            self._give_room()

    def _refuse(self, stream: stream_lib.Stream | None) -> NoReturn:
        if self._window < 0 or stream is None:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.FLOW_CONTROL_ERROR,
                "data must be within the window of the connection",
            )
        raise frames.Http2StreamError(
            stream.id, frames.ErrorCode.FLOW_CONTROL_ERROR
        )

    def _give_room(self) -> None:
        """Gives room to those who wait for it, in their order."""
        while self._needy:
            stream, message_bytes = self._needy[0]
            if stream.is_closed or stream.is_ended:
                self._needy.popleft()
                continue
            all_room = self._limits.message_room_bytes
            room_bytes = min(message_bytes, all_room)
            if room_bytes > self._room_bytes:
                return
            self._needy.popleft()
            self._room_bytes -= room_bytes
            stream.room_bytes = room_bytes
            num_missing = message_bytes - stream.num_received_bytes
            num_more = num_missing - stream.receive_window
            if num_more > 0:
                stream.receive_window += num_more
                self._out.write(frames.window_update(stream.id, num_more))
            # All that is missing, and what came already, is in the room.
            num_held = stream.num_held_bytes + num_missing
            stream.num_held_bytes -= num_held
            self._num_freed_bytes += num_held
            self._tell()

    def _tell(self) -> None:
        """Tells the peer how much more it may send on the connection."""
        if self._num_freed_bytes > 0:
            self._window += self._num_freed_bytes
            self._out.write(frames.window_update(0, self._num_freed_bytes))
            self._num_freed_bytes = 0
