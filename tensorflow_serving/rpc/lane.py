"""The way of calls from gRPC to the methods of services, and back."""

import abc
from collections.abc import Callable, Mapping

import grpc

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import gate as gate_lib


class Lane(abc.ABC):
    """Carries the calls of unary methods on a grpc.Server.

    All methods are begun on one thread. Thread-safe.
    """

    @abc.abstractmethod
    def __init__(
        self,
        server: grpc.Server,
        methods: Mapping[str, call_lib.AsyncMethod],
        when_idle: Callable[[], bool],
        gate: gate_lib.Gate,
    ) -> None:
        """Attaches itself to a server that is not started.

        Args:
          server: To be started by start() only.
          methods: By path on the wire.
          when_idle: Called on the thread of the methods when no call is at
            hand; returns whether there is more to do.
          gate: Asked about each call.
        """

    @property
    @abc.abstractmethod
    def num_running(self) -> int:
        """How many calls have no reply yet."""

    @abc.abstractmethod
    def start(self) -> None:
        """Starts the server. Its end is that of the lane's thread."""

    @abc.abstractmethod
    def close(self) -> None:
        """Frees what is left when the server has stopped. Idempotent."""


class LaneCall(call_lib.Call):
    """A call that knows whether it has ended."""

    __slots__ = ("_unreplied",)

    def __init__(self, unreplied: set["LaneCall"]) -> None:
        """Takes the calls of the lane without a reply.

        Any thread changes them, with single operations, which are atomic.
        """
        self._unreplied = unreplied
        self.on_cancelled = None

    @property
    def is_active(self) -> bool:
        """See Call."""
        return self in self._unreplied

    def end(self) -> bool:
        """Returns whether this is the first end of the call."""
        try:
            self._unreplied.remove(self)
        except KeyError:
            return False
        # It likely refers to the call: without a cycle there is no garbage.
        self.on_cancelled = None
        return True
