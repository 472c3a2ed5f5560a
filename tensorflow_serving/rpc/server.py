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

import functools
from collections.abc import Sequence
from typing import TypeVar

from google.protobuf import message, message_factory

from tensorflow_serving.rpc import (
    blocking_methods,
    call,
    health,
    lane,
    reflection,
    wire_lane,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

Options = options_lib.Options

_DEFAULTS = Options()

MethodT = TypeVar("MethodT", call.BlockingMethod, call.WaitingMethod)


class Server:
    """Serves methods, health and reflection on one or more addresses.

    Blocking methods run on a fixed pool of threads: calls beyond their number
    wait for one, and a call whose caller has gone by then is not started. Each
    call of a waiting method has a thread of its own; beyond 64 of them a call
    gets RESOURCE_EXHAUSTED.

    A request that cannot be parsed gets INVALID_ARGUMENT. An error of
    util/errors.py is answered with its code and text; any other exception is
    logged and answered with INTERNAL, or with RESOURCE_EXHAUSTED if there was
    not enough memory. An unknown method gets UNIMPLEMENTED.

    The standard health service answers NOT_SERVING until start() and again
    from stop() on, for "" and for the name of each service.

    A context manager that stops itself without grace. Thread-safe.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        services: Sequence[call.Service],
        options: Options = _DEFAULTS,
        lane_class: type[lane.Lane] = wire_lane.WireLane,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes the addresses.

        Args:
          address: Host and port, such as "0.0.0.0:9000", where port 0 picks
            one, and no host means all addresses of the machine; or "unix:" and
            the path of a socket; or several of these.
          services: What to serve.
          options: See Options.
          lane_class: How calls get from the sockets to the services.
          clock: Times the drain delay.

        Raises:
          UnavailableError: An address cannot be taken; likely it is in use.
          InvalidArgumentError: A file of TlsOptions is not what it should be.
        """
        self._clock = clock
        names = [each.descriptor.full_name for each in services]
        # Knows "" and the names of the services; a caller may add names.
        self.health = health.Health(names)
        self._starts_serving = options.starts_serving
        all_services = [
            *services,
            self.health.service(),
            *reflection.Reflection(
                [*names, self.health.service().descriptor.full_name]
            ).services(),
        ]
        self._blocking = blocking_methods.BlockingMethods(
            options.num_threads, options.observer
        )
        self._lane = lane_class(self._methods(all_services), options)
        self._ports = []
        for each in [address] if isinstance(address, str) else address:
            try:
                self._ports.append(self._lane.listen(each))
            except (RuntimeError, OSError, ValueError) as error:
                self.stop(0)
                raise errors.UnavailableError(
                    "address must be free, belong to this machine and be "
                    f"allowed for this user; got {each} "
                    f"({errors.reason(error)})"
                ) from None

    @property
    def port(self) -> int:
        """The port of the first address; 0 for a UNIX socket."""
        return self._ports[0]

    def __repr__(self) -> str:
        """Returns the kind of its lane, and the ports."""
        return f"<Server {type(self._lane).__name__}, ports {self._ports}>"

    def start(self) -> None:
        """Begins to answer calls, and to be healthy.

        Raises:
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        self._blocking.start()
        self._lane.start()
        if self._starts_serving:
            self.health.set_serving()

    def stop(
        self, grace_seconds: float, *, drain_delay_seconds: float = 0.0
    ) -> bool:
        """Ends; returns whether every call was finished. Idempotent.

        1. Health turns to NOT_SERVING, and serving goes on for the delay.
        2. Clients are asked to make no more calls; those that they made before
           they knew are still taken.
        3. Every call that was taken is finished; methods that wait learn that
           they should. What is left after the grace is aborted.

        Returns within the delay, the grace and two seconds, whatever hangs.

        Args:
          grace_seconds: How long calls may take to finish.
          drain_delay_seconds: How long load balancers take to look elsewhere.
        """
        self.health.drain()
        if drain_delay_seconds > 0:
            self._clock.sleep(drain_delay_seconds)
        self._blocking.drain()
        is_clean = self._lane.stop(grace_seconds)
        return self._blocking.close() and is_clean

    def __enter__(self) -> "Server":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace."""
        self.stop(0)

    def _methods(self, services: Sequence[call.Service]) -> lane.Methods:
        unary: dict[str, call.AsyncMethod] = {}
        stream: dict[str, call.StreamMethod] = {}
        for service in services:
            for name, method in service.methods.items():
                unary[service.path(name)] = functools.partial(
                    self._blocking.begin, *_parts(service, name, method)
                )
            for name, waiting_method in service.waiting_methods.items():
                unary[service.path(name)] = functools.partial(
                    self._blocking.begin_waiting,
                    *_parts(service, name, waiting_method),
                )
            for name, async_method in service.async_methods.items():
                unary[service.path(name)] = async_method
            for name, stream_method in service.stream_methods.items():
                stream[service.path(name)] = stream_method
        return lane.Methods(
            unary,
            stream,
            [
                service.when_idle
                for service in services
                if service.when_idle is not call.do_nothing_when_idle
            ],
        )


def _parts(
    service: call.Service, name: str, method: MethodT
) -> tuple[str, MethodT, type[message.Message]]:
    """Returns the name on the wire of a method, itself, and its message."""
    input_type = service.descriptor.methods_by_name[name].input_type
    request_class = message_factory.GetMessageClass(input_type)
    return service.path(name), method, request_class
