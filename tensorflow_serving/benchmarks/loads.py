"""Loads, what they go to, and who makes them."""

import dataclasses
from typing import Protocol

from tensorflow_serving.benchmarks import calls
from tensorflow_serving.util import errors

_CALLS_PER_CONNECTION = 16
_MAX_CONNECTIONS = 8


@dataclasses.dataclass(frozen=True)
class Target:
    """A unary gRPC method of a server that runs, and a request for it."""

    name: str
    # Host and port.
    address: str
    # Such as "/tensorflow.serving.MnistService/Classify".
    method: str
    # A file with a request, framed as gRPC sends it.
    body_path: str
    # The size of a framed answer; 0 if it is not known.
    framed_answer_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class ClosedLoad:
    """Calls in flight, each followed by the next one as soon as it ends."""

    concurrency: int
    # How long; 0 until num_calls are done.
    seconds: float = 0.0
    num_calls: int = 0

    @property
    def num_connections(self) -> int:
        """How many connections share the calls, evenly.

        As many as have 16 calls in flight each, but no more than 8.
        """
        return max(
            number
            for number in range(1, _MAX_CONNECTIONS + 1)
            if self.concurrency % number == 0
            and (
                number == 1
                or self.concurrency // number >= _CALLS_PER_CONNECTION
            )
        )


@dataclasses.dataclass(frozen=True)
class OpenLoad:
    """Calls that start when they are meant to, whatever the server does."""

    # Calls a second on average; the time between two is random (Poisson).
    rate: float
    seconds: float


class LoadGenerator(Protocol):
    """Makes closed loads."""

    # For reports.
    name: str

    def run(self, target: Target, load: ClosedLoad) -> calls.Calls:
        """Makes a load; returns once every call has ended.

        Raises:
          UnavailableError: The server cannot be reached.
        """


def parse_target(text: str) -> Target:
    """Returns the target that "NAME,HOST:PORT,/package.Service/Method,FILE" is.

    Raises:
      InvalidArgumentError: The text has another form.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(parts) or not parts[2].startswith("/"):
        raise errors.InvalidArgumentError(
            "--target must be NAME,HOST:PORT,/package.Service/Method,BODY_FILE;"
            f" got {text}"
        )
    name, address, method, body_path = parts
    return Target(name, address, method, body_path)
