"""The frames of many responses that differ in a few bytes, made at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tensorflow_serving.rpc import message_frame, response_blocks
from tensorflow_serving.rpc.http2 import frames

_ID_BYTES = 4


def response(stream_id: int, data: bytes, trailers: bytes) -> bytes:
    """Returns a whole response, as frames of HTTP/2.

    Args:
      stream_id: The number of its stream.
      data: The message with its prefix.
      trailers: A header block.
    """
    end = frames.END_HEADERS | frames.END_STREAM
    return b"".join(
        (
            frames.frame(
                frames.HEADERS,
                frames.END_HEADERS,
                stream_id,
                response_blocks.HEAD,
            ),
            frames.frame(frames.DATA, 0, stream_id, data),
            frames.frame(frames.HEADERS, end, stream_id, trailers),
        )
    )


class ReplyTemplate:
    """Whole responses with messages of one size, as frames of HTTP/2.

    Each has three frames: header fields, a message, trailers. The responses of
    a batch are rows of one array, in which the numbers of the streams and the
    messages are columns.
    """

    def __init__(self, prefix: bytes, row_bytes: int) -> None:
        """Makes the frames of one response.

        Args:
          prefix: The first bytes of all messages.
          row_bytes: How many bytes follow in each.
        """
        message = message_frame.frame(prefix + bytes(row_bytes))
        # The payload of the DATA frame, which windows limit.
        self.data_bytes = len(message)
        parts = [
            frames.frame(
                frames.HEADERS, frames.END_HEADERS, 0, response_blocks.HEAD
            ),
            frames.frame(frames.DATA, 0, 0, message),
            frames.frame(
                frames.HEADERS,
                frames.END_HEADERS | frames.END_STREAM,
                0,
                response_blocks.OK,
            ),
        ]
        starts = np.cumsum([0, *map(len, parts)])
        # The stream is the last field of a frame's header.
        self._ids = [
            slice(end - _ID_BYTES, end)
            for end in starts[:-1] + frames.HEADER_BYTES
        ]
        self._row = slice(starts[2] - row_bytes, starts[2])
        self._frames = np.frombuffer(b"".join(parts), np.uint8)
        # The size of one response.
        self.num_bytes = len(self._frames)

    def render(
        self, stream_ids: Sequence[int], rows: npt.NDArray[np.uint8]
    ) -> bytes:
        """Returns the frames of responses, one behind the other.

        Args:
          stream_ids: The stream of each.
          rows: The rest of each message; [responses, row_bytes].
        """
        responses = np.empty((len(stream_ids), self.num_bytes), np.uint8)
        responses[:] = self._frames
        ids = np.array(stream_ids, ">u4").view(np.uint8)
        ids = ids.reshape(-1, _ID_BYTES)
        for columns in self._ids:
            responses[:, columns] = ids
        responses[:, self._row] = rows
        return responses.tobytes()
