"""Unary calls with nothing but the public interface of grpcio.

For versions of grpcio that fast_lane does not know; slower, but the same to
services and callers.

A method that answers later is registered as one with a stream of responses, of
which it sends exactly one: on the wire that is the same, and gRPC lets go of
the thread in between (experimental_non_blocking, as its own health service).
"""

import concurrent.futures
import functools
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import message

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import gate as gate_lib
from tensorflow_serving.rpc import lane, status
from tensorflow_serving.util import errors


class PublicLane(lane.Lane):
    """See Lane."""

    def __init__(
        self,
        server: grpc.Server,
        methods: Mapping[str, call_lib.AsyncMethod],
        when_idle: Callable[[], bool],
        gate: gate_lib.Gate,
    ) -> None:
        """See Lane."""
        self._server = server
        self._when_idle = when_idle
        self._gate = gate
        self._thread = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="rpc_events"
        )
        self._unreplied: set[lane.LaneCall] = set()
        server.add_generic_rpc_handlers(
            [
                _Handler(
                    {
                        path: self._handler(method)
                        for path, method in methods.items()
                    }
                )
            ]
        )

    @property
    def num_running(self) -> int:
        """See Lane."""
        return len(self._unreplied)

    def start(self) -> None:
        """See Lane."""
        self._server.start()

    def close(self) -> None:
        """See Lane."""
        self._thread.shutdown(wait=False)

    def _handler(
        self, method: call_lib.AsyncMethod
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        behavior = functools.partial(self._begin, method)
        vars(behavior)["experimental_non_blocking"] = True
        vars(behavior)["experimental_thread_pool"] = self._thread
        return grpc.unary_stream_rpc_method_handler(behavior)

    def _begin(
        self,
        method: call_lib.AsyncMethod,
        request: bytes,
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None],
    ) -> None:
        call = _Call(self._unreplied, request, context, send)
        num_running = len(self._unreplied)
        self._unreplied.add(call)
        if not context.add_callback(call.leave):
            call.leave()
            return
        if self._gate.admits(call, num_running):
            gate_lib.begin(method, call)
            while self._when_idle():
                pass


class _Handler(grpc.GenericRpcHandler):
    """Finds the handler of a method."""

    def __init__(
        self, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]
    ) -> None:
        self._handlers = handlers

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Returns None for a method that is not of this lane."""
        return self._handlers.get(handler_call_details.method)


class _Call(lane.LaneCall):
    """A call in the lane."""

    def __init__(
        self,
        unreplied: set[lane.LaneCall],
        request: bytes,
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None],
    ) -> None:
        super().__init__(unreplied)
        self._context = context
        self._send = send
        self.request = request
        self.metadata = context.invocation_metadata()
        self.deadline = call_lib.deadline_after(context.time_remaining())

    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        data = call_lib.to_bytes(response)
        if not self.end():
            return
        self._context.set_trailing_metadata(tuple(trailing_metadata))
        self._send(data)
        self._send(None)

    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        if not self.end():
            return
        self._context.set_trailing_metadata(tuple(trailing_metadata))
        self._context.set_code(status.to_grpc(error))
        self._context.set_details(str(error))
        self._send(None)

    def leave(self) -> None:
        """Is called at the end of the call, with a reply or without."""
        on_cancelled = self.on_cancelled
        if self.end() and on_cancelled is not None:
            on_cancelled()
