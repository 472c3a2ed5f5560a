"""Frames on their way to a peer, within the windows that it opens.

RFC 9113, section 5.2 and 6.9.
"""

import collections

from tensorflow_serving.rpc.http2 import frames, header_block
from tensorflow_serving.rpc.http2 import stream as stream_lib


class Outgoing:
    """The frames that a connection has to send.

    Data that the windows do not allow waits with its stream. Streams that wait
    for the window of the connection take turns, a frame each, so that a large
    response does not keep small ones back. Not thread-safe.
    """

    __slots__ = (
        "_block_prefix",
        "_frames",
        "_is_table_empty",
        "_max_frame_bytes",
        "_num_allowed_bytes",
        "_waiting",
        "_window",
        "initial_window",
        "num_waiting_bytes",
    )

    def __init__(self) -> None:
        """Starts with the windows that a peer has before its settings."""
        self._frames: list[bytes] = []
        self._window = frames.DEFAULT_WINDOW_BYTES
        # The sum of all that the window of the connection ever was given.
        self._num_allowed_bytes = frames.DEFAULT_WINDOW_BYTES
        # The window of a new stream.
        self.initial_window = frames.DEFAULT_WINDOW_BYTES
        self._max_frame_bytes = frames.DEFAULT_FRAME_BYTES
        # The bytes that the next header block must begin with.
        self._block_prefix = b""
        self._is_table_empty = False
        # How much data waits for windows.
        self.num_waiting_bytes = 0
        # An ordered set of the streams that wait for the connection's window.
        self._waiting: dict[stream_lib.Stream, None] = {}

    @property
    def num_sent_bytes(self) -> int:
        """How much data was sent so far."""
        return self._num_allowed_bytes - self._window

    def take(self) -> bytes:
        """Removes and returns all bytes that may be sent now."""
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    @property
    def has_frames(self) -> bool:
        """Whether take() would return any bytes."""
        return bool(self._frames)

    def write(self, data: bytes) -> None:
        """Adds frames that no window limits."""
        self._frames.append(data)

    def write_headers(
        self, stream: stream_lib.Stream, block: bytes, *, ends: bool = False
    ) -> None:
        """Adds a header block; one that ends a stream goes behind its data."""
        if not ends:
            self._write_block(stream.id, block, ends=False)
        elif stream.unsent:
            stream.unsent.append(stream_lib.EndOfStream(block))
        else:
            self._write_block(stream.id, block, ends=True)

    def write_data(self, stream: stream_lib.Stream, data: bytes) -> None:
        """Adds data, in as many frames as it takes."""
        size = len(data)
        if (
            not stream.unsent
            and size <= self._max_frame_bytes
            and size <= stream.send_window
            and size <= self._window
        ):
            self._window -= size
            stream.send_window -= size
            self._frames.append(frames.frame(frames.DATA, 0, stream.id, data))
            return
        if stream.unsent is None:
            stream.unsent = collections.deque()
        stream.unsent.append(memoryview(data))
        self.num_waiting_bytes += size
        self._send(stream, frames.MAX_WINDOW_BYTES)

    def may_write_at_once(self, num_bytes: int, num_streams: int) -> bool:
        """Returns whether this many streams may each send data of this size.

        They must have all of their initial window.
        """
        return (
            not self._block_prefix
            and num_bytes <= self.initial_window
            and num_bytes <= self._max_frame_bytes
            and num_bytes * num_streams <= self._window
        )

    def write_at_once(self, rendered: bytes, num_data_bytes: int) -> None:
        """Adds frames whose data may_write_at_once() has allowed."""
        self._window -= num_data_bytes
        self._frames.append(rendered)

    def open_window(self, num_bytes: int) -> list[stream_lib.Stream]:
        """Lets the connection send more; returns the streams that ended.

        Raises:
          Http2ConnectionError: The window would become too large.
        """
        self._window += num_bytes
        self._num_allowed_bytes += num_bytes
        if self._window > frames.MAX_WINDOW_BYTES:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.FLOW_CONTROL_ERROR,
                "the window of the connection must be at most 2^31-1",
            )
        ended = []
        while self._waiting and self._window > 0:
            stream = next(iter(self._waiting))
            del self._waiting[stream]
            if self._send(stream, self._max_frame_bytes):
                ended.append(stream)
        return ended

    def open_stream_window(
        self, stream: stream_lib.Stream, num_bytes: int
    ) -> bool:
        """Lets a stream send more, or less; returns whether it ended.

        Raises:
          Http2StreamError: The window would become too large.
        """
        stream.send_window += num_bytes
        if stream.send_window > frames.MAX_WINDOW_BYTES:
            raise frames.Http2StreamError(
                stream.id, frames.ErrorCode.FLOW_CONTROL_ERROR
            )
        return self._send(stream, frames.MAX_WINDOW_BYTES)

    def change_settings(self, setting: int, value: int) -> None:
        """Follows a setting of the peer other than INITIAL_WINDOW_SIZE."""
        if setting == frames.MAX_FRAME_SIZE:
            self._max_frame_bytes = value
        elif (
            setting == frames.HEADER_TABLE_SIZE
            and value < frames.DEFAULT_TABLE_BYTES
            and not self._is_table_empty
        ):
            # Nothing of ours is in the table, so that it may be empty for good;
            # but the peer must be notified.
            self._is_table_empty = True
            self._block_prefix = header_block.EMPTY_TABLE

    def forget(self, stream: stream_lib.Stream) -> None:
        """Drops what a stream has not sent."""
        if stream.unsent:
            for part in stream.unsent:
                if not isinstance(part, stream_lib.EndOfStream):
                    self.num_waiting_bytes -= len(part)
        stream.unsent = None
        self._waiting.pop(stream, None)

    def _write_block(self, stream_id: int, block: bytes, *, ends: bool) -> None:
        if self._block_prefix:
            block = self._block_prefix + block
            self._block_prefix = b""
        kind = frames.HEADERS
        flags = frames.END_STREAM if ends else 0
        while len(block) > self._max_frame_bytes:
            part = block[: self._max_frame_bytes]
            block = block[self._max_frame_bytes :]
            self._frames.append(frames.frame(kind, flags, stream_id, part))
            kind, flags = frames.CONTINUATION, 0
        self._frames.append(
            frames.frame(kind, flags | frames.END_HEADERS, stream_id, block)
        )

    def _send(self, stream: stream_lib.Stream, max_bytes: int) -> bool:
        """Sends as much as a stream may send, up to a number of bytes.

        Returns:
          Whether that was the end of the stream.
        """
        unsent = stream.unsent
        while unsent:
            part = unsent[0]
            if isinstance(part, stream_lib.EndOfStream):
                self._write_block(stream.id, part.block, ends=True)
                unsent.popleft()
                return True
            # Data without bytes needs no window, not even one that is not
            # below zero.
            if size := len(part):
                size = min(
                    size,
                    self._window,
                    stream.send_window,
                    self._max_frame_bytes,
                    max_bytes,
                )
                if size <= 0:
                    if stream.send_window > 0:
                        self._waiting[stream] = None
                    return False
            self._window -= size
            stream.send_window -= size
            self.num_waiting_bytes -= size
            max_bytes -= size
            self._frames.append(
                frames.frame(frames.DATA, 0, stream.id, part[:size])
            )
            if size == len(part):
                unsent.popleft()
            else:
                unsent[0] = part[size:]
        return False
