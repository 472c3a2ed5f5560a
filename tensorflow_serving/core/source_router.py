"""Source routers: one source, several targets, a choice by servable.

router = StaticSourceRouter(["mnist_.*", "table_.*"])
for port, target in zip(router.output_ports, targets):
    connect_source_to_target(port, target)
connect_source_to_target(source, router)
"""

import abc
import re
from collections.abc import Sequence
from typing import Generic, TypeVar

from absl import logging
from typing_extensions import override

from tensorflow_serving.core import output_port, servable, source
from tensorflow_serving.util import errors

T = TypeVar("T")


class SourceRouter(source.Target[T], Generic[T]):
    """Passes each call on to one of its output ports.

    A call that comes before each of its ports has a target waits, and with it
    the thread of the source; so connect the ports first, or from another
    thread. It may be connected to several sources.

    close() lets those that wait go, and ends the forwarding; it does not wait
    for a call that is being forwarded. Close a router that was never connected
    before its source: the source's thread may be blocked in it.

    A context manager that closes itself. Thread-safe, and route() has to be.
    """

    def __init__(self, num_output_ports: int) -> None:
        """Makes the ports.

        Raises:
          InvalidArgumentError: There are less than 1.
        """
        errors.require_at_least(1, num_output_ports=num_output_ports)
        self._ports: Sequence[output_port.OutputPort[T]] = tuple(
            output_port.OutputPort[T]() for _ in range(num_output_ports)
        )

    @property
    def output_ports(self) -> Sequence[source.Source[T]]:
        """The sources to connect to targets."""
        return self._ports

    @abc.abstractmethod
    def route(
        self, name: str, versions: Sequence[servable.ServableData[T]]
    ) -> int:
        """Returns the index of the port for a servable.

        It must be the same one every time: a target that gets no further calls
        for a servable goes on serving it. If there is no such port, the call of
        the source has no effect, and an error is logged.

        Args:
          name: The name of the servable.
          versions: All versions of it that should be served.
        """

    @override
    def aspired_versions_callback(self) -> source.AspiredVersionsCallback[T]:
        return self._set_aspired_versions

    def close(self) -> None:
        """Ends the forwarding. Idempotent."""
        for port in self._ports:
            port.close()

    def __enter__(self) -> "SourceRouter[T]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the router."""
        self.close()

    def _set_aspired_versions(
        self, name: str, versions: Sequence[servable.ServableData[T]]
    ) -> None:
        callbacks = [port.wait_for_callback() for port in self._ports]
        if any(callback is None for callback in callbacks):
            return  # closed
        port = self.route(name, versions)
        if not 0 <= port < len(callbacks):
            logging.error(
                "Versions of servable %s are dropped: port must be 0 to %d; "
                "got %d",
                name,
                len(callbacks) - 1,
                port,
            )
            return
        callback = callbacks[port]
        assert callback is not None
        callback(name, versions)


class StaticSourceRouter(SourceRouter[T], Generic[T]):
    """Chooses by regular expressions on the name of the servable.

    The port is that of the first expression that matches the whole name; a last
    port, one more than there are expressions, is for names that none matches.
    """

    def __init__(self, regexps: Sequence[str]) -> None:
        """Takes the expressions, in the syntax of the module re.

        Raises:
          InvalidArgumentError: One is not a regular expression.
        """
        super().__init__(len(regexps) + 1)
        self._patterns = [_compile(regexp) for regexp in regexps]

    @override
    def route(
        self, name: str, versions: Sequence[servable.ServableData[T]]
    ) -> int:
        for port, pattern in enumerate(self._patterns):
            if pattern.fullmatch(name):
                return port
        return len(self._patterns)


def _compile(regexp: str) -> re.Pattern[str]:
    try:
        return re.compile(regexp)
    except re.error as error:
        raise errors.InvalidArgumentError(
            f"regexps must be regular expressions; got {regexp!r}: {error}"
        ) from None
