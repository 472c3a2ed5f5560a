"""When calls start: as others end, or at times of their own.

Times are seconds since the beginning of a load.
"""

import collections
import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Arrivals(Protocol):
    """Says when to start calls. Not thread-safe."""

    def due(self, now: float) -> list[float]:
        """Returns when the calls to start now were meant to; once each."""

    def next_time(self) -> float | None:
        """Returns when a call is due that waits for no other; None if none."""

    def ended(self) -> None:
        """Records the end of a call."""

    def stop(self) -> None:
        """Ends the load: no further calls start. Idempotent, thread-safe."""


class Closed:
    """Implements Arrivals: a fixed number of calls in flight.

    A call is meant to start when one before it has ended, so that a server
    that stops answering gets no further ones.
    """

    def __init__(
        self,
        concurrency: int,
        seconds: float = float("inf"),
        num_calls: int | None = None,
    ) -> None:
        """Takes how long calls are made, or how many."""
        self._num_free = concurrency
        self._seconds = seconds
        self._num_left = num_calls
        self._is_stopped = False

    def due(self, now: float) -> list[float]:
        """See Arrivals."""
        if now >= self._seconds or self._is_stopped:
            return []
        number = self._num_free
        if self._num_left is not None:
            number = min(number, self._num_left)
            self._num_left -= number
        self._num_free -= number
        return [now] * number

    def next_time(self) -> float | None:
        """See Arrivals."""
        return None

    def ended(self) -> None:
        """See Arrivals."""
        self._num_free += 1

    def stop(self) -> None:
        """See Arrivals."""
        self._is_stopped = True


class Open:
    """Implements Arrivals: times that nothing can move.

    What starts late has been waiting since the time when it was meant to start,
    as a user would who came at that time.
    """

    def __init__(self, times: Iterator[float]) -> None:
        """Takes the times, in order."""
        self._times = collections.deque(itertools.islice(times, 1))
        self._later = times
        self._is_stopped = False

    def due(self, now: float) -> list[float]:
        """See Arrivals."""
        due: list[float] = []
        while self._times and self._times[0] <= now and not self._is_stopped:
            due.append(self._times.popleft())
            self._times.extend(itertools.islice(self._later, 1))
        return due

    def next_time(self) -> float | None:
        """See Arrivals."""
        if self._is_stopped or not self._times:
            return None
        return self._times[0]

    def ended(self) -> None:
        """See Arrivals."""

    def stop(self) -> None:
        """See Arrivals."""
        self._is_stopped = True


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
