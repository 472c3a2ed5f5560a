"""The end of a connection without loss: two GOAWAY frames; RFC 9113, 6.8."""

from typing import Final

from tensorflow_serving.rpc.http2 import frames, outgoing, stream_table

# The payload of the PING that follows the first GOAWAY.
_PING: Final = b"goodbye."


class GracefulEnd:
    """How far a connection is on the way to its end. Not thread-safe.

    begin() asks the peer to open no more streams. Those that it opens before it
    knows are still answered, until it answers a PING that it gets with the
    request, or finish() is called.
    """

    __slots__ = (
        "_is_finished",
        "_out",
        "_table",
        "is_begun",
        "is_peer_leaving",
    )

    def __init__(
        self, table: stream_table.StreamTable, out: outgoing.Outgoing
    ) -> None:
        """Takes the streams of the connection, and where frames go."""
        self._table = table
        self._out = out
        self.is_begun = False
        self._is_finished = False
        # Whether the peer said that it will open no more streams.
        self.is_peer_leaving = False

    @property
    def is_over(self) -> bool:
        """Whether no stream is open, and none may be opened."""
        return not self._table.by_id and (
            self._is_finished or self.is_peer_leaving
        )

    def begin(self) -> None:
        """Asks the peer to open no more streams. Idempotent."""
        if not self.is_begun:
            self.is_begun = True
            self._out.write(
                frames.goaway(frames.MAX_STREAM_ID, frames.ErrorCode.NO_ERROR)
                + frames.frame(frames.PING, 0, 0, _PING)
            )

    def finish(self) -> None:
        """Ignores streams that the peer opens from now on. Idempotent."""
        self.is_begun = True
        if not self._is_finished:
            self._is_finished = True
            self._table.accept_no_more()
            self._out.write(
                frames.goaway(
                    self._table.last_handled_id, frames.ErrorCode.NO_ERROR
                )
            )

    def on_ping_answered(self, payload: bytes) -> None:
        """Finishes if the peer has read the request."""
        if self.is_begun and payload == _PING:
            self.finish()
