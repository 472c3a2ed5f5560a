"""One stream of a connection: a request coming in, a response going out."""

import collections
from typing import Any

from tensorflow_serving.rpc.http2 import frames, header_block


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

    # One is made for each call, and most calls keep most of the defaults: as
    # attributes of the class these cost a call nothing.

    # Any: the layer above decides what belongs to a stream.
    call: Any = None
    # The size of what nobody has taken yet, in payloads of DATA frames.
    num_received_bytes = 0
    # The size of what was taken.
    num_taken_bytes = 0
    # The layer above hears of data once there is as much.
    wanted_bytes = 1
    # Whether the connection will report the stream, and need not note it again.
    has_news = True
    # Whether the peer has sent all of its request.
    is_ended = False
    # Why the stream ended before the response did, for the layer above.
    reset_code: frames.ErrorCode | None = None
    # Whether the connection has forgotten the stream: nothing can be sent.
    is_closed = False
    # How much of what was received counts against the window of the connection.
    num_held_bytes = 0
    # What the stream has of the room for large messages.
    room_bytes = 0
    # What waits until the peer allows more bytes.
    unsent: "collections.deque[memoryview | EndOfStream] | None" = None

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
        # How many more bytes each side may send.
        self.send_window = send_window
        self.receive_window = receive_window
        self.chunks: list[bytes] = []

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

    def take(self, num_bytes: int) -> bytes:
        """Removes and returns the first bytes; there must be enough."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.num_received_bytes -= num_bytes
        self.num_taken_bytes += num_bytes
        if len(data) == num_bytes:
            self.chunks = []
            return data
        self.chunks = [data[num_bytes:]]
        return data[:num_bytes]
