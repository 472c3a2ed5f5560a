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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from absl import logging
from google.protobuf import descriptor, message, message_factory
from grpc_health.v1 import health as grpc_health
from grpc_reflection.v1alpha import reflection

from tensorflow_serving.rpc import health, status
from tensorflow_serving.util import errors

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
        self._server = grpc.server(
            self._threads,
            # gRPC would let two servers share a port without a word.
            options=[("grpc.so_reuseport", 0)],
        )
        names = [service.descriptor.full_name for service in services]
        self._health = health.Health(names)
        self._server.add_generic_rpc_handlers(
            [*map(self._handler, services), self._health.handler()]
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

        Health turns to NOT_SERVING, new calls are refused with UNAVAILABLE, and
        every call that a thread has, or waits for one, is finished; what is
        left after the grace is aborted. A call that arrives in the very moment
        of the stop, and was not seen yet by this server, may get CANCELLED
        instead of UNAVAILABLE.
        """
        self._health.drain()
        self._server.stop(grace_seconds).wait()
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
