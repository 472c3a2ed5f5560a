"""The streams of a connection: which are open, and which ever were.

Section numbers are those of RFC 9113.
"""

from collections.abc import Iterable, Sequence

from tensorflow_serving.rpc.http2 import (
    frames,
    header_block,
    incoming,
    outgoing,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib

# How many streams the server remembers to have reset, in order to ignore what
# the peer sent before it knew.
_MAX_REMEMBERED_RESETS = 1_024


class StreamTable:
    """Opens and ends streams, and records which have news. Not thread-safe."""

    __slots__ = (
        "_incoming",
        "_last_accepted_id",
        "_max_streams",
        "_news",
        "_num_lost",
        "_out",
        "_reset_ids",
        "_skipped",
        "_stream_window_bytes",
        "by_id",
        "last_id",
        "num_opened",
    )

    def __init__(
        self,
        limits: limits_lib.Limits,
        out: outgoing.Outgoing,
        incoming: incoming.Incoming,
    ) -> None:
        """Begins without streams.

        Args:
          limits: How many there may be.
          out: What ended streams have not sent is dropped there.
          incoming: What ended streams held is given back there.
        """
        self._max_streams = limits.max_concurrent_streams
        self._stream_window_bytes = limits.stream_window_bytes
        self._out = out
        self._incoming = incoming
        # The streams that are open, by number.
        self.by_id: dict[int, stream_lib.Stream] = {}
        # How many were opened, and how many of them ended without an answer.
        self.num_opened = 0
        self._num_lost = 0
        # The largest number that the peer has used.
        self.last_id = 0
        # Streams with larger numbers are ignored; 6.8.
        self._last_accepted_id = frames.MAX_STREAM_ID
        # The numbers that the peer skipped last.
        self._skipped = range(0)
        self._news: list[stream_lib.Stream] = []
        # An ordered set.
        self._reset_ids: dict[int, None] = {}

    @property
    def last_handled_id(self) -> int:
        """The largest number of a stream that is not ignored; for GOAWAY."""
        return min(self.last_id, self._last_accepted_id)

    @property
    def num_answered(self) -> int:
        """How many streams were opened and then answered."""
        return self.num_opened - self._num_lost - len(self.by_id)

    def take_news(self) -> Sequence[stream_lib.Stream]:
        """Returns each stream that had news since the last time, once."""
        news, self._news = self._news, []
        for stream in news:
            stream.has_news = False
        return news

    def add_news(self, stream: stream_lib.Stream) -> None:
        """Records that there is something to see on a stream."""
        if not stream.has_news:
            stream.has_news = True
            self._news.append(stream)

    def open(self, stream_id: int, head: header_block.Head, ends: int) -> None:
        """Opens a stream, whose number is larger than all before; 5.1.1, 5.1.2.

        Args:
          stream_id: Its number.
          head: The header fields of the request.
          ends: Whether that is all of the request.

        Raises:
          Http2ConnectionError: The number is not one of a client.
          Http2StreamError: There are too many, or the request is malformed.
        """
        if not stream_id & 1:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.PROTOCOL_ERROR,
                f"stream of a client must be odd; got {stream_id}",
            )
        if stream_id - self.last_id > 2:
            self._skipped = range(self.last_id + 1, stream_id)
        self.last_id = stream_id
        if stream_id > self._last_accepted_id:
            return
        if len(self.by_id) >= self._max_streams:
            raise frames.Http2StreamError(
                stream_id, frames.ErrorCode.REFUSED_STREAM
            )
        if head.is_malformed or (ends and head.content_length):
            raise frames.Http2StreamError(
                stream_id, frames.ErrorCode.PROTOCOL_ERROR
            )
        self.by_id[stream_id] = stream = stream_lib.Stream(
            stream_id,
            head,
            self._out.initial_window,
            self._stream_window_bytes,
        )
        self.num_opened += 1
        self._news.append(stream)
        if ends:
            stream.is_ended = True

    def accept_no_more(self) -> None:
        """Ignores streams that are opened from now on; 6.8. Idempotent."""
        self._last_accepted_id = min(self._last_accepted_id, self.last_id)

    def require_known(self, stream_id: int, what: str) -> None:
        """Refuses a frame on a stream that was never opened; 5.1, 5.1.1.

        Older skipped numbers than those of the last time are not remembered:
        their streams count as closed, which is no less a fault.

        Raises:
          Http2ConnectionError: The stream is idle.
        """
        if (
            not stream_id & 1
            or stream_id > self.last_id
            or stream_id in self._skipped
        ):
            raise frames.Http2ConnectionError(
                frames.ErrorCode.PROTOCOL_ERROR,
                f"{what} must be on a stream that was opened; got {stream_id}",
            )

    def refuse_closed(self, stream_id: int) -> None:
        """Handles a frame on a stream that the peer has ended; 5.1, "closed".

        It may have crossed with a reset by the server, and is no fault then.

        Raises:
          Http2StreamError: The response is still on its way.
          Http2ConnectionError: Both sides had ended the stream.
        """
        if stream_id in self.by_id:
            raise frames.Http2StreamError(
                stream_id, frames.ErrorCode.STREAM_CLOSED
            )
        if (
            stream_id not in self._reset_ids
            and stream_id <= self._last_accepted_id
        ):
            raise frames.Http2ConnectionError(
                frames.ErrorCode.STREAM_CLOSED,
                f"stream must be open; got {stream_id}, which is closed",
            )

    def reset(self, stream_id: int, code: frames.ErrorCode) -> None:
        """Sends RST_STREAM; the peer may not know for a while."""
        self._out.write(frames.rst_stream(stream_id, code))
        self._reset_ids[stream_id] = None
        if len(self._reset_ids) > _MAX_REMEMBERED_RESETS:
            del self._reset_ids[next(iter(self._reset_ids))]

    def fail(self, fault: frames.Http2StreamError) -> None:
        """Resets a stream for a fault of the peer."""
        self.reset(fault.stream_id, fault.code)
        stream = self.by_id.get(fault.stream_id)
        if stream is not None:
            self.lose(stream, fault.code)

    def lose(self, stream: stream_lib.Stream, code: frames.ErrorCode) -> None:
        """Forgets a stream that ended early, which is news."""
        stream.reset_code = code
        self._num_lost += 1
        self.forget(stream)
        self.add_news(stream)

    def lose_all(self, code: frames.ErrorCode) -> None:
        """Forgets all streams, and makes each of them news."""
        for stream in list(self.by_id.values()):
            self.lose(stream, code)

    def change_initial_window(self, value: int) -> None:
        """Changes the window of new streams, and of those that are open; 6.9.2.

        Raises:
          Http2ConnectionError: The window of a stream would become too large.
        """
        change = value - self._out.initial_window
        self._out.initial_window = value
        for stream in list(self.by_id.values()) if change else ():
            try:
                is_sent = self._out.open_stream_window(stream, change)
            except frames.Http2StreamError:
                raise frames.Http2ConnectionError(
                    frames.ErrorCode.FLOW_CONTROL_ERROR,
                    "the window of a stream must be at most 2^31-1",
                ) from None
            if is_sent:
                self.end(stream)

    def end(self, stream: stream_lib.Stream) -> None:
        """Forgets a stream of which the last frame was written; 8.1."""
        if not stream.is_ended:
            # The rest of the request is of no interest.
            self.reset(stream.id, frames.ErrorCode.NO_ERROR)
        self.forget(stream)

    def end_whole(self, streams: Iterable[stream_lib.Stream]) -> None:
        """Forgets streams that have ended and have nothing left to send."""
        for stream in streams:
            del self.by_id[stream.id]
            stream.is_closed = True
            if stream.room_bytes:
                self._incoming.release(stream)

    def forget(self, stream: stream_lib.Stream) -> None:
        """Forgets a stream, and gives back what it held."""
        self.by_id.pop(stream.id, None)
        stream.is_closed = True
        stream.chunks = []
        self._out.forget(stream)
        self._incoming.release(stream)
