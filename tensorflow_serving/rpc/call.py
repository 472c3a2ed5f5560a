"""A call that is answered later, and the services whose methods take calls."""

import abc
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor, message

from tensorflow_serving.util import errors

# Pairs of a lower-case key and a text, or bytes if the key ends with "-bin".
Metadata = Sequence[tuple[str, str | bytes]]


class Call(abc.ABC):
    """One call of a method, from its arrival to its reply.

    The first of reply(), fail() and the caller's leaving counts; what comes
    after it has no effect. Both may be called on any thread and do not block.

    Thread-safe.
    """

    __slots__ = ("deadline", "metadata", "on_cancelled", "request")

    # The message as it came: not parsed.
    request: bytes
    # When the caller stops waiting, a time.monotonic(); infinite for never.
    deadline: float
    # What the caller sent beside the request.
    metadata: Metadata
    # Set by the service: called at once, on any thread, when the caller leaves
    # without a reply, because it cancelled, its time ran out or it is gone.
    # Must not block.
    on_cancelled: Callable[[], None] | None

    @property
    @abc.abstractmethod
    def is_active(self) -> bool:
        """Whether the caller waits for a reply."""

    @abc.abstractmethod
    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: Metadata = (),
    ) -> None:
        """Answers with OK and a message, serialized or not."""

    @abc.abstractmethod
    def fail(
        self, error: errors.ServingError, trailing_metadata: Metadata = ()
    ) -> None:
        """Answers with the code and the text of an error."""


# The request in, the response out; raises errors of util/errors.py. Any: each
# method has message classes of its own.
BlockingMethod = Callable[[Any], message.Message]
# Begins a call, whose reply may come later; must not block. What it raises is
# the reply.
AsyncMethod = Callable[[Call], None]


_FOREVER_SECONDS = 1e9


def _is_done() -> bool:
    return False


@dataclasses.dataclass(frozen=True)
class Service:
    """A service of a .proto file, and what its methods do."""

    descriptor: descriptor.ServiceDescriptor
    # Each call blocks a thread of the server's pool.
    methods: Mapping[str, BlockingMethod] = dataclasses.field(
        default_factory=dict
    )
    # All are called on one thread of the server.
    async_methods: Mapping[str, AsyncMethod] = dataclasses.field(
        default_factory=dict
    )
    # Called on that thread after one or more calls, when no other call is at
    # hand: the place to work on what came. Returns whether there is more to do;
    # then it is called again soon. Must not block for long.
    when_idle: Callable[[], bool] = _is_done

    def path(self, method: str) -> str:
        """Returns the name of a method on the wire."""
        return f"/{self.descriptor.full_name}/{method}"


def deadline_after(seconds: float | None) -> float:
    """Returns the deadline of a call.

    Args:
      seconds: How long the caller waits, by gRPC; None or 30 years and more for
        ever.
    """
    if seconds is None or seconds >= _FOREVER_SECONDS:
        return math.inf
    return time.monotonic() + seconds


def to_bytes(response: bytes | message.Message) -> bytes:
    """Returns a response as it goes on the wire."""
    if isinstance(response, bytes):
        return response
    return response.SerializeToString()
