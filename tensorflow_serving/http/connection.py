"""A connection of uvicorn with limits, of which it has none.

1. A head must be whole within a time, and small; so must all that comes with a
   body and is not of it.
2. A body must come within a time, or fast enough.
3. A client must read what it is sent.
4. When a client leaves, what runs for it is cancelled. One that only ends its
   side looks like one that leaves.
5. A client that sends requests without waiting for answers has pauses.
6. An offer to go on with another protocol, such as that of HTTP/2 with which
   the clients of Java begin, is ignored, and the request is answered. httptools
   would take its body for the other protocol.
7. A client of HTTP/1.0 may ask for the connection to stay, as ab -k does. It
   cannot wait for "100 Continue".

What breaks the rules of HTTP gets an error of the application, after the
answers to all requests before it, and ends the connection.

The application gets the connection of a request as an extension of its scope.
"""

import asyncio
import select
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import httptools
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http import httptools_impl
from uvicorn.server import ServerState

from tensorflow_serving.http import messages, options, request_reading
from tensorflow_serving.util import errors

# Closing resets the connection, also if there is data to be sent.
_NO_LINGER: Final = struct.pack("ii", 1, 0)

# After so many requests of one connection, others have their turn.
_MAX_IN_A_ROW: Final = 8
_PAUSE_SECONDS: Final = 0.002

_CONNECT: Final = b"CONNECT"
_HEADERS_OF_OFFERS: Final = {b"connection", b"upgrade", b"http2-settings"}

# Where the scope of a request has its connection.
EXTENSION: Final = "tensorflow_serving.connection"
# Is there if a client of HTTP/1.0 has asked for the connection to stay. The
# answer has to say that it does.
STAYS: Final = "tensorflow_serving.stays"


class Connection(httptools_impl.HttpToolsProtocol):
    """A connection, used by the thread of its event loop only."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        limits: options.Limits,
        error_response: messages.ErrorResponse,
        on_lost: Callable[[], None],
    ) -> None:
        """Waits for its transport.

        Args:
          config: See HttpToolsProtocol, as for the next two.
          server_state: Knows all connections.
          app_state: Shared by all scopes.
          limits: How much a client may send, and how long it may take.
          error_response: Makes the response to what is not HTTP.
          on_lost: Called once server_state does not have it any longer.
        """
        super().__init__(config, server_state, app_state)
        self.parser = self._parser = _Parser(self)
        self._limits = limits
        self._error_response = error_response
        self._on_lost = on_lost
        # Done once the last request has come, or the connection has ended.
        self._last_request: asyncio.Future[None] | None = None
        # The task that answers the client; set by the application.
        self.running: asyncio.Task[Any] | None = None
        # Ends the connection if the next part of a request does not come.
        self._reading = request_reading.RequestReading(
            limits, self.loop, self._abort
        )
        self._write_timer: asyncio.TimerHandle | None = None
        # Whether the parser was stopped for that.
        self._is_head_too_large = False
        # Requests that were answered one after the other, as they came.
        self._num_in_a_row = 0
        # The head of a request that offers another protocol, without the offer.
        self._plain_head: bytes | None = None

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None:
            # Notices peers that are gone without a word.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._reading.connected()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._reading.stop()
        self._stop_writing_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        if self.running is not None:
            self.running.cancel()
        self._note_last_request()
        self._on_lost()

    def finish(self) -> "asyncio.Future[None] | None":
        """Ends the connection when it has answered what it has.

        Returns:
          None; or if a request is on its way, as far as can be seen, what is
          done once it has come, or the connection has ended.
        """
        last = self.cycle
        if last is not None and not (
            last.response_complete and self._has_begun_to_ask()
        ):
            self.shutdown()
            return None
        self._last_request = self.loop.create_future()
        return self._last_request

    @override
    def data_received(self, data: bytes) -> None:
        self._reading.received(len(data))
        super().data_received(data)
        while self._plain_head is not None:
            again = self._plain_head + self._parser.rest
            self._plain_head = None
            # The old one may have seen the end of the connection.
            self.parser = self._parser = _Parser(self)
            super().data_received(again)
        if self._reading.is_head_too_large and not self.transport.is_closing():
            self._refuse_head()

    @override
    def send_400_response(self, msg: str) -> None:
        """See HttpToolsProtocol, which calls this for broken HTTP."""
        del msg
        if self._is_head_too_large:
            self._refuse_head()
            return
        self._refuse(
            errors.InvalidArgumentError(
                "request must keep to the rules of HTTP/1.1; got something else"
            )
        )

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]
        self._reading.head_begun()

    @override
    def on_headers_complete(self) -> None:
        self._require_small_head()
        if (
            self.parser.should_upgrade()
            and self.parser.get_method() != _CONNECT
        ):
            self._plain_head = self._head_without_offer()
            return
        is_old = self.parser.get_http_version() == "1.0"
        if is_old:
            self.expect_100_continue = False
        super().on_headers_complete()
        if is_old and self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            self.scope["extensions"][STAYS] = {}
        self._note_last_request()
        self._reading.body_begun()

    def on_chunk_header(self) -> None:
        """See httptools."""
        self._reading.chunk_begun()

    @override
    def on_body(self, body: bytes) -> None:
        self._reading.body_received(len(body))
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        if self._plain_head is not None:
            return
        self._reading.ended()
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        """See HttpToolsProtocol, which goes on with the next request here.

        Requests that came all at once leave some of the time to others.
        """
        self._num_in_a_row = self._num_in_a_row + 1 if self.pipeline else 0
        if self._num_in_a_row < _MAX_IN_A_ROW:
            super().on_response_complete()
            return
        self._num_in_a_row = 0
        self.loop.call_later(_PAUSE_SECONDS, super().on_response_complete)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(
            self._limits.write_seconds, self._abort
        )

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_writing_timer()

    def _has_begun_to_ask(self) -> bool:
        """Returns whether a part of a head has come, read or not."""
        if self._reading.part is request_reading.Part.HEAD:
            return True
        sock = self.transport.get_extra_info("socket")
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _note_last_request(self) -> None:
        if self._last_request is not None and not self._last_request.done():
            self._last_request.set_result(None)

    def _require_small_head(self) -> None:
        """Ends the parsing of a head that is too large.

        Few reads are so large that one can be, and only these are looked at.
        """
        if not self._reading.may_head_be_too_large:
            return
        limit = self._limits.max_head_bytes
        size = sum(len(name) + len(value) for name, value in self.headers)
        if len(self.url) + size > limit:
            self._is_head_too_large = True
            raise ValueError("the head is too large")

    def _refuse_head(self) -> None:
        limit = self._limits.max_head_bytes
        self._refuse(
            messages.HeadTooLargeError(
                f"head must have at most {limit} bytes; got more"
            )
        )

    def _refuse(self, error: errors.ServingError) -> None:
        """Answers what cannot be read, and ends the connection."""
        self._reading.stop()
        last = self.cycle
        if last is not None and not last.response_complete:
            if self.pipeline and last.more_body:
                self._abort()  # it would wait for its body forever
                return
            if last.response_started or not last.more_body:
                # All that is whole gets its answer.
                self.flow.pause_reading()
                last.keep_alive = False
                return
        response = self._error_response(error)
        self.transport.write(
            httptools_impl.STATUS_LINE[response.status]
            + b"content-type: %s\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s"
            % (
                response.content_type.encode("latin1"),
                len(response.body),
                response.body,
            )
        )
        self.transport.close()

    def _head_without_offer(self) -> bytes:
        """Returns the head that has come, as of a client with one protocol."""
        parser = self.parser
        version = parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (parser.get_method(), self.url, version)]
        lines += [
            b"%b: %b" % header
            for header in self.headers
            if header[0] not in _HEADERS_OF_OFFERS
        ]
        if not parser.should_keep_alive():
            lines.append(b"connection: close")
        return b"\r\n".join([*lines, b"", b""])

    def _abort(self) -> None:
        """Ends the connection, with all that the client has not read."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _stop_writing_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class _Parser(httptools.HttpRequestParser):
    """A parser that stops at another protocol without an exception."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__(protocol)
        # As uvicorn does, to answer requests that come behind the last one.
        self.set_dangerous_leniencies(lenient_data_after_close=True)
        # Follows the head of a request that offers another protocol.
        self.rest = b""

    @override
    def feed_data(self, data: Any) -> None:
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            self.rest = data[stop.args[0] :]
