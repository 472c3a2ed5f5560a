"""The way of calls from a port to the methods of services, and back."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tensorflow_serving.rpc import call
from tensorflow_serving.rpc import options as options_lib


@dataclasses.dataclass(frozen=True)
class Methods:
    """All methods of a server, by their names on the wire."""

    unary: Mapping[str, call.AsyncMethod]
    stream: Mapping[str, call.StreamMethod]
    # Called on the thread of the methods when no call is at hand; see Service.
    when_idle: Sequence[Callable[[], call.Work | None]] = ()


class Lane(abc.ABC):
    """Carries calls between the clients of a port and methods.

    All methods are begun on one thread, or on another that took its place.
    Thread-safe.
    """

    @abc.abstractmethod
    def __init__(self, methods: Methods, options: options_lib.Options) -> None:
        """Serves nothing yet."""

    @abc.abstractmethod
    def listen(self, address: str) -> int:
        """Takes an address; returns the port, or 0 if it has none.

        Call it before start(), once or more.

        Args:
          address: See Server.

        Raises:
          OSError, ValueError: The address cannot be taken.
        """

    @abc.abstractmethod
    def start(self) -> None:
        """Begins to answer calls."""

    @abc.abstractmethod
    def stop(self, grace_seconds: float) -> bool:
        """Takes no more calls; returns whether all were finished. Idempotent.

        What is left after the grace is aborted. Returns soon after that,
        whatever hangs.
        """
