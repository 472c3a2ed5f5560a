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

from collections.abc import Callable, Collection, Sequence
from typing import Final

from tensorflow_serving.rpc.http2 import (
    budgets,
    frame_reader,
    frames,
    header_block,
    incoming,
    outgoing,
    stream_table,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib
from tensorflow_serving.rpc.http2.frames import (
    ErrorCode,
    Http2ConnectionError,
    Http2StreamError,
)

# The payload of the PING that follows the first GOAWAY.
_GOAWAY_PING: Final = b"goodbye."
_KEEP_ALIVE_PING: Final = b"anybody?"


class Connection:
    """One connection of a client. Not thread-safe."""

    def __init__(self, limits: limits_lib.Limits, now: float) -> None:
        """Begins with the server's settings.

        Args:
          limits: How much the peer may ask for.
          now: The time, in seconds of any clock, as everywhere in this class.
        """
        self._limits = limits
        self._now = now
        self._budgets = budgets.Budgets(limits, now)
        self._reader = frame_reader.FrameReader(limits.max_frame_bytes)
        self._decoder = header_block.Decoder(
            limits.max_header_list_bytes, limits.max_decoded_header_bytes
        )
        self._out = outgoing.Outgoing()
        self._out.write(
            frames.settings(
                {
                    frames.MAX_CONCURRENT_STREAMS: (
                        limits.max_concurrent_streams
                    ),
                    frames.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
                    frames.MAX_FRAME_SIZE: limits.max_frame_bytes,
                    frames.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
                }
            )
        )
        self._incoming = incoming.Incoming(limits, self._out)
        self._table = stream_table.StreamTable(
            limits, self._out, self._incoming
        )
        # The only type that the next frame may have; None for any.
        self._expected_kind: int | None = frames.SETTINGS
        # A header block that is not whole: its stream and flags, and its parts.
        self._block_stream = (0, 0)
        self._block = bytearray()
        # Why the connection is at its end; None as long as it is not.
        self.fault: Http2ConnectionError | None = None
        # Whether the peer was asked to open no more streams, and was told which
        # was the last one; and whether it said that it will not.
        self.is_going_away = False
        self._has_gone_away = False
        self._peer_goes_away = False
        self.is_ping_unanswered = False
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.CONTINUATION: self._on_continuation,
        }

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
            if self._expected_kind not in (None, kind):
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
                    handler = self._handlers.get(kind, self._on_unknown)
                    handler(flags, stream_id, payload)
            except Http2StreamError as fault:
                self._fail_stream(fault)

    # Frames.

    def _add_data(
        self,
        stream: stream_lib.Stream,
        data: bytes,
        num_bytes: int,
        is_ended: int,
    ) -> None:
        """Adds the data of a frame, which with its padding has num_bytes."""
        if is_ended:
            stream.is_ended = True
        self._incoming.count(stream, num_bytes)
        if data:
            stream.chunks.append(data)
            stream.num_received_bytes += len(data)
        elif not is_ended:
            self._spend_other()
        if (
            stream.head.content_length is not None
            and stream.breaks_content_length()
        ):
            raise Http2StreamError(stream.id, ErrorCode.PROTOCOL_ERROR)
        if not stream.has_news and (
            is_ended or stream.num_received_bytes >= stream.wanted_bytes
        ):
            self._table.note(stream)

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.1: what is not the usual."""
        data = payload
        if flags & frames.PADDED:
            data = frames.without_padding(payload)
        stream = self._table.by_id.get(stream_id)
        if stream is not None and not stream.is_ended:
            self._add_data(
                stream, data, len(payload), flags & frames.END_STREAM
            )
            return
        self._table.require_known(stream_id, "DATA")
        self._spend_other()
        self._incoming.count_unheld(len(payload))
        self._incoming.free(len(payload))
        self._table.refuse_closed(stream_id)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.2: what is padded, has a priority, or is continued; trailers."""
        frames.require_stream(stream_id, "HEADERS")
        if flags & frames.PADDED:
            payload = frames.without_padding(payload)
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise Http2ConnectionError(
                    ErrorCode.FRAME_SIZE_ERROR,
                    "HEADERS with a priority must have 5 bytes for it",
                )
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, flags, payload)
            return
        self._block_stream = (stream_id, flags)
        self._block[:] = payload
        self._expected_kind = frames.CONTINUATION
        self._check_block()

    def _on_continuation(
        self, flags: int, stream_id: int, payload: bytes
    ) -> None:
        """6.10."""
        first_id, first_flags = self._block_stream
        if self._expected_kind is None or stream_id != first_id:
            raise Http2ConnectionError(
                ErrorCode.PROTOCOL_ERROR,
                "CONTINUATION must follow a header block of its stream",
            )
        self._spend_other()
        self._block += payload
        self._check_block()
        if flags & frames.END_HEADERS:
            self._expected_kind = None
            block = bytes(self._block)
            self._block.clear()
            self._on_block(first_id, first_flags, block)

    def _check_block(self) -> None:
        if len(self._block) > self._limits.max_decoded_header_bytes:
            raise Http2ConnectionError(
                ErrorCode.ENHANCE_YOUR_CALM,
                "a header block must be much smaller",
            )

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        """Handles a whole header block."""
        if stream_id > self._table.last_id:
            head = self._decoder.decode(block)
            self._table.open(stream_id, head, flags & frames.END_STREAM)
            return
        is_valid = self._decoder.decode_trailers(block)
        stream = self._table.by_id.get(stream_id)
        if stream is None or stream.is_ended:
            self._table.require_known(stream_id, "HEADERS")
            self._table.refuse_closed(stream_id)
            return
        if not flags & frames.END_STREAM or not is_valid:
            raise Http2StreamError(stream_id, ErrorCode.PROTOCOL_ERROR)
        self._add_data(stream, b"", 0, 1)

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.3: obsolete, and without effect."""
        frames.require_stream(stream_id, "PRIORITY")
        self._spend_other()
        if len(payload) != 5:
            self._table.require_known(stream_id, "PRIORITY of a wrong size")
            raise Http2StreamError(stream_id, ErrorCode.FRAME_SIZE_ERROR)

    def _on_rst_stream(
        self, flags: int, stream_id: int, payload: bytes
    ) -> None:
        """6.4."""
        frames.require_stream(stream_id, "RST_STREAM")
        frames.require_size(payload, 4, "RST_STREAM")
        self._table.require_known(stream_id, "RST_STREAM")
        self._budgets.resets.spend(self._now)
        stream = self._table.by_id.get(stream_id)
        if stream is not None:
            self._table.lose(stream, ErrorCode.CANCEL)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.5."""
        frames.require_connection(stream_id, "SETTINGS")
        self._expected_kind = None
        self._budgets.settings.spend(self._now)
        if flags & frames.ACK:
            frames.require_size(payload, 0, "acknowledgement of SETTINGS")
            return
        for setting, value in frames.parse_settings(payload):
            if setting == frames.INITIAL_WINDOW_SIZE:
                self._change_initial_window(value)
            else:
                self._out.change_settings(setting, value)
        self._out.write(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _change_initial_window(self, value: int) -> None:
        """6.9.2: also for the streams that are open."""
        change = value - self._out.initial_window
        self._out.initial_window = value
        for stream in list(self._table.by_id.values()):
            try:
                is_sent = self._out.open_stream_window(stream, change)
            except Http2StreamError:
                raise Http2ConnectionError(
                    ErrorCode.FLOW_CONTROL_ERROR,
                    "the window of a stream must be at most 2^31-1",
                ) from None
            if is_sent:
                self._table.end(stream)

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
        if flags & frames.ACK:
            if payload == _GOAWAY_PING and self.is_going_away:
                self.finish_going_away()
            self.is_ping_unanswered = False
            return
        self._budgets.pings.spend(self._now)
        self._out.write(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        """6.8: the peer opens no more streams."""
        frames.require_connection(stream_id, "GOAWAY")
        if len(payload) < 8:
            raise Http2ConnectionError(
                ErrorCode.FRAME_SIZE_ERROR,
                f"GOAWAY must be at least 8 bytes; got {len(payload)}",
            )
        self._spend_other()
        self._peer_goes_away = True

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
            for stream in self._out.open_window(num_bytes):
                self._table.end(stream)
            return
        self._table.require_known(stream_id, "WINDOW_UPDATE")
        stream = self._table.by_id.get(stream_id)
        if stream is None:
            return
        if num_bytes == 0:
            raise Http2StreamError(stream_id, ErrorCode.PROTOCOL_ERROR)
        if self._out.open_stream_window(stream, num_bytes):
            self._table.end(stream)

    def _on_unknown(self, flags: int, stream_id: int, payload: bytes) -> None:
        """5.5: without effect."""
        self._spend_other()

    # Rules.

    def _spend_other(self) -> None:
        self._budgets.spend_other(self._now, self._table.last_id // 2)

    def _fail_stream(self, fault: Http2StreamError) -> None:
        """Resets a stream for a fault of the peer's."""
        self._table.reset(fault.stream_id, fault.code)
        stream = self._table.by_id.get(fault.stream_id)
        if stream is not None:
            self._table.lose(stream, fault.code)

    # Replies in, bytes out.

    def take_output(self) -> bytes:
        """Removes and returns the bytes to send to the peer now."""
        return self._out.take()

    @property
    def has_output(self) -> bool:
        """Whether take_output() would return any bytes."""
        return self._out.has_frames

    @property
    def is_over(self) -> bool:
        """Whether the socket is to be closed, once the output is sent."""
        return self.fault is not None or (
            not self._table.by_id
            and (self._peer_goes_away or self._has_gone_away)
        )

    def send_headers(self, stream: stream_lib.Stream, block: bytes) -> None:
        """Begins a response. Without effect on a closed stream."""
        if not stream.is_closed:
            self._out.write_headers(stream, block)

    def send_data(self, stream: stream_lib.Stream, data: bytes) -> None:
        """Sends data, now or when the peer allows it; see `stream.unsent`.

        Without effect on a closed stream.
        """
        if not stream.is_closed:
            self._out.write_data(stream, data)

    def send_end(self, stream: stream_lib.Stream, block: bytes) -> None:
        """Ends a response with a header block, behind its data.

        Without effect on a closed stream.
        """
        if stream.is_closed:
            return
        self._out.write_headers(stream, block, ends=True)
        if not stream.unsent:
            self._table.end(stream)

    def may_send_whole(self, num_streams: int, data_bytes: int) -> bool:
        """Returns whether so many small responses can be sent together.

        Args:
          num_streams: Of streams on which nothing was sent.
          data_bytes: The size of the payload of the DATA frame of each.
        """
        return self._out.may_write_at_once(data_bytes, num_streams)

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
        self._out.write_at_once(rendered, data_bytes * len(streams))
        self._table.end_whole(streams)

    def need_room(self, stream: stream_lib.Stream, message_bytes: int) -> None:
        """Lets a message arrive that is larger than the window of its stream.

        Args:
          stream: Its stream.
          message_bytes: Its size with its prefix.
        """
        self._incoming.need_room(stream, message_bytes)

    def consume(self, stream: stream_lib.Stream, num_bytes: int) -> None:
        """Lets a stream go on that is not ended and had a message taken."""
        if not stream.is_closed and not stream.is_ended:
            self._incoming.consume(stream, num_bytes)

    def reset(self, stream: stream_lib.Stream, code: ErrorCode) -> None:
        """Ends a stream without a response. Without effect on a closed one."""
        if not stream.is_closed:
            self._table.reset(stream.id, code)
            self._table.forget(stream)

    def ping(self) -> None:
        """Asks for a sign of the peer, after which no PING is unanswered."""
        self.is_ping_unanswered = True
        self._out.write(frames.frame(frames.PING, 0, 0, _KEEP_ALIVE_PING))

    def go_away(self) -> None:
        """Asks the peer to open no more streams; 6.8. Idempotent.

        Those that it opens before it knows are still answered: until it answers
        a PING, or finish_going_away() is called.
        """
        if self.is_going_away:
            return
        self.is_going_away = True
        self._out.write(
            frames.goaway(frames.MAX_STREAM_ID, ErrorCode.NO_ERROR)
            + frames.frame(frames.PING, 0, 0, _GOAWAY_PING)
        )

    def finish_going_away(self) -> None:
        """Ignores streams that the peer opens from now on. Idempotent."""
        self.is_going_away = True
        if not self._has_gone_away:
            self._has_gone_away = True
            self._table.accept_no_more()
            self._out.write(
                frames.goaway(self._table.last_id, ErrorCode.NO_ERROR)
            )

    def fail(self, fault: Http2ConnectionError) -> None:
        """Ends the connection; 5.4.1. All streams are reported as reset."""
        if self.fault is None:
            self.fault = fault
            self._out.write(
                frames.goaway(self._table.last_id, fault.code, str(fault))
            )
        self._table.lose_all(fault.code)

    def abandon(self) -> Sequence[stream_lib.Stream]:
        """Ends the connection without the peer; returns what was open."""
        self.fail(Http2ConnectionError(ErrorCode.NO_ERROR, "the peer is gone"))
        return self._table.take_news()
