"""Kinds of loads, what they go to, and what became of their calls."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import errors

# A call that HTTP calls a success, and that brought no answer.
NO_ANSWER = "NO_ANSWER"
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

    def due(self, now: float, num_in_flight: int) -> list[float]:
        """Returns when the calls to start now were meant to; once each."""

    def next_time(self) -> float | None:
        """Returns when a call is due that waits for no other; None if none."""


class Open:
    """Implements Arrivals: times that nothing can move.

    What starts late has been waiting since the time when it was meant to start,
    as a user would who came at that time.
    """

    def __init__(self, times: Iterator[float]) -> None:
        """Takes the times, in order."""
        self._times = times
        self._next = next(times, None)

    def due(self, now: float, num_in_flight: int) -> list[float]:
        """See Arrivals."""
        del num_in_flight
        due: list[float] = []
        while self._next is not None and self._next <= now:
            due.append(self._next)
            self._next = next(self._times, None)
        return due

    def next_time(self) -> float | None:
        """See Arrivals."""
        return self._next


@dataclasses.dataclass(frozen=True)
class ClosedLoad:
    """Implements Arrivals: a fixed number of calls in flight.

    A call is meant to start when one before it has ended, so that a server
    that stops answering gets no further ones.
    """

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
        if self.connections:
            return self.connections
        most = min(self.concurrency // _CALLS_PER_CONNECTION, _MAX_CONNECTIONS)
        while most > 1 and self.concurrency % most:
            most -= 1
        return max(most, 1)

    def arrivals(self) -> Arrivals:
        """Returns when the calls start."""
        return self

    def due(self, now: float, num_in_flight: int) -> list[float]:
        """See Arrivals."""
        if now >= self.seconds:
            return []
        return [now] * (self.concurrency - num_in_flight)

    def next_time(self) -> float | None:
        """See Arrivals."""
        return None


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
        return Open(self._times())

    def _times(self) -> Iterator[float]:
        """Yields times as of many users who know nothing of each other."""
        rng = np.random.default_rng(self.seed)
        time = float(rng.exponential(1 / self.rate))
        while time < self.seconds:
            yield time
            time += float(rng.exponential(1 / self.rate))


Load = ClosedLoad | OpenLoad


@dataclasses.dataclass(frozen=True)
class Calls:
    """Each call of a load; the arrays have one value a call."""

    # When the load began: seconds since the epoch.
    begin_time: float
    # The time in which calls were made.
    seconds: float
    # From the moment when the call was meant to start to its end: float64.
    latency_seconds: npt.NDArray[Any]
    # By how much it started later than meant: float64.
    late_seconds: npt.NDArray[Any]
    # When it ended, since the beginning of the load: float64.
    done_seconds: npt.NDArray[Any]
    # Numbers of errors.StatusCode: int16.
    codes: npt.NDArray[Any]
    # How many of the calls that are OK had a wrong answer.
    num_wrong: int = 0
    # OK calls that carried no message. It is not known which ones: see
    # h2load.py.
    num_unanswered: int = 0

    @property
    def num_calls(self) -> int:
        """The number of calls that were made."""
        return len(self.codes)

    @property
    def answers_per_second(self) -> float:
        """Answers that came while calls were made, without errors."""
        in_time = self.done_seconds <= self.seconds
        num_answers = int(np.count_nonzero(self._is_ok & in_time))
        return max(0, num_answers - self.num_unanswered) / self.seconds

    @property
    def offered_per_second(self) -> float:
        """Calls that were made."""
        return self.num_calls / self.seconds

    def latency_percentiles_ms(
        self, percentiles: list[float]
    ) -> list[float | None]:
        """Returns percentiles of the latency of calls that are OK."""
        return _percentiles_ms(self.latency_seconds[self._is_ok], percentiles)

    def late_p99_ms(self) -> float | None:
        """Returns the 99th percentile of how late calls started."""
        return _percentiles_ms(self.late_seconds, [99.0])[0]

    def errors(self) -> collections.Counter[str]:
        """Returns the number of calls that failed, by name of the status."""
        failed = self.codes[~self._is_ok]
        counter = collections.Counter(
            errors.StatusCode(code).name for code in failed
        )
        if self.num_unanswered:
            counter[NO_ANSWER] = self.num_unanswered
        return counter

    @property
    def _is_ok(self) -> npt.NDArray[Any]:
        is_ok: npt.NDArray[Any] = self.codes == errors.StatusCode.OK
        return is_ok


def _percentiles_ms(
    seconds: npt.NDArray[Any], percentiles: list[float]
) -> list[float | None]:
    if not len(seconds):
        return [None] * len(percentiles)
    return [float(each) for each in np.percentile(seconds, percentiles) * 1e3]
