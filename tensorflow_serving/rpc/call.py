"""Calls that are answered later, and the services whose methods take them."""

import abc
import concurrent.futures
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from google.protobuf import descriptor, message

from tensorflow_serving.util import errors

if TYPE_CHECKING:  # options of a server need this module, and a supervisor them
    import numpy as np
    import numpy.typing as npt

MessageT = TypeVar("MessageT", bound=message.Message)

# Pairs of a lower-case key and a text, or bytes if the key ends with "-bin".
Metadata = Sequence[tuple[str, str | bytes]]


def _do_nothing() -> None:
    """Is what services do that set no callback."""


class AnyCall(abc.ABC):
    """A call of a method, from its beginning to its end.

    The first of its ends counts: that by the service, or by the caller, who
    cancels, runs out of time, or is gone. What comes after it has no effect.

    Thread-safe. No method blocks.
    """

    # When the caller stops waiting, a time.monotonic(); infinite for never.
    deadline: float
    # The metadata that the caller sent with the request.
    metadata: Metadata
    # Set by the service: called at once, on any thread, when the caller leaves
    # before the service has ended the call. Must not block.
    on_cancelled: Callable[[], None] | None

    @property
    @abc.abstractmethod
    def is_active(self) -> bool:
        """Whether the caller waits for the end of the call."""

    @abc.abstractmethod
    def fail(
        self, error: errors.ServingError, trailing_metadata: Metadata = ()
    ) -> None:
        """Ends the call with the code and the text of an error."""


class Call(AnyCall):
    """A call with one request and one response."""

    # The message as it came: not parsed.
    request: bytes

    @abc.abstractmethod
    def reply(
        self,
        response: bytes | message.Message,
        trailing_metadata: Metadata = (),
    ) -> None:
        """Ends the call with OK and a message, serialized or not."""

    def reply_together(
        self, calls: Sequence["Call"], responses: "Rows | Sequence[bytes]"
    ) -> None:
        """Ends calls, of which this is the first; see reply_all()."""
        if isinstance(responses, Rows):
            responses = responses.messages()
        for each, response in zip(calls, responses, strict=True):
            each.reply(response)


class StreamCall(AnyCall):
    """A call with any number of requests and responses.

    A service sets its callbacks before its method returns. They are called on
    the thread that begins calls, in order, and must not block.

    Responses wait in memory until the caller takes them. A service that could
    send without end looks at `is_writable` first, and goes on in on_writable.
    """

    # Called with each request, as it came.
    on_request: Callable[[bytes], None]
    # Called after the last request.
    on_requests_end: Callable[[], None]
    # Called when the caller has taken what made the call unwritable.
    on_writable: Callable[[], None]
    # Called when the server begins to stop. It waits for the end of the call:
    # a service with nothing to send that the caller waits for ends it.
    on_drain: Callable[[], None]

    def __init__(self) -> None:
        """Sets callbacks that do nothing."""
        self.on_cancelled = None
        self.on_request = _ignore_request
        self.on_requests_end = _do_nothing
        self.on_writable = _do_nothing
        self.on_drain = _do_nothing

    @property
    @abc.abstractmethod
    def is_writable(self) -> bool:
        """Whether everything that was sent is on its way to the caller."""

    @abc.abstractmethod
    def send(self, response: bytes | message.Message) -> None:
        """Sends a response, serialized or not."""

    @abc.abstractmethod
    def finish(self, trailing_metadata: Metadata = ()) -> None:
        """Ends the call with OK, behind what was sent."""


def _ignore_request(request: bytes) -> None:
    """Is what services do with requests that set no callback."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Responses of one size: the bytes that all begin with, and what follows.

    For a message with one field of fixed size: its tag and length, and the
    values of each response.
    """

    prefix: bytes
    # Shape [responses, bytes].
    rows: "npt.NDArray[np.uint8]"

    def messages(self) -> list[bytes]:
        """Returns the responses one by one."""
        return [self.prefix + row.tobytes() for row in self.rows]


def reply_all(calls: Sequence[Call], responses: Rows | Sequence[bytes]) -> None:
    """Ends calls with OK and a message each; cheaper than one by one.

    Args:
      calls: Calls of one server; at least one. Those that are no longer active
        are left out.
      responses: As many, serialized.

    Raises:
      ValueError: There are more or fewer responses; no call was ended.
    """
    if isinstance(responses, Rows):
        num_responses = len(responses.rows)
    else:
        num_responses = len(responses)
    if num_responses != len(calls):
        raise ValueError(
            f"responses must be {len(calls)}, one for each call; got "
            f"{num_responses}"
        )
    calls[0].reply_together(calls, responses)


# The request in, the response out; raises errors of util/errors.py. Any: each
# method has message classes of its own.
BlockingMethod = Callable[[Any], message.Message]
# The same, for one that may wait for long. Gets a future as well, which ends
# with the reason once nobody waits for the response any longer: the caller has
# left, or the server begins to stop.
Unwanted = concurrent.futures.Future[None]
WaitingMethod = Callable[[Any, Unwanted], message.Message]
# Begins a call, whose reply may come later; must not block. What it raises is
# the reply.
AsyncMethod = Callable[[Call], None]
StreamMethod = Callable[[StreamCall], None]


_FOREVER_SECONDS = 1e9


class Work(Protocol):
    """Work on calls that came together, such as a run of a model."""

    def run(self) -> bool:
        """Works; called once, on the thread that begins calls.

        Returns whether there is more to do; then when_idle() is called soon. If
        it holds the thread up, another one takes its place.
        """

    def leave(self) -> None:
        """Has others see to what run() has in hand, but what holds it up.

        Called on the thread that takes the place of the one that run() holds
        up, perhaps before run() was called. run() goes on.
        """


def do_nothing_when_idle() -> None:
    """Is what services do that do everything as calls begin."""


@dataclasses.dataclass(frozen=True)
class Service:
    """A service of a .proto file, and what its methods do."""

    descriptor: descriptor.ServiceDescriptor
    # Each call blocks a thread of the server's pool.
    methods: Mapping[str, BlockingMethod] = dataclasses.field(
        default_factory=dict
    )
    # Each call has a thread of its own, so that no other waits with it.
    waiting_methods: Mapping[str, WaitingMethod] = dataclasses.field(
        default_factory=dict
    )
    # All are called on one thread of the server, one after the other.
    async_methods: Mapping[str, AsyncMethod] = dataclasses.field(
        default_factory=dict
    )
    # So are these, for calls with several requests or responses.
    stream_methods: Mapping[str, StreamMethod] = dataclasses.field(
        default_factory=dict
    )
    # Called on that thread after one or more calls, when no other call is at
    # hand. Returns the work to do on what came, if there is any.
    when_idle: Callable[[], Work | None] = do_nothing_when_idle

    def path(self, method: str) -> str:
        """Returns the name of a method on the wire."""
        return f"/{self.descriptor.full_name}/{method}"


def deadline_after(seconds: float | None) -> float:
    """Returns the deadline of a call.

    Args:
      seconds: How long the caller waits, by gRPC; None, or 30 years and more,
        for as long as it takes.
    """
    if seconds is None or seconds >= _FOREVER_SECONDS:
        return math.inf
    return time.monotonic() + seconds


def parse(request_class: type[MessageT], data: bytes) -> MessageT:
    """Returns the message in a request.

    Raises:
      InvalidArgumentError: The bytes are of no such message. Permanent.
    """
    try:
        return request_class.FromString(data)
    except message.DecodeError:
        raise errors.InvalidArgumentError(
            f"request must be a {request_class.DESCRIPTOR.full_name}; got "
            f"{len(data)} bytes that cannot be parsed as one"
        ) from None


def to_bytes(response: bytes | message.Message) -> bytes:
    """Returns a response as it goes on the wire."""
    if isinstance(response, bytes):
        return response
    return response.SerializeToString()
