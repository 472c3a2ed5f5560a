"""Calls that came through the wire lane, and their way back."""

import functools
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from absl import logging
from google.protobuf import message
from typing_extensions import override

from tensorflow_serving.rpc import (
    call,
    gate,
    message_frame,
    reply_template,
    response_blocks,
)
from tensorflow_serving.rpc.http2 import connection as connection_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib
from tensorflow_serving.util import errors

# The value that a stream holds in place of a call that has ended.
ENDED: Final = object()


class Peer(Protocol):
    """The client that a call came from."""

    connection: connection_lib.Connection
    # Calls to call back when more can be sent.
    blocked_calls: "dict[WireStreamCall, None]"

    @property
    def is_writable(self) -> bool:
        """Whether the client takes what it is sent."""

    def has_room_for(self, num_bytes: int) -> bool:
        """Returns whether a reply can wait here until the client takes it."""

    def wants_to_send(self) -> None:
        """Sends the output of the connection at the end of this round."""

    def close(self) -> None:
        """Closes the connection at once."""


class Router(Protocol):
    """The part of a CallRouter that its calls use."""

    # How many calls have begun and have not ended; of the lane's thread.
    num_calls: int

    def run(self, function: Callable[[], None]) -> None:
        """Runs a function on the thread of the lane: now, if that is it."""

    def cancel(self, ticket: int) -> None:
        """Forgets a timer."""


class _OnTheWire(call.AnyCall):
    """A call of either kind, up to its end.

    Everything but encoding happens on the thread of the lane, so that the first
    end of a call is the first that gets there.
    """

    def __init__(
        self,
        router: Router,
        peer: Peer,
        stream: stream_lib.Stream,
        metadata: call.Metadata,
        deadline: float,
    ) -> None:
        """Takes the stream, which knows the call from now on."""
        super().__init__()
        self._router = router
        # The client that made the call.
        self.peer = peer
        self.stream = stream
        stream.call = self
        self.metadata = metadata
        self.deadline = deadline
        self.on_cancelled = None
        self._is_active = True
        # Timers that must not outlive the call.
        self.tickets: tuple[int, ...] = ()

    @property
    @override
    def is_active(self) -> bool:
        return self._is_active

    def leave(self) -> None:
        """Ends the call without the caller; on the thread of the lane."""
        if self._is_active:
            on_cancelled = self.on_cancelled
            self._end()
            gate.notify(on_cancelled)

    def abort(self, error: errors.ServingError) -> None:
        """Fails the call and notifies the service, on the lane's thread."""
        on_cancelled = self.on_cancelled
        self.on_cancelled = None
        self.fail(error)
        gate.notify(on_cancelled)

    def _end(self) -> None:
        self._is_active = False
        # It likely refers to the call: without a cycle there is no garbage.
        self.on_cancelled = None
        self.stream.call = ENDED
        for ticket in self.tickets:
            self._router.cancel(ticket)


class WireCall(_OnTheWire, call.Call):
    """A call with one request and one response."""

    # Cheaper to ask than isinstance() of an abstract class.
    has_stream = False
    # Initial values are in the class, as most calls keep most of them.
    request = b""
    # Whether there is a time limit for the request, which is not all there.
    is_awaited = False
    # Whether the call counts for the limit: its request is there.
    is_begun = False

    @override
    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: call.Metadata = (),
    ) -> None:
        try:
            data = message_frame.frame(call.to_bytes(response))
            trailers = response_blocks.ok(trailing_metadata)
        except Exception as unexpected:
            logging.exception("A reply could not be encoded")
            self.fail(gate.shown_error(unexpected))
            return
        self._router.run(functools.partial(self._send, data, trailers))

    @override
    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call.Metadata = (),
    ) -> None:
        block = encode_failure(error, trailing_metadata, is_begun=False)
        self._router.run(functools.partial(self._fail, block))

    @override
    def reply_together(
        self,
        calls: Sequence[call.Call],
        responses: call.Rows | Sequence[bytes],
    ) -> None:
        wire_calls = cast(Sequence[WireCall], calls)  # all are of one server
        self._router.run(functools.partial(_send_all, wire_calls, responses))

    def send_framed(self, response: bytes) -> None:
        """Ends the call with OK and a message, on the thread of the lane."""
        try:
            data = message_frame.frame(response)
        except MemoryError as error:
            self.fail(gate.shown_error(error))
        else:
            self._send(data, response_blocks.OK)

    def _send(self, data: bytes, trailers: bytes) -> None:
        if not self._is_active:
            return
        if not self.peer.has_room_for(len(data)):
            self.fail(_no_room_error())
            return
        self._end()
        connection, stream = self.peer.connection, self.stream
        try:
            if connection.may_send_whole(1, len(data)):  # nearly always
                connection.send_whole(
                    [stream],
                    reply_template.response(stream.id, data, trailers),
                    len(data),
                )
            else:
                connection.send_headers(stream, response_blocks.HEAD)
                connection.send_data(stream, data)
                connection.send_end(stream, trailers)
            self.peer.wants_to_send()
        except Exception:
            _give_up(self.peer)

    def _fail(self, block: bytes) -> None:
        if self._is_active:
            self._end()
            self.peer.connection.send_end(self.stream, block)
            self.peer.wants_to_send()

    @property
    def is_waiting_for_room(self) -> bool:
        """Whether the request waits for others to make room for it."""
        return self.peer.connection.incoming.is_waiting(self.stream)

    @override
    def _end(self) -> None:
        super()._end()
        if self.is_begun:
            self._router.num_calls -= 1


class WireStreamCall(_OnTheWire, call.StreamCall):
    """A call with any number of requests and responses."""

    has_stream = True
    _has_replied = False
    # Whether a request is being inflated, and others must wait for it.
    is_inflating = False
    # Whether the service knows that there will be no more requests.
    has_ended_requests = False

    @property
    @override
    def is_writable(self) -> bool:
        return (
            self._is_active and not self.stream.unsent and self.peer.is_writable
        )

    @override
    def send(self, response: bytes | message.Message) -> None:
        try:
            data = message_frame.frame(call.to_bytes(response))
        except Exception as unexpected:
            logging.exception("A reply could not be encoded")
            self.fail(gate.shown_error(unexpected))
            return
        self._router.run(functools.partial(self._send, data))

    @override
    def finish(self, trailing_metadata: call.Metadata = ()) -> None:
        try:
            block = response_blocks.ok(trailing_metadata)
        except Exception as unexpected:
            logging.exception("Metadata could not be encoded")
            self.fail(gate.shown_error(unexpected))
            return
        self._router.run(functools.partial(self._finish, block))

    @override
    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call.Metadata = (),
    ) -> None:
        self._router.run(
            functools.partial(
                self._fail,
                encode_failure(error, trailing_metadata, is_begun=False),
                encode_failure(error, trailing_metadata, is_begun=True),
            )
        )

    def _send(self, data: bytes) -> None:
        if self._is_active and not self.peer.has_room_for(len(data)):
            self.abort(_no_room_error())
        elif self._is_active:
            self._begin_response()
            self.peer.connection.send_data(self.stream, data)
            self.peer.wants_to_send()
            if not self.is_writable:
                self.peer.blocked_calls[self] = None

    def _finish(self, block: bytes) -> None:
        if self._is_active:
            self._begin_response()
            self._end()
            self.peer.connection.send_end(self.stream, block)
            self.peer.wants_to_send()

    def _fail(self, alone: bytes, behind: bytes) -> None:
        if self._is_active:
            self._end()
            block = behind if self._has_replied else alone
            self.peer.connection.send_end(self.stream, block)
            self.peer.wants_to_send()

    def _begin_response(self) -> None:
        if not self._has_replied:
            self._has_replied = True
            self.peer.connection.send_headers(self.stream, response_blocks.HEAD)


AnyWireCall = WireCall | WireStreamCall


def encode_failure(
    error: errors.ServingError,
    trailing_metadata: call.Metadata,
    *,
    is_begun: bool,
) -> bytes:
    """Returns the end of a call that failed, whatever its service gave."""
    try:
        return response_blocks.failure(
            error, trailing_metadata, is_begun=is_begun
        )
    except Exception as unexpected:
        logging.exception("An error could not be encoded")
        return response_blocks.failure(
            gate.shown_error(unexpected), is_begun=is_begun
        )


def _no_room_error() -> errors.ResourceExhaustedError:
    """Returns the error of a call whose reply is too much."""
    return errors.ResourceExhaustedError(
        "Too many bytes of replies wait for the client; read them as they come."
    )


def _send_all(
    calls: Sequence[WireCall], responses: call.Rows | Sequence[bytes]
) -> None:
    """Replies to calls, on the thread of their lane."""
    if isinstance(responses, call.Rows) and len(calls) == 1:
        responses = responses.messages()
    if not isinstance(responses, call.Rows):
        for each, response in zip(calls, responses, strict=True):
            each.send_framed(response)
        return
    active = [each._is_active for each in calls]
    rows = responses.rows
    if not all(active):
        calls = [each for each in calls if each._is_active]
        rows = rows[active]
    template = _template(responses.prefix, rows.shape[1])
    try:
        rendered = template.render([each.stream.id for each in calls], rows)
    except MemoryError as error:
        for each in calls:
            each.fail(gate.shown_error(error))
        return
    size = template.num_bytes
    start = 0
    # Calls of one peer mostly come in a row.
    while start < len(calls):
        peer = calls[start].peer
        end = start + 1
        while end < len(calls) and calls[end].peer is peer:
            end += 1
        some = calls[start:end]
        if peer.connection.may_send_whole(len(some), template.data_bytes):
            _send_rendered(
                some, rendered[start * size : end * size], template.data_bytes
            )
        else:
            for each, row in zip(some, rows[start:end], strict=True):
                each.send_framed(responses.prefix + row.tobytes())
        start = end


def _send_rendered(
    calls: Sequence[WireCall], rendered: bytes, data_bytes: int
) -> None:
    """Replies to calls of one peer that can be sent all that."""
    peer = calls[0].peer
    for each in calls:
        each._end()
    try:
        peer.connection.send_whole(
            [each.stream for each in calls], rendered, data_bytes
        )
        peer.wants_to_send()
    except Exception:
        _give_up(peer)


def _give_up(peer: Peer) -> None:
    """Closes a connection with a call that has ended here, and not there."""
    logging.exception("A reply could not be sent; closing the connection")
    peer.close()


@functools.lru_cache(maxsize=64)
def _template(prefix: bytes, row_bytes: int) -> reply_template.ReplyTemplate:
    return reply_template.ReplyTemplate(prefix, row_bytes)
