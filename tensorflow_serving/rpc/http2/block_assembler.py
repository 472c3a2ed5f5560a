"""Puts header blocks together that are padded, prioritized or continued.

Section numbers are those of RFC 9113.
"""

from typing import NamedTuple

from tensorflow_serving.rpc.http2 import frames


class Block(NamedTuple):
    """A whole header block."""

    stream_id: int
    # Whether the stream ends with it.
    ends: bool
    data: bytes


class BlockAssembler:
    """Joins HEADERS with the CONTINUATION frames that follow it.

    Nothing else may come between them; 6.10. Not thread-safe.
    """

    __slots__ = ("_ends", "_max_bytes", "_parts", "_stream_id")

    def __init__(self, max_bytes: int) -> None:
        """Takes the size of the largest block."""
        self._max_bytes = max_bytes
        # The stream of the block that is not whole; 0 if there is none.
        self._stream_id = 0
        self._ends = False
        self._parts = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether the next frame must be a CONTINUATION."""
        return self._stream_id != 0

    def begin(self, flags: int, stream_id: int, payload: bytes) -> Block | None:
        """Returns the block of a HEADERS frame if it is whole; 6.2.

        Raises:
          Http2ConnectionError: The frame breaks a rule, or the block is too
            large.
        """
        frames.require_stream(stream_id, "HEADERS")
        if flags & frames.PADDED:
            payload = frames.without_padding(payload)
        if flags & frames.HAS_PRIORITY:
            if len(payload) < frames.PRIORITY_BYTES:
                raise frames.Http2ConnectionError(
                    frames.ErrorCode.FRAME_SIZE_ERROR,
                    "HEADERS with a priority must have 5 bytes for it",
                )
            payload = payload[frames.PRIORITY_BYTES :]
        self._stream_id = stream_id
        self._ends = bool(flags & frames.END_STREAM)
        self._parts.clear()
        return self._add(flags, payload)

    def go_on(self, flags: int, stream_id: int, payload: bytes) -> Block | None:
        """Returns the block that ends with a CONTINUATION frame; 6.10.

        Raises:
          Http2ConnectionError: The frame has another stream than the block, or
            the block is too large.
        """
        if not self.is_open or stream_id != self._stream_id:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.PROTOCOL_ERROR,
                "CONTINUATION must follow a header block of its stream",
            )
        return self._add(flags, payload)

    def _add(self, flags: int, payload: bytes) -> Block | None:
        self._parts += payload
        if len(self._parts) > self._max_bytes:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.ENHANCE_YOUR_CALM,
                "a header block must be much smaller",
            )
        if not flags & frames.END_HEADERS:
            return None
        block = Block(self._stream_id, self._ends, bytes(self._parts))
        self._stream_id = 0
        self._parts.clear()
        return block
