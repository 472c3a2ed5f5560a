"""A gRPC server: methods that block, health, reflection, and a clean end.

Example:
    service = Service(
        mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
        {"Classify": classify},
    )
    with Server("0.0.0.0:9000", [service], num_threads=64) as server:
        server.start()
        signals.Termination().wait()
        server.stop(grace_seconds=30)
"""

import concurrent.futures
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from absl import logging
from google.protobuf import descriptor, message, message_factory
from grpc_health.v1 import health as grpc_health
from grpc_reflection.v1alpha import reflection

from tensorflow_serving.rpc import health, status
from tensorflow_serving.util import errors

# How long calls are still taken after the beginning of a stop; how long a
# moment without calls is waited for then; and how long that moment is.
_LAST_CALLS_SECONDS = 0.1
_REFUSAL_SECONDS = 1.0
_PAUSE_SECONDS = 0.02

# More calls than a client could hope to have answered in time.
_MAX_PENDING_CALLS = 1_000_000

_GRPC_OPTIONS = (
    # gRPC would let two servers share a port without a word.
    ("grpc.so_reuseport", 0),
    # With more than 1,000 calls that it has not handed over yet, it would
    # cancel some of them at random, and all above 3,000.
    ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
)

# The request in, the response out; raises errors of util/errors.py. Any: each
# method has message classes of its own.
Method = Callable[[Any], message.Message]


@dataclasses.dataclass(frozen=True)
class Service:
    """A service of a .proto file, and what its methods do."""

    descriptor: descriptor.ServiceDescriptor
    methods: Mapping[str, Method]


class Server:
    """Serves unary methods, each call on a thread of a fixed pool.

    Calls beyond the number of threads wait for one; a call whose caller has
    gone by then is not started. A request that cannot be parsed gets
    INVALID_ARGUMENT. An error of util/errors.py is answered with its code and
    text; any other exception is logged and answered with INTERNAL. An unknown
    method gets UNIMPLEMENTED.

    The standard health service answers NOT_SERVING until start() and again
    from stop() on, for "" and for the name of each service.

    A context manager that stops itself without grace. Thread-safe.
    """

    def __init__(
        self, address: str, services: Sequence[Service], *, num_threads: int
    ) -> None:
        """Binds the address.

        Args:
          address: Host and port, such as "0.0.0.0:9000"; port 0 picks one.
          services: What to serve.
          num_threads: How many calls run at the same time.

        Raises:
          UnavailableError: The address cannot be bound; likely it is in use.
        """
        self._lock = threading.Lock()
        self._num_running = 0  # guarded by _lock
        self._threads = concurrent.futures.ThreadPoolExecutor(
            num_threads, thread_name_prefix="rpc"
        )
        self._server = grpc.server(self._threads, options=_GRPC_OPTIONS)
        names = [service.descriptor.full_name for service in services]
        self._health = health.Health(names)
        self._arrivals = _Arrivals()
        self._server.add_generic_rpc_handlers(
            [
                self._health.handler(),
                self._arrivals,
                *map(self._handler, services),
            ]
        )
        reflection.enable_server_reflection(
            [*names, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME],
            self._server,
        )
        try:
            self._port = self._server.add_insecure_port(address)
        except RuntimeError:
            self.stop(0)
            raise errors.UnavailableError(
                "address must be free, of this machine, and allowed to this "
                f"user; got {address}"
            ) from None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    def start(self) -> None:
        """Begins to answer calls, and to be healthy."""
        self._server.start()
        self._health.set_serving()

    def stop(self, grace_seconds: float) -> bool:
        """Ends; returns whether every call was finished. Idempotent.

        Health turns to NOT_SERVING. Calls that are on their way are still
        taken, for a tenth of a second at most; from then on new ones are
        refused with UNAVAILABLE. Every call that was taken is finished; what is
        left after the grace is aborted.

        gRPC cancels calls that it received and did not hand over yet. So that
        there are none, the port is closed in a moment in which no call comes,
        and refusals are answered after that: clients that call again and again
        wait for an answer first.
        """
        self._health.drain()
        end = time.monotonic() + grace_seconds
        self._arrivals.wait_for_a_pause(min(grace_seconds, _LAST_CALLS_SECONDS))
        self._arrivals.refuse()
        self._arrivals.wait_for_a_pause(
            min(end - time.monotonic(), _REFUSAL_SECONDS)
        )
        stopped = self._server.stop(max(0.0, end - time.monotonic()))
        self._arrivals.answer_refusals()
        stopped.wait()
        self._health.close()
        # Without waiting: what outlasted the grace may never end.
        self._threads.shutdown(wait=False)
        with self._lock:
            return not self._num_running

    def __enter__(self) -> "Server":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace."""
        self.stop(0)

    def _handler(self, service: Service) -> grpc.GenericRpcHandler:
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for name, method in service.methods.items():
            request_class = message_factory.GetMessageClass(
                service.descriptor.methods_by_name[name].input_type
            )
            # Without a deserializer: gRPC would answer garbage with INTERNAL.
            handlers[name] = grpc.unary_unary_rpc_method_handler(
                functools.partial(self._call, method, request_class),
                response_serializer=_serialize,
            )
        return grpc.method_handlers_generic_handler(
            service.descriptor.full_name, handlers
        )

    def _call(
        self,
        method: Method,
        request_class: type[message.Message],
        data: bytes,
        context: grpc.ServicerContext,
    ) -> message.Message:
        """Answers one call, on a thread of the pool."""
        with self._lock:
            self._num_running += 1
        try:
            if not context.is_active():
                raise errors.CancelledError("the caller is gone already")
            return method(_parse(request_class, data))
        except errors.ServingError as error:
            context.abort(status.to_grpc(error), str(error))
        except Exception:
            logging.exception("A method failed")
            context.abort(
                grpc.StatusCode.INTERNAL,
                "the server failed on this call; its log has the reason",
            )
        finally:
            with self._lock:
                self._num_running -= 1


class _Arrivals(grpc.GenericRpcHandler):
    """Sees every call when it comes, and refuses it if told so.

    Stands before the services: gRPC asks one handler after the other.
    Thread-safe.
    """

    def __init__(self) -> None:
        # Both are written by one thread and read by another.
        self._last_time = 0.0
        self._is_refusing = False
        self._port_is_closed = threading.Event()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Returns None for a call that is welcome."""
        self._last_time = time.monotonic()
        if not self._is_refusing:
            return None
        return grpc.unary_unary_rpc_method_handler(self._refuse)

    def refuse(self) -> None:
        """Refuses all calls from now on, but does not answer them yet."""
        self._is_refusing = True

    def answer_refusals(self) -> None:
        """Answers what was refused; to be called when the port is closed."""
        self._port_is_closed.set()

    def wait_for_a_pause(self, max_seconds: float) -> None:
        """Returns once no call came for a moment, or after that time."""
        start = time.monotonic()
        deadline = start + max_seconds
        pause_end = start + _PAUSE_SECONDS
        while (now := time.monotonic()) < min(pause_end, deadline):
            time.sleep(min(pause_end, deadline) - now)
            pause_end = self._last_time + _PAUSE_SECONDS

    def _refuse(
        self, data: bytes, context: grpc.ServicerContext
    ) -> message.Message:
        self._port_is_closed.wait()
        context.abort(
            grpc.StatusCode.UNAVAILABLE,
            "server must be running; got a call while it is shutting down",
        )


def _serialize(response: message.Message) -> bytes:
    return response.SerializeToString()


def _parse(
    request_class: type[message.Message], data: bytes
) -> message.Message:
    try:
        return request_class.FromString(data)
    except message.DecodeError:
        raise errors.InvalidArgumentError(
            f"request must be a {request_class.DESCRIPTOR.full_name}; got "
            f"{len(data)} bytes that are none"
        ) from None
