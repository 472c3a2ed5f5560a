"""A gRPC server: methods that block or answer later, health, reflection.

Example:
    service = call.Service(
        mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
        methods={"Classify": classify},
    )
    with Server("0.0.0.0:9000", [service], Options(num_threads=64)) as server:
        server.start()
        signals.Termination().wait()
        server.stop(grace_seconds=30)
"""

import concurrent.futures
import dataclasses
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc
from absl import logging
from google.protobuf import message, message_factory
from grpc_health.v1 import health as grpc_health
from grpc_reflection.v1alpha import reflection

from tensorflow_serving.rpc import (
    call,
    fast_lane,
    gate,
    health,
    lane,
    public_lane,
)
from tensorflow_serving.util import errors

# How long calls are still taken after the beginning of a stop, and how long a
# moment without calls is waited for then.
_LAST_CALLS_SECONDS = 0.1
_REFUSAL_SECONDS = 1.0
# A grace for gRPC that does not end before it is told to.
_UNTIL_TOLD_SECONDS = 1e6

# More calls than a client could hope to have answered in time.
_MAX_PENDING_CALLS = 1_000_000

# Threads for what is no method of a service: reflection.
_NUM_CONTROL_THREADS = 4

_UNIX = "unix:"

MessageT = TypeVar("MessageT", bound=message.Message)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a Server.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How many calls of blocking methods run at the same time; more wait.
    num_threads: int = 1
    # How many calls may be without a reply at the same time; one more is
    # refused with RESOURCE_EXHAUSTED. 0: any number.
    max_concurrent_calls: int = 0
    # The largest request. A larger one is refused with RESOURCE_EXHAUSTED.
    max_request_bytes: int = 4 << 20
    # None: no encryption.
    credentials: grpc.ServerCredentials | None = None
    # Whether other processes of this user may listen on the same port.
    reuse_port: bool = False

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            num_threads=self.num_threads,
            max_request_bytes=self.max_request_bytes,
        )
        errors.require_at_least(
            0, max_concurrent_calls=self.max_concurrent_calls
        )


def default_lane() -> type[lane.Lane]:
    """Returns the fastest lane that the installed grpcio allows."""
    if fast_lane.is_available():
        return fast_lane.FastLane
    logging.warning(
        "grpcio must be the version of requirements_lock.txt to be fast; got "
        "%s. Serving with its public interface",
        grpc.__version__,
    )
    return public_lane.PublicLane


class Server:
    """Serves unary methods, health and reflection on one address.

    Blocking methods run on a fixed pool of threads: calls beyond their number
    wait for one, and a call whose caller has gone by then is not started. A
    request that cannot be parsed gets INVALID_ARGUMENT. An error of
    util/errors.py is answered with its code and text; any other exception is
    logged and answered with INTERNAL. An unknown method gets UNIMPLEMENTED.

    The standard health service answers NOT_SERVING until start() and again
    from stop() on, for "" and for the name of each service.

    A context manager that stops itself without grace. Thread-safe.
    """

    def __init__(
        self,
        address: str,
        services: Sequence[call.Service],
        options: Options = Options(),
        create_lane: Callable[..., lane.Lane] | None = None,
    ) -> None:
        """Binds the address.

        Args:
          address: Host and port, such as "0.0.0.0:9000", where port 0 picks
            one; or "unix:" and the path of a socket.
          services: What to serve.
          options: See Options.
          create_lane: A subclass of Lane; None: default_lane().

        Raises:
          UnavailableError: The address cannot be bound; likely it is in use.
        """
        self._threads = _Threads(options.num_threads)
        self._control_threads = concurrent.futures.ThreadPoolExecutor(
            _NUM_CONTROL_THREADS, thread_name_prefix="rpc_control"
        )
        self._server = grpc.server(
            self._control_threads, options=_grpc_options(options)
        )
        self._health = _serve_health_and_reflection(
            self._server, [each.descriptor.full_name for each in services]
        )
        self._gate = gate.Gate(options.max_concurrent_calls)
        self._lane = (create_lane or default_lane())(
            self._server,
            {
                service.path(name): method
                for service in services
                for name, method in self._methods_of(service).items()
            },
            functools.partial(
                _when_idle, [service.when_idle for service in services]
            ),
            self._gate,
        )
        self._is_started = False
        try:
            self._port = self._listen(address, options.credentials)
        except (RuntimeError, OSError):
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
        self._is_started = True
        self._lane.start()
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
        if self._is_started:
            self._gate.wait_for_a_pause(min(grace_seconds, _LAST_CALLS_SECONDS))
            self._gate.refuse()
            self._gate.wait_for_a_pause(
                min(end - time.monotonic(), _REFUSAL_SECONDS)
            )
        stopped = self._server.stop(_UNTIL_TOLD_SECONDS)
        self._gate.answer_refusals()
        is_clean = stopped.wait(max(0.0, end - time.monotonic())) or (
            self._lane.num_running == 0
        )
        self._server.stop(None)
        stopped.wait()
        self._lane.close()
        self._health.close()
        # Without waiting: what outlasted the grace may never end.
        self._control_threads.shutdown(wait=False)
        return self._threads.close() and is_clean

    def __enter__(self) -> "Server":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace."""
        self.stop(0)

    def _methods_of(self, service: call.Service) -> dict[str, call.AsyncMethod]:
        """Returns all methods of a service, as methods that answer later."""
        methods = dict(service.async_methods)
        for name, method in service.methods.items():
            request_class = message_factory.GetMessageClass(
                service.descriptor.methods_by_name[name].input_type
            )
            methods[name] = functools.partial(
                self._threads.begin, method, request_class
            )
        return methods

    def _listen(
        self, address: str, credentials: grpc.ServerCredentials | None
    ) -> int:
        """Returns the port.

        Raises:
          RuntimeError, OSError: The address cannot be bound.
        """
        if address.startswith(_UNIX):
            _require_unused(address.removeprefix(_UNIX))
        if credentials is None:
            return int(self._server.add_insecure_port(address))
        return int(self._server.add_secure_port(address, credentials))


class _Threads:
    """The threads of blocking methods. Thread-safe."""

    def __init__(self, num_threads: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(
            num_threads, thread_name_prefix="rpc"
        )
        self._lock = threading.Lock()
        self._num_running = 0  # guarded by _lock

    def begin(
        self,
        method: call.BlockingMethod,
        request_class: type[message.Message],
        each: call.Call,
    ) -> None:
        """Has a call answered by a method, on one of the threads."""
        self._pool.submit(
            self._run,
            functools.partial(_answer, method, request_class),
            each,
        )

    def close(self) -> bool:
        """Starts no more calls; returns whether none is running."""
        # Without waiting: what outlasted the grace may never end.
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            return not self._num_running

    def _run(self, method: call.AsyncMethod, each: call.Call) -> None:
        if not each.is_active:
            return
        with self._lock:
            self._num_running += 1
        try:
            gate.begin(method, each)
        finally:
            with self._lock:
                self._num_running -= 1


def _answer(
    method: call.BlockingMethod,
    request_class: type[message.Message],
    each: call.Call,
) -> None:
    each.reply(method(parse(request_class, each.request)))


def parse(request_class: type[MessageT], data: bytes) -> MessageT:
    """Returns the message in a request.

    Raises:
      InvalidArgumentError: There is none. Permanent.
    """
    try:
        return request_class.FromString(data)
    except message.DecodeError:
        raise errors.InvalidArgumentError(
            f"request must be a {request_class.DESCRIPTOR.full_name}; got "
            f"{len(data)} bytes that are none"
        ) from None


def _serve_health_and_reflection(
    server: grpc.Server, names: Sequence[str]
) -> health.Health:
    server_health = health.Health(names)
    server.add_generic_rpc_handlers([server_health.handler()])
    reflection.enable_server_reflection(
        [*names, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME], server
    )
    return server_health


def _grpc_options(options: Options) -> list[tuple[str, int]]:
    return [
        # If 1, gRPC lets two servers share a port without a word.
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.max_receive_message_length", options.max_request_bytes),
        # With more than 1,000 calls that it has not handed over yet, gRPC would
        # cancel some of them at random, and all above 3,000.
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
    ]


def _when_idle(functions: Sequence[Callable[[], bool]]) -> bool:
    has_more = False
    for function in functions:
        has_more |= function()
    return has_more


def _require_unused(path: str) -> None:
    """Raises OSError if somebody listens on a UNIX socket.

    gRPC would take the path away from them without a word.
    """
    if not os.path.exists(path):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            # Left behind by a server that is gone; gRPC removes it.
            return
    raise OSError("in use")
