"""Unary calls straight from gRPC's completion queue.

grpc.server() gives each call a thread of its pool, three times over. Here, one
thread takes the events of many calls in a row, and hands the calls on; nothing
else is done for a call. Measured with a method that does nothing, this is ten
times as fast.

The queue is not part of the public interface of grpcio, so that this module is
the only one that touches it, and only for the version that it was tested with;
see is_available(). Everything else that a server does (ports, credentials,
health, reflection, unknown methods, the end) is left to the grpc.Server that
the lane is attached to: its events come from the same queue and are passed on.

Facts about the queue, found by reading and trying:
- An Operation holds state, so that each batch of operations needs new ones.
- gRPC keeps a Call until the operations that were begun are complete.
- A call of which ReceiveCloseOnServer was begun gives that event exactly once:
  at its end, or when the caller leaves. Deadlines end a call as well.
"""

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from absl import logging
from google.protobuf import message

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import gate as gate_lib
from tensorflow_serving.rpc import lane
from tensorflow_serving.util import errors


def _import(name: str) -> Any:
    """Returns a module, or None if there is none."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


grpc_server = _import("grpc._server")
cygrpc = _import("grpc._cython.cygrpc")

_TESTED_VERSION = "1.85.1"
_NEEDED_OF_SERVER = (
    "_ServerStage",
    "_process_event_and_continue",
    "_request_call",
    "_request_registered_call",
    "_stop_serving",
)
_NEEDED_OF_CYGRPC = (
    "CompletionType",
    "ReceiveCloseOnServerOperation",
    "ReceiveMessageOperation",
    "SendInitialMetadataOperation",
    "SendMessageOperation",
    "SendStatusFromServerOperation",
)

# How many calls of a method gRPC may hand over before it has to wait for us.
_NUM_REQUESTS = 64
# How many events are handled in a row, though more are at hand.
_MAX_BURST = 256

_FLAGS = 0
_OK_STATUS = 0
# What keeps grpc.Server from ending while the lane has events to come.
_LANE = "fast lane"


def is_available() -> bool:
    """Returns whether grpcio is as this module knows it."""
    return (
        grpc.__version__ == _TESTED_VERSION
        and all(hasattr(grpc_server, name) for name in _NEEDED_OF_SERVER)
        and all(hasattr(cygrpc, name) for name in _NEEDED_OF_CYGRPC)
    )


class FastLane(lane.Lane):
    """See Lane. Needs is_available()."""

    def __init__(
        self,
        server: grpc.Server,
        methods: Mapping[str, call_lib.AsyncMethod],
        when_idle: Callable[[], bool],
        gate: gate_lib.Gate,
    ) -> None:
        """See Lane."""
        self._state: Any = vars(server)["_state"]
        self._when_idle = when_idle
        self._gate = gate
        self._methods = [
            _Method(path, method) for path, method in methods.items()
        ]
        # Calls without a reply. Changed by any thread, with single operations
        # on the set, which are atomic.
        self._unreplied: set[lane.LaneCall] = set()
        # Both are for the thread of the lane only: calls with events to come,
        # and how many calls gRPC was asked for.
        self._open_calls: set[_Call] = set()
        self._num_requests = 0
        for method in self._methods:
            self._state.server.register_method(method.path)

    @property
    def num_running(self) -> int:
        """See Lane."""
        return len(self._unreplied)

    def start(self) -> None:
        """See Lane."""
        state = self._state
        with state.lock:
            state.server.start()
            state.stage = grpc_server._ServerStage.STARTED
            state.due.add(_LANE)
            for method in self._methods:
                for _ in range(_NUM_REQUESTS):
                    self._request(method)
            grpc_server._request_call(state)
            for path in state.registered_method_handlers:
                grpc_server._request_registered_call(state, path)
            threading.Thread(target=self._serve, name="rpc_events").start()

    def close(self) -> None:
        """See Lane."""

    def _request(self, method: "_Method") -> None:
        """Asks for one more call of a method, unless a stop has begun."""
        queue = self._state.completion_queue
        try:
            self._state.server.request_registered_call(
                queue, queue, method.path, method
            )
        except ValueError:
            return
        self._num_requests += 1

    def _serve(self) -> None:
        """Handles events until the server has stopped."""
        poll = self._state.completion_queue.poll
        timeout = cygrpc.CompletionType.queue_timeout
        event = poll()
        while True:
            num_events = 0
            while event.completion_type != timeout:
                if not self._handle(event):
                    return
                num_events += 1
                # An event may hold a call that has to end.
                event = None
                if num_events == _MAX_BURST:
                    break
                event = poll(0)
            event = None
            event = poll(0) if self._has_more() else poll()

    def _has_more(self) -> bool:
        """Lets the services work; returns whether there is more to do."""
        try:
            return self._when_idle()
        except Exception:
            logging.exception("A service failed when it was idle")
            return False

    def _handle(self, event: Any) -> bool:
        """Handles an event; returns False if the server has stopped."""
        tag = event.tag
        kind = tag.__class__
        if kind is _Method:
            self._num_requests -= 1
            if event.success:
                self._accept(tag, event)
        elif kind is _Call:
            self._begin(tag, event.batch_operations[0].message())
            return True
        elif kind is _Closed:
            self._finish(tag.call)
        elif kind is _Sent:
            tag.call.is_sent = True
            self._forget(tag.call)
        else:
            return bool(
                grpc_server._process_event_and_continue(self._state, event)
            )
        return not (self._is_over() and self._stop())

    def _accept(self, method: "_Method", event: Any) -> None:
        self._request(method)
        call = _Call(self._unreplied, method, event)
        num_running = len(self._unreplied)
        self._open_calls.add(call)
        self._unreplied.add(call)
        event.call.start_server_batch(
            (cygrpc.ReceiveCloseOnServerOperation(_FLAGS),), _Closed(call)
        )
        if self._gate.admits(call, num_running):
            event.call.start_server_batch(
                (cygrpc.ReceiveMessageOperation(_FLAGS),), call
            )

    def _begin(self, call: "_Call", request: bytes | None) -> None:
        """Begins a call whose request is there."""
        if request is None:
            # Too large, which gRPC answers itself; or there was none.
            call.fail(
                errors.UnimplementedError(
                    "request must be one message; got none"
                )
            )
            return
        call.request = request
        gate_lib.begin(call.method, call)

    def _finish(self, call: "_Call") -> None:
        """Takes note that a call is over, for whatever reason."""
        call.is_closed = True
        on_cancelled = call.on_cancelled
        if not call.end():
            self._forget(call)
            return
        # There will be no reply.
        call.is_sent = True
        self._forget(call)
        if on_cancelled is not None:
            try:
                on_cancelled()
            except Exception:
                logging.exception("A service failed on a call that was left")

    def _forget(self, call: "_Call") -> None:
        if call.is_closed and call.is_sent:
            self._open_calls.discard(call)

    def _is_over(self) -> bool:
        return not self._num_requests and not self._open_calls

    def _stop(self) -> bool:
        """Lets the server end; returns whether it has."""
        with self._state.lock:
            self._state.due.discard(_LANE)
            return bool(grpc_server._stop_serving(self._state))


class _Method:
    """A method that is served; the tag of its calls when they come."""

    __slots__ = ("begin", "path")

    def __init__(self, path: str, begin: call_lib.AsyncMethod) -> None:
        self.path = path
        self.begin = begin


class _Closed:
    """The tag of the end of a call."""

    __slots__ = ("call",)

    def __init__(self, call: "_Call") -> None:
        self.call = call


class _Sent(_Closed):
    """The tag of the reply of a call."""


class _Call(lane.LaneCall):
    """A call in the lane; the tag of its request."""

    __slots__ = ("_call", "is_closed", "is_sent", "method")

    def __init__(
        self, unreplied: set[lane.LaneCall], method: _Method, event: Any
    ) -> None:
        super().__init__(unreplied)
        self._call = event.call
        self.method = method.begin
        self.request = b""
        self.metadata = event.invocation_metadata
        # For the thread of the lane: which of its events have come.
        self.is_closed = False
        self.is_sent = False
        self.deadline = call_lib.deadline_after(
            event.call_details.deadline - time.time()
        )

    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        data = call_lib.to_bytes(response)
        if not self.end():
            return
        self._call.start_server_batch(
            (
                cygrpc.SendInitialMetadataOperation((), _FLAGS),
                cygrpc.SendMessageOperation(data, _FLAGS),
                cygrpc.SendStatusFromServerOperation(
                    trailing_metadata, _OK_STATUS, b"", _FLAGS
                ),
            ),
            _Sent(self),
        )

    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        if not self.end():
            return
        self._call.start_server_batch(
            (
                cygrpc.SendInitialMetadataOperation((), _FLAGS),
                cygrpc.SendStatusFromServerOperation(
                    trailing_metadata, int(error.code), str(error), _FLAGS
                ),
            ),
            _Sent(self),
        )
