"""One stream of a connection: a request coming in, a response going out."""

import collections
from typing import Any

from tensorflow_serving.rpc.http2 import frames, header_block

# Smaller pieces of data are copied together: a peer that sends a byte in each
# frame would have the server hold an object for each.
_SMALL_BYTES = 1024


class EndOfStream:
    """The trailers of a response that wait behind its data."""

    __slots__ = ("block",)

    def __init__(self, block: bytes) -> None:
        """Takes the header block."""
        self.block = block


class Stream:
    """The state of one request and its response; RFC 9113, section 5.

    A Connection changes it; the layer above reads it, and has the field `call`
    for itself.
    """

    # One is made for each call: without a dictionary, it takes less time to be
    # made and used.
    __slots__ = (
        "call",
        "chunks",
        "has_news",
        "head",
        "id",
        "is_answered",
        "is_closed",
        "is_ended",
        "num_held_bytes",
        "num_received_bytes",
        "num_taken_bytes",
        "receive_window",
        "reset_code",
        "room_bytes",
        "send_window",
        "unsent",
        "wanted_bytes",
    )

    def __init__(
        self,
        stream_id: int,
        head: header_block.Head,
        send_window: int,
        receive_window: int,
    ) -> None:
        """Makes an open stream."""
        self.id = stream_id
        self.head = head
        # Any: the layer above decides what belongs to a stream.
        self.call: Any = None
        # How much data has arrived that was not taken yet, and was taken.
        self.chunks: list[bytes | bytearray | memoryview] = []
        self.num_received_bytes = 0
        self.num_taken_bytes = 0
        # Data is reported to the layer above once there is this much.
        self.wanted_bytes = 1
        # Whether the connection is going to report the stream anyway.
        self.has_news = True
        # Whether the peer has sent all of its request.
        self.is_ended = False
        # Whether the response has its end, which may wait behind its data.
        self.is_answered = False
        # Why the stream ended before the response did, for the layer above.
        self.reset_code: frames.ErrorCode | None = None
        # Whether the connection has forgotten the stream: nothing can be sent.
        self.is_closed = False
        # How many more bytes each side may send.
        self.send_window = send_window
        self.receive_window = receive_window
        # How much of what was received counts against the window of the
        # connection.
        self.num_held_bytes = 0
        # How much of the room for large messages the stream has.
        self.room_bytes = 0
        # The data that waits until the peer allows more bytes.
        self.unsent: collections.deque[memoryview | EndOfStream] | None = None

    def __repr__(self) -> str:
        """Returns the state, for a debugger."""
        return (
            f"<Stream {self.id} {self.head.path!r}"
            f" received={self.num_received_bytes} ended={self.is_ended}"
            f" closed={self.is_closed} reset={self.reset_code}>"
        )

    def breaks_content_length(self) -> bool:
        """Returns whether data is not as long as promised; 8.1.1."""
        length = self.head.content_length
        if length is None:
            return False
        num_bytes = self.num_taken_bytes + self.num_received_bytes
        return num_bytes > length or (self.is_ended and num_bytes < length)

    def add(self, data: bytes) -> None:
        """Adds the data of a frame."""
        self.num_received_bytes += len(data)
        chunks = self.chunks
        if not chunks or len(data) >= _SMALL_BYTES:
            chunks.append(data)
        elif isinstance(last := chunks[-1], bytearray):
            last += data
        else:
            chunks.append(bytearray(data))

    def take(self, num_bytes: int) -> bytes:
        """Removes and returns the first bytes; there must be enough."""
        self.num_received_bytes -= num_bytes
        self.num_taken_bytes += num_bytes
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if len(data) == num_bytes:
            self.chunks = []
            return bytes(data)
        # A view, because many small messages may come in one piece.
        view = memoryview(data)
        self.chunks = [view[num_bytes:]]
        return bytes(view[:num_bytes])
