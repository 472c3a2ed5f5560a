"""A clock that moves when a test says so."""

import threading


class FakeClock:
    """Implements util.clock.Clock with a time that only advance_* changes.

    A test of a thread that waits on the clock goes in steps:

        scheduler.schedule(task)
        clock.advance_micros(9)
        clock.settle(threads=1)  # the thread has looked, and waits again
        ...assert that nothing happened...

    Time is kept in whole microseconds, so that sums are exact.

    Thread-safe.
    """

    def __init__(self) -> None:
        """Starts at 0."""
        self._lock = threading.Lock()
        # A thread has begun to wait; wakes settle().
        self._changed = threading.Condition(self._lock)
        self._now_micros = 0  # guarded by _lock
        # Where each thread waits, by a key of its own; guarded by _lock.
        self._waiting: dict[object, threading.Condition] = {}

    def now(self) -> float:
        """Returns the seconds by which the clock was advanced so far."""
        with self._lock:
            return self._now_micros / 1e6

    def sleep(self, seconds: float) -> None:
        """Blocks until the clock was advanced by that long."""
        condition = threading.Condition()
        deadline = self.now() + seconds
        with condition:
            while self.now() < deadline:
                self.wait_until(condition, deadline)

    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        """Waits for a notification or for the clock to be moved."""
        with self._lock:
            if deadline is not None and self._now_micros / 1e6 >= deadline:
                return
            key = object()
            self._waiting[key] = condition
            self._changed.notify_all()
        condition.wait()
        with self._lock:
            self._waiting.pop(key, None)

    def advance_micros(self, micros: int) -> None:
        """Moves the clock and wakes every thread that waits on it."""
        with self._lock:
            self._now_micros += micros
            waiting, self._waiting = self._waiting, {}
        for condition in waiting.values():
            with condition:
                condition.notify_all()

    def settle(self, threads: int) -> None:
        """Returns once this many threads have read the time and wait again."""
        self.advance_micros(0)
        with self._lock:
            self._changed.wait_for(lambda: len(self._waiting) >= threads)
