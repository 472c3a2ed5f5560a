"""Makes the calls of a load and records the end of each."""

import collections
import dataclasses
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from tensorflow_serving.benchmarks import calls, loads, workload
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


class CallDriver:
    """Starts calls as they are due, and gives them up at their deadline.

    Latency counts from when a call was meant to start, the deadline from when
    it did: a driver that is late makes a server look slow, never fast. How late
    it was is in the result. Nothing is refused: any number of calls may wait.

    To be used once. Not thread-safe, but for stop().
    """

    def __init__(
        self,
        transport: Transport,
        work: workload.Work,
        arrivals: loads.Arrivals,
        deadline_seconds: float,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes the way to the server, what to ask it, and when."""
        self._transport = transport
        self._work = work
        self._requests = work.requests
        self._arrivals = arrivals
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
        self._is_stopped = False

    def run(self, seconds: float | None = None) -> calls.Calls:
        """Makes all calls; returns when each has ended.

        Args:
          seconds: How long calls are started; None until the last one ended.
        """
        begin_time = time.time()
        begin = self._clock.now()
        while True:
            next_time = None
            if not self._is_stopped:
                for meant in self._arrivals.due(self._clock.now() - begin):
                    self._start(meant, self._clock.now() - begin)
                next_time = self._arrivals.next_time()
            # Starting many takes a while.
            wait = self._wait_seconds(next_time, self._clock.now() - begin)
            if wait is None:
                return self._result(begin_time, seconds)
            ended = self._transport.poll(wait)
            now = self._clock.now() - begin
            for each in ended:
                self._end(each, now)
            self._give_up(now)

    def stop(self) -> None:
        """Ends the load: no further calls start. Idempotent, thread-safe."""
        self._is_stopped = True

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

    def _end(self, ended: Ended, now: float) -> None:
        self._codes[ended.call] = ended.code
        self._done[ended.call] = now
        self._answers[ended.call] = ended.message
        self._arrivals.ended()

    def _give_up(self, now: float) -> None:
        """Ends the calls that have reached their deadline."""
        while self._in_flight:
            call = self._in_flight[0]
            if self._codes[call] < 0:
                if now < self._started[call] + self._deadline_seconds:
                    return
                self._transport.cancel(call)
                self._end(
                    Ended(call, errors.StatusCode.DEADLINE_EXCEEDED, b""), now
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
        are_right = self._work.are_right(
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
