"""From streams with news to calls of methods, on the wire lane's thread."""

import concurrent.futures
import dataclasses
import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from absl import logging

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    event_loop,
    gate,
    lane,
    message_frame,
    request_head,
    response_blocks,
    wire_call,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc.http2 import frames, header_block
from tensorflow_serving.rpc.http2 import stream as stream_lib
from tensorflow_serving.util import errors

# More than any stream can hold: no news of data.
_NEVER_BYTES = 1 << 62


class Owner(Protocol):
    """The part of a lane that its router uses."""

    loop: event_loop.EventLoop

    def run(self, function: Callable[[], None]) -> None:
        """Runs a function on the thread of the lane: now, if that is it."""


@dataclasses.dataclass(frozen=True)
class _Route:
    """Where calls with one head go."""

    head: request_head.RequestHead
    # The answer to a call that goes nowhere: a header block.
    refusal: bytes | None
    # One of these, for a call that goes somewhere.
    unary: call_lib.AsyncMethod | None
    stream: call_lib.StreamMethod | None
    # Until when it counts; see Access.
    epoch: object = None
    # The error behind the refusal.
    error: errors.ServingError | None = None


class CallRouter:
    """Begins calls whose request is there, and ends those that break a rule.

    For the thread of the lane only.
    """

    def __init__(
        self,
        methods: lane.Methods,
        options: options_lib.Options,
        owner: Owner,
    ) -> None:
        """Takes the methods of a server."""
        self._methods = methods
        self._options = options
        self._access = options.access
        self._observer = options.observer
        self._loop = owner.loop
        self.run = owner.run
        self.cancel = owner.loop.cancel
        # How many calls have begun and have not ended.
        self.num_calls = 0
        # Whether a call was begun since somebody last looked.
        self.has_begun = False
        self._is_draining = False
        # Inflates messages: a few bytes may stand for many.
        self._inflater = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="rpc_inflate"
        )

    def start(self) -> None:
        """Starts a thread, which later, under load, may not be possible.

        Raises:
          RuntimeError: The system has no more threads.
        """
        self._inflater.submit(threading.get_ident).result()

    def close(self) -> None:
        """Ends the thread. Idempotent."""
        self._inflater.shutdown(wait=False, cancel_futures=True)

    def come_back(self) -> None:
        """Says that services have more to do."""
        self.has_begun = True

    def drain(self, calls: Sequence[wire_call.AnyWireCall]) -> None:
        """Notifies services that calls should end, from now on.

        Requests that are not whole have less time to become so.
        """
        self._is_draining = True
        for call in calls:
            if isinstance(call, wire_call.WireCall):
                if call.is_awaited:
                    self._limit_request(call)
            elif call.is_active:
                self._guard(call, call.on_drain)

    def resume(self, call: wire_call.WireStreamCall) -> None:
        """Lets the service of a call send more."""
        self._guard(call, call.on_writable)

    def advance(self, peer: wire_call.Peer, stream: stream_lib.Stream) -> None:
        """Looks at a stream with news; a fault of ours costs that stream."""
        try:
            self._advance(peer, stream)
        except Exception as unexpected:
            logging.exception("A call could not be handled")
            if isinstance(stream.call, wire_call.AnyWireCall):
                stream.call.abort(gate.shown_error(unexpected))
            else:
                peer.connection.reset(stream, frames.ErrorCode.INTERNAL_ERROR)

    def _advance(self, peer: wire_call.Peer, stream: stream_lib.Stream) -> None:
        call = stream.call
        if call is None:
            if stream.is_closed:
                return  # it was opened and reset at once
            route = stream.head.meaning
            if route is None or (
                self._access is not None
                and route.epoch is not self._access.epoch
            ):
                route = self._route(stream.head)
            if route.refusal is not None:
                peer.connection.send_end(stream, route.refusal)
                self._report(route, route.error)
                return
            call = self._open(peer, stream, route)
        elif call is wire_call.ENDED:
            return
        elif stream.is_closed:
            call.leave()
            return
        if call.has_stream:
            self._advance_stream(call, stream)
        elif stream.is_ended:
            self._finish_request(call, stream)
        else:
            self._await_request(call, stream)

    def _route(self, head: header_block.Head) -> _Route:
        """Returns where calls with a head go, which the head remembers."""
        # Before the answer, which may be another one at any time.
        epoch = self._access.epoch if self._access is not None else None
        fields = request_head.read(head)
        refusal = error = None
        if fields.http_status != 200:
            refusal = response_blocks.http_status(fields.http_status)
        elif (error := self._error(fields)) is not None:
            refusal = response_blocks.failure(error)
        head.meaning = route = _Route(
            fields,
            refusal,
            self._methods.unary.get(fields.path),
            self._methods.stream.get(fields.path),
            epoch,
            error,
        )
        return route

    def _error(
        self, fields: request_head.RequestHead
    ) -> errors.ServingError | None:
        """Returns why calls with a head do not begin, if they do not."""
        if fields.error is not None:
            return fields.error
        if self._access is not None:
            refusal = self._access.refusal(fields.path, fields.metadata)
            if refusal is not None:
                return refusal
        if (
            fields.path in self._methods.unary
            or fields.path in self._methods.stream
        ):
            return None
        return errors.UnimplementedError(
            f"method must be one of this server; got {fields.path}"
        )

    def _open(
        self,
        peer: wire_call.Peer,
        stream: stream_lib.Stream,
        route: _Route,
    ) -> wire_call.AnyWireCall:
        """Makes the call of a stream; a StreamCall begins at once."""
        head = route.head
        deadline = math.inf
        if head.timeout_seconds < math.inf:
            deadline = self._loop.now + head.timeout_seconds
        call: wire_call.AnyWireCall
        if route.stream is None:
            call = wire_call.WireCall(
                self, peer, stream, head.metadata, deadline
            )
        else:
            call = wire_call.WireStreamCall(
                self, peer, stream, head.metadata, deadline
            )
        if deadline < math.inf:
            ticket = self._loop.call_at(
                deadline, functools.partial(self._expire, call)
            )
            call.tickets = (ticket,)
        if route.stream is not None and isinstance(
            call, wire_call.WireStreamCall
        ):
            self._begin_stream(call, route.stream)
        return call

    def _expire(self, call: wire_call.AnyWireCall) -> None:
        """Ends a call whose caller waits no longer, and may not say so."""
        error = errors.DeadlineExceededError(
            "The deadline passed before there was a reply."
        )
        if isinstance(call, wire_call.WireCall) and not call.is_begun:
            self._refuse(call, error)
        else:
            call.abort(error)

    def _refuse(
        self, call: wire_call.AnyWireCall, error: errors.ServingError
    ) -> None:
        """Ends a call with a request that no method gets."""
        if call.is_active:
            call.fail(error)
            self._report(call.stream.head.meaning, error)

    def _report(self, route: _Route, error: errors.ServingError | None) -> None:
        if self._observer is not None and error is not None:
            head = route.head
            self._observer.call_refused(head.path, head.metadata, error)

    # Calls with one request.

    def _await_request(
        self, call: wire_call.WireCall, stream: stream_lib.Stream
    ) -> None:
        """Sets how many bytes must arrive before there is something to do."""
        if not call.is_awaited:
            call.is_awaited = True
            self._limit_request(call)
        if stream.num_received_bytes < message_frame.PREFIX_BYTES:
            stream.wanted_bytes = message_frame.PREFIX_BYTES
            return
        size = self._checked_size(call, stream)
        if size is not None:
            # One more than all: the end comes, or it is too much.
            stream.wanted_bytes = size + 1
            if stream.num_received_bytes > size:
                self._refuse(call, _one_message_error("more"))

    def _limit_request(self, call: wire_call.WireCall) -> None:
        """Limits how long a request may take to arrive, from now."""
        limits = self._options.limits
        seconds = limits.message_seconds
        if self._is_draining:
            seconds = min(seconds, limits.drain_message_seconds)
        ticket = self._loop.call_at(
            self._loop.now + seconds, functools.partial(self._give_up, call)
        )
        call.tickets += (ticket,)

    def _give_up(self, call: wire_call.WireCall) -> None:
        """Ends a call whose request did not arrive in time."""
        if call.is_begun:
            return
        if self._is_draining:
            self._refuse(call, gate.stopping_error())
        elif call.is_waiting_for_room:
            self._limit_request(call)  # it is not the caller's fault
        else:
            seconds = self._options.limits.message_seconds
            self._refuse(
                call,
                errors.DeadlineExceededError(
                    f"The request did not arrive within {seconds:g} s."
                ),
            )

    def _checked_size(
        self, call: wire_call.AnyWireCall, stream: stream_lib.Stream
    ) -> int | None:
        """Returns how large a message is with its prefix, and has room made.

        None if it breaks a rule; then the call has failed.
        """
        prefix = b"".join(stream.chunks)[: message_frame.PREFIX_BYTES]
        try:
            is_compressed, size = message_frame.read_prefix(prefix)
            if is_compressed:
                message_frame.require_known_encoding(
                    stream.head.meaning.head.encoding
                )
            if size > self._options.max_request_bytes:
                raise message_frame.too_large_error(
                    self._options.max_request_bytes
                )
        except errors.ServingError as error:
            self._refuse(call, error)
            return None
        size += message_frame.PREFIX_BYTES
        call.peer.connection.incoming.need_room(stream, size)
        return size

    def _finish_request(
        self, call: wire_call.WireCall, stream: stream_lib.Stream
    ) -> None:
        """Begins a call of which all has come."""
        data = b"".join(stream.chunks)
        size = len(data) - message_frame.PREFIX_BYTES
        # Nearly always.
        if (
            0 <= size <= self._options.max_request_bytes
            and data[0] == 0
            and int.from_bytes(data[1:5], "big") == size
        ):
            self._begin(call, stream.head.meaning.unary, data[5:])
            return
        if size < 0:
            self._refuse(call, _one_message_error("none"))
            return
        whole_size = self._checked_size(call, stream)
        if whole_size is None:
            return
        if whole_size != len(data):
            what = "less" if whole_size > len(data) else "more"
            self._refuse(call, _one_message_error(what))
            return
        self._inflate(
            data[message_frame.PREFIX_BYTES :],
            call,
            stream,
            functools.partial(self._begin_inflated, call, stream),
        )

    def _begin(
        self,
        call: wire_call.WireCall,
        method: call_lib.AsyncMethod,
        request: bytes,
    ) -> None:
        most = self._options.max_concurrent_calls
        if 0 < most <= self.num_calls:
            self._refuse(call, gate.too_many_calls_error(most))
            return
        call.is_begun = True
        self.num_calls += 1
        self.has_begun = True
        call.request = request
        gate.begin(method, call)

    def _begin_inflated(
        self,
        call: wire_call.WireCall,
        stream: stream_lib.Stream,
        request: bytes | errors.ServingError,
    ) -> None:
        if isinstance(request, errors.ServingError):
            self._refuse(call, request)
        elif not call.peer.connection.incoming.take_room(stream, len(request)):
            self._refuse(
                call,
                errors.ResourceExhaustedError(
                    "Too many compressed requests on this connection; try "
                    "again later."
                ),
            )
        elif call.is_active:
            self._begin(call, stream.head.meaning.unary, request)

    def _inflate(
        self,
        data: bytes,
        call: wire_call.AnyWireCall,
        stream: stream_lib.Stream,
        then: Callable[[bytes | errors.ServingError], None],
    ) -> None:
        """Inflates a message on another thread, and goes on with it on this.

        That of a call which has ended by then is dropped: otherwise a client
        that takes its calls back could have any number of them wait.
        """
        encoding = stream.head.meaning.head.encoding
        most = self._options.max_request_bytes

        def inflate() -> None:
            if not call.is_active:
                return
            message: bytes | errors.ServingError
            try:
                message = message_frame.inflate(data, encoding, most)
            except errors.ServingError as error:
                message = error
            self.run(functools.partial(then, message))

        self._inflater.submit(inflate)

    # Calls with any number of requests.

    def _begin_stream(
        self, call: wire_call.WireStreamCall, method: call_lib.StreamMethod
    ) -> None:
        self.has_begun = True
        gate.begin(method, call)
        if self._is_draining:
            self.drain([call])

    def _advance_stream(
        self, call: wire_call.WireStreamCall, stream: stream_lib.Stream
    ) -> None:
        """Hands on the requests that are whole."""
        prefix_bytes = message_frame.PREFIX_BYTES
        while call.is_active and not call.is_inflating:
            if stream.num_received_bytes < prefix_bytes:
                stream.wanted_bytes = prefix_bytes
                break
            size = self._checked_size(call, stream)
            if size is None:
                return
            if stream.num_received_bytes < size:
                stream.wanted_bytes = size
                break
            data = stream.take(size)
            call.peer.connection.consume(stream)
            if data[0]:
                call.is_inflating = True
                stream.wanted_bytes = _NEVER_BYTES
                self._inflate(
                    data[prefix_bytes:],
                    call,
                    stream,
                    functools.partial(self._go_on, call, stream),
                )
                return
            self._hand_on(call, data[prefix_bytes:])
        if not call.is_active or call.is_inflating or not stream.is_ended:
            return
        if stream.num_received_bytes:
            self._refuse(call, _one_message_error("less"))
        elif not call.has_ended_requests:
            call.has_ended_requests = True
            self._guard(call, call.on_requests_end)

    def _go_on(
        self,
        call: wire_call.WireStreamCall,
        stream: stream_lib.Stream,
        request: bytes | errors.ServingError,
    ) -> None:
        """Goes on with a call whose request was inflated."""
        call.is_inflating = False
        if isinstance(request, errors.ServingError):
            self._refuse(call, request)
            return
        self._hand_on(call, request)
        self._advance_stream(call, stream)

    def _hand_on(self, call: wire_call.WireStreamCall, request: bytes) -> None:
        if call.is_active:
            self._guard(call, functools.partial(call.on_request, request))

    def _guard(
        self, call: wire_call.WireStreamCall, callback: Callable[[], None]
    ) -> None:
        """Calls a service back; what it raises ends the call."""
        self.has_begun = True
        gate.begin(lambda _: callback(), call)


def _one_message_error(what: str) -> errors.ServingError:
    return errors.UnimplementedError(
        f"request must be exactly one whole message; got {what}"
    )
