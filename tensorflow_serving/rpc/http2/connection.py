"""The server's side of an HTTP/2 connection, without a socket.

Bytes go in and streams with news come out; replies go in and bytes come out:

    for stream in connection.receive(data, now):
        ...look at stream.head, chunks, is_ended, reset_code...
    connection.reply(stream, head_block, message, trailers_block)
    socket.send(connection.take_output())

News are states, not events: a stream that was opened, filled and reset by one
packet is reported once, as reset. Whoever floods a server with calls that it
takes back makes work for nobody but this module.

Section numbers are those of RFC 9113.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from tensorflow_serving.rpc.http2 import (
    block_assembler,
    budgets,
    frame_reader,
    frames,
    graceful_end,
    header_block,
    incoming,
    outgoing,
    settings,
    stream_table,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib
from tensorflow_serving.rpc.http2.frames import (
    ErrorCode,
    Http2ConnectionError,
    Http2StreamError,
)

_KEEP_ALIVE_PING: Final = b"anybody?"


class Connection:
    """One connection of a client. Not thread-safe."""

    # An attribute dictionary is larger than all else of an idle connection.
    __slots__ = (
        "_assembler",
        "_budgets",
        "_decoder",
        "_end",
        "_expected_kind",
        "_now",
        "_reader",
        "_table",
        "fault",
        "incoming",
        "is_ping_unanswered",
        "outgoing",
    )

    def __init__(self, limits: limits_lib.Limits, now: float) -> None:
        """Begins with the server's settings.

        Args:
          limits: How much the peer may ask for.
          now: The time, in seconds of any clock, as everywhere in this class.
        """
        self._now = now
        self._budgets = budgets.Budgets(limits, now)
        self._reader = frame_reader.FrameReader(limits.max_frame_bytes)
        self._decoder = header_block.Decoder(
            limits.max_header_list_bytes, limits.max_decoded_header_bytes
        )
        self._assembler = block_assembler.BlockAssembler(
            limits.max_decoded_header_bytes
        )
        # The data of responses that was written, and that waits for windows.
        self.outgoing = outgoing.Outgoing()
        self.outgoing.write(settings.of_server(limits))
        # How much the peer may still send, and room for large messages.
        self.incoming = incoming.Incoming(limits, self.outgoing)
        self._table = stream_table.StreamTable(
            limits, self.outgoing, self.incoming
        )
        self._end = graceful_end.GracefulEnd(self._table, self.outgoing)
        # The only type that the next frame may have; None for any.
        self._expected_kind: int | None = frames.SETTINGS
        # Why the connection ended; None as long as it did not.
        self.fault: Http2ConnectionError | None = None
        self.is_ping_unanswered = False

    @property
    def is_established(self) -> bool:
        """Whether the peer has sent its settings."""
        return self._expected_kind != frames.SETTINGS

    @property
    def streams(self) -> Collection[stream_lib.Stream]:
        """The streams that are open."""
        return self._table.by_id.values()

    @property
    def num_streams(self) -> int:
        """How many streams are open."""
        return len(self._table.by_id)

    # Bytes in.

    def receive(self, data: bytes, now: float) -> Sequence[stream_lib.Stream]:
        """Takes bytes of the peer; returns the streams with news.

        Those are streams that are new, ended or reset, or that have as many
        bytes as they want. Never raises because of the bytes: see `fault`.
        """
        self._now = now
        if self.fault is not None:
            return ()
        try:
            self._receive(data)
        except Http2ConnectionError as fault:
            self.fail(fault)
        return self._table.take_news()

    def _receive(self, data: bytes) -> None:
        table = self._table
        streams = table.by_id
        for kind, flags, stream_id, payload in self._reader.feed(data):
            if self._expected_kind is not None and kind != self._expected_kind:
                raise Http2ConnectionError(
                    ErrorCode.PROTOCOL_ERROR,
                    f"frame must be of type {self._expected_kind} here; got "
                    f"type {kind}",
                )
            try:
                # First what nearly all frames are.
                if (
                    kind == 0  # DATA
                    and flags <= 1  # END_STREAM or nothing
                    and (stream := streams.get(stream_id)) is not None
                    and not stream.is_ended
                ):
                    self._add_data(stream, payload, len(payload), flags)
                elif (
                    kind == 1  # HEADERS
                    and flags & 0xFE == 4  # END_HEADERS, with END_STREAM or not
                    and stream_id > table.last_id
                ):
                    head = self._decoder.decode(payload)
                    table.open(stream_id, head, flags & 1)
                else:
                    handler = _HANDLERS.get(kind, Connection._on_unknown)
                    handler(self, flags, stream_id, payload)
            except Http2StreamError as fault:
                # A peer that opens too many may not know the limit yet; 5.1.2.
                if fault.code == ErrorCode.REFUSED_STREAM:
                    self._spend_other()
                else:
                    self._spend_reset()
                table.fail(fault)

    # Frames.

    def _add_data(
        self,
        stream: stream_lib.Stream,
        data: bytes,
        num_bytes: int,
        ends: int,
    ) -> None:
        """Adds the data of a frame, which with its padding has num_bytes."""
        if ends:
            stream.is_ended = True
        self.incoming.count(stream, num_bytes)
        if data:
            stream.add(data)
        elif not ends:
            self._spend_other()
        if (
            stream.head.content_length is not None
            and stream.breaks_content_length()
        ):
            raise Http2StreamError(stream.id, ErrorCode.PROTOCOL_ERROR)
        if not stream.has_news and (
            ends or stream.num_received_bytes >= stream.wanted_bytes
        ):
            self._table.add_news(stream)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.1: DATA with padding, or on a stream that takes no data."""
        data = payload
        if flags & frames.PADDED:
            data = frames.without_padding(payload)
        stream = self._table.by_id.get(stream_id)
        if stream is None or stream.is_ended:
            self._table.require_known(stream_id, "DATA")
            self._spend_other()
            self.incoming.count_unheld(len(payload))
            self._table.refuse_closed(stream_id)
            return
        self._add_data(stream, data, len(payload), flags & frames.END_STREAM)
        if len(data) < len(payload):
            self.incoming.free_padding(stream, len(payload) - len(data))

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.2: trailers, and blocks that are padded, prioritized, continued."""
        self._on_block(self._assembler.begin(flags, stream_id, payload))

    def _on_continuation(
        self, flags: int, stream_id: int, payload: bytes
    ) -> None:
        """6.10."""
        block = self._assembler.go_on(flags, stream_id, payload)
        self._spend_other()
        self._on_block(block)

    def _on_block(self, block: block_assembler.Block | None) -> None:
        """Handles a header block if it is whole."""
        if block is None:
            self._expected_kind = frames.CONTINUATION
            return
        self._expected_kind = None
        stream_id, ends, data = block
        if stream_id > self._table.last_id:
            self._table.open(stream_id, self._decoder.decode(data), ends)
            return
        is_valid = self._decoder.decode_trailers(data)
        stream = self._table.by_id.get(stream_id)
        if stream is None or stream.is_ended:
            self._table.require_known(stream_id, "HEADERS")
            self._table.refuse_closed(stream_id)
            return
        if not ends or not is_valid:
            raise Http2StreamError(stream_id, ErrorCode.PROTOCOL_ERROR)
        self._add_data(stream, b"", 0, 1)

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.3: obsolete, and without effect."""
        frames.require_stream(stream_id, "PRIORITY")
        self._spend_other()
        if len(payload) != frames.PRIORITY_BYTES:
            if stream_id in self._table.by_id:
                raise Http2StreamError(stream_id, ErrorCode.FRAME_SIZE_ERROR)
            frames.require_size(payload, frames.PRIORITY_BYTES, "PRIORITY")

    def _on_rst_stream(
        self, flags: int, stream_id: int, payload: bytes
    ) -> None:
        """6.4."""
        frames.require_stream(stream_id, "RST_STREAM")
        frames.require_size(payload, 4, "RST_STREAM")
        self._table.require_known(stream_id, "RST_STREAM")
        self._spend_reset()
        stream = self._table.by_id.get(stream_id)
        if stream is not None:
            self._table.lose(stream, ErrorCode.CANCEL)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.5."""
        frames.require_connection(stream_id, "SETTINGS")
        self._budgets.settings.spend(self._now)
        wanted = settings.read(flags, payload, is_first=not self.is_established)
        if wanted is not None:
            self._expected_kind = None
            settings.follow(wanted, self._table, self.outgoing)

    def _on_push_promise(
        self, flags: int, stream_id: int, payload: bytes
    ) -> None:
        """8.4: a client cannot push."""
        raise Http2ConnectionError(
            ErrorCode.PROTOCOL_ERROR, "a client must not send PUSH_PROMISE"
        )

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.7."""
        frames.require_connection(stream_id, "PING")
        frames.require_size(payload, 8, "PING")
        self._budgets.pings.spend(self._now)
        if not flags & frames.ACK:
            self.outgoing.write(
                frames.frame(frames.PING, frames.ACK, 0, payload)
            )
            return
        self.is_ping_unanswered = False
        self._end.on_ping_answered(payload)

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.8: the peer opens no more streams."""
        frames.require_connection(stream_id, "GOAWAY")
        if len(payload) < 8:
            raise Http2ConnectionError(
                ErrorCode.FRAME_SIZE_ERROR,
                f"GOAWAY must be at least 8 bytes; got {len(payload)}",
            )
        self._spend_other()
        self._end.is_peer_leaving = True

    def _on_window_update(
        self, flags: int, stream_id: int, payload: bytes
    ) -> None:
        """6.9."""
        frames.require_size(payload, 4, "WINDOW_UPDATE")
        self._spend_other()
        num_bytes = int.from_bytes(payload, "big") & frames.MAX_WINDOW_BYTES
        if stream_id == 0:
            if num_bytes == 0:
                raise Http2ConnectionError(
                    ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE must be at least 1"
                )
            for ended in self.outgoing.open_window(num_bytes):
                self._table.end(ended)
            return
        self._table.require_known(stream_id, "WINDOW_UPDATE")
        stream = self._table.by_id.get(stream_id)
        if stream is None:
            return
        if num_bytes == 0:
            raise Http2StreamError(stream_id, ErrorCode.PROTOCOL_ERROR)
        if self.outgoing.open_stream_window(stream, num_bytes):
            self._table.end(stream)

    def _on_unknown(self, flags: int, stream_id: int, payload: bytes) -> None:
        """5.5: without effect."""
        self._spend_other()

    # Rules.

    def _spend_other(self) -> None:
        self._budgets.spend_other(
            self._now, self._table.num_opened, self.outgoing.num_sent_bytes
        )

    def _spend_reset(self) -> None:
        self._budgets.spend_reset(self._now, self._table.num_answered)

    # Replies in, bytes out.

    def take_output(self) -> bytes:
        """Removes and returns the bytes to send to the peer now."""
        return self.outgoing.take()

    @property
    def has_output(self) -> bool:
        """Whether take_output() would return any bytes."""
        return self.outgoing.has_frames

    @property
    def is_over(self) -> bool:
        """Whether the socket is to be closed, once the output is sent."""
        return self.fault is not None or self._end.is_over

    @property
    def is_going_away(self) -> bool:
        """Whether the peer was asked to open no more streams."""
        return self._end.is_begun

    # Responses of a stream that is closed, or was answered, have no effect: the
    # layer above may be late.

    def send_headers(self, stream: stream_lib.Stream, block: bytes) -> None:
        """Begins a response."""
        if not stream.is_closed and not stream.is_answered:
            self.outgoing.write_headers(stream, block)

    def send_data(self, stream: stream_lib.Stream, data: bytes) -> None:
        """Sends data, now or when the peer allows it; see `stream.unsent`."""
        if not stream.is_closed and not stream.is_answered:
            self.outgoing.write_data(stream, data)

    def send_end(self, stream: stream_lib.Stream, block: bytes) -> None:
        """Ends a response with a header block, behind its data."""
        if stream.is_closed or stream.is_answered:
            return
        stream.is_answered = True
        self.outgoing.write_headers(stream, block, ends=True)
        if not stream.unsent:
            self._table.end(stream)

    def may_send_whole(self, num_streams: int, data_bytes: int) -> bool:
        """Returns whether this many small responses can be sent together.

        Args:
          num_streams: How many streams, on which nothing was sent.
          data_bytes: The size of the payload of the DATA frame of each.
        """
        return self.outgoing.may_write_at_once(data_bytes, num_streams)

    def send_whole(
        self,
        streams: Sequence[stream_lib.Stream],
        rendered: bytes,
        data_bytes: int,
    ) -> None:
        """Sends and ends whole responses, which may_send_whole() has allowed.

        Args:
          streams: They are open, and the peer has sent all of its requests.
          rendered: The frames of all responses.
          data_bytes: See may_send_whole().
        """
        self.outgoing.write_at_once(rendered, data_bytes * len(streams))
        self._table.end_whole(streams)

    def consume(self, stream: stream_lib.Stream) -> None:
        """Lets a stream go on with another message after one was taken.

        Without effect on a stream that is ended or closed.
        """
        if not stream.is_closed and not stream.is_ended:
            self.incoming.consume(stream)

    def reset(self, stream: stream_lib.Stream, code: ErrorCode) -> None:
        """Ends a stream without a response. Without effect on a closed one."""
        if not stream.is_closed:
            self._table.reset(stream.id, code)
            self._table.forget(stream)

    def ping(self) -> None:
        """Asks for a sign of the peer, after which no PING is unanswered."""
        self.is_ping_unanswered = True
        self.outgoing.write(frames.frame(frames.PING, 0, 0, _KEEP_ALIVE_PING))

    def go_away(self) -> None:
        """Asks the peer to open no more streams; 6.8. Idempotent.

        Those that it opens before it knows are still answered: until it answers
        a PING, or finish_going_away() is called.
        """
        if self.fault is None:
            self._end.begin()

    def finish_going_away(self) -> None:
        """Ignores streams that the peer opens from now on. Idempotent."""
        if self.fault is None:
            self._end.finish()

    def fail(self, fault: Http2ConnectionError) -> None:
        """Ends the connection; 5.4.1. All streams are reported as reset."""
        if self.fault is None:
            self.fault = fault
            self.outgoing.write(
                frames.goaway(
                    self._table.last_handled_id, fault.code, str(fault)
                )
            )
        self._table.lose_all(fault.code)

    def abandon(self) -> Sequence[stream_lib.Stream]:
        """Ends the connection without the peer; returns what was open."""
        self.fail(Http2ConnectionError(ErrorCode.NO_ERROR, "the peer is gone"))
        return self._table.take_news()


# A table of functions, because one of bound methods would be as large as the
# rest of a connection.
_Handler = Callable[[Connection, int, int, bytes], None]
_HANDLERS: Mapping[int, _Handler] = {
    frames.DATA: Connection._on_data,
    frames.HEADERS: Connection._on_headers,
    frames.PRIORITY: Connection._on_priority,
    frames.RST_STREAM: Connection._on_rst_stream,
    frames.SETTINGS: Connection._on_settings,
    frames.PUSH_PROMISE: Connection._on_push_promise,
    frames.PING: Connection._on_ping,
    frames.GOAWAY: Connection._on_goaway,
    frames.WINDOW_UPDATE: Connection._on_window_update,
    frames.CONTINUATION: Connection._on_continuation,
}
