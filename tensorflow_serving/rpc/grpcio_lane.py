"""gRPC with the server of grpcio: the reference in tests, and a way out.

It has only what the public interface of grpcio offers. What it cannot do:

- It is slower by an order of magnitude: gRPC moves each call through its
  threads three times.
- A caller that sends half a request, or does not read, holds a thread; some of
  them stop all calls of the kind.
- The limits of Options.limits have no effect: grpcio has its own, fewer ones.
- There is no heartbeat that proves that calls are answered.
- When a caller of a StreamCall leaves, gRPC ends its requests first: the call
  may get on_requests_end before on_cancelled.

A method that answers later is registered as one with a stream of responses, of
which it sends exactly one: on the wire that is the same, and gRPC lets go of
the thread in between (experimental_non_blocking, as its own health service).
"""

import concurrent.futures
import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from absl import logging
from google.protobuf import message
from typing_extensions import override

from tensorflow_serving.rpc import access as access_lib
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import gate as gate_lib
from tensorflow_serving.rpc import lane, listener, response_blocks, status
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.util import errors

# How many calls with several messages there may be at a time: each has a
# thread.
_NUM_STREAM_THREADS = 32
# After stop() begins, calls are still accepted for this long.
_LAST_CALLS_SECONDS = 0.1
# Refusals are then held back until no call has arrived for a moment, or for
# this long.
_REFUSAL_SECONDS = 1.0
# A grace period for gRPC that does not end by itself.
_UNTIL_TOLD_SECONDS = 1e6
_END_SECONDS = 1.0
# More calls than a client could hope to have answered in time.
_MAX_PENDING_CALLS = 1_000_000


class GrpcioLane(lane.Lane):
    """Implements Lane on grpc.server(). See the module for what it lacks."""

    def __init__(
        self, methods: lane.Methods, options: options_lib.Options
    ) -> None:
        """Serves nothing yet."""
        self._methods = methods
        self._options = options
        self._gate = gate_lib.Gate(options.max_concurrent_calls)
        # All methods are called on it.
        self._thread = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="rpc_events"
        )
        self._stream_threads = concurrent.futures.ThreadPoolExecutor(
            _NUM_STREAM_THREADS, thread_name_prefix="rpc_streams"
        )
        self._server = grpc.server(
            self._stream_threads, options=_grpc_options(options)
        )
        self._server.add_generic_rpc_handlers(
            [_Handler(self._handlers(), options.access)]
        )
        # Calls without an end. Changed by any thread, with single operations,
        # which are atomic.
        self._active: set[_GrpcioCall | _GrpcioStreamCall] = set()
        self._locks = contextlib.ExitStack()
        self._is_started = False
        self._is_draining = False
        self._is_clean: bool | None = None

    @override
    def listen(self, address: str) -> int:
        path = listener.path_of(address)
        if path:
            listener.lock(path, self._locks)
        elif not listener.split(address)[0]:
            address = f"[::]{address}"
        if self._options.tls is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(
                address, _credentials(self._options.tls)
            )
        # gRPC says 1 for a path.
        return 0 if path else int(port)

    @override
    def start(self) -> None:
        self._is_started = True
        self._server.start()

    @override
    def stop(self, grace_seconds: float) -> bool:
        """See Lane.

        gRPC cancels calls that it received and did not hand over yet. So that
        there are none, the port is closed in a moment in which no call comes,
        and refusals are answered after that: clients that call again and again
        wait for an answer first.
        """
        if self._is_clean is not None:
            return self._is_clean
        end = time.monotonic() + grace_seconds
        if self._is_started:
            self._is_draining = True
            for call in list(self._active):
                if isinstance(call, _GrpcioStreamCall):
                    self._thread.submit(self._drain, call)
            self._gate.wait_for_a_pause(min(grace_seconds, _LAST_CALLS_SECONDS))
            self._gate.refuse()
            self._gate.wait_for_a_pause(
                min(end - time.monotonic(), _REFUSAL_SECONDS)
            )
        stopped = self._server.stop(_UNTIL_TOLD_SECONDS)
        self._gate.answer_refusals()
        self._is_clean = (
            stopped.wait(max(0.0, end - time.monotonic())) or not self._active
        )
        self._server.stop(0)
        stopped.wait(_END_SECONDS)
        self._thread.shutdown(wait=False)
        self._stream_threads.shutdown(wait=False)
        self._locks.close()
        return self._is_clean

    def _handlers(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for path, method in self._methods.unary.items():
            behavior = functools.partial(self._begin, method)
            vars(behavior)["experimental_non_blocking"] = True
            vars(behavior)["experimental_thread_pool"] = self._thread
            handlers[path] = grpc.unary_stream_rpc_method_handler(behavior)
        for path, stream_method in self._methods.stream.items():
            handlers[path] = grpc.stream_stream_rpc_method_handler(
                functools.partial(self._serve_stream, stream_method)
            )
        return handlers

    def _begin(
        self,
        method: call_lib.AsyncMethod,
        request: bytes,
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None],
    ) -> None:
        call = _GrpcioCall(self._active, request, context, send)
        num_running = len(self._active)
        self._active.add(call)
        if not context.add_callback(call.leave):
            call.leave()
            return
        if self._gate.admits(call, num_running):
            gate_lib.begin(method, call)
            self._work_when_idle()

    def _work_when_idle(self) -> None:
        """Lets services work on what came; a fault of one costs no other."""
        has_more = True
        while has_more:
            has_more = False
            for when_idle in self._methods.when_idle:
                try:
                    work = when_idle()
                    has_more |= work is not None and work.run()
                except BaseException:  # see gate.begin()
                    logging.exception("A service failed when it was idle")

    def _serve_stream(
        self,
        method: call_lib.StreamMethod,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> Iterator[bytes]:
        """Serves a call on a thread that is its own until the end."""
        call = _GrpcioStreamCall(self._active, context)
        self._active.add(call)
        if not context.add_callback(call.leave):
            call.leave()
            return
        self._thread.submit(self._begin_stream, method, call).result()
        threading.Thread(
            target=self._read_requests, args=(call, requests), daemon=True
        ).start()
        for response in call.responses():
            yield response
            if call.is_writable:
                self._call_back(call, call.on_writable)

    def _begin_stream(
        self, method: call_lib.StreamMethod, call: "_GrpcioStreamCall"
    ) -> None:
        gate_lib.begin(method, call)
        call.is_begun = True
        if self._is_draining:
            self._drain(call)
        self._work_when_idle()

    def _drain(self, call: "_GrpcioStreamCall") -> None:
        """Asks a call that has begun to end, once."""
        if call.is_begun and not call.is_drained:
            call.is_drained = True
            self._run_callback(call, call.on_drain)

    def _call_back(
        self, call: "_GrpcioStreamCall", callback: Callable[[], None]
    ) -> "concurrent.futures.Future[None]":
        """Calls a service back on its thread; what it raises ends the call."""
        return self._thread.submit(self._run_callback, call, callback)

    def _run_callback(
        self, call: "_GrpcioStreamCall", callback: Callable[[], None]
    ) -> None:
        gate_lib.begin(lambda _: callback(), call)
        self._work_when_idle()

    def _read_requests(
        self, call: "_GrpcioStreamCall", requests: Iterator[bytes]
    ) -> None:
        """Hands requests on, on a thread that ends with the call."""
        try:
            for request in requests:
                if call.is_active:
                    callback = functools.partial(call.on_request, request)
                    self._call_back(call, callback).result()
            if call.is_active:
                self._call_back(call, call.on_requests_end).result()
        except Exception as error:
            # The call was cancelled, or the server has stopped.
            logging.debug("No more requests: %s", error)


class _Handler(grpc.GenericRpcHandler):
    """Finds the handler of a method, for those who may call."""

    def __init__(
        self,
        handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]",
        access: access_lib.Access | None,
    ) -> None:
        self._handlers = handlers
        self._access = access

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Returns None for a method that is not of this lane."""
        method = handler_call_details.method
        if self._access is not None:
            error = self._access.refusal(
                method, tuple(handler_call_details.invocation_metadata)
            )
            if error is not None:
                return grpc.stream_stream_rpc_method_handler(
                    functools.partial(_refuse, error)
                )
        return self._handlers.get(method)


def _refuse(
    error: errors.ServingError,
    requests: Iterator[bytes],
    context: grpc.ServicerContext,
) -> Iterator[bytes]:
    context.abort(status.to_grpc(error), errors.short_text(error))
    return requests  # never reached: abort() raises


class _Ending(call_lib.AnyCall):
    """A call of either kind, up to its end."""

    def __init__(self, active: set[Any], context: grpc.ServicerContext) -> None:
        super().__init__()
        self._active = active
        self._context = context
        self.metadata = tuple(context.invocation_metadata())
        self.deadline = call_lib.deadline_after(context.time_remaining())
        self.on_cancelled = None

    @property
    @override
    def is_active(self) -> bool:
        return self in self._active

    def _end(self) -> bool:
        """Returns whether this is the first end of the call."""
        try:
            self._active.remove(self)
        except KeyError:
            return False
        # It likely refers to the call: without a cycle there is no garbage.
        self.on_cancelled = None
        return True

    def _set_error(
        self, error: errors.ServingError, metadata: call_lib.Metadata
    ) -> None:
        try:
            response_blocks.require_metadata(metadata)
        except Exception as unexpected:
            logging.exception("An error could not be encoded")
            error, metadata = gate_lib.shown_error(unexpected), ()
        self._context.set_trailing_metadata(tuple(metadata))
        self._context.set_code(status.to_grpc(error))
        self._context.set_details(errors.short_text(error))


class _GrpcioCall(_Ending, call_lib.Call):
    """A call with one request and one response."""

    def __init__(
        self,
        active: set[Any],
        request: bytes,
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None],
    ) -> None:
        super().__init__(active, context)
        self._send = send
        self.request = request

    @override
    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        try:
            data = call_lib.to_bytes(response)
            response_blocks.require_metadata(trailing_metadata)
        except Exception as unexpected:
            logging.exception("A reply could not be encoded")
            self.fail(gate_lib.shown_error(unexpected))
            return
        if self._end():
            self._context.set_trailing_metadata(tuple(trailing_metadata))
            self._send(data)
            self._send(None)

    @override
    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        if self._end():
            self._set_error(error, trailing_metadata)
            self._send(None)

    def leave(self) -> None:
        """Is called at the end of the call, with a reply or without."""
        on_cancelled = self.on_cancelled
        if self._end():
            gate_lib.notify(on_cancelled)


class _GrpcioStreamCall(_Ending, call_lib.StreamCall):
    """A call with any number of requests and responses."""

    def __init__(self, active: set[Any], context: grpc.ServicerContext) -> None:
        super().__init__(active, context)
        # Whether the method was called, and on_drain after it; both are for the
        # thread of the methods.
        self.is_begun = False
        self.is_drained = False
        # None at the end.
        self._responses: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def responses(self) -> Iterator[bytes]:
        """Yields what is sent, until the end of the call."""
        while (response := self._responses.get()) is not None:
            yield response

    @property
    @override
    def is_writable(self) -> bool:
        return self.is_active and self._responses.empty()

    @override
    def send(self, response: bytes | message.Message) -> None:
        try:
            self._responses.put(call_lib.to_bytes(response))
        except Exception as unexpected:
            logging.exception("A reply could not be encoded")
            self.fail(gate_lib.shown_error(unexpected))

    @override
    def finish(self, trailing_metadata: call_lib.Metadata = ()) -> None:
        try:
            response_blocks.require_metadata(trailing_metadata)
        except Exception as unexpected:
            logging.exception("Metadata could not be encoded")
            self.fail(gate_lib.shown_error(unexpected))
            return
        if self._end():
            self._context.set_trailing_metadata(tuple(trailing_metadata))
            self._responses.put(None)

    @override
    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        if self._end():
            self._set_error(error, trailing_metadata)
            self._responses.put(None)

    def leave(self) -> None:
        """Is called at the end of the call, however it came about."""
        on_cancelled = self.on_cancelled
        if self._end():
            self._responses.put(None)
            gate_lib.notify(on_cancelled)


def _credentials(options: options_lib.TlsOptions) -> grpc.ServerCredentials:
    ca = options.client_ca_file
    return grpc.ssl_server_credentials(
        [
            (
                _read(options.private_key_file),
                _read(options.certificate_chain_file),
            )
        ],
        root_certificates=_read(ca) if ca else None,
        require_client_auth=bool(ca),
    )


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _grpc_options(options: options_lib.Options) -> list[tuple[str, int]]:
    return [
        # If 1, gRPC lets two servers share a port without a word.
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.max_receive_message_length", options.max_request_bytes),
        # With more than 1,000 calls that it has not handed over yet, gRPC would
        # cancel some of them at random, and all above 3,000.
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
    ]
