"""Makes the calls of a load and records the end of each."""

import dataclasses
import time
from array import array
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from tensorflow_serving.benchmarks import loads, workload
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
    """Takes calls to a server, each of which ends by a deadline."""

    def start(self, call: int, message: bytes) -> None:
        """Starts a call with a number of its own."""

    def poll(self, timeout_seconds: float | None) -> Iterable[Ended]:
        """Returns calls that have ended; waits for the first, or so long."""


class CallDriver:
    """Starts calls as they are due, whatever became of those before.

    Latency counts from when a call was meant to start: a driver that is late
    makes a server look slow, never fast. How late it was is in the result.
    Nothing is refused: any number of calls may wait.

    To be used once. Not thread-safe, but for stop().
    """

    def __init__(
        self,
        transport: Transport,
        work: workload.Work,
        arrivals: loads.Arrivals,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes the way to the server, what to ask it, and when."""
        self._transport = transport
        self._work = work
        self._arrivals = arrivals
        self._clock = clock
        self._num_in_flight = 0
        # By the number of the call; NaN and -1 until it ended.
        self._meant = array("d")
        self._started = array("d")
        self._done = array("d")
        self._codes = array("h")
        self._answers: list[bytes] = []
        self._is_stopped = False

    def run(self, seconds: float | None = None) -> loads.Calls:
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
            wait = None
            if next_time is not None:
                # Starting many takes a while.
                wait = max(0.0, next_time - (self._clock.now() - begin))
            elif not self._num_in_flight:
                return self._result(begin_time, seconds)
            ended = self._transport.poll(wait)
            now = self._clock.now() - begin
            for each in ended:
                self._end(each, now)

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
        self._num_in_flight += 1
        request = self._work.requests[self._index(call)]
        self._transport.start(call, request)

    def _end(self, ended: Ended, now: float) -> None:
        self._num_in_flight -= 1
        self._codes[ended.call] = ended.code
        self._done[ended.call] = now
        self._answers[ended.call] = ended.message
        self._arrivals.ended()

    def _index(self, call: int) -> int:
        return call % len(self._work.requests)

    def _result(self, begin_time: float, seconds: float | None) -> loads.Calls:
        meant, done = np.array(self._meant), np.array(self._done)
        codes = np.array(self._codes)
        ok_calls: Sequence[int] = np.flatnonzero(
            codes == errors.StatusCode.OK
        ).tolist()
        are_right = self._work.are_right(
            [self._index(call) for call in ok_calls],
            [self._answers[call] for call in ok_calls],
        )
        return loads.Calls(
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
