"""The standard gRPC health service, on a thread of its own.

Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import concurrent.futures
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2


class Health:
    """Whether a server serves, for Check and Watch.

    Calls do not wait for the threads of the server, so that a busy server is
    not taken for a dead one. All names are NOT_SERVING at first.

    Thread-safe.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Takes the full names of the services; "" is always there."""
        self._names = ("", *names)
        self._threads = concurrent.futures.ThreadPoolExecutor(
            1, thread_name_prefix="health"
        )
        self._servicer = health.HealthServicer(experimental_non_blocking=True)
        self._lock = threading.Lock()
        # Each sends a response to one watch, or ends it with None; guarded by
        # _lock.
        self._watches: set[Callable[[Any], None]] = set()
        self._is_draining = False  # guarded by _lock
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns what a server needs to answer health calls."""
        check = functools.partial(self._servicer.Check)
        watch = functools.partial(self._watch)
        # How gRPC is told to take another thread, and to let go of it.
        for behavior in (check, watch):
            vars(behavior)["experimental_thread_pool"] = self._threads
        vars(watch)["experimental_non_blocking"] = True
        codec = {
            "request_deserializer": health_pb2.HealthCheckRequest.FromString,
            "response_serializer": (
                health_pb2.HealthCheckResponse.SerializeToString
            ),
        }
        return grpc.method_handlers_generic_handler(
            health.SERVICE_NAME,
            {
                "Check": grpc.unary_unary_rpc_method_handler(check, **codec),
                "Watch": grpc.unary_stream_rpc_method_handler(watch, **codec),
            },
        )

    def set_serving(self) -> None:
        """Answers SERVING from now on, for all names."""
        self._set(health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> None:
        """Answers NOT_SERVING from now on; tells and ends every watch."""
        self._servicer.enter_graceful_shutdown()
        with self._lock:
            self._is_draining = True
            watches = list(self._watches)
        for send in watches:
            send(None)

    def close(self) -> None:
        """Ends the thread. Idempotent."""
        self._threads.shutdown()

    def _set(self, state: int) -> None:
        for name in self._names:
            self._servicer.set(name, state)

    def _watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send: Callable[[Any], None],
    ) -> None:
        self._servicer.Watch(request, context, send)
        with self._lock:
            self._watches.add(send)
            is_draining = self._is_draining
        if not context.add_callback(lambda: self._forget(send)):
            self._forget(send)
        if is_draining:
            send(None)

    def _forget(self, send: Callable[[Any], None]) -> None:
        with self._lock:
            self._watches.discard(send)
