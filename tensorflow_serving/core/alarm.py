"""An alarm: calls functions when their time comes, all on one thread."""

import threading
from collections.abc import Callable

from absl import logging

from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import deadlines


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
        # There is a new first time, or the alarm was closed. Wakes the thread.
        self._news = threading.Condition(threading.Lock())
        # All guarded by _news.
        self._functions = deadlines.Deadlines[Callable[[], object]]()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def call_after(
        self, seconds: float, function: Callable[[], object]
    ) -> Callable[[], None]:
        """Has a function called once; returns one that prevents it."""
        with self._news:
            time = self._clock.now() + seconds
            is_first = time < self._functions.next_deadline
            ticket = self._functions.push(time, function)
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._run, name="alarm", daemon=True
                )
                self._thread.start()
            elif is_first:
                self._news.notify_all()
        return lambda: self._cancel(ticket)

    def close(self) -> None:
        """Calls no further function; waits for one that runs. Idempotent."""
        with self._news:
            self._is_closed = True
            self._functions = deadlines.Deadlines()
            self._news.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _cancel(self, ticket: int) -> None:
        with self._news:
            self._functions.discard(ticket)

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
                time = self._functions.next_deadline
                if time <= self._clock.now():
                    return self._functions.pop_first()
                self._clock.wait_until(self._news, time)
            return None
