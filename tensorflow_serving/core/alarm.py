"""An alarm: calls functions when their time comes, all on one thread."""

import heapq
import itertools
import threading
from collections.abc import Callable

from absl import logging

from tensorflow_serving.util import clock as clock_lib


class Alarm:
    """Calls functions at times of a clock.

        cancel = alarm.call_after(5.0, lambda: logging.warning("It is late"))
        ...
        cancel()

    The functions must be quick. The thread starts with the first one.

    Thread-safe.
    """

    def __init__(self, clock: clock_lib.Clock) -> None:
        """Takes the clock."""
        self._clock = clock
        self._numbers = itertools.count()
        # There is a new first time, or the alarm was closed. Wakes the thread.
        self._news = threading.Condition(threading.Lock())
        # All guarded by _news. Times in order, with a number for each; one that
        # was cancelled stays here, and is gone from _functions.
        self._times: list[tuple[float, int]] = []
        self._functions: dict[int, Callable[[], object]] = {}
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def call_after(
        self, seconds: float, function: Callable[[], object]
    ) -> Callable[[], None]:
        """Has a function called once; returns one that prevents it."""
        number = next(self._numbers)
        with self._news:
            time = self._clock.now() + seconds
            heapq.heappush(self._times, (time, number))
            self._functions[number] = function
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._run, name="alarm", daemon=True
                )
                self._thread.start()
            elif self._times[0][1] == number:
                self._news.notify_all()
        return lambda: self._cancel(number)

    def close(self) -> None:
        """Calls no further function; waits for one that runs. Idempotent."""
        with self._news:
            self._is_closed = True
            self._functions.clear()
            self._news.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _cancel(self, number: int) -> None:
        with self._news:
            self._functions.pop(number, None)

    def _run(self) -> None:
        """Runs on the thread."""
        while (function := self._wait()) is not None:
            try:
                function()
            except BaseException:
                logging.exception("A function of an alarm failed; going on")
            del function

    def _wait(self) -> Callable[[], object] | None:
        """Returns the next function at its time; None at the end."""
        with self._news:
            while not self._is_closed:
                while self._times and self._times[0][1] not in self._functions:
                    heapq.heappop(self._times)
                if not self._times:
                    self._clock.wait_until(self._news, None)
                elif self._times[0][0] > self._clock.now():
                    self._clock.wait_until(self._news, self._times[0][0])
                else:
                    return self._functions.pop(heapq.heappop(self._times)[1])
            return None
