"""Kinds of loads, what they go to, and when their calls start."""

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import numpy as np

_CALLS_PER_CONNECTION = 16
_MAX_CONNECTIONS = 8


@dataclasses.dataclass(frozen=True)
class Target:
    """A unary gRPC method of a server that runs, and a request for it.

    If is_rest, a path that takes POST of JSON instead, over HTTP/1.1; each call
    in flight then has a connection of its own.
    """

    name: str
    # Host and port.
    address: str
    # Such as "/tensorflow.serving.MnistService/Classify".
    method: str
    # A file with a request, which has the frame of gRPC if it is of gRPC.
    body_path: str
    # The size of a framed answer; 0 if it is not known.
    framed_answer_bytes: int = 0
    is_rest: bool = False
    # A page that is read each second while a load lasts; empty: none.
    scraped: str = ""


class Arrivals(Protocol):
    """Says when to start calls, in seconds since the beginning of the load.

    Not thread-safe.
    """

    def due(self, now: float) -> list[float]:
        """Returns when the calls to start now were meant to; once each."""

    def next_time(self) -> float | None:
        """Returns when a call is due that waits for no other; None if none."""

    def ended(self) -> None:
        """Records the end of a call."""


class Closed:
    """Implements Arrivals: a fixed number of calls in flight.

    A call is meant to start when one before it has ended, so that a server
    that stops answering gets no further ones.
    """

    def __init__(self, concurrency: int, seconds: float = float("inf")) -> None:
        """Takes how long calls are made."""
        self._num_free = concurrency
        self._seconds = seconds

    def due(self, now: float) -> list[float]:
        """See Arrivals."""
        if now >= self._seconds:
            return []
        number, self._num_free = self._num_free, 0
        return [now] * number

    def next_time(self) -> float | None:
        """See Arrivals."""
        return None

    def ended(self) -> None:
        """See Arrivals."""
        self._num_free += 1


class Open:
    """Implements Arrivals: times that nothing can move.

    What starts late has been waiting since the time when it was meant to start,
    as a user would who came at that time.
    """

    def __init__(self, times: Iterator[float]) -> None:
        """Takes the times, in order."""
        self._times = times
        self._next = next(times, None)

    def due(self, now: float) -> list[float]:
        """See Arrivals."""
        due: list[float] = []
        while self._next is not None and self._next <= now:
            due.append(self._next)
            self._next = next(self._times, None)
        return due

    def next_time(self) -> float | None:
        """See Arrivals."""
        return self._next

    def ended(self) -> None:
        """See Arrivals."""


def poisson_times(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Yields times at random, as of many users who know nothing of each other.

    Args:
      rate: How many a second, on average.
      seconds: When they end.
      seed: The same seed gives the same times.
    """
    rng = np.random.default_rng(seed)
    time = float(rng.exponential(1 / rate))
    while time < seconds:
        yield time
        time += float(rng.exponential(1 / rate))


@dataclasses.dataclass(frozen=True)
class ClosedLoad:
    """Calls in flight, each followed by the next one as soon as it ends."""

    concurrency: int
    # The length of the load.
    seconds: float
    # The number of connections; 0 leaves it to num_connections.
    connections: int = 0

    def __str__(self) -> str:
        """Returns a label for tables."""
        if self.connections:
            streams = self.concurrency // self.connections
            return f"closed {self.connections} x {streams}"
        return f"closed {self.concurrency}"

    @property
    def num_connections(self) -> int:
        """The number of connections, which share the calls evenly.

        By default as many as have 16 calls in flight each, at most 8.
        """
        return self.connections or max(
            number
            for number in range(1, _MAX_CONNECTIONS + 1)
            if self.concurrency % number == 0
            and (
                number == 1
                or self.concurrency // number >= _CALLS_PER_CONNECTION
            )
        )

    def arrivals(self) -> Arrivals:
        """Returns when the calls start."""
        return Closed(self.concurrency, self.seconds)


@dataclasses.dataclass(frozen=True)
class OpenLoad:
    """Calls that start when they are meant to, whatever the server does."""

    # Calls a second on average; the time between two is random (Poisson).
    rate: float
    seconds: float
    # The same seed gives the same times.
    seed: int = 0

    def __str__(self) -> str:
        """Returns a label for tables."""
        return f"open {self.rate:.0f}/s"

    @property
    def num_connections(self) -> int:
        """As many as the largest closed load has."""
        return _MAX_CONNECTIONS

    def arrivals(self) -> Arrivals:
        """Returns when the calls start."""
        return Open(poisson_times(self.rate, self.seconds, self.seed))


Load = ClosedLoad | OpenLoad
