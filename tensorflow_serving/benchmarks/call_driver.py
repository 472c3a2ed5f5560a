"""Makes the calls of a load and records the end of each."""

import collections
import dataclasses
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tensorflow_serving.benchmarks import arrivals as arrivals_lib
from tensorflow_serving.benchmarks import calls
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Ended:
    """A call that has ended."""

    call: int
    # A number of errors.StatusCode.
    code: int
    # The response; empty unless the code is OK.
    message: bytes


class Transport(Protocol):
    """Takes calls to a server."""

    def start(self, call: int, message: bytes) -> None:
        """Starts a call with a number of its own."""

    def cancel(self, call: int) -> None:
        """Gives up a call."""

    def poll(self, timeout_seconds: float) -> Iterable[Ended]:
        """Returns calls that have ended; waits for the first, or so long."""


class Questions(Protocol):
    """Requests and their right answers, such as a Workload."""

    @property
    def requests(self) -> Sequence[bytes]:
        """The messages, which calls take in turn."""

    def are_right(
        self, images: Sequence[int], answers: Sequence[bytes]
    ) -> npt.NDArray[Any]:
        """Returns which answers are the right ones: bool [answers].

        Args:
          images: The index of the request that each answer is for.
          answers: The messages.
        """


class CallDriver:
    """Starts calls as they are due, and gives them up at their deadline.

    Latency counts from when a call was meant to start, the deadline from when
    it did: a driver that is late makes a server look slow, never fast. How late
    it was is in the result. Nothing is refused: any number of calls may wait.

    To be used once. Not thread-safe.
    """

    def __init__(
        self,
        transport: Transport,
        questions: Questions,
        deadline_seconds: float,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes the way to the server, and what to ask it."""
        self._transport = transport
        self._questions = questions
        self._requests = questions.requests
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        # By the number of the call; NaN and -1 until it ended.
        self._meant = array("d")
        self._started = array("d")
        self._done = array("d")
        self._codes = array("h")
        self._answers: list[bytes] = []
        # In order of their start, and so of their deadlines. Some have ended.
        self._in_flight: collections.deque[int] = collections.deque()

    def run(
        self, arrivals: arrivals_lib.Arrivals, seconds: float | None = None
    ) -> calls.Calls:
        """Makes all calls; returns when each has ended.

        Args:
          arrivals: When to start calls.
          seconds: How long that goes on; None if it is until the last call.
        """
        begin_time = time.time()
        begin = self._clock.now()
        while True:
            for meant in arrivals.due(self._clock.now() - begin):
                self._start(meant, self._clock.now() - begin)
            # Starting many takes a while.
            now = self._clock.now() - begin
            wait = self._wait_seconds(arrivals.next_time(), now)
            if wait is None:
                return self._result(begin_time, seconds)
            ended = self._transport.poll(wait)
            now = self._clock.now() - begin
            for each in ended:
                self._end(each, now, arrivals)
            self._give_up(now, arrivals)

    def _start(self, meant: float, now: float) -> None:
        call = len(self._meant)
        self._meant.append(meant)
        self._started.append(now)
        self._done.append(float("nan"))
        self._codes.append(-1)
        self._answers.append(b"")
        self._in_flight.append(call)
        self._transport.start(call, self._requests[self._image(call)])

    def _wait_seconds(
        self, next_time: float | None, now: float
    ) -> float | None:
        """Returns how long to wait for answers; None if none is due."""
        times = [] if next_time is None else [next_time]
        while self._in_flight and self._codes[self._in_flight[0]] >= 0:
            self._in_flight.popleft()
        if self._in_flight:
            started = self._started[self._in_flight[0]]
            times.append(started + self._deadline_seconds)
        return max(0.0, min(times) - now) if times else None

    def _end(
        self,
        ended: Ended,
        now: float,
        arrivals: arrivals_lib.Arrivals,
    ) -> None:
        self._codes[ended.call] = ended.code
        self._done[ended.call] = now
        self._answers[ended.call] = ended.message
        arrivals.ended()

    def _give_up(self, now: float, arrivals: arrivals_lib.Arrivals) -> None:
        """Ends the calls that have reached their deadline."""
        while self._in_flight:
            call = self._in_flight[0]
            if self._codes[call] < 0:
                if now < self._started[call] + self._deadline_seconds:
                    return
                self._transport.cancel(call)
                self._end(
                    Ended(call, errors.StatusCode.DEADLINE_EXCEEDED, b""),
                    now,
                    arrivals,
                )
            self._in_flight.popleft()

    def _image(self, call: int) -> int:
        return call % len(self._requests)

    def _result(self, begin_time: float, seconds: float | None) -> calls.Calls:
        meant, done = np.array(self._meant), np.array(self._done)
        codes = np.array(self._codes)
        ok_calls: Sequence[int] = np.flatnonzero(
            codes == errors.StatusCode.OK
        ).tolist()
        are_right = self._questions.are_right(
            [self._image(call) for call in ok_calls],
            [self._answers[call] for call in ok_calls],
        )
        return calls.Calls(
            begin_time=begin_time,
            seconds=float(done.max(initial=0.0))
            if seconds is None
            else seconds,
            latency_seconds=done - meant,
            late_seconds=np.array(self._started) - meant,
            done_seconds=done,
            codes=codes,
            num_wrong=int(np.count_nonzero(~are_right)),
        )
