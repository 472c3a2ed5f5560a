"""Cuts the bytes of a peer into frames; RFC 9113, section 3.4 and 4.1."""

from collections.abc import Iterator

from tensorflow_serving.rpc.http2 import frames

# Type, flags, stream and payload.
Frame = tuple[int, int, int, bytes]

# How many pieces of a frame are kept as they came.
_MAX_PIECES = 256


class FrameReader:
    """Keeps what is not yet a whole frame. Not thread-safe."""

    __slots__ = (
        "_is_preface_over",
        "_max_frame_bytes",
        "_num_missing_bytes",
        "_pieces",
    )

    def __init__(self, max_frame_bytes: int) -> None:
        """Waits for the preface of a connection, and then for frames."""
        self._max_frame_bytes = max_frame_bytes
        self._is_preface_over = False
        self._pieces: list[bytes] = []
        # How many bytes must come before there is something to look at.
        self._num_missing_bytes = 1

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yields the frames that are whole now. Exhaust it before the next one.

        Raises:
          Http2ConnectionError: The preface is wrong, or a frame too large.
        """
        if self._pieces:
            self._num_missing_bytes -= len(data)
            self._pieces.append(data)
            if self._num_missing_bytes > 0:
                # Without a look at it: a frame in small pieces would be copied
                # again with each of them.
                if len(self._pieces) > _MAX_PIECES:
                    self._pieces[:] = [b"".join(self._pieces)]
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        position = 0 if self._is_preface_over else self._read_preface(data)
        size = len(data)
        unpack = frames.HEADER.unpack_from
        while size - position >= 9:
            high, low, kind, flags, stream_id = unpack(data, position)
            length = high << 16 | low
            if length > self._max_frame_bytes:
                raise frames.Http2ConnectionError(
                    frames.ErrorCode.FRAME_SIZE_ERROR,
                    f"frame must be at most {self._max_frame_bytes} bytes; got "
                    f"{length}",
                )
            start = position + 9
            end = start + length
            if end > size:
                self._keep(data[position:], end - size)
                return
            # The first bit of the stream is reserved.
            yield kind, flags, stream_id & 0x7FFF_FFFF, data[start:end]
            position = end
        if position < size:
            self._keep(data[position:], 9 - (size - position))

    def _read_preface(self, data: bytes) -> int:
        """Returns where the frames begin: behind all data, or the preface."""
        preface = frames.PREFACE
        if not data.startswith(preface[: len(data)]):
            raise frames.Http2ConnectionError(
                frames.ErrorCode.PROTOCOL_ERROR,
                "connection must begin with the preface of HTTP/2",
            )
        if len(data) < len(preface):
            self._keep(data, 1)
            return len(data)
        self._is_preface_over = True
        return len(preface)

    def _keep(self, rest: bytes, num_missing_bytes: int) -> None:
        self._pieces.append(rest)
        self._num_missing_bytes = num_missing_bytes
