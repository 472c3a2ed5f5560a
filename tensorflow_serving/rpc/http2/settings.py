"""SETTINGS of both sides, and their acknowledgement; RFC 9113, 6.5.

Functions without a state of their own: a connection costs no byte for them.
"""

from collections.abc import Sequence

from tensorflow_serving.rpc.http2 import frames, outgoing, stream_table
from tensorflow_serving.rpc.http2 import limits as limits_lib


def of_server(limits: limits_lib.Limits) -> bytes:
    """Returns the frame with which a server begins."""
    return frames.settings(
        {
            frames.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
            frames.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
            frames.MAX_FRAME_SIZE: limits.max_frame_bytes,
            frames.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
        }
    )


def read(
    flags: int, payload: bytes, *, is_first: bool
) -> Sequence[tuple[int, int]] | None:
    """Returns the settings of a peer; None for its acknowledgement of ours.

    Args:
      flags: All flags of the frame.
      payload: Its bytes.
      is_first: Whether the peer has not sent its settings before.

    Raises:
      Http2ConnectionError: The frame is not a valid one, or an acknowledgement
        comes first.
    """
    if not flags & frames.ACK:
        return frames.parse_settings(payload)
    frames.require_size(payload, 0, "acknowledgement of SETTINGS")
    if is_first:
        raise frames.Http2ConnectionError(
            frames.ErrorCode.PROTOCOL_ERROR,
            "the first SETTINGS must not be an acknowledgement",
        )
    return None


def follow(
    settings: Sequence[tuple[int, int]],
    table: stream_table.StreamTable,
    out: outgoing.Outgoing,
) -> None:
    """Acknowledges the settings of a peer, and follows them from then on.

    Raises:
      Http2ConnectionError: The window of a stream would become too large.
    """
    # First, because a peer may take its new windows to be there from then on,
    # and data that comes before for a fault.
    out.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
    initial_window = out.initial_window
    for setting, value in settings:
        if setting == frames.INITIAL_WINDOW_SIZE:
            initial_window = value  # once, for it goes through all streams
        else:
            out.change_settings(setting, value)
    table.change_initial_window(initial_window)
